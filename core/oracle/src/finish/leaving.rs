//! LV: who leaves in order leaves nothing behind.

use anasazi_protocol::limits::LEAVE_WITHIN;
use anasazi_protocol::record::Entry;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{MessageId, RingId};

use super::{complete, died};
use crate::history::{History, ProcessHistory};
use crate::violation::{Axiom, Finding, Place, Verdict};

pub(crate) fn check(history: &History, quiesced: bool) -> Verdict {
    for (key, process) in history.processes.iter().enumerate() {
        if !left_in_time(process) {
            continue;
        }
        for id in &process.sent {
            let Some(message) = history.messages.get(id).filter(|m| m.service.is_ordered()) else {
                continue;
            };
            let place = Place { process: key, position: message.sent.position };
            let Some(ordered) = message.ordered else {
                let sentence =
                    format!("{} leaves before its #{} is ordered", process.process, id.counter);
                return Err(Finding::new(Axiom::Lv, place, sentence));
            };
            check_delivered(history, (process, place), *id, (ordered.ring, quiesced))?;
        }
    }
    Ok(())
}

/// By itself; and what is of its last ring by all who are in that one, and do not end before they
/// can have delivered it. Of earlier rings the rest is SD and VS.
fn check_delivered(
    history: &History,
    (process, place): (&ProcessHistory, Place),
    id: MessageId,
    (ring, quiesced): (RingId, bool),
) -> Verdict {
    let wrong = |who| {
        let (me, counter) = (process.process, id.counter);
        let sentence = format!("{me} leaves, and {who} never delivers its #{counter}");
        Err(Finding::new(Axiom::Lv, place, sentence))
    };
    if !process.delivered.contains_key(&id) {
        return wrong(process.process);
    }
    let Some(last) = process.current().filter(|s| s.configuration.regular() == ring) else {
        return Ok(());
    };
    for member in &last.members {
        let Some(other) = history.find(*member) else { continue };
        let is_due = match other.stay(ring) {
            Some(stay) => complete(stay, quiesced),
            None => quiesced && !died(Some(other)),
        };
        if is_due && !other.delivered.contains_key(&id) {
            return wrong(*member);
        }
    }
    Ok(())
}

/// It was in a ring, was asked to leave, and had not to give up waiting.
fn left_in_time(process: &ProcessHistory) -> bool {
    let end = process.end.map(|end| &process.records[end].entry);
    let Some(Entry::Trace(Trace::Stopped { waited_ms: Some(waited) })) = end else { return false };
    process.current().is_some() && u128::from(*waited) < LEAVE_WITHIN.as_millis()
}
