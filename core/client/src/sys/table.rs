//! Handles: index and generation in a pointer's clothes, looked up in memory that is never
//! unmapped.
//!
//! A handle that was removed, was never given out, or belongs to another table is found out by
//! comparing one word; so a stale handle is an error at any time and from any context, never a wild
//! pointer. Looking up ("pinning") is one atomic addition: no lock, no allocation, no panic, no
//! thread-local, hence usable in a signal handler. A value is dropped only when nobody has it
//! pinned, and only by [`Table::insert`] or [`Table::remove`], never by letting go of a pin.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// A set of values that are known by handle. Meant for statics: chunks of slots are never given
/// back.
pub struct Table<T> {
    tag: u8,
    chunks: [AtomicPtr<Slot<T>>; CHUNKS],
    /// Slots ever used.
    fresh: AtomicU32,
    /// Head of the list of free slots: change counter in the high half, index plus 1 in the low
    /// half.
    free: AtomicU64,
    /// Head of the list of removed slots that were still pinned: index plus 1.
    pending: AtomicU32,
}

/// A value that cannot go away as long as this lives.
pub struct Pinned<'a, T> {
    slot: &'a Slot<T>,
}

struct Slot<T> {
    /// Generation in the high half, then [`CLOSED`] and [`FREE`], then the number of pins.
    word: AtomicU64,
    /// Next in the free or the pending list: index plus 1.
    next: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T: Send + Sync> Table<T> {
    /// An empty table. `tag` is the first byte of all its handles; a table knows others' handles by
    /// it.
    pub const fn new(tag: u8) -> Self {
        Self {
            tag,
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            fresh: AtomicU32::new(0),
            free: AtomicU64::new(0),
            pending: AtomicU32::new(0),
        }
    }

    /// Takes a value in and returns its handle, never 0; `None` when the table holds sixteen
    /// million. Lock-free; allocates.
    pub fn insert(&self, value: T) -> Option<u64> {
        self.drop_pending();
        let (index, slot) = self.pop_free().or_else(|| self.take_fresh())?;
        // SAFETY: the slot is closed and out of all lists, so that only this thread may touch its
        // value.
        unsafe { (*slot.value.get()).write(value) };
        let word = slot.word.fetch_and(!(CLOSED | FREE), Ordering::Release);
        Some(self.handle(index, generation(word)))
    }

    /// The value behind a handle; `None` if the handle is stale or not of this table. Safe in a
    /// signal handler.
    pub fn pin(&self, handle: u64) -> Option<Pinned<'_, T>> {
        let slot = self.slot(self.index(handle)?)?;
        let pinned = Pinned { slot };
        let word = slot.word.fetch_add(1, Ordering::SeqCst);
        // Dropping `pinned` takes the addition back.
        (generation(word) == handle as u32 && word & CLOSED == 0).then_some(pinned)
    }

