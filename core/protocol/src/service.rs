//! What a sender may ask for: how a message is ordered, and who is to get it.

use crate::id::{GroupId, MemberId, ViewId};
use crate::limits;

/// The service level of a message, from weak to strong; numbered as in the C header.
///
/// All but [`Unreliable`](Self::Unreliable) travel in the one ordered stream, so the levels from
/// `Reliable` to `Agreed` give the same, the strongest of them: a message never overtakes another
/// of the same [`Priority`].
/// The level is carried with the message and given back with its delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[repr(u8)]
pub enum Service {
    /// One packet of its own, sent at once: no order, no repair of loss, at most once, in the ring
    /// in which it was sent (axioms B2, B3, G5 only).
    Unreliable = 0,
    /// Every member that stays gets it.
    Reliable = 1,
    /// In the sender's order.
    Fifo = 2,
    /// After what its sender had seen.
    Causal = 3,
    /// In the one order of the configuration.
    #[default]
    Agreed = 4,
    /// In that order, and held by every member of the configuration before delivery.
    Safe = 5,
}

impl Service {
    /// All of them, from weak to strong.
    pub const ALL: [Self; 6] =
        [Self::Unreliable, Self::Reliable, Self::Fifo, Self::Causal, Self::Agreed, Self::Safe];

    /// The one with this number in the C header.
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// Its number in the C header.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// It has a place in the order.
    pub fn is_ordered(self) -> bool {
        self != Self::Unreliable
    }

    /// It waits until every member holds it.
    pub fn is_safe(self) -> bool {
        self == Self::Safe
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreliable => "unreliable",
            Self::Reliable => "reliable",
            Self::Fifo => "fifo",
            Self::Causal => "causal",
            Self::Agreed => "agreed",
            Self::Safe => "safe",
        }
    }
}

/// Which of a session's messages that wait to be ordered goes first. Within one priority they go in
/// the order in which they were sent; what is no message (joining, leaving) nothing overtakes, and
/// it overtakes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Priority {
    /// Ahead of the session's other messages.
    High,
    /// As they come.
    #[default]
    Normal,
    /// Behind them.
    Bulk,
}

/// To whom a message goes. With a view (same-view, axiom G7) it is delivered where the group is in
/// that view, or nowhere: all members decide alike, at its place in the order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Audience {
    /// The members of one group.
    Group(GroupId, Option<ViewId>),
    /// The members of several groups, each of them once, at one place in the order. Two or more, at
    /// most [`limits::GROUPS_PER_MESSAGE_MAX`], no group
    /// twice.
    Groups(Vec<(GroupId, Option<ViewId>)>),
    /// One session, which must be a member of some group when the message is reached; all others
    /// order it only.
    Member(MemberId),
}

impl Audience {
    /// Its groups, each with the view that it must be in.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, Option<ViewId>)> + '_ {
        let (one, several) = match self {
            Self::Group(group, view) => (Some((*group, *view)), &[][..]),
            Self::Groups(groups) => (None, &groups[..]),
            Self::Member(_) => (None, &[][..]),
        };
        one.into_iter().chain(several.iter().copied())
    }

    /// Longest message without order to it, in bytes: the list of several groups takes room.
    pub fn unordered_len_max(&self) -> usize {
        match self {
            Self::Group(..) | Self::Member(_) => limits::UNORDERED_LEN_MAX,
            Self::Groups(groups) => {
                limits::UNORDERED_LEN_MAX.saturating_sub(groups.len() * limits::UNORDERED_GROUP_LEN)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_header() {
        for (number, service) in (0..).zip(Service::ALL) {
            assert_eq!((Service::of(number), service.number()), (Some(service), number));
            assert_eq!(service.is_ordered(), number > 0);
            assert_eq!(service.is_safe(), number == 5);
        }
        assert_eq!(Service::of(6), None);
        assert_eq!(Service::of(u32::MAX), None);
    }
}
