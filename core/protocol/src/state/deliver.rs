//! From ordered packets to outputs.

use crate::group::{GroupOutput, Place};
use crate::id::{Configuration, Process, content_hash};
use crate::node::Node;
use crate::output::{Fate, Output, Recipients, ViewKind};
use crate::ring::{Held, Ring};
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
    let mut outputs = Vec::new();
    let malformed = node.groups.packet(place, &held.content, &mut outputs);
    node.out.stats.dropped_malformed += malformed;
    emit(node, place, outputs);
}

/// Turns the group layer's words into outputs.
pub(super) fn emit(node: &mut Node, place: Place, outputs: Vec<GroupOutput>) {
    for output in outputs {
        match output {
            message @ GroupOutput::Message { .. } => emit_message(node, place, message),
            GroupOutput::View(view) => {
                node.out.stats.views_delivered += 1;
                let me = node.me.node;
                let local = |list: &[crate::MemberId]| {
                    list.iter().filter(|m| m.node == me).map(|m| m.session).collect()
                };
                node.out.trace(|| Trace::GroupView {
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
                node.out.push(Output::View(view));
            }
            GroupOutput::Refused { session, group, reason } => {
                node.out.push(Output::JoinRefused { session, group, reason });
            }
        }
    }
}

fn emit_message(node: &mut Node, place: Place, output: GroupOutput) {
    let GroupOutput::Message { message, frame, service, payload, delivery, receipt } = output
    else {
        return;
    };
    let hash = || match &payload[..] {
        [whole] => content_hash(whole),
        pieces => content_hash(&pieces.concat()),
    };
    let refused = matches!(receipt, Some((.., Fate::OtherView)));
    node.out.stats.messages_delivered += 1;
    node.out.stats.messages_refused += u64::from(refused);
    node.out.trace(|| Trace::Deliver {
        message,
        configuration: place.configuration,
        ordinal: place.ordinal,
        frame,
        service,
        hash: hash(),
        refused,
    });
    let own = message.origin == node.me;
    let tag = if own { node.take_tag(message.counter) } else { 0 };
    if let (Some((session, to, fate)), true) = (receipt, tag != 0) {
        node.out.push(Output::Receipt { session, to, tag, fate });
    }
    let Some(mut delivery) = delivery else { return };
    let sender = delivery.sender;
    for (group, sequence) in delivery.to.groups() {
        node.out.trace(|| Trace::GroupMessage { group, sender, sequence, hash: hash() });
    }
    if let Recipients::Session(session) = delivery.to {
        node.out.trace(|| Trace::Unicast { message, session });
    }
    (delivery.tag, delivery.payload) = (tag, payload);
    node.out.push(Output::Message(delivery));
}
