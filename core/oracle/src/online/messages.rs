//! B1 to B4 and TO1: every packet and message by itself, against what was said before.

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Configuration, MessageId, Process, RingId};

use crate::history::{History, MessageHistory, PacketSeen};
use crate::violation::{Axiom, Finding, Place, Verdict};

pub(crate) fn check(history: &History, place: Place, trace: &Trace) -> Verdict {
    match trace {
        Trace::Send { message, .. } => check_send(history, place, *message),
        Trace::Slot { ring, ordinal, .. } => check_slot(history, place, *ring, *ordinal),
        Trace::Ordered { message, ring, ordinal, frame } => {
            check_ordered(history, place, *message, (*ring, *ordinal, *frame))
        }
        Trace::Packet { configuration, ordinal, origin, hash, safe } => {
            let (ordinal, origin, hash, safe) = (*ordinal, *origin, *hash, *safe);
            let packet = PacketSeen { ordinal, origin, hash, safe, position: place.position };
            check_packet(history, place, *configuration, packet)
        }
        Trace::Deliver { message, configuration, ordinal, frame, .. } => {
            check_current(history, place, *configuration)?;
            check_once(history, place, *message)?;
            let at = (configuration.regular(), *ordinal, *frame);
            let known = check_sent(history, place, *message, trace)?;
            check_where(history, place, (*message, known), at)?;
            check_frame(history, place, at)
        }
        _ => Ok(()),
    }
}

fn check_send(history: &History, place: Place, message: MessageId) -> Verdict {
    let process = history.process(place);
    if message.origin != process.process {
        let sentence = format!("{} accepts a message of {}", process.process, message.origin);
        return Err(Finding::new(Axiom::B1, place, sentence));
    }
    match process.sent.last() {
        Some(last) if last.counter >= message.counter => {
            let sentence =
                format!("{} accepts #{} after #{}", process.process, message.counter, last.counter);
            Err(Finding::new(Axiom::B1, place, sentence))
        }
        _ => Ok(()),
    }
}

/// B4, first half: nobody binds an ordinal again; and only the ring that is installed is written to
/// (B3).
fn check_slot(history: &History, place: Place, ring: RingId, ordinal: u64) -> Verdict {
    check_current(history, place, Configuration::Regular(ring))?;
    let process = history.process(place).process;
    if let Some(other) = history.rings.get(&ring).and_then(|r| r.slots.get(&ordinal)) {
        let sentence = format!(
            "{process} binds ordinal {ordinal} of ring {ring}, which {} had bound",
            other.origin
        );
        return Err(Finding::new(Axiom::B4, place, sentence).and(other.place));
    }
    Ok(())
}

fn check_ordered(
    history: &History,
    place: Place,
    message: MessageId,
    (ring, ordinal, frame): (RingId, u64, u32),
) -> Verdict {
    check_current(history, place, Configuration::Regular(ring))?;
    let process = history.process(place).process;
    let Some(known) = history.messages.get(&message).filter(|m| m.sent.process == place.process)
    else {
        let sentence = format!("{process} orders #{} that it never accepted", message.counter);
        return Err(Finding::new(Axiom::B1, place, sentence));
    };
    if let Some(before) = known.ordered {
        let sentence = format!(
            "{process} orders #{} at {ordinal}.{frame} of ring {ring}, and before at {}.{} of {}",
            message.counter, before.ordinal, before.frame, before.ring
        );
        return Err(Finding::new(Axiom::B1, place, sentence).and(before.place));
    }
    let taken = history.rings.get(&ring).and_then(|r| r.messages.get(&(ordinal, frame)));
    if let Some(other) = taken {
        let sentence = format!(
            "{process} orders #{} at {ordinal}.{frame} of ring {ring}, where {}#{} is",
            message.counter, other.origin, other.counter
        );
        let theirs = history.messages.get(other).and_then(|known| known.ordered);
        let theirs = theirs.map(|ordered| ordered.place);
        return Err(Finding::new(Axiom::B4, place, sentence).and(theirs));
    }
    Ok(())
}

/// B3, TO1, and the second half of B4: what arrives under an ordinal is what was bound to it.
fn check_packet(
    history: &History,
    place: Place,
    configuration: Configuration,
    packet: PacketSeen,
) -> Verdict {
    check_current(history, place, configuration)?;
    let process = history.process(place);
    let ring = configuration.regular();
    let before = process
        .stay(ring)
        .and_then(|stay| stay.segments().filter_map(|s| s.packets.last()).map(|p| p.ordinal).max());
    if let Some(before) = before
        && before >= packet.ordinal
    {
        let sentence =
            format!("{} takes packet {} after {before}", process.process, packet.ordinal);
        return Err(Finding::new(Axiom::To1, place, sentence));
    }
    let Some(slot) = history.rings.get(&ring).and_then(|r| r.slots.get(&packet.ordinal)) else {
        let origin = history.member_on(place, packet.origin);
        let at = (ring, packet.ordinal);
        if origin.is_some_and(|origin| history.may_have_bound(origin, at)) {
            return Ok(());
        }
        let sentence = format!(
            "{} takes packet {} of ring {ring}, which nobody ordered",
            process.process, packet.ordinal
        );
        return Err(Finding::new(Axiom::B4, place, sentence));
    };
    if (slot.origin.node, slot.hash, slot.safe) != (packet.origin, packet.hash, packet.safe) {
        let sentence = format!(
            "{} takes another packet {} of ring {ring} than {} ordered",
            process.process, packet.ordinal, slot.origin
        );
        return Err(Finding::new(Axiom::B4, place, sentence).and(slot.place));
    }
    Ok(())
}

