//! SD and VS: a process delivers its own messages; those who move together delivered the same.

use std::collections::BTreeMap;

use anasazi_protocol::RingId;

use super::complete;
use crate::history::{End, History, Segment, Stay};
use crate::violation::{Axiom, Finding, Place, Verdict};

pub(crate) fn check(history: &History, quiesced: bool) -> Verdict {
    check_self_delivery(history, quiesced)?;
    check_together(history)
}

fn check_self_delivery(history: &History, quiesced: bool) -> Verdict {
    for process in &history.processes {
        for id in &process.sent {
            let Some(ordered) = history.messages.get(id).and_then(|m| m.ordered) else { continue };
            let Some(stay) = process.stay(ordered.ring) else { continue };
            if !complete(stay, quiesced) || process.delivered.contains_key(id) {
                continue;
            }
            let sentence = format!(
                "{} never delivers its own #{}, ordered at {}.{} of ring {}",
                process.process, id.counter, ordered.ordinal, ordered.frame, ordered.ring
            );
            let finding = Finding::new(Axiom::Sd, ordered.place, sentence);
            let Some(next) = stay.next else { return Err(finding) };
            let process = ordered.place.process;
            return Err(finding.and(Place { process, position: next.position }));
        }
    }
    Ok(())
}

/// VS, stronger than the classic form: regular and transitional parts are equal each, packets and
/// messages alike.
fn check_together(history: &History) -> Verdict {
    let mut first: BTreeMap<(RingId, RingId), (usize, Stay<'_>)> = BTreeMap::new();
    for (key, process) in history.processes.iter().enumerate() {
        for ring in process.regulars.keys() {
            let Some(stay) = process.stay(*ring).filter(|s| s.end == End::Moved) else { continue };
            let Some(next) = stay.next.map(|s| s.configuration.regular()) else { continue };
            let (other, their_stay) = *first.entry((*ring, next)).or_insert((key, stay));
            compare(history, (other, their_stay.regular), (key, stay.regular))?;
            if let (Some(theirs), Some(mine)) = (their_stay.transitional, stay.transitional) {
                compare(history, (other, theirs), (key, mine))?;
            }
        }
    }
    Ok(())
}

fn compare(history: &History, a: (usize, &Segment), b: (usize, &Segment)) -> Verdict {
    let packets = (a.1.packets.iter().map(|p| (p.ordinal, p.hash, p.position))).collect::<Vec<_>>();
    let theirs = (b.1.packets.iter().map(|p| (p.ordinal, p.hash, p.position))).collect::<Vec<_>>();
    compare_streams(history, (a, &packets), (b, &theirs), "packet")?;
    let messages = stream(a.1);
    let theirs = stream(b.1);
    compare_streams(history, (a, &messages), (b, &theirs), "message")
}

type Stream = Vec<(u64, u64, usize)>;

fn stream(segment: &Segment) -> Stream {
    let deliveries = segment.deliveries.iter();
    deliveries.map(|d| (d.ordinal << 16 | u64::from(d.frame), d.hash, d.position)).collect()
}

fn compare_streams(
    history: &History,
    (a, mine): ((usize, &Segment), &Stream),
    (b, theirs): ((usize, &Segment), &Stream),
    what: &str,
) -> Verdict {
    let equal = mine.iter().zip(theirs).take_while(|(x, y)| (x.0, x.1) == (y.0, y.1)).count();
    if equal == mine.len() && equal == theirs.len() {
        return Ok(());
    }
    let at = |(key, segment): (usize, &Segment), stream: &Stream| Place {
        process: key,
        position: stream.get(equal).map_or(segment.position, |s| s.2),
    };
    let sentence = format!(
        "{} and {} move together, but differ in {} from {what} {} on ({} and {} in all)",
        history.processes[a.0].process,
        history.processes[b.0].process,
        a.1.configuration,
        equal + 1,
        mine.len(),
        theirs.len()
    );
    Err(Finding::new(Axiom::Vs, at(a, mine), sentence).and(at(b, theirs)))
}
