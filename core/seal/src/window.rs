//! Which counters of a sender have been seen (RFC 4303, section 3.4.3, with a wider window).

use crate::limits::WINDOW_LEN;

const WORDS: usize = (WINDOW_LEN / 64) as usize;

/// The newest counter, and which of those shortly before were seen: a bit each, at the counter's
/// place modulo the length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// One above the newest.
    next: u64,
    seen: Option<Box<[u64; WORDS]>>,
}

/// What a counter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    New,
    Seen,
    /// So old that it is not known.
    Late,
}

impl Window {
    /// What it is; nothing changes.
    pub(crate) fn look(&self, counter: u64) -> Counter {
        if counter >= self.next {
            return Counter::New;
        }
        if self.next - counter > WINDOW_LEN {
            return Counter::Late;
        }
        let seen = self.seen.as_ref().is_some_and(|seen| seen[word(counter)] & bit(counter) != 0);
        if seen { Counter::Seen } else { Counter::New }
    }

    /// One above the newest.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// It has been seen from now on. Only after it was authenticated.
    pub(crate) fn mark(&mut self, counter: u64) {
        let seen = self.seen.get_or_insert_with(|| Box::new([0; WORDS]));
        if counter >= self.next {
            let newer = (counter - self.next).min(WINDOW_LEN);
            // What leaves the window makes room for what comes in between, unseen.
            for between in counter - newer..counter {
                seen[word(between)] &= !bit(between);
            }
            self.next = counter + 1;
        } else if self.next - counter > WINDOW_LEN {
            return;
        }
        seen[word(counter)] |= bit(counter);
    }

    /// Nothing up to this counter is new any more.
    pub(crate) fn begin_after(&mut self, counter: u64) {
        self.next = self.next.max(counter.saturating_add(1));
        self.seen = Some(Box::new([u64::MAX; WORDS]));
    }
}

fn word(counter: u64) -> usize {
    (counter % WINDOW_LEN / 64) as usize
}

fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Beside a set of all that was seen.
        #[test]
        fn nothing_is_new_twice_and_what_is_near_is_known(
            steps in prop::collection::vec((0u64..3, 0u64..6_000), 1..400)
        ) {
            let mut window = Window::default();
            let mut all = BTreeSet::new();
            let mut newest = 0u64;
            for (kind, by) in steps {
                let counter = match kind {
                    0 => newest + by % 4,
                    1 => newest.saturating_sub(by),
                    _ => newest + by,
                };
                let expected = if all.contains(&counter) && newest - counter < WINDOW_LEN {
                    Counter::Seen
                } else if !all.is_empty() && counter < newest && newest - counter >= WINDOW_LEN {
                    Counter::Late
                } else {
                    Counter::New
                };
                prop_assert_eq!(window.look(counter), expected);
                if expected == Counter::New {
                    window.mark(counter);
                    all.insert(counter);
                    newest = newest.max(counter);
                }
            }
        }
    }

    #[test]
    fn what_is_not_after_the_beginning_is_not_new() {
        let mut window = Window::default();
        window.mark(3);
        window.begin_after(10);
        assert_eq!((0..=10).filter(|at| window.look(*at) == Counter::New).count(), 0);
        window.mark(14);
        assert_eq!(window.look(11), Counter::New);
        assert_eq!(window.look(10), Counter::Seen);
    }

    #[test]
    fn the_end_of_the_numbers_is_no_end() {
        let mut window = Window::default();
        window.mark(i64::MAX as u64);
        assert_eq!(window.look(i64::MAX as u64), Counter::Seen);
        assert_eq!(window.look(0), Counter::Late);
    }
}
