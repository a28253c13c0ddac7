//! "Wait": what a node asks of the senders to some groups when its sessions cannot read as fast.
//! One packet that may be lost, and a wish that ends by itself: nothing of the order depends on it.

use super::Sender;
use crate::id::{GroupId, Process};
use crate::node::Node;
use crate::output::Output;
use crate::ring::Ring;
use crate::wire::Packet;

/// Asks all members of the ring, and this node itself.
pub(crate) fn send(node: &mut Node, ring: &Ring, groups: Vec<GroupId>, for_ms: u16) {
    let by = node.me.node;
    if !ring.is_alone() {
        let packet = Packet::Hold { ring: ring.id, for_ms, groups: groups.clone() };
        for bytes in node.datagrams(&packet) {
            ring.transmit(node, bytes);
        }
    }
    node.out.push(Output::Held { by, groups, for_ms });
}

/// A packet of this node's ring has come.
pub(super) fn receive(
    node: &mut Node,
    ring: &Ring,
    from: Sender,
    (for_ms, groups): (u16, Vec<GroupId>),
) {
    let header = from.header;
    let is_sender = |p: &&Process| (p.node, p.incarnation.0 as u32) == (header.node, header.boot);
    match ring.members.iter().find(is_sender) {
        Some(by) => node.out.push(Output::Held { by: by.node, groups, for_ms }),
        None => node.out.stats.dropped_stale += 1,
    }
}
