//! From ordered packets to outputs.

use bytes::Bytes;

use crate::contract::Keeper;
use crate::group::{GroupOutput, Place, Whole};
use crate::id::{Configuration, MemberId, MessageId, Process, content_hash};
use crate::node::{Node, Outbox, Tags};
use crate::output::{self, Fate, MessageDelivery, Output, Recipients, ViewKind};
use crate::ring::{Held, Ring};
use crate::time::Instant;
use crate::trace::Trace;

/// Hands on what an operational ring has ready.
pub(super) fn deliver_ready(node: &mut Node, ring: &mut Ring) {
    while let Some((ordinal, held)) = ring.next_deliverable() {
        let configuration = Configuration::Regular(ring.id);
        deliver(node, &ring.members, (configuration, 0), ordinal, held);
        ring.delivered = ordinal;
    }
    ring.collect(node);
}

/// Hands on one packet, in a configuration, as part of a component: with what its sender knew
/// before it, since that has a lower ordinal (axiom CA), and with what was sent (B1).
pub(super) fn deliver(
    node: &mut Node,
    members: &[Process],
    place: (Configuration, usize),
    ordinal: u64,
    held: &Held,
) {
    let (configuration, component) = place;
    let Some(origin) = members.iter().find(|p| p.node == held.origin).copied() else { return };
    if held.recovery {
        return;
    }
    node.out.trace(|| Trace::Packet {
        configuration,
        ordinal,
        origin: held.origin,
        hash: content_hash(&held.content),
        safe: held.safe,
    });
    let place = Place { configuration, ordinal, origin, frame: 0, component };
    let Node { me, groups, out, tags, contract, now, .. } = node;
    let malformed = groups.packet(place, &held.content, |place, whole, changes| {
        emit_message(*me, (&mut *out, &mut *tags), place, whole);
        if !changes.is_empty() {
            emit(*me, (&mut *out, contract.as_deref_mut(), *now), changes);
        }
    });
    out.stats.dropped_malformed += malformed;
}

/// Turns the group layer's words into outputs.
pub(super) fn emit(
    me: Process,
    (out, mut contract, now): (&mut Outbox, Option<&mut Keeper>, Instant),
    changes: Vec<GroupOutput>,
) {
    for change in changes {
        match change {
            GroupOutput::View(view) => {
                out.stats.views_delivered += 1;
                let local = |list: &[MemberId]| {
                    list.iter().filter(|m| m.node == me.node).map(|m| m.session).collect()
                };
                out.trace(|| Trace::GroupView {
                    group: view.group,
                    id: view.id,
                    transitional: view.kind == ViewKind::Transitional,
                    cause: view.cause,
                    members: view.members.to_vec(),
                    sets: view.sets.to_vec(),
                    together: view.together.clone(),
                    local: local(&view.members),
                    local_left: local(&view.left),
                });
                out.push(Output::View(Box::new(view)));
            }
            GroupOutput::Refused { session, group, reason } => {
                out.push(Output::JoinRefused { session, group, reason });
            }
            GroupOutput::Notice { by, content } => out.push(Output::Notice { by, content }),
            GroupOutput::Statement { by, statement } => {
                let keeper = contract.as_deref_mut();
                if let Some(demotion) = keeper.and_then(|k| k.heard(by, &statement, now)) {
                    out.event(demotion);
                }
            }
        }
    }
}

fn emit_message(me: Process, (out, tags): (&mut Outbox, &mut Tags), place: &Place, whole: Whole) {
    out.stats.messages_delivered += 1;
    let message = MessageId { origin: place.origin, counter: whole.counter };
    out.trace(|| Trace::Deliver {
        message,
        configuration: place.configuration,
        ordinal: place.ordinal,
        frame: place.frame,
        service: whole.service,
        hash: hash(&whole.payload),
        refused: matches!(whole.receipt, Some((_, Fate::OtherView))),
    });
    let Whole { sender, service, no_self, payload, to, receipt, .. } = whole;
    let tag = if message.origin == me { tags.take(message.counter) } else { 0 };
    if let Some((to, fate)) = receipt {
        out.stats.messages_refused += u64::from(fate == Fate::OtherView);
        if tag != 0 {
            out.push(Output::Receipt { session: sender.session, to, tag, fate });
        }
    }
    let Some(to) = to else { return };
    if out.is_tracing() {
        trace_recipients(out, message, (sender, &to), &payload);
    }
    let place = out.places.then(|| {
        let (ring, ordinal, frame) = (place.configuration.regular(), place.ordinal, place.frame);
        Box::new(output::Place { ring, ordinal, frame })
    });
    out.push(Output::Message(MessageDelivery {
        to,
        sender,
        service,
        no_self,
        tag,
        place,
        payload,
    }));
}

fn trace_recipients(
    out: &mut Outbox,
    message: MessageId,
    (sender, to): (MemberId, &Recipients),
    payload: &[Bytes],
) {
    for (group, sequence) in to.groups() {
        out.trace(|| Trace::GroupMessage { group, sender, sequence, hash: hash(payload) });
    }
    if let Recipients::Session(session) = *to {
        out.trace(|| Trace::Unicast { message, session });
    }
}

fn hash(payload: &[Bytes]) -> u64 {
    match payload {
        [whole] => content_hash(whole),
        pieces => content_hash(&pieces.concat()),
    }
}
