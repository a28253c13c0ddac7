//! The ring's memory: the words that both sides share, and the payload between them.

pub(super) use self::place::{AtomicU32, AtomicU64, Memory, fence};

/// Real memory, shared with another process.
#[cfg(not(loom))]
mod place {
    use core::ptr;
    pub(in super::super) use core::sync::atomic::{AtomicU32, AtomicU64, fence};

    use super::super::header::HEADER_LEN;
    use super::super::layout::{HEAD, PASSED, SLEEPING, TAIL, WANTED};
    use super::super::{Direction, Layout};

    /// One ring's part of the block. Every place in it is found from a position modulo the
    /// capacity, so no position leads out of it.
    pub(in super::super) struct Memory {
        control: *mut u8,
        data: *mut u8,
        capacity: u64,
    }

    // SAFETY: shared words are atomics; payload is written by the owner of a claim and read by the
    // owner of a record, and the header's release and acquire order the two.
    unsafe impl Send for Memory {}
    // SAFETY: as above.
    unsafe impl Sync for Memory {}

    impl Memory {
        /// # Safety
        /// `base` must point to `layout.len()` bytes, 4096-aligned or at least 128-aligned, that
        /// stay mapped and writable as long as this lives.
        pub(in super::super) unsafe fn new(base: *mut u8, layout: Layout, of: Direction) -> Self {
            // SAFETY: both offsets are inside the block.
            let (control, data) =
                unsafe { (base.add(layout.control_offset(of)), base.add(layout.data_offset(of))) };
            Self { control, data, capacity: u64::from(layout.capacity(of)) }
        }

        pub(in super::super) fn capacity(&self) -> u64 {
            self.capacity
        }

        pub(in super::super) fn head(&self) -> &AtomicU64 {
            // SAFETY: an aligned word of the control area.
            unsafe { AtomicU64::from_ptr(self.control.add(HEAD).cast()) }
        }

        pub(in super::super) fn tail(&self) -> &AtomicU64 {
            // SAFETY: an aligned word of the control area.
            unsafe { AtomicU64::from_ptr(self.control.add(TAIL).cast()) }
        }

        pub(in super::super) fn sleeping(&self) -> &AtomicU32 {
            // SAFETY: an aligned word of the control area.
            unsafe { AtomicU32::from_ptr(self.control.add(SLEEPING).cast()) }
        }

        pub(in super::super) fn wanted(&self) -> &AtomicU32 {
            // SAFETY: an aligned word of the control area.
            unsafe { AtomicU32::from_ptr(self.control.add(WANTED).cast()) }
        }

        pub(in super::super) fn passed(&self) -> &AtomicU64 {
            // SAFETY: an aligned word of the control area.
            unsafe { AtomicU64::from_ptr(self.control.add(PASSED).cast()) }
        }

        /// The header of the record at `position`, a multiple of 8.
        pub(in super::super) fn header(&self, position: u64) -> &AtomicU64 {
            // SAFETY: a multiple of 8 below the capacity, which is one too: the word is inside the
            // ring.
            unsafe { AtomicU64::from_ptr(self.data.add(self.offset(position & !7)).cast()) }
        }

        /// The payload of the record at `position`.
        pub(in super::super) fn payload(&self, position: u64) -> *mut u8 {
            let offset = self.offset(position & !7) + HEADER_LEN;
            // SAFETY: at most the end of the ring.
            unsafe { self.data.add(offset) }
        }

        /// Copies `bytes` to `at` bytes into the payload of the record at `position`.
        ///
        /// # Safety
        /// The caller holds that record's claim, and the bytes lie inside its payload.
        pub(in super::super) unsafe fn write(&self, position: u64, at: usize, bytes: &[u8]) {
            // SAFETY: inside the claim by contract; the caller's bytes are not in the ring.
            unsafe {
                ptr::copy_nonoverlapping(
                    bytes.as_ptr(),
                    self.payload(position).add(at),
                    bytes.len(),
                );
            }
        }

        /// Zeroes `len` bytes from `position` on; what would lie beyond the end of the memory is
        /// left out.
        pub(in super::super) fn zero(&self, position: u64, len: u64) {
            let offset = self.offset(position);
            let len = (len as usize).min(self.capacity as usize - offset);
            // SAFETY: inside the ring by the line above.
            unsafe { ptr::write_bytes(self.data.add(offset), 0, len) };
        }

