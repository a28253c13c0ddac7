//! The side that takes records out.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::header::{HEADER_LEN, Header, PADDING};
use super::memory::{AtomicU32, AtomicU64, Memory, fence};
use super::producer::record_len_max;
use super::{Corrupt, Direction, Layout};

/// The consuming end of a ring. One thread at a time takes records out and sleeps; any thread may
/// release them.
///
/// Nothing allocates, blocks or panics.
pub struct Consumer {
    memory: Memory,
    /// The record that [`Self::next`] gives out next.
    cursor: AtomicU64,
    /// How far everything is released; the truth of what the memory tells producers.
    head: AtomicU64,
    /// Releases that the thread which moves the head has to look at; 0 if none is at it.
    releases: AtomicU32,
}

/// A record given out, until it is released. The other side may still write to it: copy it before
/// judging it.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// For [`Consumer::release`].
    pub position: u64,
    /// What it is.
    pub kind: u16,
    /// The producer's flags.
    pub flags: u16,
    /// Its payload, 8-byte aligned, inside the ring.
    pub data: *const u8,
    /// Bytes of payload.
    pub len: usize,
}

// SAFETY: an address that belongs to no thread; reading there is for who can answer for it.
unsafe impl Send for Record {}

impl Record {
    /// The payload where it lies.
    ///
    /// # Safety
    /// Only until the record is released, and only if the other side is trusted not to write to it
    /// meanwhile.
    pub unsafe fn bytes<'ring>(&self) -> &'ring [u8] {
        // SAFETY: inside the ring; by contract nobody writes.
        unsafe { core::slice::from_raw_parts(self.data, self.len) }
    }
}

impl Consumer {
    /// The consuming end of the ring of that direction.
    ///
    /// # Safety
    /// As for [`super::Producer::attach`]: one consuming end at most is ever attached to a ring of
    /// a block.
    pub unsafe fn attach(base: *mut u8, layout: Layout, direction: Direction) -> Self {
        Self {
            // SAFETY: by contract.
            memory: unsafe { Memory::new(base, layout, direction) },
            cursor: AtomicU64::new(0),
            head: AtomicU64::new(0),
            releases: AtomicU32::new(0),
        }
    }

    /// The next committed record, if any. It stays valid until it is released. One thread at a
    /// time.
    ///
    /// # Errors
    /// [`Corrupt`] if the memory holds no record where one should be; then for ever.
    #[inline]
    pub fn next(&self) -> Result<Option<Record>, Corrupt> {
        let Some((position, header)) = self.find()? else { return Ok(None) };
        self.cursor.store(position + header.total(), Relaxed);
        Ok(Some(self.record(position, header)))
    }

