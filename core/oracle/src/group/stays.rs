//! G3: all who are in one configuration see the same events of a group at the same places of the
//! order, each from the view that it comes with to the one that it leaves with.
//!
//! What there is to see is put together from all of them, so that a member that skips an event is
//! found out by any other that does not.

use std::collections::BTreeMap;

use anasazi_protocol::record::list;
use anasazi_protocol::{Configuration, GroupId, MemberId, Process, RingId};

use super::{GroupEvent, What};
use crate::history::{End, History, ProcessHistory, Segment};
use crate::violation::{Axiom, Finding, Place, Verdict};

/// Ordinal and frame; zeros for what the beginning of a configuration brings.
type At = (u64, u32);
/// What all saw, and who was the first to.
type Page<'a> = BTreeMap<At, (&'a What, Place)>;
/// Of all who were there, and apart from that of those who were there to the same end.
type Pages<'a> = BTreeMap<(Configuration, Option<RingId>, GroupId), Page<'a>>;

pub(crate) fn check(history: &History, quiesced: bool) -> Verdict {
    let mut pages = Pages::new();
    for (key, process) in history.processes.iter().enumerate() {
        collect(history, (key, process), quiesced, &mut pages)?;
    }
    for (key, process) in history.processes.iter().enumerate() {
        for ((configuration, goal, group), page) in &pages {
            let Some(segment) = segment_of(process, *configuration) else { continue };
            let reader = Reader { history, key, group: *group, segment };
            if goal.is_none() {
                reader.check(page, |at| is_reached(process, segment, at))?;
            } else if *goal == goal_of(process, segment, quiesced) {
                reader.check(page, |_| true)?;
            }
        }
    }
    Ok(())
}

/// Adds what a process saw. Who sees something else at the same place breaks the promise.
fn collect<'a>(
    history: &History,
    (key, process): (usize, &'a ProcessHistory),
    quiesced: bool,
    pages: &mut Pages<'a>,
) -> Verdict {
    for (group, known) in &process.groups {
        for event in &known.events {
            let Some(segment) = segment_of(process, event.configuration) else { continue };
            let place = Place { process: key, position: event.position };
            let at = at(segment, event);
            let page = pages.entry((event.configuration, None, *group)).or_default();
            let (first, there) = *page.entry(at).or_insert((&event.what, place));
            let goal = goal_of(process, segment, quiesced);
            let page = pages.entry((event.configuration, goal, *group)).or_default();
            page.entry(at).or_insert((&event.what, place));
            if !is_same(first, &event.what) {
                let sentence = format!(
                    "{} and {} see different events of group {:x} at one place in {}",
                    process.process,
                    history.process(there).process,
                    group.0,
                    event.configuration
                );
                return Err(Finding::new(Axiom::G3, place, sentence).and(there));
            }
        }
    }
    Ok(())
}

/// One process in one configuration, and a group.
struct Reader<'a> {
    history: &'a History,
    key: usize,
    group: GroupId,
    segment: &'a Segment,
}

impl Reader<'_> {
    /// It saw everything between its views, as far as it came.
    fn check(&self, page: &Page<'_>, is_reached: impl Fn(At) -> bool) -> Verdict {
        let process = &self.history.processes[self.key];
        let events = process.groups.get(&self.group).map_or(&[][..], |g| &g.events);
        let first = events.partition_point(|e| e.position < self.segment.position);
        let before = events[..first].iter().rev().find_map(|e| stays_member(&e.what));
        let mut is_member = before.unwrap_or(false);
        let mine: BTreeMap<At, &What> = (events[first..].iter())
            .take_while(|e| e.configuration == self.segment.configuration)
            .map(|e| (at(self.segment, e), &e.what))
            .collect();
        for (at, (what, there)) in page.iter().filter(|(at, _)| is_reached(**at)) {
            match mine.get(at) {
                Some(mine) => is_member = stays_member(mine).unwrap_or(is_member),
                None if is_member || names(what, process.process) => {
                    return Err(self.skipped(what, *there));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn skipped(&self, what: &What, there: Place) -> Finding {
        let what = match what {
            What::View { members, .. } => format!("the view {}", list(members)),
            What::Signal { .. } => "the transitional signal".to_owned(),
            What::Message { sender, sequence, .. } => format!("message {sequence} of {sender}"),
        };
        let process = &self.history.processes[self.key];
        let sentence = format!(
            "{} never gives {what} to its members of group {:x} in {}, as {} does",
            process.process,
            self.group.0,
            self.segment.configuration,
            self.history.process(there).process
        );
        let place = Place { process: self.key, position: self.segment.position };
        Finding::new(Axiom::G3, place, sentence).and(there)
    }
}

fn segment_of(process: &ProcessHistory, configuration: Configuration) -> Option<&Segment> {
    let stay = process.stay(configuration.regular())?;
    stay.segments().find(|s| s.configuration == configuration)
}

/// Those who go on together saw the same to the end, and so did those who rest together.
fn goal_of(process: &ProcessHistory, segment: &Segment, quiesced: bool) -> Option<RingId> {
    let ring = segment.configuration.regular();
    let stay = process.stay(ring)?;
    match stay.end {
        End::Moved => stay.next.map(|next| next.configuration.regular()),
        End::Open if quiesced => Some(ring),
        End::Open | End::Died => None,
    }
}

/// The process went on from this place, so it saw all that was there. Its log may end in the middle
/// of its last delivery.
fn is_reached(process: &ProcessHistory, segment: &Segment, at: At) -> bool {
    let is_last = process.current().is_some_and(|last| last.position == segment.position);
    let last = segment.deliveries.last().map_or((0, 0), |d| (d.ordinal, d.frame));
    at < last || at == last && !is_last
}

/// An ordered view is named after its place; a message has that of the last delivery.
fn at(segment: &Segment, event: &GroupEvent) -> At {
    match &event.what {
        What::View { id, .. } if id.sub > 0 => (id.ordinal, id.sub & 0xffff),
        What::View { .. } | What::Signal { .. } => (0, 0),
        What::Message { .. } => {
            let next = segment.deliveries.partition_point(|d| d.position < event.position);
            let last = next.checked_sub(1).map(|last| segment.deliveries[last]);
            last.map_or((0, 0), |d| (d.ordinal, d.frame))
        }
    }
}

/// For who gets it: views are the same if their ids are.
fn is_same(a: &What, b: &What) -> bool {
    match (a, b) {
        (What::View { id, .. }, What::View { id: other, .. }) => id == other,
        _ => a == b,
    }
}

/// Whether the process has members in the group after the event; `None`: as before.
fn stays_member(what: &What) -> Option<bool> {
    match what {
        What::View { local, .. } => Some(!local.is_empty()),
        _ => None,
    }
}

fn names(what: &What, process: Process) -> bool {
    let is_of = |m: &MemberId| m.node == process.node && m.session.0 >> 24 == process.incarnation.0;
    matches!(what, What::View { members, .. } if members.iter().any(is_of))
}
