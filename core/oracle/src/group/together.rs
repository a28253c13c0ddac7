//! What a view says of how its members came to it: why (`cause`), with whom (`together`), and in
//! which sets. Nobody is taken at his word: it follows from the view before and from who moved
//! together, and is the same for all.

use std::collections::BTreeMap;

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Configuration, GroupId, MemberId, ViewCause, ViewId};

use super::Tenure;
use crate::history::{ProcessHistory, Segment};
use crate::violation::{Axiom, Finding, Place, Verdict};
use anasazi_protocol::record::list;

/// What the first to get a view was told beside the members.
#[derive(Debug, Default)]
pub(super) struct Told {
    seen: BTreeMap<(GroupId, ViewId, bool), First>,
}

type First = (ViewCause, Vec<u32>, Place);

impl Told {
    /// G2: one cause, and one division into sets. Sets are numbered from the receiver's own, so
    /// only who shares one is compared.
    pub(super) fn check(&mut self, place: Place, trace: &Trace) -> Verdict {
        let Trace::GroupView { group, id, transitional, cause, sets, .. } = trace else {
            return Ok(());
        };
        let sets = in_order_of_appearance(sets);
        let (known_cause, known_sets, seen) = self
            .seen
            .entry((*group, *id, *transitional))
            .or_insert_with(|| (*cause, sets.clone(), place));
        if (*known_cause, &*known_sets) == (*cause, &sets) {
            return Ok(());
        }
        let sentence = format!(
            "view {}:{}.{} of group {:x} came by {cause:?} in the sets {sets:?} here, \
             and by {known_cause:?} in {known_sets:?} there",
            id.ring, id.ordinal, id.sub, group.0
        );
        Err(Finding::new(Axiom::G2, place, sentence).and(*seen))
    }
}

fn in_order_of_appearance(sets: &[u32]) -> Vec<u32> {
    let mut names = BTreeMap::new();
    let name = |set: &u32| {
        let next = names.len() as u32;
        *names.entry(*set).or_insert(next)
    };
    sets.iter().map(name).collect()
}

/// G4, the part without which the rest of it would be worth nothing: `together` are those of the
/// view before who moved with this process, no more and no fewer; and set 0 are just these.
pub(super) fn check(process: &ProcessHistory, place: Place, trace: &Trace) -> Verdict {
    let Trace::GroupView { group, id, transitional, cause, members, sets, together, .. } = trace
    else {
        return Ok(());
    };
    let name = format!("view {}:{}.{} of group {:x}", id.ring, id.ordinal, id.sub, group.0);
    let wrong = |axiom, what: String| {
        let sentence = format!("{} gives out {name} {what}", process.process);
        Err(Finding::new(axiom, place, sentence))
    };
    let tenure = process.groups.get(group).and_then(|g| g.tenure.as_ref());
    let expected = expected(process, tenure, trace);
    if *together != expected {
        let (told, is) = (list(together), list(&expected));
        return wrong(Axiom::G4, format!("as if {told} came together with it, which {is} did"));
    }
    let own = members.iter().zip(sets).filter(|(_, set)| **set == 0).map(|(m, _)| *m);
    if sets.len() != members.len() || own.collect::<Vec<_>>() != expected {
        return wrong(Axiom::G4, format!("in the sets {sets:?}, while {} came", list(&expected)));
    }
    let is_new = |m: &&MemberId| tenure.is_none_or(|tenure| !tenure.members.contains(m));
    let has_new = members.iter().any(|m| is_new(&m));
    let fits = match cause {
        ViewCause::Join => id.sub > 0 && has_new,
        ViewCause::Leave | ViewCause::Disconnect => id.sub > 0 && !has_new,
        ViewCause::Network | ViewCause::Demoted => {
            *transitional || id.sub == 0 && sets.iter().all(|set| *set == 0)
        }
        ViewCause::Removed => !has_new,
        ViewCause::Merge => id.sub == 0 && sets.iter().any(|set| *set != 0),
    };
    if !fits {
        return wrong(Axiom::G2, format!("by {cause:?}, in the sets {sets:?}"));
    }
    Ok(())
}

/// Those of the view before who are still there, and whose processes moved along if there is a
/// change of configuration between the two. Who comes to its first view finds all others there.
fn expected(process: &ProcessHistory, before: Option<&Tenure>, trace: &Trace) -> Vec<MemberId> {
    let Trace::GroupView { id, transitional, members, local, .. } = trace else {
        return Vec::new();
    };
    let me = process.process.node;
    let was_there = |m: &MemberId| match before {
        Some(tenure) => tenure.members.contains(m),
        None => m.node != me || !local.contains(&m.session),
    };
    let along = moved_with(process, *transitional || id.sub == 0);
    let is_along = |m: &MemberId| along.is_none_or(|along| has_member(along, m));
    members.iter().copied().filter(|m| was_there(m) && is_along(m)).collect()
}

/// The transitional configuration between a view and the one before: the present one, or for the
/// view of a change the one that has just ended.
fn moved_with(process: &ProcessHistory, of_a_change: bool) -> Option<&Segment> {
    let mut latest = process.segments.iter().rev().take(if of_a_change { 2 } else { 1 });
    latest.find(|s| matches!(s.configuration, Configuration::Transitional { .. }))
}

/// A session's number tells its incarnation.
pub(super) fn has_member(segment: &Segment, member: &MemberId) -> bool {
    let mut processes = segment.members.iter();
    processes.any(|p| p.node == member.node && p.incarnation.0 == member.session.0 >> 24)
}
