//! What members say in the order of how the others keep the contract, and what follows from it: the
//! same at all of them, at the same place.

use std::collections::{BTreeMap, BTreeSet};

use super::terms::{Bound, Breach};
use crate::id::NodeId;
use crate::planted::planted;
use crate::wire::{Reader, WireError, Writer};

/// One of them, as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The number of the ring that it is about: in another one it says nothing.
    pub(crate) ring_sequence: u64,
    pub(crate) of: NodeId,
    pub(crate) says: Says,
    pub(crate) breach: Breach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// It breaks this bound.
    Breaks = 0,
    /// It does not any more.
    Keeps = 1,
    /// It is to go.
    Demote = 2,
}

impl Statement {
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.u64(self.ring_sequence);
        w.u32(self.of.0);
        w.u8(self.says as u8);
        w.u8(self.breach.bound as u8);
        w.u64(self.breach.measured);
        w.u64(self.breach.allowed);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (ring_sequence, of) = (r.u64()?, r.node()?);
        let says = match r.u8()? {
            0 => Says::Breaks,
            1 => Says::Keeps,
            2 => Says::Demote,
            _ => return Err(WireError::Invalid("what is said of a contract")),
        };
        let bound = Bound::of(r.u8()?).ok_or(WireError::Invalid("bound of a contract"))?;
        let breach = Breach { bound, measured: r.u64()?, allowed: r.u64()? };
        Ok(Self { ring_sequence, of, says, breach })
    }
}

/// What stands in the present ring.
#[derive(Clone, Default, Hash)]
pub(super) struct Statements {
    /// In token order.
    pub(super) members: Vec<NodeId>,
    /// By whom, of whom, and what.
    standing: BTreeMap<(NodeId, NodeId, Bound), Breach>,
    /// By whom, and of whom it is known that it keeps the bound.
    kept: BTreeSet<(NodeId, NodeId, Bound)>,
}

impl Statements {
    pub(super) fn new(members: Vec<NodeId>) -> Self {
        Self { members, ..Self::default() }
    }

    pub(super) fn heard(&mut self, by: NodeId, statement: &Statement) {
        let Statement { of, says, breach, .. } = *statement;
        if !self.members.contains(&by) || !self.members.contains(&of) {
            return;
        }
        let what = (by, of, breach.bound);
        match says {
            Says::Breaks => {
                self.kept.remove(&what);
                self.standing.insert(what, breach);
            }
            Says::Keeps => {
                self.kept.insert(what);
                self.standing.remove(&what);
            }
            Says::Demote => {}
        }
    }

    /// Members that break the contract by what all know, each with its worst breach.
    pub(super) fn found(&self) -> Vec<(NodeId, Breach)> {
        self.worst(|_, _| true)
    }

    /// The worst breach of each member, of those bounds that count for it.
    fn worst(&self, counts: impl Fn(NodeId, Bound) -> bool) -> Vec<(NodeId, Breach)> {
        let worst = |of: &NodeId| {
            let counting = Bound::ALL.iter().filter(|bound| counts(*of, **bound));
            let breaches = counting.filter_map(|bound| self.breach(*of, *bound));
            Some((*of, breaches.max_by_key(Breach::severity)?))
        };
        self.members.iter().filter_map(worst).collect()
    }

    /// A bound that this member breaks by its own word, or that of most of the others; by that of
    /// its predecessor if only that one can tell.
    fn breach(&self, of: NodeId, bound: Bound) -> Option<Breach> {
        let by: Vec<(NodeId, Breach)> = (self.standing.iter())
            .filter(|((_, accused, broken), _)| (*accused, *broken) == (of, bound))
            .map(|((by, ..), breach)| (*by, *breach))
            .collect();
        let says = |node: NodeId| by.iter().any(|(by, _)| *by == node);
        let enough = match bound {
            _ if says(of) || planted!("one_accuser_is_enough") && !by.is_empty() => true,
            Bound::Hold => self.predecessor(of).is_some_and(says),
            _ => 2 * by.len() > self.members.len() - 1,
        };
        let breaches = by.into_iter().filter(|_| enough).map(|(_, breach)| breach);
        breaches.min_by_key(Breach::severity)
    }

