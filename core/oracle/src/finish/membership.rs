//! C5 and C6: who moves together, and that everybody who is said to move does.

use anasazi_protocol::{Configuration, RingId};

use super::died;
use crate::history::{End, History, ProcessHistory, Segment};
use crate::violation::{Axiom, Finding, Place, Verdict};

pub(crate) fn check(history: &History, quiesced: bool) -> Verdict {
    for (key, process) in history.processes.iter().enumerate() {
        for triple in process.segments.windows(3).step_by(2) {
            check_together(history, key, &triple[1])?;
        }
        for ring in process.regulars.keys() {
            check_installed(history, key, *ring, quiesced)?;
        }
    }
    Ok(())
}

/// C5: a member of my transitional configuration that installs the new ring came from the old one.
/// The converse, that everybody who moves along is in it, follows from C1 and C2: the id of a
/// transitional configuration names both rings.
fn check_together(history: &History, key: usize, transitional: &Segment) -> Verdict {
    let Configuration::Transitional { old, new } = transitional.configuration else {
        return Ok(());
    };
    let place = Place { process: key, position: transitional.position };
    for member in &transitional.members {
        let Some(other) = history.find(*member) else { continue };
        let Some(at) = other.regulars.get(&new) else { continue };
        let came_from = at.checked_sub(2).map(|i| other.segments[i].configuration);
        if came_from != Some(Configuration::Regular(old)) {
            let from = came_from.map_or_else(|| "its boot".to_owned(), |c| c.to_string());
            let sentence = format!(
                "{} says that {member} moves with it from {old} to {new}, \
                 but {member} came from {from}",
                history.processes[key].process
            );
            let theirs =
                Place { process: history.keys[member], position: other.segments[*at].position };
            return Err(Finding::new(Axiom::C5, place, sentence).and(theirs));
        }
    }
    Ok(())
}

/// C6. The part that follows a safe delivery is SA2's.
fn check_installed(history: &History, key: usize, ring: RingId, quiesced: bool) -> Verdict {
    let process = &history.processes[key];
    let Some(stay) = process.stay(ring) else { return Ok(()) };
    if stay.end != End::Open || !quiesced {
        return Ok(());
    }
    for member in &stay.regular.members {
        let other = history.find(*member);
        if died(other) || other.is_some_and(|o| o.regulars.contains_key(&ring)) {
            continue;
        }
        let sentence = format!(
            "{} stays in ring {ring}, which its member {member} never installed",
            process.process
        );
        let place = Place { process: key, position: stay.regular.position };
        let finding = Finding::new(Axiom::C6, place, sentence);
        return Err(with_last(finding, history, other));
    }
    Ok(())
}

fn with_last(finding: Finding, history: &History, other: Option<&ProcessHistory>) -> Finding {
    let Some(other) = other else { return finding };
    let place = Place {
        process: history.keys[&other.process],
        position: other.records.len().saturating_sub(1),
    };
    finding.and(place)
}
