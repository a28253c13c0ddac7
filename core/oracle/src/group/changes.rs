//! G8 and G9: a change of configuration shows itself to the groups that it touches, and to no
//! others.

use std::collections::BTreeSet;

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Configuration, GroupId, MemberId};

use super::views::ghost;
use super::{GroupHistory, What};
use crate::history::{History, ProcessHistory};
use crate::violation::{Axiom, Finding, Place, Verdict};

pub(super) fn check(history: &History, place: Place, trace: &Trace) -> Verdict {
    let process = history.process(place);
    match trace {
        Trace::GroupView { group, transitional: true, .. } => check_signal(process, place, *group),
        Trace::GroupView { group, id, members, together, .. } if id.sub == 0 => {
            check_needed(process, place, *group, (members, together))
        }
        // Whatever comes first after the transitional configuration, the signals come before it.
        Trace::Packet { .. } | Trace::Regular { .. } => check_all_signalled(process, place),
        _ => Ok(()),
    }
}

/// G8: a signal has a reason.
fn check_signal(process: &ProcessHistory, place: Place, group: GroupId) -> Verdict {
    let who = process.process;
    let wrong = |what: &str| {
        let sentence = format!("{who} signals a transition to group {:x} {what}", group.0);
        Err(Finding::new(Axiom::G8, place, sentence))
    };
    let Some(current) = process.current() else { return wrong("before any configuration") };
    if let Configuration::Regular(ring) = current.configuration {
        return wrong(&format!("in the regular configuration of ring {ring}"));
    }
    let Some(known) = process.groups.get(&group).filter(|g| g.tenure.is_some()) else {
        return wrong("in which it has no members");
    };
    if is_signalled(known, current.position) {
        return wrong("for the second time in one configuration");
    }
    let members = known.tenure.as_ref().map_or(&[][..], |t| &t.members);
    if ghost(process, members).is_none() {
        return wrong("all of whose members come along");
    }
    Ok(())
}

/// G8: no signal is missing.
fn check_all_signalled(process: &ProcessHistory, place: Place) -> Verdict {
    let Some(current) = process.current() else { return Ok(()) };
    let transitional = matches!(current.configuration, Configuration::Transitional { .. });
    if !transitional || !current.packets.is_empty() {
        return Ok(());
    }
    for (group, known) in &process.groups {
        let Some(tenure) = &known.tenure else { continue };
        let Some(absent) = ghost(process, &tenure.members) else { continue };
        if !is_signalled(known, current.position) {
            let sentence = format!(
                "{} does not signal to group {:x} that {absent} does not come along",
                process.process, group.0
            );
            let change = Place { process: place.process, position: current.position };
            return Err(Finding::new(Axiom::G8, place, sentence).and(change));
        }
    }
    Ok(())
}

fn is_signalled(group: &GroupHistory, since: usize) -> bool {
    let recent = group.events.iter().rev().take_while(|e| e.position > since);
    recent.into_iter().any(|e| matches!(e.what, What::Signal { .. }))
}

/// G9: the one view that a configuration causes says something new: other members, or not all of
/// them came together; or it ends what the signal began.
fn check_needed(
    process: &ProcessHistory,
    place: Place,
    group: GroupId,
    (members, together): (&[MemberId], &[MemberId]),
) -> Verdict {
    let tenure = process.groups.get(&group).and_then(|g| g.tenure.as_ref());
    let set = |list: &[MemberId]| list.iter().copied().collect::<BTreeSet<_>>();
    let Some(tenure) = tenure.filter(|t| set(&t.members) == set(members)) else { return Ok(()) };
    let last = process.groups.get(&group).and_then(|g| g.events.last());
    let ends_signal = last.is_some_and(|e| matches!(e.what, What::Signal { .. }));
    if ends_signal || set(together) != set(members) {
        return Ok(());
    }
    let sentence = format!(
        "{} gives group {:x} a view for a change that did not touch it",
        process.process, group.0
    );
    let before = Place { process: place.process, position: tenure.position };
    Err(Finding::new(Axiom::G9, place, sentence).and(before))
}
