//! What every node of the target domain makes of the forwards of one bridge to one group: which
//! are new to its members, which have come before, and where something is missing. Gateways cannot
//! know what the members of another part of a divided domain have got; their own nodes do.

use anasazi_protocol::planted::planted;

use crate::header::Header;
use crate::key::Key;

/// One node's members of one group, and one bridge to it.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    mark: Option<Key>,
}

/// What becomes of a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new.
    New {
        /// Before it something is missing, or may be.
        gap: bool,
    },
    /// It, or what comes after it in the source, was here before.
    Repeated,
}

impl Receiver {
    /// The last one of the source's order that was here.
    pub fn mark(&self) -> Option<Key> {
        self.mark
    }

    /// The next forward, in the order of the target.
    pub fn take(&mut self, header: &Header) -> Verdict {
        let before = self.mark;
        if before.is_some_and(|mark| header.key <= mark) && !planted!("bridge_repeats") {
            return Verdict::Repeated;
        }
        self.mark = Some(header.key);
        Verdict::New { gap: !follows(before, header.after) && !planted!("bridge_gap_hidden") }
    }
}

/// Nothing is missing between what was here last and a forward that comes right after `after`.
fn follows(mark: Option<Key>, after: Option<Key>) -> bool {
    // What was forwarded before the first one here nobody here was to get.
    after.is_some_and(|after| mark.is_none_or(|mark| mark == after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::key;

    fn take(receiver: &mut Receiver, at: Key, after: Option<Key>) -> Verdict {
        receiver.take(&Header { bridge: 1, key: at, after, visited: Vec::new() })
    }

    const NEW: Verdict = Verdict::New { gap: false };
    const GAP: Verdict = Verdict::New { gap: true };

    #[test]
    fn each_is_new_once_and_in_order() {
        let mut receiver = Receiver::default();
        assert_eq!(take(&mut receiver, key(1, 5), Some(key(1, 4))), NEW);
        assert_eq!(take(&mut receiver, key(1, 5), Some(key(1, 4))), Verdict::Repeated);
        assert_eq!(take(&mut receiver, key(1, 4), None), Verdict::Repeated);
        assert_eq!(take(&mut receiver, key(1, 6), Some(key(1, 5))), NEW);
        assert_eq!(take(&mut receiver, key(2, 1), Some(key(1, 6))), NEW);
        assert_eq!(receiver.mark(), Some(key(2, 1)));
    }

    #[test]
    fn what_is_missing_shows() {
        let mut receiver = Receiver::default();
        assert_eq!(take(&mut receiver, key(1, 1), None), GAP);
        assert_eq!(take(&mut receiver, key(1, 9), Some(key(1, 8))), GAP);
        assert_eq!(take(&mut receiver, key(1, 12), None), GAP);
        // Along another way of a divided source.
        assert_eq!(take(&mut receiver, key(3, 1), Some(key(2, 4))), GAP);
        assert_eq!(take(&mut receiver, key(3, 2), Some(key(3, 1))), NEW);
    }
}
