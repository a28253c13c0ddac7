//! What Python looks at without a copy is there in a forked child, too.
//!
//! Messages are lent where they lie, in the session's ring, which a child does not have: a view
//! that was made before would be of nothing there, and looking at it would end the child. So while
//! views are lent, forking copies what they are of, and the child finds the copies at the very same
//! addresses. These pages stay for as long as the child lives.
//!
//! Whoever else is told of forks may wait for Python's lock, or map memory, between `before()` and
//! the fork, and in the child before `in_child()`. So no lock is kept meanwhile, and the child has
//! these pages from its first moment: of the ring, which the copies then take the place of.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::{mem, ptr};

use anasazi_sys::Held;

/// A message that is lent. It is copied for children until this goes.
#[derive(Debug)]
pub(super) struct Lent(u64);

impl Lent {
    pub(super) fn new(held: Arc<Held>) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        lock().lent.insert(number, held);
        Self(number)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let held = lock().lent.remove(&self.0);
        // Without the lock: the session may go with it.
        drop(held);
    }
}

struct All {
    lent: BTreeMap<u64, Arc<Held>>,
    /// How many threads fork just now.
    forking: usize,
    /// Of those that are done while others are not.
    forked: Vec<Fork>,
}

/// From just before a fork until just after it.
struct Fork {
    /// They stay where they are until then.
    lent: Vec<Arc<Held>>,
    pages: Vec<Pages>,
}

/// Whole pages with messages, and those that a child has in their place.
struct Pages {
    first: usize,
    len: usize,
    copy: *mut libc::c_void,
}

// SAFETY: numbers and an address, all of it this one's own.
unsafe impl Send for Pages {}

/// Also in children, which begin without any: their numbers are not given out again.
static NEXT: AtomicU64 = AtomicU64::new(0);
static FIRST: Mutex<All> = Mutex::new(All::NONE);
/// Who has it waits for nothing meanwhile. A child has one of its own: another thread may have had
/// its parent's at that moment.
static ALL: AtomicPtr<Mutex<All>> = AtomicPtr::new((&raw const FIRST).cast_mut());

impl All {
    const NONE: Self = Self { lent: BTreeMap::new(), forking: 0, forked: Vec::new() };
}

fn lock() -> MutexGuard<'static, All> {
    // SAFETY: the first one, or one that a child has made; none of them ever goes.
    let all: &'static Mutex<All> = unsafe { &*ALL.load(Ordering::Acquire) };
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// What this thread forks with. A plain address: threads fork until their very end, when what
    /// has to be dropped is gone.
    static FORKING: Cell<*mut Fork> = const { Cell::new(ptr::null_mut()) };
}

/// Has the C library tell of forks, whoever forks; `false` if there is no memory for that. Again:
/// nothing.
pub(crate) fn watch_forks() -> bool {
    static WATCHED: OnceLock<bool> = OnceLock::new();
    *WATCHED.get_or_init(|| {
        // SAFETY: three functions of this extension, which Python never unloads.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) == 0 }
    })
}

extern "C" fn before() {
    let mut all = lock();
    let lent: Vec<Arc<Held>> = all.lent.values().cloned().collect();
    all.forking += 1;
    let pages = pages_of(lent.iter().filter_map(|held| held.data()).map(place));
    let pages: Vec<Pages> = pages.into_iter().filter_map(|range| Pages::of(range, &lent)).collect();
    drop(all);
    FORKING.set(Box::into_raw(Box::new(Fork { lent, pages })));
}

extern "C" fn in_parent() {
    let Some(fork) = forked() else { return };
    let mut all = lock();
    all.forked.push(fork);
    all.forking -= 1;
    if all.forking > 0 {
        // Another fork needs the pages that it shares with this one.
        return;
    }
    let over = mem::take(&mut all.forked);
    for pages in over.iter().flat_map(|fork| &fork.pages) {
        pages.keep_from_children();
    }
    drop(all);
    drop(over);
}

extern "C" fn in_child() {
    let Some(fork) = forked() else { return };
    // The parent's stays as it is.
    ALL.store(Box::into_raw(Box::new(Mutex::new(All::NONE))), Ordering::Release);
    for pages in fork.pages {
        pages.replace();
    }
    // They are the parent's.
    mem::forget(fork.lent);
}

fn forked() -> Option<Fork> {
    let fork = FORKING.replace(ptr::null_mut());
    // SAFETY: NULL, or what `before()` has made for this once.
    (!fork.is_null()).then(|| *unsafe { Box::from_raw(fork) })
}

impl Pages {
    /// With copies of those that lie there; `None` if there is no memory for that.
    fn of(range: Range<usize>, lent: &[Arc<Held>]) -> Option<Self> {
        let (first, len) = (range.start, range.len());
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping, wherever there is room.
        let copy = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
        if copy == libc::MAP_FAILED {
            return None;
        }
        for bytes in lent.iter().filter_map(|held| held.data()) {
            let at = place(bytes).start;
            if range.contains(&at) {
                // SAFETY: as far from the start of the copy as these lie from the start of the
                // pages, which have all of them.
                let to = unsafe { copy.byte_add(at - first) }.cast();
                // SAFETY: within a fresh mapping.
                unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
            }
        }
        // SAFETY: pages of a ring, which is there as long as messages in it are held; the copy is
        // nobody else's. In a child nobody is to write there.
        unsafe {
            libc::mprotect(copy, len, libc::PROT_READ);
            libc::madvise(ptr::with_exposed_provenance_mut(first), len, libc::MADV_DOFORK);
        }
        Some(Self { first, len, copy })
    }

    /// As the library has all its rings.
    fn keep_from_children(&self) {
        let first = ptr::with_exposed_provenance_mut(self.first);
        // SAFETY: pages of a ring, as long as messages in it are held.
        unsafe { libc::madvise(first, self.len, libc::MADV_DONTFORK) };
    }

    /// In the child: what it has of the ring makes room for the copy. If that fails, nothing is
    /// there, rather than what the parent goes on writing.
    fn replace(self) {
        let first = ptr::with_exposed_provenance_mut(self.first);
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: pages that the child has of the ring, and that nobody else has put anything at;
        // views look at what takes their place.
        unsafe {
            if libc::mremap(self.copy, self.len, self.len, flags, first) != first {
                libc::munmap(first, self.len);
            }
        }
        // It has moved.
        mem::forget(self);
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: a mapping that `of()` has made, and that is nobody else's.
        unsafe { libc::munmap(self.copy, self.len) };
    }
}

fn place(bytes: &[u8]) -> Range<usize> {
    let first = bytes.as_ptr().expose_provenance();
    first..first + bytes.len()
}

/// The whole pages that these lie in, those that touch each other as one.
fn pages_of(lent: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.cast_unsigned() as usize;
    let mut whole: Vec<Range<usize>> =
        lent.map(|range| range.start / page * page..range.end.next_multiple_of(page)).collect();
    whole.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in whole {
        match merged.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => merged.push(range),
        }
    }
    merged
}
