//! Which part of the source's order a gateway has seen, as a member of its group.

use std::collections::VecDeque;

use crate::key::{Key, Segment};

/// Segments that are remembered. Who needs an older one is told that something may be missing.
const SEGMENTS_MAX: usize = 256;

/// What was seen, without a hole.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    spans: VecDeque<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    segment: Segment,
    /// The first position, and the last one.
    seen: Option<(u64, u64)>,
}

impl History {
    /// A segment begins; or is gone on with by who comes in the middle of it.
    pub(crate) fn begin(&mut self, segment: Segment) {
        if self.spans.len() == SEGMENTS_MAX {
            self.spans.pop_front();
        }
        self.spans.push_back(Span { segment, seen: None });
    }

    /// The next message.
    pub(crate) fn reach(&mut self, position: u64) -> Option<Key> {
        let Span { segment, seen } = self.spans.back_mut()?;
        let first = seen.map_or(position, |(first, _)| first);
        *seen = Some((first, position));
        Some(Key { segment: *segment, position })
    }

    /// The gateway is not a member any more.
    pub(crate) fn end(&mut self) {
        self.spans.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// This one was seen, and everything after it.
    pub(crate) fn contains(&self, key: Key) -> bool {
        let found = self.spans.iter().rev().find(|span| span.segment == key.segment);
        let seen = found.and_then(|span| span.seen);
        seen.is_some_and(|(first, last)| (first..=last).contains(&key.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::{key, segment};

    #[test]
    fn it_has_what_was_seen() {
        let mut history = History::default();
        assert_eq!(history.reach(1), None);
        history.begin(segment(1, 2, 0));
        (1..=3).for_each(|position| assert!(history.reach(position).is_some()));
        history.begin(segment(2, 0, 0));
        history.reach(4);
        assert!(history.contains(key(1, 3)) && !history.contains(key(1, 4)));
        let rest = |position| Key { segment: segment(2, 0, 0), position };
        assert!(!history.contains(rest(3)) && history.contains(rest(4)));
        (3..=2 + SEGMENTS_MAX as u64).for_each(|n| history.begin(segment(n, 2, 0)));
        assert!(!history.contains(key(1, 3)), "it is bounded");
    }
}
