//! G1, G2, G5, G6, G10, and the countable part of G3: each view and message of a group as it comes.

use std::collections::BTreeMap;

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Configuration, GroupId, MemberId, SessionId, ViewId};

use super::together::{self, Told};
use super::{Tenure, What, changes};
use crate::history::{History, Owed, ProcessHistory, Segment};
use crate::violation::{Axiom, Finding, Place, Verdict};
use anasazi_protocol::record::list;

/// The first seen members of every view.
#[derive(Debug, Default)]
pub(crate) struct Views {
    seen: BTreeMap<(GroupId, ViewId, bool), (Vec<MemberId>, Place)>,
    told: Told,
    /// Clients of this log send to a group only while they are in it (G6).
    pub senders_are_members: bool,
}

impl Views {
    pub(crate) fn check(&mut self, history: &History, place: Place, trace: &Trace) -> Verdict {
        self.check_alone(history, place, trace)?;
        changes::check(history, place, trace)
    }

    fn check_alone(&mut self, history: &History, place: Place, trace: &Trace) -> Verdict {
        match trace {
            Trace::GroupView { .. } => self.check_view(history, place, trace),
            Trace::GroupMessage { .. } => self.check_message(history, place, trace),
            Trace::Packet { .. }
            | Trace::Deliver { .. }
            | Trace::Regular { .. }
            | Trace::Transitional { .. }
            | Trace::TokenVisit { .. }
            | Trace::Stopped { .. } => check_nothing_owed(history, place),
            _ => Ok(()),
        }
    }

    fn check_view(&mut self, history: &History, place: Place, trace: &Trace) -> Verdict {
        let Trace::GroupView { group, id, transitional, members, local, local_left, .. } = trace
        else {
            return Ok(());
        };
        let process = history.process(place);
        let key = (*group, *id, *transitional);
        if let Some((known, seen)) = self.seen.get(&key)
            && known != members
        {
            let sentence = format!(
                "view {}:{}.{} of group {:x} has the members {} here and {} there",
                id.ring,
                id.ordinal,
                id.sub,
                group.0,
                list(members),
                list(known)
            );
            return Err(Finding::new(Axiom::G2, place, sentence).and(*seen));
        }
        self.seen.entry(key).or_insert_with(|| (members.clone(), place));
        let tenure = process.groups.get(group).and_then(|g| g.tenure.as_ref());
        check_local(process, place, members, (local, local_left, *transitional))?;
        if !*transitional {
            check_continuity(process, place, tenure, (local, local_left))?;
            check_configuration(process, place, (*group, *id), members)?;
        }
        together::check(process, place, trace)?;
        self.told.check(place, trace)
    }

    fn check_message(&self, history: &History, place: Place, trace: &Trace) -> Verdict {
        let Trace::GroupMessage { group, sender, sequence, .. } = trace else { return Ok(()) };
        let process = history.process(place);
        let who = process.process;
        let wrong = |axiom, what: String| {
            let sentence =
                format!("{who} gives message {sequence} of {sender} to group {:x} {what}", group.0);
            Err(Finding::new(axiom, place, sentence))
        };
        let tenure = process.groups.get(group).and_then(|g| g.tenure.as_ref());
        let Some(tenure) = tenure else {
            return wrong(Axiom::G5, "in which it has no members".to_owned());
        };
        if *sequence != tenure.sequence + 1 {
            return wrong(Axiom::G3, format!("after number {}", tenure.sequence));
        }
        if !matches(history, place, trace) {
            return wrong(Axiom::G3, "which is not the one just delivered".to_owned());
        }
        if self.senders_are_members && !tenure.members.contains(sender) {
            let view = Place { process: place.process, position: tenure.position };
            return wrong(Axiom::G6, format!("after the view {}", list(&tenure.members)))
                .map_err(|f| f.and(view));
        }
        if let Some(Segment { configuration: Configuration::Regular(ring), .. }) = process.current()
            && let Some(ghost) = ghost(process, &tenure.members)
        {
            return wrong(
                Axiom::G10,
                format!("in a view with {ghost}, which is not in ring {ring}"),
            );
        }
        Ok(())
    }
}

/// The message is the one that the process delivered last.
fn matches(history: &History, place: Place, trace: &Trace) -> bool {
    let Trace::GroupMessage { group, sender, hash, .. } = trace else { return false };
    let process = history.process(place);
    let delivery = process.current().and_then(|s| s.deliveries.last());
    delivery.is_some_and(|delivery| {
        history.messages.get(&delivery.message).is_some_and(|message| {
            let node = delivery.message.origin.node;
            if message.inferred {
                return (node, message.hash) == (sender.node, *hash);
            }
            let from = MemberId { node, session: message.session };
            let is_to = message.to.groups().any(|(to, _)| to == *group);
            let owed = process.owed.iter().any(|(owed, _)| *owed == Owed::Group(*group));
            (owed && is_to || message.is_open) && (from, message.hash) == (*sender, *hash)
        })
    })
}

