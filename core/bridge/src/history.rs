//! Which part of the source's order a gateway has seen, as a member of its group.

use std::collections::VecDeque;

use anasazi_protocol::Place;

use crate::key::Key;

/// Stretches that are remembered. Who needs an older one is told that something may be missing.
const SPANS_MAX: usize = 256;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    spans: VecDeque<Span>,
}

/// From the first to the last of these nothing is missing: all of it was got in the regular
/// configuration of one ring. In a transitional one others may have got what is missing here, so
/// each message is a stretch of its own.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: Key,
    last: Key,
    is_regular: bool,
}

impl History {
    /// The next message.
    pub(crate) fn reach(&mut self, place: Place) {
        let (key, is_regular) = (Key::from(place), place.is_regular);
        if let Some(span) = self.spans.back_mut()
            && (span.is_regular && is_regular && span.last.ring == key.ring)
        {
            span.last = key;
            return;
        }
        if self.spans.len() == SPANS_MAX {
            self.spans.pop_front();
        }
        self.spans.push_back(Span { first: key, last: key, is_regular });
    }

    /// The gateway is not a member any more.
    pub(crate) fn end(&mut self) {
        self.spans.clear();
    }

    /// This message, which somebody got in the source, was got here too, as was all after it.
    pub(crate) fn contains(&self, key: Key) -> bool {
        let after = self.spans.partition_point(|span| span.last < key);
        self.spans.get(after).is_some_and(|span| span.first <= key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::{key, place};

    #[test]
    fn it_has_what_was_seen() {
        let mut history = History::default();
        (3..=5).for_each(|ordinal| history.reach(place(1, ordinal)));
        for ordinal in [7, 9] {
            history.reach(Place { is_regular: false, ..place(1, ordinal) });
        }
        history.reach(place(4, 2));
        history.reach(place(4, 8));
        let seen = |ring, ordinals: [u64; 4]| ordinals.map(|at| history.contains(key(ring, at)));
        assert_eq!(seen(1, [2, 3, 4, 5]), [false, true, true, true]);
        // In a transitional configuration what is in between may be what others only got.
        assert_eq!(seen(1, [6, 7, 8, 9]), [false, true, false, true]);
        assert_eq!(seen(4, [1, 2, 5, 9]), [false, true, true, false]);
        (5..5 + SPANS_MAX as u64).for_each(|ring| history.reach(place(ring, 1)));
        assert!(!history.contains(key(4, 2)), "it is bounded");
    }
}
