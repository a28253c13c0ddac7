//! G3 and G4: a chapter is what the members of one process got in one view. Those who turn the page
//! together have read the same.

use std::collections::BTreeMap;

use anasazi_protocol::{GroupId, MemberId, SessionId, ViewId};

use super::{GroupEvent, GroupHistory, What};
use crate::history::History;
use crate::violation::{Axiom, Finding, Place, Verdict};

struct Chapter<'a> {
    process: usize,
    position: usize,
    events: &'a [GroupEvent],
    next: Option<&'a GroupEvent>,
    /// The sessions whose chapter it is.
    local: &'a [SessionId],
}

pub(crate) fn check(history: &History, quiesced: bool) -> Verdict {
    let mut chapters: BTreeMap<(GroupId, ViewId), Vec<Chapter<'_>>> = BTreeMap::new();
    for (key, process) in history.processes.iter().enumerate() {
        for (group, events) in &process.groups {
            split(key, events, |view, chapter| {
                chapters.entry((*group, view)).or_default().push(chapter);
            });
        }
    }
    for ((group, _), readers) in &chapters {
        for (index, a) in readers.iter().enumerate() {
            for b in &readers[index + 1..] {
                compare(history, *group, (a, b), quiesced)?;
            }
        }
    }
    Ok(())
}

fn split<'a>(process: usize, history: &'a GroupHistory, mut add: impl FnMut(ViewId, Chapter<'a>)) {
    let is_view = |e: &GroupEvent| matches!(e.what, What::View { .. });
    let events = &history.events[..];
    let starts: Vec<usize> = (0..events.len()).filter(|i| is_view(&events[*i])).collect();
    for (index, start) in starts.iter().enumerate() {
        let What::View { id, local, .. } = &events[*start].what else { continue };
        if local.is_empty() {
            continue;
        }
        let end = starts.get(index + 1).copied();
        let next = end.map(|i| &events[i]);
        let position = events[*start].position;
        let events = &events[start + 1..end.unwrap_or(events.len())];
        add(*id, Chapter { process, position, events, next, local });
    }
}

fn compare(
    history: &History,
    group: GroupId,
    (a, b): (&Chapter<'_>, &Chapter<'_>),
    quiesced: bool,
) -> Verdict {
    let axiom = match (a.next, b.next) {
        (Some(x), Some(y)) if view_of(x) == view_of(y) => {
            if !moved_together(history, x, (b, y)) {
                return Ok(());
            }
            Axiom::G4
        }
        (Some(x), Some(y)) if x.configuration == y.configuration => {
            let sentence = format!(
                "{} and {} go from one view of group {:x} to different ones in {}",
                history.processes[a.process].process,
                history.processes[b.process].process,
                group.0,
                x.configuration
            );
            let place = Place { process: a.process, position: x.position };
            let theirs = Place { process: b.process, position: y.position };
            return Err(Finding::new(Axiom::G3, place, sentence).and(theirs));
        }
        (None, None) if quiesced && same_end(history, a.process, b.process) => Axiom::G3,
        _ => return Ok(()),
    };
    let equal = (a.events.iter().zip(b.events)).take_while(|(x, y)| x.what == y.what).count();
    if equal == a.events.len() && equal == b.events.len() {
        return Ok(());
    }
    let sentence = format!(
        "{} and {} differ in group {:x} from event {} of a view on ({} and {} in all)",
        history.processes[a.process].process,
        history.processes[b.process].process,
        group.0,
        equal + 1,
        a.events.len(),
        b.events.len()
    );
    let at = |chapter: &Chapter<'_>| {
        let position = chapter.events.get(equal).map_or(chapter.position, |e| e.position);
        Place { process: chapter.process, position }
    };
    Err(Finding::new(axiom, at(a), sentence).and(at(b)))
}

/// Both get the next view for the same event in one configuration, or one is told that the other
/// comes with it.
fn moved_together(
    history: &History,
    next_a: &GroupEvent,
    (b, next_b): (&Chapter<'_>, &GroupEvent),
) -> bool {
    let ordered = view_of(next_a).is_some_and(|id| id.sub > 0);
    if ordered {
        return next_a.configuration == next_b.configuration;
    }
    let What::View { together, .. } = &next_a.what else { return false };
    let node = history.processes[b.process].process.node;
    b.local.iter().any(|s| together.contains(&MemberId { node, session: *s }))
}

fn view_of(event: &GroupEvent) -> Option<ViewId> {
    match event.what {
        What::View { id, .. } => Some(id),
        _ => None,
    }
}

/// Both processes are alive in the same configuration at the end of the log.
fn same_end(history: &History, a: usize, b: usize) -> bool {
    let (a, b) = (&history.processes[a], &history.processes[b]);
    let at = |p: &crate::history::ProcessHistory| p.current().map(|s| s.configuration);
    a.end.is_none() && b.end.is_none() && at(a) == at(b)
}
