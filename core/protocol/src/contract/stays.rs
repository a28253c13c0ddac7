//! Why a member that is found to break the contract is not put out: for people.

use core::fmt;
use core::time::Duration;

use super::statements::Statements;
use crate::id::NodeId;

/// What keeps a member in that breaks the contract, as this member sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// Of two members none goes: they cannot tell which of them is slow.
    OneOfTwo,
    /// More than half of the members break the contract.
    MostBreakIt {
        /// So many do.
        broken: usize,
        /// Of so many.
        members: usize,
    },
    /// It breaks the token hold alone, and so does the member after it, which would go first: it
    /// may be what makes this one seem slow.
    AfterNext(NodeId),
    /// It breaks the token hold alone, which most others are not known to keep.
    HoldUnproved {
        /// Others that are known to keep it.
        known: usize,
        /// Others of which it is not known.
        unknown: usize,
    },
    /// More than half break the contract, may be about to, or are out for it.
    MostMayBreakIt {
        /// So many do.
        doubtful: usize,
        /// Of so many, those that are out among them.
        all: usize,
    },
    /// This member has nobody put out for so long: it was alone, or most broke the contract.
    MeasuresAnew(Duration),
    /// Another one breaks the contract worse and goes first.
    AfterWorse(NodeId),
    /// No member has asked for it yet: the others are given time to say what they have found, and
    /// those that could ask may see what this one does not.
    Unasked,
}

impl Stays {
    /// A bit for each reason.
    pub(super) fn bit(self) -> u8 {
        match self {
            Self::OneOfTwo => 1,
            Self::MostBreakIt { .. } => 1 << 1,
            Self::AfterNext(_) => 1 << 2,
            Self::HoldUnproved { .. } => 1 << 3,
            Self::MostMayBreakIt { .. } => 1 << 4,
            Self::MeasuresAnew(_) => 1 << 5,
            Self::AfterWorse(_) => 1 << 6,
            Self::Unasked => 1 << 7,
        }
    }
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOfTwo => f.write_str("of two members none is demoted"),
            Self::MostBreakIt { broken, members } => {
                write!(f, "{broken} of {members} members break the contract")
            }
            Self::AfterNext(node) => {
                write!(f, "node {node} after it holds the token too long too, and would go first")
            }
            Self::HoldUnproved { known: 0, unknown: 0 } => {
                f.write_str("no other that counts is known to keep the token hold")
            }
            Self::HoldUnproved { known, unknown } => {
                let all = known + unknown;
                write!(f, "{known} of {all} others are known to keep the token hold, not most")
            }
            Self::MostMayBreakIt { doubtful, all } => {
                write!(
                    f,
                    "{doubtful} of {all} nodes break the contract, are close to it, or out for it"
                )
            }
            Self::MeasuresAnew(left) => {
                write!(f, "all are measured anew for {} ms", left.as_millis())
            }
            Self::AfterWorse(node) => write!(f, "node {node} breaks it worse and goes first"),
            Self::Unasked => f.write_str("no node has asked for its demotion yet"),
        }
    }
}

impl Statements {
    /// Why this one, which was found, may not go; `None` if it may.
    pub(super) fn stays(&self, of: NodeId) -> Option<Stays> {
        let (members, broken) = (self.members.len(), self.found().len());
        if members <= 2 {
            return Some(Stays::OneOfTwo);
        }
        if self.is_void() {
            return Some(Stays::MostBreakIt { broken, members });
        }
        if self.may_go().iter().any(|(node, _)| *node == of) {
            return None;
        }
        let (known, unknown) = self.known_to_keep_the_hold(of);
        let unproved = Stays::HoldUnproved { known, unknown };
        Some(self.slow_next(of).map_or(unproved, Stays::AfterNext))
    }
}
