//! Ring numbers that may be used: a number is promised to a ring only once it is durably reserved,
//! so that no later incarnation of this node can promise it again (axiom C4).

use crate::limits;
use crate::planted::planted;

#[derive(Clone, Hash)]
pub(crate) struct Storage {
    /// Highest ring number seen or promised.
    pub(crate) sequence_max: u64,
    reserved: u64,
    /// A write under way: ticket and what it reserves.
    pending: Option<(u64, u64)>,
    tickets: u64,
}

impl Storage {
    pub(crate) fn new(floor: u64, reserved: u64) -> Self {
        Self { sequence_max: floor, reserved, pending: None, tickets: 0 }
    }

    /// No cluster gets that much further without this node: a number beyond it is a mistake, and
    /// must not use up those that there are.
    pub(crate) fn is_possible(&self, sequence: u64) -> bool {
        let leap_max = self.sequence_max.saturating_add(limits::RING_SEQUENCE_LEAP_MAX);
        sequence <= leap_max.min(limits::COUNT_MAX)
    }

    /// Somebody has seen or promised this ring number.
    pub(crate) fn saw(&mut self, sequence: u64) {
        if self.is_possible(sequence) {
            self.sequence_max = self.sequence_max.max(sequence);
        }
    }

    pub(crate) fn may_promise(&self, sequence: u64) -> bool {
        sequence <= self.reserved || planted!("promise_not_durable")
    }

    /// What to write now, if anything: well before the reserve is used up, so that forming a ring
    /// seldom waits.
    pub(crate) fn wanted(&mut self, sequence: u64) -> Option<(u64, u64)> {
        let low = sequence.saturating_add(limits::RING_SEQUENCE_RESERVE / 2) > self.reserved;
        if !low || self.pending.is_some() {
            return None;
        }
        self.tickets += 1;
        let until = sequence.saturating_add(limits::RING_SEQUENCE_RESERVE);
        self.pending = Some((self.tickets, until));
        self.pending
    }

    /// True if storage was lost just now.
    pub(crate) fn persisted(&mut self, ticket: u64, durable: bool) -> bool {
        match self.pending {
            Some((pending, until)) if pending == ticket => {
                self.pending = None;
                self.reserved = if durable { self.reserved.max(until) } else { u64::MAX };
                !durable
            }
            _ => false,
        }
    }
}