    /// Most of the others are known to keep the hold, so that it can be kept: each is measured by
    /// its predecessor alone, one earlier than the other, and where nobody can keep it one would
    /// be put out after the other, each in a ring of its own (seed 540250). What this member says
    /// does not count, nor what it was passed.
    fn others_keep_the_hold(&self, of: NodeId) -> bool {
        let others = self.members.iter().filter(|member| **member != of);
        let hops = others.filter_map(|other| Some((self.predecessor(*other)?, *other)));
        let (mut all, mut kept) = (0, 0);
        for (before, other) in hops.filter(|(before, _)| *before != of) {
            all += 1;
            kept += usize::from(self.kept.contains(&(before, other, Bound::Hold)));
        }
        2 * kept > all || planted!("hold_needs_no_evidence")
    }

    /// Who says that it breaks this bound.
    pub(super) fn stated_by(&self, of: NodeId, bound: Bound) -> Vec<NodeId> {
        let of_it = self.standing.keys().filter(|(_, o, b)| (*o, *b) == (of, bound));
        of_it.map(|(by, ..)| *by).collect()
    }

    fn predecessor(&self, of: NodeId) -> Option<NodeId> {
        let at = self.members.iter().position(|m| *m == of)?;
        let before = at.checked_sub(1).unwrap_or(self.members.len() - 1);
        Some(self.members[before])
    }

    /// So many break it that it is not the members' fault.
    pub(super) fn is_void(&self) -> bool {
        let found = self.found().len();
        2 * found > self.members.len() && !planted!("contract_over_most")
    }

    /// Who is to go: the worst of those that were found, unless the contract is void, or the ring
    /// is of two, who cannot tell which of them is slow.
    pub(super) fn to_go(&self) -> Option<(NodeId, Breach)> {
        if self.members.len() <= 2 || self.is_void() {
            return None;
        }
        let counts = |of, bound| bound != Bound::Hold || self.others_keep_the_hold(of);
        let found = self.worst(counts).into_iter();
        found.max_by_key(|(node, breach)| (breach.severity(), *node))
    }

    /// The member after this one, if its word is needed on how that one holds the token: somebody
    /// is found to hold it for too long.
    pub(super) fn asked_for_hold(&self, me: NodeId) -> Option<NodeId> {
        let is_asked = self.members.iter().any(|of| self.breach(*of, Bound::Hold).is_some());
        let next = self.members.iter().find(|m| self.predecessor(**m) == Some(me));
        let said = |next: &&NodeId| self.kept.contains(&(me, **next, Bound::Hold));
        next.filter(|next| is_asked && !said(next)).copied()
    }

    /// The place of a member among those that are not found themselves.
    pub(super) fn rank(&self, node: NodeId) -> Option<usize> {
        let found = self.found();
        let is_found = |n: &NodeId| found.iter().any(|(of, _)| of == n);
        self.members.iter().filter(|n| !is_found(n)).position(|n| *n == node)
    }

