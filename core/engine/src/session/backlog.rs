//! What waits for room in a session's receive ring, in order and bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anasazi_protocol::planted::planted;
use anasazi_queue::record::event;
use bytes::Bytes;

use super::limits::{ENTRY_LEN, SHARED_PIECE_LEN_MIN};

/// Records that did not fit into the ring yet.
#[derive(Debug)]
pub(super) struct Backlog {
    entries: VecDeque<Entry>,
    len: usize,
    len_max: usize,
    /// What all backlogs of the engine cost, this one too; and all of its domain.
    totals: [Arc<AtomicUsize>; 2],
    /// How many of them are of the kind TAKEN.
    taken: usize,
}

/// One record.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: u16,
    pub(super) head: Bytes,
    pub(super) pieces: Vec<Bytes>,
    cost: usize,
}

/// The backlog would exceed its bound.
#[derive(Debug)]
pub(super) struct Overflow;

impl Backlog {
    /// Of at most so many bytes behind the first record, all counted in both totals as well.
    pub(super) fn new(len_max: usize, totals: [Arc<AtomicUsize>; 2]) -> Self {
        Self { entries: VecDeque::new(), len: 0, len_max, totals, taken: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that everything behind the first record costs. That one is not bounded: it may be as
    /// long as all others together, and still nobody is slow for it.
    pub(super) fn len_behind(&self) -> usize {
        self.entries.front().map_or(0, |first| self.len - first.cost)
    }

    /// Bytes that it costs.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// So many quarters of the most that it may cost, in bytes.
    pub(super) fn share(&self, quarters: usize) -> usize {
        self.len_max / 4 * quarters
    }

    /// What a record would cost.
    pub(super) fn cost(&self, head: &[u8], pieces: &[Bytes]) -> usize {
        let bytes = pieces.iter().fold(head.len(), |sum, piece| sum.saturating_add(piece.len()));
        bytes.saturating_add(ENTRY_LEN)
    }

    /// Adds a record at the end.
    pub(super) fn push(
        &mut self,
        kind: u16,
        head: &[u8],
        pieces: &[Bytes],
    ) -> Result<(), Overflow> {
        let cost = self.cost(head, pieces);
        let len_max = if planted!("backlog_halved") { self.len_max / 2 } else { self.len_max };
        if !self.is_empty() && cost > len_max.saturating_sub(self.len_behind()) {
            return Err(Overflow);
        }
        self.taken += usize::from(kind == event::TAKEN);
        let entry = if pieces.iter().any(|piece| piece.len() >= SHARED_PIECE_LEN_MIN) {
            let pieces = pieces.iter().map(own).collect();
            Entry { kind, head: Bytes::copy_from_slice(head), pieces, cost }
        } else {
            let mut all = Vec::with_capacity(cost - ENTRY_LEN);
            all.extend_from_slice(head);
            pieces.iter().for_each(|piece| all.extend_from_slice(piece));
            Entry { kind, head: all.into(), pieces: Vec::new(), cost }
        };
        self.entries.push_back(entry);
        self.len += cost;
        self.totals.iter().for_each(|total| _ = total.fetch_add(cost, Ordering::Relaxed));
        Ok(())
    }

    /// The client is still to be told of messages that were taken from it.
    pub(super) fn has_taken(&self) -> bool {
        self.taken > 0
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// Drops the first record, which is in the ring now.
    pub(super) fn pop(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.len -= entry.cost;
            self.uncount(entry.cost);
            self.taken -= usize::from(entry.kind == event::TAKEN);
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new(); // a long queue leaves no memory behind
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.uncount(self.len);
        (self.len, self.taken) = (0, 0);
    }

    fn uncount(&self, cost: usize) {
        self.totals.iter().for_each(|total| _ = total.fetch_sub(cost, Ordering::Relaxed));
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Entry {
    /// Bytes of the record's payload.
    pub(super) fn payload_len(&self) -> usize {
        self.cost - ENTRY_LEN
    }
}

/// A piece that costs about what its length says.
fn own(piece: &Bytes) -> Bytes {
    if piece.len() >= SHARED_PIECE_LEN_MIN { piece.clone() } else { Bytes::copy_from_slice(piece) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_in_order() {
        let totals = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let mut backlog = Backlog::new(2 * ENTRY_LEN + 5, totals.clone());
        let pieces = [Bytes::from_static(b"ab"), Bytes::from_static(b"c")];
        backlog.push(1, b"12", &pieces).expect("room");
        backlog.push(2, b"12345", &[]).expect("room");
        assert!(backlog.push(3, b"1", &[]).is_err());
        backlog.push(3, b"", &[]).expect("room");
        assert_eq!(backlog.len(), 3 * ENTRY_LEN + 10);
        assert_eq!(backlog.front().map(|e| (e.kind, e.head.as_ref())), Some((1, &b"12abc"[..])));
        backlog.pop();
        assert_eq!(backlog.front().map(|e| (e.kind, e.payload_len())), Some((2, 5)));
        backlog.pop();
        backlog.pop();
        assert!(backlog.is_empty());
        assert_eq!(backlog.len(), 0);
        backlog.pop();
        let other = Backlog::new(1_000, totals.clone());
        let kept = || totals.each_ref().map(|total| total.load(Ordering::Relaxed));
        for mut backlog in [backlog, other] {
            backlog.push(1, b"12", &[]).expect("room");
            assert_eq!(kept(), [ENTRY_LEN + 2; 2], "the first one is gone");
        }
        assert_eq!(kept(), [0; 2]);
    }

    #[test]
    fn long_pieces_are_shared_and_short_ones_are_not() {
        let mut backlog = Backlog::new(usize::MAX, Default::default());
        let buffer = Bytes::from(vec![7; 2 * SHARED_PIECE_LEN_MIN]);
        let pieces = [buffer.slice(..SHARED_PIECE_LEN_MIN), buffer.slice(10..20)];
        backlog.push(1, b"head", &pieces).expect("room");
        let entry = backlog.front().expect("pushed");
        assert_eq!(entry.pieces[0].as_ptr(), buffer.as_ptr());
        assert_ne!(entry.pieces[1].as_ptr(), pieces[1].as_ptr());
        assert_eq!(entry.pieces[1], pieces[1]);
    }
}
