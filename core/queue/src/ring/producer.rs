//! The side that puts records in.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::header::{HEADER_LEN, Header, PADDING, align};
use super::memory::{AtomicU64, Memory, fence};
use super::{Corrupt, Direction, Layout};

/// The producing end of a ring, shared by all threads and signal handlers of one process.
///
/// All methods are async-signal-safe, lock-free and re-entrant: a signal handler may send while the
/// send that it interrupted is half done. Nothing allocates, blocks or panics.
pub struct Producer {
    memory: Memory,
    /// How far bytes are claimed.
    tail: Line<AtomicU64>,
    /// The head when it was last looked at: saves fetching the consumer's cache line for every
    /// record.
    head_seen: AtomicU64,
}

/// Bytes of a record to be filled; ends in [`Producer::commit`] or [`Producer::abort`]. Until then
/// the consumer gets nothing that was claimed later.
#[derive(Debug)]
#[must_use = "a claim that is neither committed nor aborted blocks the ring"]
pub struct Claim {
    /// Where to put the payload: `len` bytes, 8-byte aligned, zero.
    pub data: *mut u8,
    /// Bytes of payload.
    pub len: usize,
    position: u64,
    header: Header,
}

// SAFETY: the bytes are the claim's alone, whichever thread fills them.
unsafe impl Send for Claim {}

/// Why nothing was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// No room now.
    Full,
    /// Longer than [`Producer::record_len_max`]: never any room.
    TooLong,
    /// The other side broke the memory.
    Corrupt,
}

/// A value that shares its cache lines with nothing.
#[repr(align(128))]
struct Line<T>(T);

impl Claim {
    /// Where it is: for [`Producer::reclaim`], by a caller who cannot hold on to the claim itself.
    /// Forgetting the claim does no harm then.
    pub fn position(&self) -> u64 {
        self.position
    }
}

/// A record that was committed and, as far as its producer knows, not consumed.
#[derive(Clone, Copy, Debug)]
pub struct Committed {
    /// What it is.
    pub kind: u16,
    /// Its payload, 8-byte aligned, inside the ring.
    pub data: *const u8,
    /// Bytes of payload.
    pub len: usize,
    /// Where the next record is.
    pub next: u64,
}

impl Producer {
    /// The producing end of the ring of that direction.
    ///
    /// # Safety
    /// `base` points to `layout.len()` bytes, 128-aligned, mapped and writable as long as this
    /// lives, all zero when the first end is attached. One producing end at most is ever attached
    /// to a ring of a block (by an honest process).
    pub unsafe fn attach(base: *mut u8, layout: Layout, direction: Direction) -> Self {
        Self {
            // SAFETY: by contract.
            memory: unsafe { Memory::new(base, layout, direction) },
            tail: Line(AtomicU64::new(0)),
            head_seen: AtomicU64::new(0),
        }
    }

    /// Claims room for a payload of `len` bytes, to be filled and committed. `kind` must not be 0.
    ///
    /// # Errors
    /// See [`PushError`]; nothing was claimed.
    pub fn claim(&self, kind: u16, flags: u16, len: usize) -> Result<Claim, PushError> {
        self.claim_sparing(0, kind, flags, len)
    }

    /// Puts a record in whose payload is `parts`, one after the other. See [`Self::claim`].
    ///
    /// # Errors
    /// See [`PushError`]; nothing was put in.
    pub fn push(&self, kind: u16, flags: u16, parts: &[&[u8]]) -> Result<(), PushError> {
        self.push_sparing(0, kind, flags, parts)
    }

    /// As [`Self::push`], but full already when less than `spare` bytes would remain free: room
    /// kept for a last word.
    ///
    /// # Errors
    /// See [`PushError`]; nothing was put in.
    pub fn push_sparing(
        &self,
        spare: u32,
        kind: u16,
        flags: u16,
        parts: &[&[u8]],
    ) -> Result<(), PushError> {
        let len = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let claim = self.claim_sparing(spare, kind, flags, len)?;
        let mut at = 0;
        for part in parts {
            // SAFETY: our claim, which is as long as all parts together.
            unsafe { self.memory.write(claim.position, at, part) };
            at += part.len();
        }
        self.commit(claim);
        Ok(())
    }