    /// As [`Self::pin`], but also for a handle that was removed and whose value is still there,
    /// since others have it pinned.
    pub fn pin_removed(&self, handle: u64) -> Option<Pinned<'_, T>> {
        let slot = self.slot(self.index(handle)?)?;
        let pinned = Pinned { slot };
        let word = slot.word.fetch_add(1, Ordering::SeqCst);
        // Nobody has a handle of a free slot, but anybody can make one up.
        (generation(word) == handle as u32 && word & FREE == 0).then_some(pinned)
    }

    /// The handle of the value in a place, which is what bits 32 to 55 of its handle say, if one
    /// lives there.
    pub fn handle_at(&self, index: u32) -> Option<u64> {
        let word = self.slot(index)?.word.load(Ordering::SeqCst);
        (index < SLOTS_MAX && word & CLOSED == 0).then(|| self.handle(index, generation(word)))
    }

    /// Makes the handle stale; `false` if it was. The value is dropped as soon as it is not pinned.
    pub fn remove(&self, handle: u64) -> bool {
        let Some((index, slot)) = self.index(handle).and_then(|i| Some((i, self.slot(i)?))) else {
            return false;
        };
        let mut word = slot.word.load(Ordering::SeqCst);
        loop {
            if generation(word) != handle as u32 || word & CLOSED != 0 {
                return false;
            }
            let closed = word | CLOSED;
            match slot.word.compare_exchange(word, closed, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if !self.drop_value(index, slot) {
            self.push_pending(index, slot);
        }
        self.drop_pending();
        true
    }

    /// Shows every value with its handle. Values that come or go meanwhile may be missed.
    pub fn each(&self, mut show: impl FnMut(u64, &T)) {
        for index in 0..self.fresh.load(Ordering::Acquire).min(SLOTS_MAX) {
            let Some(slot) = self.slot(index) else { continue };
            let word = slot.word.load(Ordering::Acquire);
            if word & CLOSED != 0 {
                continue;
            }
            let handle = self.handle(index, generation(word));
            if let Some(value) = self.pin(handle) {
                show(handle, &value);
            }
        }
    }

    /// Drops the removed values that have lost their last pin since. `insert` and `remove` do it
    /// too.
    pub fn drop_pending(&self) {
        if self.pending.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut link = self.pending.swap(0, Ordering::Acquire);
        while let Some((index, slot)) = link.checked_sub(1).and_then(|i| Some((i, self.slot(i)?))) {
            link = slot.next.load(Ordering::Relaxed);
            if !self.drop_value(index, slot) {
                self.push_pending(index, slot);
            }
        }
    }

    /// Drops the value of a closed slot and frees the slot, unless it is pinned.
    fn drop_value(&self, index: u32, slot: &Slot<T>) -> bool {
        let word = slot.word.load(Ordering::Relaxed);
        let unpinned = word & !PINS;
        let next = (u64::from(generation(word).wrapping_add(1)) << 32) | CLOSED | FREE;
        let taken = slot.word.compare_exchange(unpinned, next, Ordering::AcqRel, Ordering::Relaxed);
        if taken.is_err() {
            return false;
        }
        // SAFETY: the exchange found the slot closed and without pins, and its new generation,
        // still closed, keeps everybody out; so this thread alone has the value, which `insert`
        // wrote.
        unsafe { (*slot.value.get()).assume_init_drop() };
        self.push_free(index, slot);
        true
    }

    fn push_pending(&self, index: u32, slot: &Slot<T>) {
        let mut head = self.pending.load(Ordering::Relaxed);
        loop {
            slot.next.store(head, Ordering::Relaxed);
            match self.pending.compare_exchange(
                head,
                index + 1,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn push_free(&self, index: u32, slot: &Slot<T>) {
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            slot.next.store(head as u32, Ordering::Relaxed);
            let new = counted(head, index + 1);
            match self.free.compare_exchange(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn pop_free(&self) -> Option<(u32, &Slot<T>)> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let index = (head as u32).checked_sub(1)?;
            let slot = self.slot(index)?;
            let new = counted(head, slot.next.load(Ordering::Relaxed));
            match self.free.compare_exchange(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some((index, slot)),
                Err(now) => head = now,
            }
        }
    }

    fn take_fresh(&self) -> Option<(u32, &Slot<T>)> {
        let index = self
            .fresh
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < SLOTS_MAX).then_some(n + 1))
            .ok()?;
        let (chunk, offset) = place(index);
        self.make_chunk(chunk);
        let slot = self.slot(index)?;
        debug_assert!(offset < chunk_len(chunk));
        Some((index, slot))
    }

    fn make_chunk(&self, chunk: usize) {
        if !self.chunks[chunk].load(Ordering::Acquire).is_null() {
            return;
        }
        let slots: Box<[Slot<T>]> = (0..chunk_len(chunk)).map(|_| Slot::closed()).collect();
        let slots = Box::into_raw(slots);
        let first = slots.cast::<Slot<T>>();
        let null = ptr::null_mut();
        let placed =
            self.chunks[chunk].compare_exchange(null, first, Ordering::AcqRel, Ordering::Relaxed);
        if placed.is_err() {
            // SAFETY: another thread was first; nobody has seen this box.
            drop(unsafe { Box::from_raw(slots) });
        }
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let (chunk, offset) = place(index);
        let first = self.chunks.get(chunk)?.load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        // SAFETY: a chunk has `chunk_len` slots, `offset` is below that, and chunks live as long as
        // the table.
        Some(unsafe { &*first.add(offset) })
    }

    fn index(&self, handle: u64) -> Option<u32> {
        let index = (handle >> 32) as u32 & INDEX_MASK;
        ((handle >> 56) as u8 == self.tag && index < SLOTS_MAX).then_some(index)
    }

    fn handle(&self, index: u32, generation: u32) -> u64 {
        u64::from(self.tag) << 56 | u64::from(index) << 32 | u64::from(generation)
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        for (chunk, first) in self.chunks.iter_mut().enumerate() {
            let first = *first.get_mut();
            if first.is_null() {
                continue;
            }
            let slots = ptr::slice_from_raw_parts_mut(first, chunk_len(chunk));
            // SAFETY: `make_chunk` made it as a box of this length, and `&mut self` says that
            // nobody uses it.
            drop(unsafe { Box::from_raw(slots) });
        }
    }
}

impl<T> Slot<T> {
    fn closed() -> Self {
        Self {
            // Generations start at 1, so that the first handle of a table with tag 0 would not be
            // 0.
            word: AtomicU64::new(1 << 32 | CLOSED | FREE),
            next: AtomicU32::new(0),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }
}

impl<T> Pinned<'_, T> {
    /// Keeps the value pinned until [`Self::unkeep`].
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// Takes one [`keep`](Self::keep) back.
    pub fn unkeep(&self) {
        self.slot.word.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T> Deref for Pinned<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `pin` or `pin_removed` found the slot not free, so its value was written; no one
        // drops or replaces it while it is pinned.
        unsafe { (*self.slot.value.get()).assume_init_ref() }
    }
}

impl<T> Drop for Pinned<'_, T> {
    fn drop(&mut self) {
        self.slot.word.fetch_sub(1, Ordering::SeqCst);
    }
}

// SAFETY: a slot hands out `&T` to any thread and lets any thread drop the `T`; the words around it
// are atomics.
unsafe impl<T: Send + Sync> Sync for Table<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Table<T> {}

fn generation(word: u64) -> u32 {
    (word >> 32) as u32
}

fn counted(head: u64, link: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(link)
}

/// Chunk and offset of a slot: chunk k holds `64 << k` slots.
fn place(index: u32) -> (usize, usize) {
    let place = index.saturating_add(CHUNK_LEN_FIRST);
    let chunk = (place.ilog2() - CHUNK_LEN_FIRST.ilog2()) as usize;
    (chunk, (place - (CHUNK_LEN_FIRST << chunk)) as usize)
}

fn chunk_len(chunk: usize) -> usize {
    (CHUNK_LEN_FIRST as usize) << chunk
}

/// No new pins by handle: removed, or free.
const CLOSED: u64 = 1 << 31;
/// Without a value. Only beside `CLOSED`.
const FREE: u64 = 1 << 30;
const PINS: u64 = FREE - 1;
const CHUNK_LEN_FIRST: u32 = 64;
const CHUNKS: usize = 18;
const SLOTS_MAX: u32 = (1 << 24) - CHUNK_LEN_FIRST;
const INDEX_MASK: u32 = (1 << 24) - 1;

const _: () = assert!(CHUNK_LEN_FIRST as u64 * ((1 << CHUNKS) - 1) == SLOTS_MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    struct Counted(u64, Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_removed_handle_is_stale_also_when_its_slot_lives_again() {
        let table = Table::new(0xA1);
        let first = table.insert(1).unwrap();
        assert_eq!(*table.pin(first).unwrap(), 1);
        assert!(table.remove(first));
        assert!(!table.remove(first));
        let second = table.insert(2).unwrap();
        assert_eq!(first as u32 + 1, second as u32, "the slot is used again");
        assert!(table.pin(first).is_none());
        assert_eq!(*table.pin(second).unwrap(), 2);
    }

    #[test]
    fn garbage_is_no_handle() {
        let table = Table::new(0xA1);
        let real = table.insert(()).unwrap();
        for handle in [0, 1, u64::MAX, real ^ 1 << 56, real + (1 << 32), real + 1, 0x7fff_1234_5678]
        {
            assert!(table.pin(handle).is_none(), "{handle:x}");
            assert!(table.pin_removed(handle).is_none(), "{handle:x}");
            assert!(!table.remove(handle), "{handle:x}");
        }
        assert!(table.pin(real).is_some());
        // The next one of a place that is free.
        assert!(table.remove(real));
        assert!(table.pin_removed(real + 1).is_none());
    }

    #[test]
    fn a_pinned_value_outlives_its_removal() {
        let drops = Arc::new(AtomicUsize::new(0));
        let table = Table::new(0xA1);
        let handle = table.insert(Counted(7, Arc::clone(&drops))).unwrap();
        let pinned = table.pin(handle).unwrap();
        assert!(table.remove(handle));
        assert!(table.pin(handle).is_none());
        assert_eq!((pinned.0, drops.load(Ordering::SeqCst)), (7, 0));
        assert_eq!(table.pin_removed(handle).unwrap().0, 7);
        pinned.keep();
        table.drop_pending();
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        table.pin_removed(handle).unwrap().unkeep();
        table.drop_pending();
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert!(table.pin_removed(handle).is_none());
    }

    #[test]
    fn many_values_have_distinct_handles_and_each_shows_them_all() {
        let table = Table::new(0xA1);
        let handles: HashSet<u64> = (0..1000).map(|n| table.insert(n).unwrap()).collect();
        assert_eq!(handles.len(), 1000);
        let mut sum = 0;
        table.each(|handle, n| {
            assert!(handles.contains(&handle));
            sum += n;
        });
        assert_eq!(sum, 999 * 1000 / 2);
    }

    /// Threads insert, look up each other's handles and remove; every value is dropped exactly
    /// once, and a pinned one always reads as what was inserted.
    #[test]
    fn threads_may_do_all_of_it_at_once() {
        let drops = Arc::new(AtomicUsize::new(0));
        let table = Table::new(0xA1);
        let shared: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (table, shared, drops) = (&table, &shared, &drops);
                scope.spawn(move || {
                    for round in 0..rounds {
                        let place = &shared[(thread + round * 7) % shared.len()];
                        let value = Counted(0x5eed, Arc::clone(drops));
                        let old = place.swap(table.insert(value).unwrap(), Ordering::SeqCst);
                        if let Some(pinned) = table.pin(shared[round % 8].load(Ordering::SeqCst)) {
                            assert_eq!(pinned.0, 0x5eed);
                        }
                        assert_eq!(table.remove(old), old != 0);
                    }
                });
            }
        });
        for place in &shared {
            assert!(table.remove(place.load(Ordering::SeqCst)));
        }
        table.drop_pending();
        assert_eq!(drops.load(Ordering::SeqCst), 4 * rounds);
    }
}