    /// As [`Self::next`], but padding and aborted claims are given out as well, as records of kind
    /// 0: for who repeats the ring elsewhere, place by place.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub fn next_or_padding(&self) -> Result<Option<Record>, Corrupt> {
        let position = self.cursor.load(Relaxed);
        let Some(header) = self.header_at(position) else { return Ok(None) };
        let header = header.check(self.room_at(position))?;
        if !header.is_held() || header.payload_len() > self.record_len_max() {
            return Err(Corrupt);
        }
        self.cursor.store(position + header.total(), Relaxed);
        Ok(Some(self.record(position, header)))
    }

    /// The record at a position, which was given out and not released, and where the one behind it
    /// is; padding and what was released meanwhile are of kind 0. `None` from the place on that
    /// [`Self::next`] has come to, and if the producer has changed what is there. The thread that
    /// takes records out.
    pub fn again(&self, position: u64) -> Option<(Record, u64)> {
        // What is at the head may be passed while nothing before it waits.
        let position = position.max(self.head.load(Acquire));
        let cursor = self.cursor.load(Relaxed);
        if !position.is_multiple_of(8) || position >= cursor {
            return None;
        }
        let header = Header(self.memory.header(position).load(Acquire));
        let header = header.check(self.room_at(position).min(cursor - position)).ok()?;
        let mut record = self.record(position, header);
        if !header.is_held() {
            record.kind = PADDING;
        }
        Some((record, position + header.total()))
    }

    fn record(&self, position: u64, header: Header) -> Record {
        Record {
            position,
            kind: header.kind(),
            flags: header.flags(),
            data: self.memory.payload(position),
            len: header.payload_len(),
        }
    }

    /// The next record and where it is; padding before it is passed and released.
    #[inline]
    fn find(&self) -> Result<Option<(u64, Header)>, Corrupt> {
        let mut skipped = 0;
        for _ in 0..SKIPS_MAX {
            let position = self.cursor.load(Relaxed);
            let Some(header) = self.header_at(position) else { return Ok(None) };
            let header = header.check(self.room_at(position))?;
            if !header.is_held() || header.payload_len() > self.record_len_max() {
                return Err(Corrupt);
            }
            if header.kind() != PADDING {
                return Ok(Some((position, header)));
            }
            skipped += header.payload_len();
            if skipped > 2 * self.record_len_max() {
                return Ok(None);
            }
            self.cursor.store(position + header.total(), Relaxed);
            self.release(position);
        }
        Ok(None)
    }

    /// Gives the record at `position` back to the producers. Any thread, in any order; a position
    /// that is not given out, or was released already, is ignored. Then ask [`Self::room_wanted`],
    /// once per batch.
    pub fn release(&self, position: u64) {
        self.release_each([position]);
    }

    /// As [`Self::release`], for several records.
    pub fn release_each(&self, positions: impl IntoIterator<Item = u64>) {
        for position in positions {
            self.mark_released(position);
        }
        self.advance_head();
    }

    /// Gives back everything that was given out and lies before the record at `position`: the
    /// cheapest way, for an owner that copies records and keeps none. At most records of `most`
    /// bytes, and one more: they are zeroed. Then ask [`Self::room_wanted`].
    pub fn release_some(&mut self, position: u64, most: u64) {
        let head = self.head.load(Relaxed);
        let position = position.min(self.cursor.load(Relaxed));
        if position.saturating_sub(head) <= most {
            return self.release_to(position);
        }
        // The head stands at a record, always: what is there is looked at as one.
        let mut at = head;
        while at - head < most {
            let header = Header(self.memory.header(at).load(Acquire));
            let to_end = self.capacity() - (at & (self.capacity() - 1));
            match header.check(to_end.min(position - at)) {
                Ok(header) => at += header.total(),
                // The producer has changed what is there: it gets all back.
                Err(Corrupt) => return self.release_to(position),
            }
        }
        self.release_to(at);
    }

    fn release_to(&mut self, position: u64) {
        let head = self.head.load(Relaxed);
        let position = position.min(self.cursor.load(Relaxed)) & !7;
        let Some(len) = position.checked_sub(head).filter(|len| *len > 0) else { return };
        let to_end = (self.capacity() - (head & (self.capacity() - 1))).min(len);
        // Should this process end in the middle of what follows, its peer knows where to look on.
        self.memory.passed().store(position, Relaxed);
        fence(Release);
        self.memory.zero(head, to_end);
        self.memory.zero(head + to_end, len - to_end);
        self.publish_head(position);
    }

    /// Says that this side is about to sleep, and looks again: true if it may. Then a producer's
    /// next commit wakes it. False: there is something to take.
    #[must_use = "false: there is something to take"]
    pub fn prepare_sleep(&self) -> bool {
        // A swap, as everywhere: one order of all changes, so that none is taken for another's.
        self.memory.sleeping().swap(1, AcqRel);
        fence(SeqCst);
        let may_sleep = self.header_at(self.cursor.load(Relaxed)).is_none();
        if !may_sleep {
            self.cancel_sleep();
        }
        may_sleep
    }

    /// Awake again for another reason: producers need not wake this side.
    pub fn cancel_sleep(&self) {
        self.memory.sleeping().swap(0, AcqRel);
    }

    /// After releases: true, once, if a producer waits for room and has it now; then it is the
    /// caller's duty to wake it.
    #[must_use = "the producer sleeps on"]
    pub fn room_wanted(&self) -> bool {
        fence(SeqCst);
        let wanted = self.memory.wanted();
        let amount = u64::from(wanted.load(Acquire)).min(self.capacity());
        amount != 0 && self.capacity() - self.used() >= amount && wanted.swap(0, AcqRel) != 0
    }

    /// Bytes given out and not yet passed by the head: 0 once everything given out is released.
    pub fn held(&self) -> u64 {
        let head = self.head.load(Acquire);
        self.cursor.load(Relaxed).saturating_sub(head)
    }

    /// How far everything was given back.
    pub fn released_to(&self) -> u64 {
        self.head.load(Acquire)
    }

    /// Where the record is that [`Self::next`] gives out next, or will be.
    pub fn position(&self) -> u64 {
        self.cursor.load(Relaxed)
    }

    /// Where the next record is if it was claimed, as far as the producers say, and is not
    /// committed. The records behind it wait for it.
    pub fn open_claim(&self) -> Option<u64> {
        let cursor = self.cursor.load(Relaxed);
        let is_claimed = self.memory.tail().load(Relaxed) > cursor;
        let is_free = cursor.saturating_sub(self.head.load(Acquire)) < self.capacity();
        (is_claimed && is_free && self.header_at(cursor).is_none()).then_some(cursor)
    }

    /// Bytes claimed and not yet released, as far as the producers say.
    pub fn used(&self) -> u64 {
        let tail = self.memory.tail().load(Relaxed);
        tail.saturating_sub(self.head.load(Acquire)).min(self.capacity())
    }

    /// Bytes claimed and not yet given out, as far as the producers say.
    pub fn waiting(&self) -> u64 {
        let tail = self.memory.tail().load(Relaxed);
        tail.saturating_sub(self.cursor.load(Relaxed)).min(self.capacity())
    }

    /// Bytes of records that the ring holds, headers included.
    pub fn capacity(&self) -> u64 {
        self.memory.capacity()
    }

    /// Longest payload, in bytes.
    pub fn record_len_max(&self) -> usize {
        record_len_max(self.capacity())
    }

    /// The header of the record at the cursor, loaded once; `None` if none is committed.
    fn header_at(&self, cursor: u64) -> Option<Header> {
        // Once around: what lies there is given out and not yet released.
        if cursor - self.head.load(Acquire) >= self.capacity() {
            return None;
        }
        let header = self.memory.header(cursor).load(Acquire);
        (header != 0).then_some(Header(header))
    }

    /// Bytes that a record at `position` may take: up to the end of the memory, and not around into
    /// itself.
    fn room_at(&self, position: u64) -> u64 {
        let to_end = self.capacity() - (position & (self.capacity() - 1));
        let to_head =
            self.capacity() - position.wrapping_sub(self.head.load(Acquire)).min(self.capacity());
        to_end.min(to_head)
    }

    /// Zeroes the record and marks it, if it is given out and not released.
    fn mark_released(&self, position: u64) {
        let cursor = self.cursor.load(Relaxed);
        let head = self.head.load(Acquire);
        if !position.is_multiple_of(8) || position < head || position >= cursor {
            return;
        }
        let word = self.memory.header(position);
        let header = Header(word.load(Relaxed));
        let room = self.room_at(position).min(cursor - position);
        if !header.is_held() || header.check(room).is_err() {
            return;
        }
        if word.compare_exchange(header.0, header.releasing().0, Acquire, Relaxed).is_err() {
            return; // somebody else releases it
        }
        self.memory.zero(position + HEADER_LEN as u64, header.total() - HEADER_LEN as u64);
        word.store(header.released().0, Release);
    }

    /// Moves the head over everything that is released. One thread does it at a time; one that
    /// comes meanwhile leaves its work to it.
    fn advance_head(&self) {
        let mut seen = self.releases.fetch_add(1, AcqRel) + 1;
        if seen != 1 {
            return;
        }
        loop {
            self.pass_released();
            match self.releases.compare_exchange(seen, 0, AcqRel, Acquire) {
                Ok(_) => return,
                Err(more) => seen = more,
            }
        }
    }

    fn pass_released(&self) {
        let start = self.head.load(Relaxed);
        let cursor = self.cursor.load(Relaxed);
        let mut head = start;
        while head < cursor {
            let word = self.memory.header(head);
            let header = Header(word.load(Acquire));
            let to_end = self.capacity() - (head & (self.capacity() - 1));
            if !header.is_released() || header.check(to_end.min(cursor - head)).is_err() {
                break;
            }
            word.store(0, Relaxed);
            head += header.total();
        }
        if head != start {
            self.publish_head(head);
        }
    }

    fn publish_head(&self, head: u64) {
        // Our own copy first: who sees the shared one and commits a record there must find us
        // looking there.
        self.head.store(head, Release);
        self.memory.head().store(head, Release);
    }
}

/// Padding that one call skips, at most twice the longest record in bytes: a flood of it, which is
/// zeroed, must not hold the caller.
const SKIPS_MAX: usize = 64;