    /// As [`Self::claim`], but full already when less than `spare` bytes would remain free.
    ///
    /// # Errors
    /// See [`PushError`]; nothing was claimed.
    pub fn claim_sparing(
        &self,
        spare: u32,
        kind: u16,
        flags: u16,
        len: usize,
    ) -> Result<Claim, PushError> {
        if len > self.record_len_max() {
            return Err(PushError::TooLong);
        }
        let position = self.take(align(len + HEADER_LEN), u64::from(spare))?;
        let data = self.memory.payload(position);
        Ok(Claim { data, len, position, header: Header::new(kind, flags, len) })
    }

    /// The claim of `len` bytes at a position, made by an earlier call and given up to the caller
    /// by [`Claim::position`]; `None` if nothing is claimed there, or it was committed or aborted.
    pub fn reclaim(&self, position: u64, kind: u16, flags: u16, len: usize) -> Option<Claim> {
        let tail = self.tail.0.load(Acquire);
        let head = self.memory.head().load(Acquire);
        let end = position.checked_add(align(len.checked_add(HEADER_LEN)?))?;
        let is_open = position.is_multiple_of(8)
            && (head..tail).contains(&position)
            && end <= tail
            && end - position <= self.capacity() - (position & (self.capacity() - 1))
            && self.memory.header(position).load(Acquire) == 0;
        let header = Header::new(kind, flags, len);
        is_open.then(|| Claim { data: self.memory.payload(position), len, position, header })
    }

    /// How far the consumer has given records back, or is about to.
    pub fn passed(&self) -> u64 {
        self.memory.passed().load(Acquire).max(self.memory.head().load(Acquire))
    }

    /// The record at a position, if one is committed there: for whoever looks at what a consumer
    /// that is gone has left. Aborted claims, padding and what was given back are of kind 0.
    pub fn committed_at(&self, position: u64) -> Option<Committed> {
        let tail = self.tail.0.load(Acquire);
        let left = tail.checked_sub(position).filter(|left| *left <= self.capacity())?;
        if !position.is_multiple_of(8) || left == 0 {
            return None;
        }
        let header = Header(self.memory.header(position).load(Acquire));
        let to_end = self.capacity() - (position & (self.capacity() - 1));
        let header = header.check(to_end.min(left)).ok()?;
        Some(Committed {
            kind: if header.is_held() { header.kind() } else { PADDING },
            data: self.memory.payload(position),
            len: header.payload_len(),
            next: position + header.total(),
        })
    }

    /// Hands the record to the consumer. Then ask [`Self::wake_needed`], once per batch.
    #[allow(clippy::needless_pass_by_value, reason = "ends the claim")]
    pub fn commit(&self, claim: Claim) {
        self.memory.header(claim.position).store(claim.header.0, Release);
    }

    /// Gives the claim up: the consumer skips it. Then ask [`Self::wake_needed`], as after a
    /// commit.
    #[allow(clippy::needless_pass_by_value, reason = "ends the claim")]
    pub fn abort(&self, claim: Claim) {
        let padding = Header::new(PADDING, 0, claim.len);
        self.memory.header(claim.position).store(padding.0, Release);
    }

    /// After commits: whether the consumer slept; then it is the caller's duty to wake it.
    #[must_use = "the consumer sleeps on"]
    pub fn wake_needed(&self) -> bool {
        fence(SeqCst);
        let sleeping = self.memory.sleeping();
        sleeping.load(Relaxed) != 0 && sleeping.swap(0, AcqRel) != 0
    }

    /// After [`PushError::Full`] for a payload of `len` bytes (and what it was to spare): asks the
    /// consumer for a wake-up once that much is free, and at least a quarter of the ring. True:
    /// there is that much already, try again.
    #[must_use = "true: nobody will wake you"]
    pub fn want_room(&self, len: usize) -> bool {
        let tail = self.tail.0.load(Acquire);
        let need = align(len.min(self.record_len_max() + self.capacity() as usize / 4));
        let need = need + HEADER_LEN as u64;
        let wanted = (self.padding(tail, need) + need).max(self.capacity() / 4);
        let wanted = wanted.min(self.capacity());
        self.memory.tail().store(tail, Relaxed);
        self.memory.wanted().fetch_max(wanted as u32, Release);
        fence(SeqCst);
        // Nonsense counts as room: the next claim reports it.
        let used = tail.wrapping_sub(self.memory.head().load(Acquire));
        used > self.capacity() || self.capacity() - used >= wanted
    }

