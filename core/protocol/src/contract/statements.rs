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
    /// It does not any more; of the hold: it is known to keep it, whether it broke it or not.
    Keeps = 1,
    /// It is to go.
    Demote = 2,
    /// It does not break the hold, and is not known to keep it either.
    Doubts = 3,
}

impl Statement {
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.u64(self.ring_sequence);
        w.u32(self.of.0);
        w.u8(self.says as u8);
        self.breach.encode(w);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (ring_sequence, of) = (r.u64()?, r.node()?);
        let says = match r.u8()? {
            0 => Says::Breaks,
            1 => Says::Keeps,
            2 => Says::Demote,
            3 => Says::Doubts,
            _ => return Err(WireError::Invalid("what is said of a contract")),
        };
        Ok(Self { ring_sequence, of, says, breach: Breach::decode(r)? })
    }
}

/// What stands in the present ring.
#[derive(Clone, Default, Hash)]
pub(super) struct Statements {
    /// In token order.
    pub(super) members: Vec<NodeId>,
    /// By whom, of whom, and what.
    standing: BTreeMap<(NodeId, NodeId, Bound), Breach>,
    /// By whom, and of whom it is known that it keeps the hold.
    holds_well: BTreeSet<(NodeId, NodeId)>,
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
            Says::Breaks => drop(self.standing.insert(what, breach)),
            Says::Keeps | Says::Doubts => drop(self.standing.remove(&what)),
            Says::Demote => {}
        }
        match says {
            _ if breach.bound != Bound::Hold => {}
            Says::Breaks | Says::Doubts => drop(self.holds_well.remove(&(by, of))),
            Says::Keeps => drop(self.holds_well.insert((by, of))),
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

    /// Most others are known to keep the hold, so that it can be kept: each is measured by its
    /// predecessor alone, one earlier than the other, and where nobody can keep it one would be
    /// put out after the other, each in a ring of its own (seed 540250).
    fn others_keep_the_hold(&self, of: NodeId) -> bool {
        let (known, unknown) = self.known_to_keep_the_hold(of);
        known > unknown || planted!("hold_needs_no_evidence")
    }

    /// Of how many others it is known that they keep the hold, and of how many it is not. Hops from
    /// the accused and to it do not count, nor does it that a hop is not known to be good of which
    /// only the accused can see the end. Others that are found count elsewhere.
    pub(super) fn known_to_keep_the_hold(&self, of: NodeId) -> (usize, usize) {
        let (mut known, mut unknown) = (0, 0);
        for other in self.members.iter().filter(|other| **other != of) {
            let Some(before) = self.predecessor(*other).filter(|before| *before != of) else {
                continue;
            };
            let is_found = self.breach(*other, Bound::Hold).is_some();
            let is_seen_by_accused = self.predecessor(of) == Some(*other);
            match self.holds_well.contains(&(before, *other)) {
                true => known += 1,
                false if is_found || is_seen_by_accused => {}
                false => unknown += 1,
            }
        }
        (known, unknown)
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
        let found = self.may_go().into_iter();
        found.max_by_key(|(node, breach)| (breach.severity(), *node))
    }

    /// Those that were found and may go for it, each with its worst breach of those that count.
    pub(super) fn may_go(&self) -> Vec<(NodeId, Breach)> {
        // The one after it may be what makes it seem slow, and goes first.
        let goes_for_hold = |of| self.slow_next(of).is_none() && self.others_keep_the_hold(of);
        self.worst(|of, bound| bound != Bound::Hold || goes_for_hold(of))
    }

    /// The one after it, if that is found to hold the token for too long.
    pub(super) fn slow_next(&self, of: NodeId) -> Option<NodeId> {
        let mut others = self.members.iter().copied();
        let next = others.find(|other| self.predecessor(*other) == Some(of))?;
        self.breach(next, Bound::Hold).map(|_| next)
    }

    /// Somebody is found to hold the token for too long: it is to be known who does not.
    pub(super) fn asks_for_holds(&self) -> bool {
        self.members.iter().any(|of| self.breach(*of, Bound::Hold).is_some())
    }

    /// This member's word stands that the other one keeps the hold.
    pub(super) fn says_holds_well(&self, by: NodeId, of: NodeId) -> bool {
        self.holds_well.contains(&(by, of))
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
        // Of 5 there are three hops that neither begin nor end at 3; 3 sees the end of that to 2.
        let goes = |kept: &[_]| to_go(5, &[&[slow], kept].concat());
        assert_eq!(goes(&[]), None);
        assert_eq!(goes(&[keeps(1, 2)]), None);
        assert_eq!(goes(&[keeps(1, 2), keeps(5, 1)]), Some(3));
        assert_eq!(goes(&[keeps(4, 5), keeps(5, 1)]), Some(3));
        assert_eq!(goes(&[keeps(5, 1)]), None, "what 3 does not see counts");
        assert_eq!(goes(&[keeps(1, 2), keeps(3, 4)]), None, "the word of 3");
        assert_eq!(goes(&[keeps(1, 2), keeps(2, 3)]), None, "its own hop: taken back");
        assert_eq!(goes(&[keeps(1, 2), keeps(2, 5)]), None, "it does not pass it to 5");
        assert_eq!(goes(&[keeps(1, 2), (5, 1, Loss, 0)]), None, "another bound");
        let first_is_found = [keeps(1, 2), keeps(5, 1), (5, 1, Hold, 300)];
        assert_eq!(goes(&first_is_found), None, "of 5 nothing is known");
        assert_eq!(goes(&[&first_is_found[..], &[keeps(4, 5)]].concat()), Some(3));
        assert_eq!(to_go(3, &[slow]), None);
        assert_eq!(to_go(3, &[slow, keeps(1, 2)]), Some(3));
        // What it breaks besides counts as ever.
        assert_eq!(goes(&[(3, 3, Loss, 200)]), Some(3));
        let (_, breach) = after(5, &[slow, (3, 3, Loss, 200)]).to_go().expect("3");
        assert_eq!(breach.bound, Loss);
    }

    #[test]
    fn what_is_doubted_is_known_no_more() {
        let mut all = after(3, &[(2, 3, Hold, 900), (1, 2, Hold, 0)]);
        assert!(all.says_holds_well(NodeId(1), NodeId(2)) && all.to_go().is_some());
        let (of, says, breach) = (NodeId(2), Says::Doubts, breach(Hold, 0));
        all.heard(NodeId(1), &Statement { ring_sequence: 1, of, says, breach });
        assert!(!all.says_holds_well(NodeId(1), NodeId(2)) && all.to_go().is_none());
        assert_eq!(all.found().len(), 1, "it breaks nothing");
    }

    /// Each of these reads late, and seems to make the one before it late.
    #[test]
    fn who_only_seems_slow_through_another_one_does_not_go_for_it() {
        let known = [(1, 2, Hold, 0), (4, 1, Hold, 0)];
        for (seems, is) in [(300, 900), (900, 300)] {
            let slow = [(2, 3, Hold, seems), (3, 4, Hold, is)];
            assert_eq!(to_go(4, &[slow, known].concat()), Some(4));
        }
    }

    #[test]
    fn half_of_the_members_may_hold_it_for_too_long() {
        let slow = |by, of| (by, of, Hold, 900);
        let well = |by, of| (by, of, Hold, 0);
        assert_eq!(to_go(4, &[slow(1, 2), slow(3, 4), well(2, 3), well(4, 1)]), Some(4));
        let three = [slow(1, 2), slow(3, 4), slow(5, 6)];
        let others = [well(2, 3), well(4, 5), well(6, 1)];
        assert_eq!(to_go(6, &[three, others].concat()), Some(6));
        assert_eq!(to_go(6, &three), None);
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
        for says in [Says::Breaks, Says::Keeps, Says::Demote, Says::Doubts] {
            let statement = Statement { ring_sequence, of, says, breach: breach(Hold, 3) };
            let mut w = Writer::default();
            statement.encode(&mut w);
            let bytes = w.bytes.freeze();
            assert_eq!(Statement::decode(&mut Reader::new(&bytes)), Ok(statement));
        }
        for (what, bound, is_valid) in [(3, 3, true), (4, 0, false), (0, 4, false)] {
            let mut w = Writer::default();
            w.u64(1);
            w.u32(7);
            [what, bound].iter().chain(&[0; 16]).for_each(|byte| w.u8(*byte));
            let read = Statement::decode(&mut Reader::new(&w.bytes.freeze()));
            assert_eq!(read.is_ok(), is_valid, "{what} {bound}");
        }
    }
}