/// G3: whoever has members in a message's groups gives it to them, before anything else.
fn check_nothing_owed(history: &History, place: Place) -> Verdict {
    let process = history.process(place);
    let Some((owed, position)) = process.owed.first().copied() else { return Ok(()) };
    let whom = match owed {
        Owed::Group(group) => format!("group {:x}, but its own members of the group", group.0),
        Owed::Session(session) => format!("its session {:x}, but that", session.0),
    };
    let sentence = format!("{} delivers a message to {whom} does not get it", process.process);
    Err(Finding::new(Axiom::G3, Place { process: place.process, position }, sentence))
}

/// The same where the log of a living process ends: it is written a step at a time.
pub(super) fn check_end(history: &History, key: usize) -> Verdict {
    let process = &history.processes[key];
    let last = Place { process: key, position: process.records.len().saturating_sub(1) };
    if process.end.is_none() { check_nothing_owed(history, last) } else { Ok(()) }
}

/// G1: the local members are exactly those of this node in the view; who left is not.
fn check_local(
    process: &ProcessHistory,
    place: Place,
    members: &[MemberId],
    (local, left, transitional): (&[SessionId], &[SessionId], bool),
) -> Verdict {
    let node = process.process.node;
    let who = process.process;
    let is_member = |s: &SessionId| members.contains(&MemberId { node, session: *s });
    if let Some(session) = local.iter().find(|s| !is_member(s)) {
        let sentence =
            format!("{who} gives session {:x} the view {} without it", session.0, list(members));
        return Err(Finding::new(Axiom::G1, place, sentence));
    }
    if let Some(session) = left.iter().find(|s| is_member(s)) {
        let sentence =
            format!("{who} ends the membership of {:x} in view {}", session.0, list(members));
        return Err(Finding::new(Axiom::G5, place, sentence));
    }
    let unknown = members.iter().find(|m| m.node == node && !local.contains(&m.session));
    match unknown {
        Some(unknown) if !transitional => {
            let sentence = format!("{who} does not know {unknown}, in view {}", list(members));
            Err(Finding::new(Axiom::G1, place, sentence))
        }
        _ => Ok(()),
    }
}

/// G1, G5: no local member vanishes without being told, and nobody is told who was not there.
fn check_continuity(
    process: &ProcessHistory,
    place: Place,
    tenure: Option<&Tenure>,
    (local, left): (&[SessionId], &[SessionId]),
) -> Verdict {
    let before = tenure.map_or(&[][..], |t| &t.local);
    let who = process.process;
    if let Some(lost) = before.iter().find(|s| !local.contains(s) && !left.contains(s)) {
        let sentence = format!("{who} forgets its member {:x}", lost.0);
        return Err(Finding::new(Axiom::G1, place, sentence));
    }
    if let Some(stranger) = left.iter().find(|s| !before.contains(s)) {
        let sentence = format!("{who} ends a membership that {:x} did not have", stranger.0);
        return Err(Finding::new(Axiom::G5, place, sentence));
    }
    Ok(())
}

/// G10: a view of a regular configuration has members of its ring only; the one view that the
/// configuration itself causes comes before everything else that the group gets in it.
fn check_configuration(
    process: &ProcessHistory,
    place: Place,
    (group, id): (GroupId, ViewId),
    members: &[MemberId],
) -> Verdict {
    let Some(current) = process.current() else { return Ok(()) };
    let who = process.process;
    let name = format!("view {}:{}.{} of group {:x}", id.ring, id.ordinal, id.sub, group.0);
    let fits = match current.configuration {
        Configuration::Regular(ring) => id.ring == ring,
        Configuration::Transitional { old, new } => id.ring == old || id.ring == new,
    };
    if !fits {
        let sentence = format!("{who} gives out {name} in {}", current.configuration);
        return Err(Finding::new(Axiom::G10, place, sentence));
    }
    let regular = matches!(current.configuration, Configuration::Regular(_));
    if let Some(ghost) = ghost(process, members).filter(|_| regular) {
        let sentence = format!("{who} gives out {name} with {ghost}, which is not in the ring");
        return Err(Finding::new(Axiom::G10, place, sentence));
    }
    let events = process.groups.get(&group).map_or(&[][..], |g| &g.events);
    let before = events.last().filter(|e| e.position > current.position);
    if let Some(before) = before.filter(|_| id.sub == 0) {
        let what = match before.what {
            What::Message { .. } => "a message",
            What::View { .. } | What::Signal { .. } => "another view",
        };
        let sentence = format!("{who} gives out {name} of the configuration after {what}");
        let earlier = Place { process: place.process, position: before.position };
        return Err(Finding::new(Axiom::G10, place, sentence).and(earlier));
    }
    Ok(())
}

/// A member whose process is not in the current configuration.
pub(super) fn ghost(process: &ProcessHistory, members: &[MemberId]) -> Option<MemberId> {
    let current = process.current()?;
    members.iter().copied().find(|m| !together::has_member(current, m))
}