        fn offset(&self, position: u64) -> usize {
            (position & (self.capacity - 1)) as usize
        }
    }
}

/// The model of it that loom explores: every access to payload is checked for races.
#[cfg(loom)]
#[cfg_attr(not(test), allow(dead_code, reason = "only the tests make models"))]
pub(super) mod place {
    use loom::cell::UnsafeCell;

    pub(in super::super) use super::super::loom_atomics::{AtomicU32, AtomicU64, fence};
    use std::vec::Vec;

    use super::super::header::HEADER_LEN;
    use super::super::{Direction, Layout};

    /// What lies where `base` points to: one ring.
    pub(in super::super) struct Model {
        head: AtomicU64,
        passed: AtomicU64,
        tail: AtomicU64,
        sleeping: AtomicU32,
        wanted: AtomicU32,
        headers: Vec<AtomicU64>,
        payload: Vec<UnsafeCell<u64>>,
    }

    impl Model {
        pub(in super::super) fn new(capacity: u32) -> Self {
            let words = 0..capacity / 8;
            Self {
                head: AtomicU64::new(0),
                passed: AtomicU64::new(0),
                tail: AtomicU64::new(0),
                sleeping: AtomicU32::new(0),
                wanted: AtomicU32::new(0),
                headers: words.clone().map(|_| AtomicU64::new(0)).collect(),
                payload: words.map(|_| UnsafeCell::new(0)).collect(),
            }
        }
    }

    pub(in super::super) struct Memory {
        model: *const Model,
        capacity: u64,
    }

    // SAFETY: as the real one; loom checks it.
    unsafe impl Send for Memory {}
    // SAFETY: as above.
    unsafe impl Sync for Memory {}

    impl Memory {
        pub(in super::super) unsafe fn new(base: *mut u8, layout: Layout, of: Direction) -> Self {
            Self { model: base.cast_const().cast(), capacity: u64::from(layout.capacity(of)) }
        }

        fn model(&self) -> &Model {
            // SAFETY: the test keeps it alive.
            unsafe { &*self.model }
        }

        pub(in super::super) fn capacity(&self) -> u64 {
            self.capacity
        }

        pub(in super::super) fn head(&self) -> &AtomicU64 {
            &self.model().head
        }

        pub(in super::super) fn passed(&self) -> &AtomicU64 {
            &self.model().passed
        }

        pub(in super::super) fn tail(&self) -> &AtomicU64 {
            &self.model().tail
        }

        pub(in super::super) fn sleeping(&self) -> &AtomicU32 {
            &self.model().sleeping
        }

        pub(in super::super) fn wanted(&self) -> &AtomicU32 {
            &self.model().wanted
        }

        pub(in super::super) fn header(&self, position: u64) -> &AtomicU64 {
            &self.model().headers[self.word(position)]
        }

        pub(in super::super) fn payload(&self, _position: u64) -> *mut u8 {
            core::ptr::null_mut()
        }

        /// Records of the model carry one word at `at` 0.
        pub(in super::super) unsafe fn write(&self, position: u64, at: usize, bytes: &[u8]) {
            assert_eq!((at, bytes.len()), (0, 8));
            let value = u64::from_ne_bytes(bytes.try_into().unwrap());
            let cell = &self.model().payload[self.word(position + HEADER_LEN as u64)];
            // SAFETY: loom checks that nobody else is at it.
            cell.with_mut(|word| unsafe { *word = value });
        }

        /// The word of the record at `position`.
        pub(in super::super) fn read(&self, position: u64) -> u64 {
            let cell = &self.model().payload[self.word(position + HEADER_LEN as u64)];
            // SAFETY: loom checks that nobody else writes.
            cell.with(|word| unsafe { *word })
        }

        pub(in super::super) fn zero(&self, position: u64, len: u64) {
            for at in (position..position + len).step_by(8) {
                // SAFETY: loom checks that nobody else is at it.
                self.model().payload[self.word(at)].with_mut(|word| unsafe { *word = 0 });
            }
        }

        fn word(&self, position: u64) -> usize {
            ((position & (self.capacity - 1)) / 8) as usize
        }
    }
}
