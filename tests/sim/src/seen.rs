//! What a session is to see, by what its node's core gave out for it: nothing else, nothing less,
//! in this order.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{GroupId, MemberId, ViewId};

/// One thing that a session is to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// A view, or the transitional signal.
    View { group: GroupId, id: ViewId, transitional: bool },
    /// A message.
    Message { group: GroupId, sender: MemberId, sequence: u64, hash: u64 },
    /// The end of a membership.
    Left { group: GroupId },
}

/// What a session will still see.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    groups: BTreeSet<GroupId>,
    waiting: VecDeque<Sight>,
    /// Of the own messages that are not ordered yet: whether the sender is not to see them.
    own: VecDeque<bool>,
    /// Own messages that have been ordered.
    pub(crate) ordered: u64,
}

impl Ledger {
    /// The session asks to send.
    pub(crate) fn sent(&mut self, no_self: bool) {
        self.own.push_back(no_self);
    }

    /// The core did something.
    pub(crate) fn trace(&mut self, me: MemberId, trace: &Trace) {
        match trace {
            Trace::GroupView { group, id, transitional, local, local_left, .. } => {
                if local_left.contains(&me.session) && self.groups.remove(group) {
                    self.waiting.push_back(Sight::Left { group: *group });
                }
                if local.contains(&me.session) {
                    self.groups.insert(*group);
                    let (group, id, transitional) = (*group, *id, *transitional);
                    self.waiting.push_back(Sight::View { group, id, transitional });
                }
            }
            Trace::GroupMessage { group, sender, sequence, hash } => {
                let hidden = *sender == me && self.own.pop_front().unwrap_or(false);
                self.ordered += u64::from(*sender == me);
                if self.groups.contains(group) && !hidden {
                    let (group, sender) = (*group, *sender);
                    let (sequence, hash) = (*sequence, *hash);
                    self.waiting.push_back(Sight::Message { group, sender, sequence, hash });
                }
            }
            _ => {}
        }
    }

    /// The session sees something. The error says what it should have been.
    pub(crate) fn check(&mut self, seen: &Sight) -> Result<(), String> {
        match self.waiting.pop_front() {
            Some(due) if due == *seen => Ok(()),
            Some(due) => Err(format!("{seen} where {due} should be")),
            None => Err(format!("{seen}, which nobody gave it")),
        }
    }

    /// What is still to come.
    pub(crate) fn next(&self) -> Option<&Sight> {
        self.waiting.front()
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View { group, id, transitional } => {
                let what = if *transitional { "the transitional signal" } else { "the view" };
                write!(f, "{what} {}:{}.{} of group {:x}", id.ring, id.ordinal, id.sub, group.0)
            }
            Self::Message { group, sender, sequence, .. } => {
                write!(f, "message {sequence} of group {:x} from {sender}", group.0)
            }
            Self::Left { group } => write!(f, "the end of its membership in group {:x}", group.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use anasazi_protocol::{NodeId, SessionId};

    use super::*;

    fn message(sender: MemberId, sequence: u64) -> Trace {
        Trace::GroupMessage { group: GroupId(1), sender, sequence, hash: 7 }
    }

    #[test]
    fn a_swallowed_and_an_invented_message_are_noticed() {
        let me = MemberId { node: NodeId(1), session: SessionId(5) };
        let other = MemberId { node: NodeId(2), session: SessionId(9) };
        let mut ledger = Ledger::default();
        ledger.trace(me, &message(other, 1)); // before it is a member
        let (group, id) = (GroupId(1), ViewId::default());
        let (members, local) = (vec![me], vec![me.session]);
        ledger.trace(
            me,
            &Trace::GroupView {
                group,
                id,
                transitional: false,
                members,
                together: Vec::new(),
                local,
                local_left: Vec::new(),
            },
        );
        ledger.sent(true);
        for (sender, sequence) in [(other, 1), (me, 2), (other, 3), (other, 4)] {
            ledger.trace(me, &message(sender, sequence));
        }
        let seen = |sequence| Sight::Message { group, sender: other, sequence, hash: 7 };
        assert!(ledger.check(&Sight::View { group, id, transitional: false }).is_ok());
        assert!(ledger.check(&seen(1)).is_ok());
        assert!(ledger.check(&seen(4)).is_err(), "3 is missing");
        assert!(ledger.check(&seen(4)).is_ok());
        assert!(ledger.check(&seen(5)).is_err(), "nobody sent it");
        assert_eq!(ledger.ordered, 1);
    }
}
