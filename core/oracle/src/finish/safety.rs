//! SA1 and SA2: what a safe delivery promises. A partition is no excuse, a crash is.

use std::collections::HashSet;
use std::ops::Bound;

use anasazi_protocol::{Configuration, Process, RingId};

use super::complete;
use crate::history::{Delivery, History, ProcessHistory, Segment};
use crate::violation::{Axiom, Finding, Place, Verdict};

pub(crate) fn check(history: &History, quiesced: bool) -> Verdict {
    // The promise is the same for all who deliver a message in one configuration; only looked up,
    // never walked.
    let mut done = HashSet::new();
    for (key, process) in history.processes.iter().enumerate() {
        for segment in &process.segments {
            for delivery in segment.deliveries.iter().filter(|d| d.safe) {
                if done.insert((delivery.message, segment.configuration)) {
                    check_delivery(history, key, (segment, delivery), quiesced)?;
                }
            }
        }
    }
    Ok(())
}

fn check_delivery(
    history: &History,
    key: usize,
    (segment, delivery): (&Segment, &Delivery),
    quiesced: bool,
) -> Verdict {
    let ring = segment.configuration.regular();
    let place = Place { process: key, position: delivery.position };
    let me = history.processes[key].process;
    for member in segment.members.iter().filter(|m| **m != me) {
        let other = history.find(*member);
        if other.is_some_and(|o| died_before_leaving(o, ring)) {
            continue;
        }
        let Some(stay) = other.and_then(|o| o.stay(ring)) else {
            let regular = matches!(segment.configuration, Configuration::Regular(_));
            if regular || quiesced {
                let axiom = if regular { Axiom::Sa2 } else { Axiom::Sa1 };
                let sentence = sentence(me, delivery, segment, *member, "has not installed it");
                let theirs = history.last_place(*member);
                return Err(Finding::new(axiom, place, sentence).and(theirs));
            }
            continue;
        };
        let delivered = other.is_some_and(|o| o.delivered.contains_key(&delivery.message));
        if complete(stay, quiesced) && !delivered {
            let end = stay.next.map_or(stay.regular.position, |s| s.position);
            let theirs = Place { process: history.keys[member], position: end };
            let sentence = sentence(me, delivery, segment, *member, "never delivers it");
            return Err(Finding::new(Axiom::Sa1, place, sentence).and(theirs));
        }
    }
    Ok(())
}

/// The process ended without having installed anything after this ring.
fn died_before_leaving(process: &ProcessHistory, ring: RingId) -> bool {
    let later = process.regulars.range((Bound::Excluded(ring), Bound::Unbounded)).next();
    process.end.is_some() && later.is_none()
}

fn sentence(
    me: Process,
    delivery: &Delivery,
    segment: &Segment,
    who: Process,
    what: &str,
) -> String {
    format!(
        "{me} delivers the safe {}#{} in {}, but the member {who} {what}",
        delivery.message.origin, delivery.message.counter, segment.configuration
    )
}
