//! C1 to C4: each configuration by itself, and after the one before it.

use std::collections::{BTreeMap, BTreeSet};

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Configuration, NodeId, Process, RingId};

use super::identity;
use crate::history::{History, Segment, sorted};
use crate::violation::{Axiom, Finding, Place, Verdict};
use anasazi_protocol::record::list;

/// The last ring id of every node, across its incarnations.
#[derive(Debug, Default)]
pub(crate) struct RingIds {
    last: BTreeMap<NodeId, (RingId, Place)>,
}

impl RingIds {
    /// C4.
    pub(crate) fn check(&mut self, history: &History, place: Place, ring: RingId) -> Verdict {
        let process = history.process(place).process;
        if let Some((last, seen)) = self.last.insert(process.node, (ring, place))
            && ring <= last
        {
            let sentence = format!("{process} installs ring {ring}, and before it {last}");
            return Err(Finding::new(Axiom::C4, place, sentence).and(seen));
        }
        Ok(())
    }

    /// The node begins a life without knowing of its earlier ones.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.last.remove(&node);
    }
}

/// C1, C2, C3 and the part of ID that one configuration shows.
pub(crate) fn check(history: &History, place: Place, trace: &Trace) -> Verdict {
    let (configuration, members) = match trace {
        Trace::Regular { ring, members } => (Configuration::Regular(*ring), members),
        Trace::Transitional { old, new, members, .. } => {
            (Configuration::Transitional { old: *old, new: *new }, members)
        }
        _ => return Ok(()),
    };
    check_shape(history, place, configuration, members)?;
    let process = history.process(place).process;
    if !members.contains(&process) {
        let sentence = format!("{process} installs {configuration} of {}", list(members));
        return Err(Finding::new(Axiom::C1, place, sentence));
    }
    identity::check_members(place, members)?;
    if let Some((known, seen)) = history.configurations.get(&configuration)
        && *known != sorted(members)
    {
        let sentence = format!(
            "{configuration} has the members {} here and {} there",
            list(members),
            list(known)
        );
        return Err(Finding::new(Axiom::C2, place, sentence).and(*seen));
    }
    check_obligation(history, place, trace)
}

/// C5: those who move together have one obligation and one safe line. TO3: the obligation is
/// towards members of the ring that they leave. SA1: the line is behind all that was delivered as
/// safe.
fn check_obligation(history: &History, place: Place, trace: &Trace) -> Verdict {
    let Trace::Transitional { old, new, obligation, safe_line, .. } = trace else {
        return Ok(());
    };
    let process = history.process(place);
    if let Some(left) = process.current()
        && let Some(stranger) = obligation.iter().find(|node| !left.has_node(**node))
    {
        let sentence =
            format!("{} is obligated to {stranger}, which is not in ring {old}", process.process);
        return Err(Finding::new(Axiom::To3, place, sentence));
    }
    let packets = process.current().into_iter().flat_map(|s| &s.packets);
    if let Some(early) = packets.rev().find(|p| p.safe).filter(|p| p.ordinal > *safe_line) {
        let sentence = format!(
            "{} took the safe packet {} in ring {old}, of which it knows only up to {safe_line} \
             that all hold it",
            process.process, early.ordinal
        );
        let there = Place { process: place.process, position: early.position };
        return Err(Finding::new(Axiom::Sa1, place, sentence).and(there));
    }
    let configuration = Configuration::Transitional { old: *old, new: *new };
    let Some((_, seen)) = history.configurations.get(&configuration) else { return Ok(()) };
    let mut segments = history.process(*seen).segments.iter();
    let known = segments.find(|s| s.configuration == configuration);
    let set = |nodes: &[NodeId]| nodes.iter().copied().collect::<BTreeSet<_>>();
    let differs = |s: &&Segment| set(&s.obligation) != set(obligation) || s.safe_line != *safe_line;
    if let Some(known) = known.filter(differs) {
        let sentence = format!(
            "{configuration} obligates to {} and is safe up to {safe_line} here, {} and {} there",
            list(obligation),
            list(&known.obligation),
            known.safe_line
        );
        return Err(Finding::new(Axiom::C5, place, sentence).and(*seen));
    }
    Ok(())
}

fn check_shape(history: &History, place: Place, next: Configuration, to: &[Process]) -> Verdict {
    let process = history.process(place);
    let wrong = |sentence: String| Err(Finding::new(Axiom::C3, place, sentence));
    let Some(current) = process.current() else {
        let alone = matches!(next, Configuration::Regular(_)) && to == [process.process];
        return if alone {
            Ok(())
        } else {
            wrong(format!("{} does not begin in a ring of its own", process.process))
        };
    };
    match (current.configuration, next) {
        (Configuration::Regular(left), Configuration::Transitional { old, .. }) if left == old => {
            if let Some(stranger) = to.iter().find(|m| !current.has(**m)) {
                return wrong(format!("{stranger} is in {next} but not in ring {old}"));
            }
        }
        (Configuration::Transitional { new, .. }, Configuration::Regular(ring)) if new == ring => {
            if let Some(lost) = current.members.iter().find(|m| !to.contains(m)) {
                return wrong(format!("{lost} moves to ring {ring} but is not in it"));
            }
        }
        (before, _) => return wrong(format!("{next} follows {before}")),
    }
    Ok(())
}