    /// Asks the consumer for a wake-up once it has given back all before `position`, whatever was
    /// asked before. True: it has. For an end that only one thread uses.
    #[must_use = "true: nobody will wake you"]
    pub fn want_released_to(&self, position: u64) -> bool {
        // The consumer counts free bytes from what it knows to be claimed.
        let claimed = self.memory.tail().load(Relaxed);
        let used = claimed.saturating_sub(position).min(self.capacity());
        self.memory.wanted().swap((self.capacity() - used) as u32, AcqRel);
        fence(SeqCst);
        self.released_to() >= position
    }

    /// How far bytes are claimed.
    pub fn claimed_to(&self) -> u64 {
        self.tail.0.load(Acquire)
    }

    /// Lets the consumer know of claims up to this position that were made elsewhere, in the ring
    /// that this one repeats.
    pub fn note_claimed(&self, position: u64) {
        self.memory.tail().store(position, Relaxed);
    }

    /// Longest payload, in bytes: a quarter of the capacity, and what describes a message of that
    /// length.
    pub fn record_len_max(&self) -> usize {
        record_len_max(self.capacity())
    }

    /// Bytes claimed and not yet released, at most the capacity.
    pub fn used(&self) -> u64 {
        // Tail first: a head that passes it meanwhile shows as 0, not as nonsense.
        let tail = self.tail.0.load(Acquire);
        let head = self.memory.head().load(Acquire);
        if head > tail { 0 } else { (tail - head).min(self.capacity()) }
    }

    /// How far the consumer has given records back; never beyond what was claimed.
    pub fn released_to(&self) -> u64 {
        // Tail first, as above.
        let tail = self.tail.0.load(Acquire);
        self.memory.head().load(Acquire).min(tail)
    }

    /// Bytes of records that the ring holds, headers included.
    pub fn capacity(&self) -> u64 {
        self.memory.capacity()
    }

    /// Takes `need` bytes in one piece, with the padding before them if that is at the end of the
    /// memory.
    fn take(&self, need: u64, spare: u64) -> Result<u64, PushError> {
        let mut tail = self.tail.0.load(Acquire);
        loop {
            let padding = self.padding(tail, need);
            let refused = match self.has_room(tail, padding + need + spare) {
                Ok(true) => None,
                Ok(false) => Some(PushError::Full),
                Err(Corrupt) => Some(PushError::Corrupt),
            };
            if let Some(error) = refused {
                // Said of an old tail it means nothing.
                let now = self.tail.0.load(Acquire);
                if now == tail {
                    return Err(error);
                }
                tail = now;
                continue;
            }
            let next = tail + padding + need;
            match self.tail.0.compare_exchange_weak(tail, next, AcqRel, Acquire) {
                Ok(_) => {
                    self.memory.tail().store(next, Relaxed);
                    if padding > 0 {
                        let header = Header::new(PADDING, 0, padding as usize - HEADER_LEN);
                        self.memory.header(tail).store(header.0, Release);
                    }
                    return Ok(tail + padding);
                }
                Err(now) => tail = now,
            }
        }
    }

    /// Whether `total` bytes from `tail` on are free.
    fn has_room(&self, tail: u64, total: u64) -> Result<bool, Corrupt> {
        let capacity = self.capacity();
        let used = tail.wrapping_sub(self.head_seen.load(Acquire));
        if used <= capacity && total <= capacity - used {
            return Ok(true);
        }
        let head = self.memory.head().load(Acquire);
        let used = tail.wrapping_sub(head);
        if used > capacity || !head.is_multiple_of(8) {
            return Err(Corrupt);
        }
        self.head_seen.store(head, Release);
        Ok(total <= capacity - used)
    }

    /// Bytes to skip so that `need` bytes from there on lie in one piece.
    fn padding(&self, tail: u64, need: u64) -> u64 {
        let to_end = self.capacity() - (tail & (self.capacity() - 1));
        if need <= to_end { 0 } else { to_end }
    }
}

/// Longest payload in a ring of that capacity, in bytes.
pub(super) fn record_len_max(capacity: u64) -> usize {
    capacity as usize / 4 + DESCRIPTION_LEN
}

/// Room for what describes the longest message, in bytes.
const DESCRIPTION_LEN: usize = if cfg!(loom) { 0 } else { 128 };
// The longest record fits into the smallest empty ring wherever it starts: itself, and at most as
// much padding.
const _: () = {
    let capacity = super::CAPACITY_MIN as usize;
    assert!(2 * (capacity / 4 + DESCRIPTION_LEN + HEADER_LEN) <= capacity);
};