/// SA2 at the very moment: when a safe packet is taken in a regular configuration, all its members
/// have installed it already, or have ended.
pub(crate) fn check_all_have_installed(history: &History, place: Place, trace: &Trace) -> Verdict {
    let Trace::Packet { configuration: Configuration::Regular(ring), ordinal, safe: true, .. } =
        trace
    else {
        return Ok(());
    };
    let process = history.process(place);
    let members = process.current().map_or(&[][..], |segment| &segment.members);
    let has_not = |member: &&Process| {
        let other = history.find(**member);
        !other.is_some_and(|o| o.end.is_some() || o.regulars.contains_key(ring))
    };
    let Some(late) = members.iter().find(has_not) else { return Ok(()) };
    let sentence = format!(
        "{} takes the safe packet {ordinal} of ring {ring}, which its member {late} has not \
         installed yet",
        process.process
    );
    Err(Finding::new(Axiom::Sa2, place, sentence).and(history.last_place(*late)))
}

/// B3: the configuration is the current one.
pub(crate) fn check_current(
    history: &History,
    place: Place,
    configuration: Configuration,
) -> Verdict {
    let process = history.process(place);
    let current = process.current().map(|s| s.configuration);
    if current == Some(configuration) {
        return Ok(());
    }
    let current = current.map_or_else(|| "no configuration".to_owned(), |c| c.to_string());
    let sentence = format!("{} acts in {configuration} while it is in {current}", process.process);
    Err(Finding::new(Axiom::B3, place, sentence))
}

fn check_once(history: &History, place: Place, message: MessageId) -> Verdict {
    let process = history.process(place);
    if let Some((_, position)) = process.delivered.get(&message) {
        let sentence = format!(
            "{} delivers {}#{} a second time",
            process.process, message.origin, message.counter
        );
        let first = Place { process: place.process, position: *position };
        return Err(Finding::new(Axiom::B2, place, sentence).and(first));
    }
    Ok(())
}

/// B1: the message was accepted somewhere, with this content. `None`: by a process whose log lost
/// its end.
fn check_sent<'a>(
    history: &'a History,
    place: Place,
    message: MessageId,
    trace: &Trace,
) -> Result<Option<&'a MessageHistory>, Finding> {
    let process = history.process(place).process;
    let name = format_args!("{}#{}", message.origin, message.counter).to_string();
    let Some(known) = history.messages.get(&message) else {
        if history.may_have_sent(message) {
            return Ok(None);
        }
        let sentence = format!("{process} delivers {name}, which nobody sent");
        return Err(Finding::new(Axiom::B1, place, sentence));
    };
    if let Trace::Deliver { service, hash, .. } = trace
        && (*service, *hash) != (known.service, known.hash)
    {
        let sentence = format!("{process} delivers {name} with another content or service");
        return Err(Finding::new(Axiom::B1, place, sentence).and(known.sent));
    }
    Ok(Some(known))
}

/// B1: a message is delivered where it was ordered.
fn check_where(
    history: &History,
    place: Place,
    (message, known): (MessageId, Option<&MessageHistory>),
    at: (RingId, u64, u32),
) -> Verdict {
    let process = history.process(place);
    let ordered = known.and_then(|known| known.ordered);
    if ordered.is_none() && history.may_have_ordered(message.origin, at) {
        return Ok(());
    }
    let ordered = ordered.map(|o| (o.ring, o.ordinal, o.frame));
    if ordered != Some(at) {
        let there = ordered.map_or_else(
            || "nowhere".to_owned(),
            |(ring, ordinal, frame)| format!("at {ordinal}.{frame} of ring {ring}"),
        );
        let sentence = format!(
            "{} delivers a message at {}.{} of ring {}, which was ordered {there}",
            process.process, at.1, at.2, at.0
        );
        let finding = Finding::new(Axiom::B1, place, sentence);
        return Err(known.map(|known| known.sent).into_iter().fold(finding, Finding::and));
    }
    Ok(())
}

/// B1 and TO1: a message comes out of the packet that was just taken, in frame order.
fn check_frame(history: &History, place: Place, at: (RingId, u64, u32)) -> Verdict {
    let process = history.process(place);
    let segment = process.current();
    if segment.and_then(|s| s.packets.last()).map(|p| p.ordinal) != Some(at.1) {
        let sentence = format!("{} delivers out of a packet it did not take", process.process);
        return Err(Finding::new(Axiom::B1, place, sentence));
    }
    match segment.and_then(|s| s.deliveries.last()) {
        Some(last) if (last.ordinal, last.frame) >= (at.1, at.2) => {
            let sentence = format!("{} delivers frames out of order", process.process);
            Err(Finding::new(Axiom::To1, place, sentence))
        }
        _ => Ok(()),
    }
}
