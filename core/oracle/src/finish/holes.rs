//! TO2, TO3, REGMAX: which packets may be passed over, and where; and that a packet that was taken
//! gives up its messages.

use anasazi_protocol::{Configuration, NodeId};

use super::complete;
use crate::history::{History, PacketSeen, RingHistory, Segment, Stay};
use crate::violation::{Axiom, Finding, Place, Verdict};

pub(crate) fn check(history: &History, quiesced: bool) -> Verdict {
    for (key, process) in history.processes.iter().enumerate() {
        for ring in process.regulars.keys() {
            let (Some(stay), Some(slots)) = (process.stay(*ring), history.rings.get(ring)) else {
                continue;
            };
            check_regular(history, key, slots, stay.regular)?;
            check_given_up(history, key, slots, (stay, quiesced))?;
            if let Some(transitional) = stay.transitional {
                check_transitional(history, key, slots, (stay.regular, transitional))?;
            }
        }
    }
    Ok(())
}

/// TO2.
fn check_regular(history: &History, key: usize, ring: &RingHistory, stay: &Segment) -> Verdict {
    for (packet, (ordinal, slot)) in stay.packets.iter().zip(&ring.slots) {
        if *ordinal != packet.ordinal {
            let sentence = format!(
                "{} takes packet {} in {} and passed over {ordinal}, ordered by {}",
                history.processes[key].process, packet.ordinal, stay.configuration, slot.origin
            );
            let place = Place { process: key, position: packet.position };
            return Err(Finding::new(Axiom::To2, place, sentence).and(slot.place));
        }
    }
    Ok(())
}

/// TO2 and TO3 of messages: up to the first hole everything is there, so each message that ends in
/// a packet taken is delivered. The log may end within the last packet.
fn check_given_up(
    history: &History,
    key: usize,
    ring: &RingHistory,
    (stay, quiesced): (Stay<'_>, bool),
) -> Verdict {
    let process = &history.processes[key];
    let packets = stay.segments().flat_map(|s| s.packets.iter().map(move |p| (s, p)));
    let whole = packets.zip(&ring.slots).take_while(|((_, p), (n, _))| p.ordinal == **n);
    let mut taken: Vec<(&Segment, &PacketSeen)> = whole.map(|(packet, _)| packet).collect();
    let last = stay.segments().filter_map(|s| s.packets.last()).last().map(|p| p.ordinal);
    if !complete(stay, quiesced) && taken.last().map(|(_, p)| p.ordinal) == last {
        taken.pop();
    }
    for (segment, packet) in taken {
        let messages = ring.messages.range((packet.ordinal, 0)..=(packet.ordinal, u32::MAX));
        let Some(((_, frame), id)) =
            messages.into_iter().find(|(_, id)| !process.delivered.contains_key(id))
        else {
            continue;
        };
        let axiom = match segment.configuration {
            Configuration::Regular(_) => Axiom::To2,
            Configuration::Transitional { .. } => Axiom::To3,
        };
        let sentence = format!(
            "{} takes packet {} in {} and never delivers {}#{}, of which frame {frame} is the end",
            process.process, packet.ordinal, segment.configuration, id.origin, id.counter
        );
        let place = Place { process: key, position: packet.position };
        return Err(Finding::new(axiom, place, sentence));
    }
    Ok(())
}

/// TO3 and REGMAX.
fn check_transitional(
    history: &History,
    key: usize,
    ring: &RingHistory,
    (regular, transitional): (&Segment, &Segment),
) -> Verdict {
    let last = regular.packets.last().map_or(0, |p| p.ordinal);
    let mut slots = ring.slots.range(last + 1..);
    let mut hole: Option<u64> = None;
    for (index, packet) in transitional.packets.iter().enumerate() {
        for (ordinal, slot) in slots.by_ref() {
            if *ordinal == packet.ordinal {
                break;
            }
            hole.get_or_insert(*ordinal);
            if transitional.has(slot.origin) {
                let sentence = format!(
                    "{} passed over packet {ordinal}, although {} who ordered it is in {}",
                    history.processes[key].process, slot.origin, transitional.configuration
                );
                let place = Place { process: key, position: packet.position };
                return Err(Finding::new(Axiom::To3, place, sentence).and(slot.place));
            }
        }
        check_behind_hole(history, key, transitional, (packet, hole))?;
        let is_due = !packet.safe || packet.ordinal <= transitional.safe_line;
        if index == 0 && hole.is_none() && is_due {
            let sentence = format!(
                "{} keeps packet {} for {}, although nothing kept it from delivering it before",
                history.processes[key].process, packet.ordinal, transitional.configuration
            );
            let place = Place { process: key, position: packet.position };
            return Err(Finding::new(Axiom::RegMax, place, sentence));
        }
    }
    Ok(())
}

fn check_behind_hole(
    history: &History,
    key: usize,
    transitional: &Segment,
    (packet, hole): (&PacketSeen, Option<u64>),
) -> Verdict {
    let Some(hole) = hole else { return Ok(()) };
    if obligated(transitional, packet.origin) {
        return Ok(());
    }
    let sentence = format!(
        "{} takes packet {} of node {} behind the hole {hole} in {}, without being obligated to",
        history.processes[key].process, packet.ordinal, packet.origin, transitional.configuration
    );
    let place = Place { process: key, position: packet.position };
    Err(Finding::new(Axiom::To3, place, sentence))
}

fn obligated(transitional: &Segment, origin: NodeId) -> bool {
    debug_assert!(matches!(transitional.configuration, Configuration::Transitional { .. }));
    transitional.obligation.contains(&origin) || transitional.has_node(origin)
}
