//! The first moments: is another process running with this node's id, or has one run that was
//! newer? Until that is clear, nobody is told to merge (axiom ID).

use crate::event::{Cause, Event};
use crate::id::RingId;
use crate::node::Node;
use crate::output::Output;
use crate::ring::Ring;
use crate::state::transitions::{At, Why};
use crate::state::{Operational, Sender, State};
use crate::time::Instant;
use crate::trace::Trace;
use crate::wire::{Beacon, Packet};

#[derive(Clone, Hash)]
pub(crate) struct Probation {
    until: Instant,
    beacon_at: Instant,
}

impl Probation {
    pub(crate) fn enter(node: &mut Node) -> State {
        let until = node.now + node.config.timers.probation;
        let mut probation = Self { until, beacon_at: node.now };
        probation.send_beacon(node);
        State::Probation(probation)
    }

    fn send_beacon(&mut self, node: &mut Node) {
        self.beacon_at = node.now + node.config.timers.probation / 4;
        let beacon = Beacon {
            process: node.me,
            dialect: node.dialect(),
            terms: node.terms(),
            probation: true,
            ring: RingId { sequence: 0, representative: node.me },
            members: vec![node.me],
            representative: None,
            heard: Vec::new(),
            reports: Vec::new(),
        };
        node.out.stats.beacons_sent += 1;
        let peers = node.config.peers.clone();
        node.send_everywhere(&peers, &Packet::Beacon(beacon));
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.until.min(self.beacon_at)
    }

    pub(crate) fn on_packet(self, node: &mut Node, from: Sender, packet: &Packet) -> State {
        match packet {
            Packet::Duplicate { owner, answered }
                if owner.node == node.me.node && *answered == node.me.incarnation =>
            {
                let (id, other) = (node.me.node, owner.incarnation);
                let address = from.address;
                node.out.event(Event::DuplicateNode { node: id, address, other });
                node.moved(At::Stopped, Why::IdInUse, &Cause::IdInUse);
                let fault = crate::core::in_use(id, address);
                node.out.push(Output::Stopped { fault: Some(fault) });
                State::Stopped
            }
            Packet::Outdated { newest, answered }
                if newest.node == node.me.node
                    && *answered == node.me.incarnation
                    && newest.incarnation >= node.me.incarnation =>
            {
                node.moved(At::Stopped, Why::Outdated, &Cause::Outdated);
                node.out.push(Output::Outdated { known: newest.incarnation });
                State::Stopped
            }
            _ => State::Probation(self),
        }
    }

    pub(crate) fn on_timeout(mut self, node: &mut Node) -> State {
        let sequence = node.storage.sequence_max + 1;
        node.persist_if_wanted(sequence);
        if self.until <= node.now && node.storage.may_promise(sequence) {
            return self.end(node, sequence);
        }
        if self.beacon_at <= node.now {
            self.send_beacon(node);
        }
        self.until = self.until.max(node.now + core::time::Duration::from_millis(1));
        State::Probation(self)
    }

    /// A ring of its own.
    fn end(self, node: &mut Node, sequence: u64) -> State {
        let ring = RingId { sequence, representative: node.me };
        node.storage.saw(sequence);
        node.moved(At::Operational, Why::Boot, &Cause::Boot);
        let members = vec![node.me];
        node.out.trace(|| Trace::Regular { ring, members: members.clone() });
        node.out.stats.configurations_installed += 1;
        node.out.event(Event::Installed {
            ring,
            members: members.clone(),
            cause: Cause::Boot,
            took_us: 0,
            multicast: false,
        });
        let mut ring = Ring::new(ring, members, 0, false);
        ring.speak(node.dialect());
        Operational::enter(node, ring)
    }
}
