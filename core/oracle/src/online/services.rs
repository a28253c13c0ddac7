//! Services: messages without order (B2, B3, G5), same-view (G7), messages to one session.

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{
    Audience, Configuration, GroupId, MemberId, MessageId, Recipients, RingId, SessionId, ViewId,
};

use super::messages::check_current;
use crate::history::{History, MessageHistory, Owed, ProcessHistory};
use crate::violation::{Axiom, Finding, Place, Verdict};

pub(crate) fn check(history: &History, place: Place, trace: &Trace) -> Verdict {
    match trace {
        Trace::Unordered { message, ring, hash, to } => {
            check_unordered(history, place, *message, (*ring, *hash, to.as_ref()))
        }
        Trace::Unicast { message, session } => check_unicast(history, place, *message, *session),
        Trace::Deliver { message, configuration, refused, .. } => {
            check_refusal(history, place, *message, (*configuration, *refused))
        }
        _ => Ok(()),
    }
}

/// B1 to B3 for a message without order: sent so, in this ring, with this content, and not taken
/// before. G5: given only to members.
fn check_unordered(
    history: &History,
    place: Place,
    id: MessageId,
    (ring, hash, to): (RingId, u64, Option<&Recipients>),
) -> Verdict {
    check_current(history, place, Configuration::Regular(ring))?;
    let process = history.process(place);
    let wrong = |axiom, what: String| {
        let sentence =
            format!("{} takes {}#{} without order, {what}", process.process, id.origin, id.counter);
        Err(Finding::new(axiom, place, sentence))
    };
    if process.unordered.contains(&id) {
        return wrong(Axiom::B2, "a second time".to_owned());
    }
    let Some(known) = history.messages.get(&id) else {
        // What a killed process said last may be lost.
        let is_gone = |origin: &ProcessHistory| origin.has_left(ring);
        let lost = history.may_have_sent(id) && !history.find(id.origin).is_some_and(is_gone);
        return if lost { Ok(()) } else { wrong(Axiom::B1, "which nobody sent".to_owned()) };
    };
    let sent = |finding: Finding| finding.and(known.sent);
    if known.service.is_ordered() || known.hash != hash {
        return wrong(Axiom::B1, "which was sent in another way".to_owned()).map_err(sent);
    }
    if known.sent_in != Some(ring) {
        return wrong(Axiom::B3, format!("in ring {ring}, where it was not sent")).map_err(sent);
    }
    match to {
        Some(Recipients::Session(session)) => check_recipient(process, place, known, *session),
        Some(to) => {
            let stranger = to.groups().find(|(group, _)| !is_given(process, known, *group));
            match stranger {
                Some((group, _)) => {
                    wrong(Axiom::G5, format!("and gives it to group {:x}", group.0)).map_err(sent)
                }
                None => Ok(()),
            }
        }
        None => Ok(()),
    }
}

/// The message is for the group, and the process has members in it.
fn is_given(process: &ProcessHistory, message: &MessageHistory, group: GroupId) -> bool {
    let present = process.groups.get(&group).is_some_and(|g| g.tenure.is_some());
    present && message.to.groups().any(|(to, _)| to == group)
}

fn check_unicast(history: &History, place: Place, id: MessageId, session: SessionId) -> Verdict {
    let process = history.process(place);
    let is_open = history.messages.get(&id).is_some_and(|message| message.is_open);
    let owed = is_open || process.owed.iter().any(|(owed, _)| *owed == Owed::Session(session));
    let last = process.current().and_then(|s| s.deliveries.last()).map(|d| d.message);
    let Some(known) = history.messages.get(&id).filter(|_| owed && last == Some(id)) else {
        let sentence = format!(
            "{} gives {}#{} to session {:x}, which is not due",
            process.process, id.origin, id.counter, session.0
        );
        return Err(Finding::new(Axiom::G3, place, sentence));
    };
    check_recipient(process, place, known, session)
}

/// G5: the one whom it is for, which is a member of this node in some group.
fn check_recipient(
    process: &ProcessHistory,
    place: Place,
    message: &MessageHistory,
    session: SessionId,
) -> Verdict {
    let me = MemberId { node: process.process.node, session };
    if (message.to == Audience::Member(me) || message.is_open) && process.has_member(session) {
        return Ok(());
    }
    let sentence = format!("{} gives {me} a message that is not for it", process.process);
    Err(Finding::new(Axiom::G5, place, sentence).and(message.sent))
}

/// G7: refused by all in a configuration or by none; delivered only where the view is the sender's,
/// and refused only where it is not.
fn check_refusal(
    history: &History,
    place: Place,
    id: MessageId,
    (configuration, refused): (Configuration, bool),
) -> Verdict {
    let process = history.process(place);
    let Some(known) = history.messages.get(&id) else { return Ok(()) };
    let wrong = |what: &str, other: Place| {
        let sentence = format!("{} {what} {}#{}", process.process, id.origin, id.counter);
        Err(Finding::new(Axiom::G7, place, sentence).and(other))
    };
    if let Some((other, there)) = history.refusals.get(&(id, configuration))
        && *other != refused
    {
        return wrong("does not treat as the others do", *there);
    }
    let view = |group: GroupId| -> Option<ViewId> {
        process.groups.get(&group).and_then(|g| g.tenure.as_ref()).map(|t| t.id)
    };
    let wanted = || known.to.groups().filter_map(|(group, wanted)| Some((group, wanted?)));
    let elsewhere = wanted().any(|(group, wanted)| view(group).is_some_and(|is| is != wanted));
    if !refused && elsewhere {
        return wrong("delivers in another view than it was sent in", known.sent);
    }
    let here = wanted().all(|(group, wanted)| view(group) == Some(wanted));
    if refused && here {
        return wrong("refuses, in the view that it was sent in,", known.sent);
    }
    Ok(())
}
