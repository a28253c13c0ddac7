//! What Python looks at without a copy is there in a forked child, too.
//!
//! Messages are lent where they lie, in the session's memory, which a child does not have: a view
//! that was made before would be of nothing there, and looking at it would end the child. So while
//! views are lent, forking copies what they are of, and the child finds the copies at the very same
//! addresses. These pages stay for as long as the child lives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{ptr, slice};

/// Bytes that are lent. They are copied for children until this goes.
#[derive(Debug)]
pub(super) struct Lent(u64);

impl Lent {
    /// # Safety
    /// The bytes are there, and do not change, until this goes.
    pub(super) unsafe fn new(bytes: &[u8]) -> Self {
        let mut all = lock();
        all.next += 1;
        let number = all.next;
        let first = bytes.as_ptr().expose_provenance();
        all.lent.insert(number, first..first + bytes.len());
        Self(number)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        lock().lent.remove(&self.0);
    }
}

struct All {
    next: u64,
    lent: BTreeMap<u64, Range<usize>>,
    /// From just before a fork until just after it.
    copies: Vec<Copied>,
    pages: Vec<Range<usize>>,
}

struct Copied {
    first: usize,
    bytes: Box<[u8]>,
}

/// Who has it waits for nothing meanwhile.
static ALL: Mutex<All> =
    Mutex::new(All { next: 0, lent: BTreeMap::new(), copies: Vec::new(), pages: Vec::new() });

fn lock() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// While this thread forks: no other one may have it at that moment, for the child has no other
    /// one that would give it back.
    static FORKING: RefCell<Option<MutexGuard<'static, All>>> = const { RefCell::new(None) };
}

/// Has the C library tell of forks, whoever forks; `false` if there is no memory for that.
pub(crate) fn watch_forks() -> bool {
    // SAFETY: three functions of this extension, which Python never unloads.
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) == 0 }
}

extern "C" fn before() {
    let mut all = lock();
    let all_now = &mut *all;
    for range in all_now.lent.values() {
        // SAFETY: they are there, and do not change, as whoever lends them promised; the lock keeps
        // them lent.
        let bytes = unsafe {
            slice::from_raw_parts(ptr::with_exposed_provenance(range.start), range.len())
        };
        all_now.copies.push(Copied { first: range.start, bytes: bytes.into() });
    }
    all_now.pages = pages_of(all_now.lent.values());
    FORKING.with_borrow_mut(|forking| *forking = Some(all));
}

extern "C" fn in_parent() {
    let Some(mut all) = FORKING.take() else { return };
    all.copies = Vec::new();
    all.pages = Vec::new();
}

/// The first that runs in the child: nothing else can have taken these addresses yet.
extern "C" fn in_child() {
    let Some(mut all) = FORKING.take() else { return };
    for range in &all.pages {
        let (at, len) = (ptr::with_exposed_provenance_mut(range.start), range.len());
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: pages that are not there: else the kernel refuses, and then what is there stays.
        let made = unsafe { libc::mmap(at, len, access, flags, -1, 0) };
        if made != at {
            continue;
        }
        for copied in all.copies.iter().filter(|copied| range.contains(&copied.first)) {
            let to = ptr::with_exposed_provenance_mut(copied.first);
            // SAFETY: within the pages that were just made, which are for this.
            unsafe { ptr::copy_nonoverlapping(copied.bytes.as_ptr(), to, copied.bytes.len()) };
        }
        // SAFETY: the same pages. Nobody is to write there.
        unsafe { libc::mprotect(at, len, libc::PROT_READ) };
    }
    all.lent.clear();
    all.copies = Vec::new();
    all.pages = Vec::new();
}

/// The whole pages that these lie in, those that touch each other as one.
fn pages_of<'a>(lent: impl Iterator<Item = &'a Range<usize>>) -> Vec<Range<usize>> {
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
