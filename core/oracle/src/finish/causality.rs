//! CA: no message is delivered without what its sender knew when it sent it.
//!
//! Within one ring the past of a message is small to say: the prefix of the ring that its sender
//! had delivered (a regular configuration has no holes), and the session's own earlier messages of
//! the same or a higher priority. So no vector clocks are needed.

use std::collections::BTreeMap;

use anasazi_protocol::{MessageId, Priority, Process, RingId, SessionId};

use crate::history::{History, RingHistory, Stay};
use crate::violation::{Axiom, Finding, Place, Verdict};

pub(crate) fn check(history: &History) -> Verdict {
    for (ring, messages) in &history.rings {
        check_order(history, *ring, messages)?;
        for (key, process) in history.processes.iter().enumerate() {
            if let Some(stay) = process.stay(*ring) {
                check_stay(history, key, messages, stay)?;
            }
        }
    }
    Ok(())
}

/// The order of a ring respects what senders knew: earlier messages of the session, and what had
/// been delivered.
fn check_order(history: &History, ring: RingId, messages: &RingHistory) -> Verdict {
    let mut last: BTreeMap<(Process, SessionId), Last> = BTreeMap::new();
    for ((ordinal, frame), id) in &messages.messages {
        let Some((message, ordered)) =
            history.messages.get(id).and_then(|m| m.ordered.map(|o| (m, o)))
        else {
            continue;
        };
        if message.inferred {
            continue;
        }
        let last = last.entry((id.origin, message.session)).or_default();
        if let Some(before) = last.passed_by(id.counter, message.priority) {
            let sentence = format!(
                "{} orders #{before} of session {:x} before the session's earlier #{}",
                id.origin, message.session.0, id.counter
            );
            let other = MessageId { origin: id.origin, counter: before };
            let theirs = history.messages.get(&other).map(|other| other.sent);
            return Err(Finding::new(Axiom::Ca, ordered.place, sentence).and(theirs));
        }
        if message.known.is_some_and(|(r, o, f)| r == ring && (o, f) >= (*ordinal, *frame)) {
            let sentence = format!(
                "{}#{} is ordered at {ordinal}.{frame} of ring {ring}, \
                 before what its sender had delivered",
                id.origin, id.counter
            );
            return Err(Finding::new(Axiom::Ca, ordered.place, sentence).and(message.sent));
        }
    }
    Ok(())
}

/// By priority, counters of the last of a session's messages in the order, and of what is none.
#[derive(Default)]
struct Last(BTreeMap<Option<Priority>, u64>);

impl Last {
    /// Takes in the next one. An earlier one in the order that should come behind it, if there is
    /// one: not of a higher priority, or one of the two is no message.
    fn passed_by(&mut self, counter: u64, priority: Option<Priority>) -> Option<u64> {
        let related =
            |other: &Option<Priority>| priority.is_none() || other.is_none() || *other >= priority;
        let mut passed = self.0.iter().filter(|(other, last)| related(other) && **last > counter);
        let found = passed.next().map(|(_, last)| *last);
        let last = self.0.entry(priority).or_default();
        *last = counter.max(*last);
        found
    }
}

/// What one process delivered in the ring contains the past of each of its messages.
fn check_stay(history: &History, key: usize, ring: &RingHistory, stay: Stay<'_>) -> Verdict {
    let process = &history.processes[key];
    let mut missing: Option<(u64, u32)> = None;
    let mut missing_of: BTreeMap<(Process, SessionId), MessageId> = BTreeMap::new();
    let end = stay.segments().filter_map(|s| s.deliveries.last()).map(|d| (d.ordinal, d.frame));
    let Some(end) = end.max() else { return Ok(()) };
    for (at, id) in ring.messages.range(..=end) {
        let Some(message) = history.messages.get(id).filter(|m| !m.inferred) else { continue };
        let Some((_, position)) = process.delivered.get(id) else {
            missing.get_or_insert(*at);
            missing_of.entry((id.origin, message.session)).or_insert(*id);
            continue;
        };
        let place = Place { process: key, position: *position };
        if let Some(earlier) = missing_of.get(&(id.origin, message.session)) {
            let sentence = format!(
                "{} delivers {}#{} without #{} of the same session",
                process.process, id.origin, id.counter, earlier.counter
            );
            return Err(Finding::new(Axiom::Ca, place, sentence).and(message.sent));
        }
        let Some(missing) = missing else { continue };
        let known = message.known.filter(|(r, ..)| *r == stay_ring(stay));
        if known.is_some_and(|(_, ordinal, frame)| (ordinal, frame) >= missing) {
            let sentence = format!(
                "{} delivers {}#{} without the message at {}.{}, which its sender had delivered",
                process.process, id.origin, id.counter, missing.0, missing.1
            );
            return Err(Finding::new(Axiom::Ca, place, sentence).and(message.sent));
        }
    }
    Ok(())
}

fn stay_ring(stay: Stay<'_>) -> RingId {
    stay.regular.configuration.regular()
}