    /// Most of the others say so of this member.
    pub(super) fn is_agreed(&self, of: NodeId, bound: Bound) -> bool {
        self.breach(of, bound).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach(bound: Bound, measured: u64) -> Breach {
        Breach { bound, measured, allowed: 100 }
    }

    fn after(members: u32, said: &[(u32, u32, Bound, u64)]) -> Statements {
        let mut all = Statements::new((1..=members).map(NodeId).collect());
        for (by, of, bound, measured) in said {
            let breach = breach(*bound, *measured);
            let says = if *measured > 0 { Says::Breaks } else { Says::Keeps };
            let statement = Statement { ring_sequence: 1, of: NodeId(*of), says, breach };
            all.heard(NodeId(*by), &statement);
        }
        all
    }

    fn to_go(members: u32, said: &[(u32, u32, Bound, u64)]) -> Option<u32> {
        after(members, said).to_go().map(|(node, _)| node.0)
    }

    use Bound::{Hold, Loss, RoundTrip};

    #[test]
    fn more_than_half_of_the_others_must_say_so() {
        let two = [(1, 3, RoundTrip, 900), (2, 3, RoundTrip, 700)];
        assert_eq!(to_go(4, &two[..1]), None);
        assert_eq!(to_go(4, &two), Some(3));
        assert_eq!(to_go(5, &two), None, "half is not more than half");
        assert_eq!(after(4, &two).to_go().expect("3").1.measured, 700, "none says less");
        let taken_back = [two[0], two[1], (1, 3, RoundTrip, 0)];
        assert_eq!(to_go(4, &taken_back), None);
        let of_two_kinds = [(1, 3, RoundTrip, 900), (2, 3, Loss, 700)];
        assert_eq!(to_go(4, &of_two_kinds), None);
        assert_eq!(to_go(4, &[(9, 3, RoundTrip, 9), (8, 3, RoundTrip, 9)]), None, "strangers");
        assert!(after(4, &[(1, 9, RoundTrip, 9)]).standing.is_empty(), "of a stranger");
    }

    #[test]
    fn ones_own_word_is_enough_and_a_predecessors_for_the_hold() {
        let found = |said| after(5, &[said]).found().first().map(|(node, _)| node.0);
        assert_eq!(found((3, 3, Loss, 900)), Some(3));
        assert_eq!(found((2, 3, Hold, 900)), Some(3));
        assert_eq!(found((5, 1, Hold, 900)), Some(1));
        assert_eq!(found((1, 3, Hold, 900)), None);
    }

    /// The members of a ring are found to hold the token too long one after the other.
    #[test]
    fn for_the_hold_one_goes_only_if_most_others_are_known_to_keep_it() {
        let slow = (2, 3, Hold, 900);
        let keeps = |by, of| (by, of, Hold, 0);
        // Of 5 there are three hops that neither begin nor end at 3.
        let goes = |kept: &[_]| to_go(5, &[&[slow], kept].concat());
        assert_eq!(goes(&[]), None);
        assert_eq!(goes(&[keeps(1, 2)]), None);
        assert_eq!(goes(&[keeps(1, 2), keeps(5, 1)]), Some(3));
        assert_eq!(goes(&[keeps(1, 2), keeps(3, 4)]), None, "the word of 3");
        assert_eq!(goes(&[keeps(1, 2), keeps(2, 3)]), None, "its own hop: taken back");
        assert_eq!(goes(&[keeps(1, 2), keeps(2, 5)]), None, "it does not pass it to 5");
        assert_eq!(goes(&[keeps(1, 2), (1, 5, Loss, 0)]), None, "another bound");
        assert_eq!(goes(&[keeps(1, 2), keeps(5, 1), (5, 1, Hold, 300)]), None, "no more");
        assert_eq!(to_go(3, &[slow, keeps(1, 2)]), Some(3));
        // What it breaks besides counts as ever.
        assert_eq!(goes(&[(3, 3, Loss, 200)]), Some(3));
        let (_, breach) = after(5, &[slow, (3, 3, Loss, 200)]).to_go().expect("3");
        assert_eq!(breach.bound, Loss);
    }

    #[test]
    fn who_has_not_said_that_the_next_one_keeps_the_hold_is_asked_when_one_does_not() {
        let asked = |me, said: &[_]| after(4, said).asked_for_hold(NodeId(me)).map(|next| next.0);
        assert_eq!(asked(4, &[]), None);
        assert_eq!(asked(4, &[(3, 3, Loss, 900)]), None);
        assert_eq!(asked(4, &[(2, 3, Hold, 900)]), Some(1));
        assert_eq!(asked(4, &[(2, 3, Hold, 900), (4, 1, Hold, 0)]), None);
    }

    #[test]
    fn the_worst_goes_unless_most_break_it_or_two_are_left() {
        let both = [(3, 3, RoundTrip, 300), (4, 4, Loss, 500)];
        assert_eq!(to_go(5, &both), Some(4));
        assert_eq!(to_go(5, &[both[0], (4, 4, Loss, 300)]), Some(4), "the higher one of equals");
        assert_eq!(to_go(4, &both), Some(4));
        assert_eq!(to_go(3, &[(2, 2, RoundTrip, 300), (3, 3, Loss, 500)]), None, "most");
        assert!(after(3, &[(2, 2, RoundTrip, 300), (3, 3, Loss, 500)]).is_void());
        assert_eq!(to_go(2, &[(2, 2, Loss, 500)]), None);
        assert_eq!(to_go(1, &[(1, 1, Loss, 500)]), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let (ring_sequence, of) = (1 << 40, NodeId(7));
        for says in [Says::Breaks, Says::Keeps, Says::Demote] {
            let statement = Statement { ring_sequence, of, says, breach: breach(Hold, 3) };
            let mut w = Writer::default();
            statement.encode(&mut w);
            let bytes = w.bytes.freeze();
            assert_eq!(Statement::decode(&mut Reader::new(&bytes)), Ok(statement));
        }
        let mut w = Writer::default();
        [0_u8; 12].iter().chain(&[3, 0]).chain(&[0; 16]).for_each(|byte| w.u8(*byte));
        assert!(Statement::decode(&mut Reader::new(&w.bytes.freeze())).is_err());
    }
}
