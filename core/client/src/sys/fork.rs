//! Finding out that the process was forked, with one load: a page that the kernel wipes in the
//! child.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The mark of this process, for [`is_current`]. Makes the page when first called, so it comes
/// before anything to protect. Zero only if there is no memory for a page.
pub fn mark() -> u64 {
    let page = page();
    if page.is_null() {
        return 0;
    }
    // SAFETY: `page` made it, of a page's length, and it is never unmapped.
    let word = unsafe { &*page };
    let present = word.load(Ordering::SeqCst);
    if present != 0 {
        return present;
    }
    // One for each process of a line of descent: a child goes on counting where its parent was.
    let mark = NEXT.fetch_add(1, Ordering::Relaxed) + 1;
    match word.compare_exchange(0, mark, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => mark,
        Err(present) => present,
    }
}

/// The mark of this process, 0 if it has none yet. Safe in a signal handler.
pub fn present() -> u64 {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: as in `is_current`.
    if page.is_null() { 0 } else { unsafe { (*page).load(Ordering::Relaxed) } }
}

/// Whether this is still the process that got `mark`. Safe in a signal handler.
pub fn is_current(mark: u64) -> bool {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: not null means that `page` made it; it is never unmapped.
    !page.is_null() && unsafe { (*page).load(Ordering::Relaxed) } == mark
}

fn page() -> *const AtomicU64 {
    let present = PAGE.load(Ordering::Acquire);
    if !present.is_null() {
        return present;
    }
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that
    // exists.
    let made = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(ptr::null_mut(), PAGE_LEN, protection, flags, -1, 0)
    };
    if made == libc::MAP_FAILED {
        return ptr::null();
    }
    let null = ptr::null_mut();
    match PAGE.compare_exchange(null, made.cast(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            // SAFETY: `made` is a whole mapping of this length. The handler is one function of this
            // library, which is linked so that it is never unloaded.
            unsafe {
                if libc::madvise(made, PAGE_LEN, libc::MADV_WIPEONFORK) != 0 {
                    libc::pthread_atfork(None, None, Some(wipe));
                }
            }
            made.cast()
        }
        Err(present) => {
            // SAFETY: another thread was first; nobody has seen this mapping.
            unsafe { libc::munmap(made, PAGE_LEN) };
            present
        }
    }
}

/// In the child, where the kernel does not wipe pages.
unsafe extern "C" fn wipe() {
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: as in `mark`.
        unsafe { (*page).store(0, Ordering::SeqCst) };
    }
}

static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
static NEXT: AtomicU64 = AtomicU64::new(0);
const PAGE_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_knows_that_it_is_one_and_gets_a_mark_of_its_own() {
        let mark_here = mark();
        assert_ne!(mark_here, 0);
        // However often it is asked for, a process takes one.
        (0..1000).for_each(|_| assert_eq!(mark(), mark_here));
        assert!(is_current(mark_here));
        // SAFETY: the child only loads and stores atomics and leaves by _exit.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let stale = !is_current(mark_here);
                let renewed = mark();
                // Other threads may have been first with theirs.
                let few = (1..100).contains(&renewed.wrapping_sub(mark_here));
                let ok = stale && few && is_current(renewed);
                libc::_exit(if ok { 0 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 0);
        }
        assert!(is_current(mark_here));
    }
}
