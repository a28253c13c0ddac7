//! The packets of a ring that somebody may still ask for, by ordinal.

use bytes::Bytes;
use std::collections::VecDeque;

use crate::id::NodeId;
use crate::limits;

/// A packet with its place in the order.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Held {
    pub(crate) origin: NodeId,
    pub(crate) safe: bool,
    pub(crate) recovery: bool,
    pub(crate) content: Bytes,
}

/// Slots above a floor; at and below it everything was delivered here and is held by every member.
#[derive(Clone, Default, Hash)]
pub(crate) struct Store {
    floor: u64,
    slots: VecDeque<Option<Held>>,
    held: u64,
}

impl Store {
    /// Further ahead than any token allows.
    pub(crate) fn is_beyond(&self, ordinal: u64) -> bool {
        let kept_max = limits::GAP_MAX + u64::from(limits::WINDOW_MAX);
        self.index(ordinal).is_some_and(|index| index as u64 >= kept_max)
    }

    /// True if the packet is new; false if it is held already, no longer needed, or too far ahead
    /// to be kept. The first one stays: an ordinal belongs to one packet (axiom B4).
    pub(crate) fn insert(&mut self, ordinal: u64, packet: Held) -> bool {
        let Some(index) = self.index(ordinal) else { return false };
        if self.is_beyond(ordinal) {
            return false;
        }
        match self.slots.get_mut(index) {
            Some(Some(_)) => return false,
            Some(slot) => *slot = Some(packet),
            None => {
                // Most come in order, and leave nothing out.
                while self.slots.len() < index {
                    self.slots.push_back(None);
                }
                self.slots.push_back(Some(packet));
            }
        }
        self.held += 1;
        true
    }

    pub(crate) fn get(&self, ordinal: u64) -> Option<&Held> {
        self.slots.get(self.index(ordinal)?)?.as_ref()
    }

    /// Held now, or held and dropped.
    pub(crate) fn has(&self, ordinal: u64) -> bool {
        ordinal <= self.floor || self.get(ordinal).is_some()
    }

    /// Highest ordinal that was ever held.
    pub(crate) fn high(&self) -> u64 {
        self.floor + self.slots.len() as u64
    }

    /// Packets held now.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Nobody will ask for these any more (axiom L4).
    pub(crate) fn drop_up_to(&mut self, ordinal: u64) {
        while self.floor < ordinal {
            self.floor += 1;
            if let Some(Some(_)) = self.slots.pop_front() {
                self.held -= 1;
            }
        }
    }

    fn index(&self, ordinal: u64) -> Option<usize> {
        usize::try_from(ordinal.checked_sub(self.floor + 1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Held {
        Held { origin: NodeId(1), safe: false, recovery: false, content: Bytes::new() }
    }

    #[test]
    fn keeps_holes_refuses_duplicates_and_forgets_in_order() {
        let mut store = Store::default();
        assert!(store.insert(1, packet()) && store.insert(3, packet()));
        assert!(!store.insert(3, packet()));
        assert!(store.has(1) && !store.has(2) && store.has(3));
        assert_eq!((store.high(), store.held()), (3, 2));
        store.drop_up_to(2);
        assert!(store.has(2) && store.get(2).is_none() && !store.insert(2, packet()));
        assert_eq!((store.high(), store.held()), (3, 1));
    }

    #[test]
    fn refuses_what_is_too_far_ahead() {
        let mut store = Store::default();
        assert!(!store.insert(limits::GAP_MAX + u64::from(limits::WINDOW_MAX) + 1, packet()));
        assert!(!store.insert(u64::MAX, packet()));
        assert_eq!(store.high(), 0);
    }
}
