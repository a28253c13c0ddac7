//! Cores on a perfect network of no length: the ordering step, from a message that is accepted to
//! its delivery at all nodes.

use std::collections::VecDeque;
use std::net::SocketAddr;

use anasazi_protocol::{
    Audience, Boot, Command, Core, CoreConfig, Destination, GroupId, Incarnation, Input, Instant,
    NodeId, Output, Priority, Process, Service, SessionId, wire_kind,
};
use bytes::Bytes;

/// Some nodes, each with a session in one group.
pub struct Cluster {
    now_ns: u64,
    nodes: Vec<Node>,
}

struct Node {
    core: Core,
    /// Whose, whether to all, and what.
    arrived: VecDeque<(usize, bool, Bytes)>,
    delivered: u64,
    accepted: u64,
}

const GROUP: &str = "room";

impl Cluster {
    /// One ring, in which all are members.
    ///
    /// # Panics
    /// If they do not come together.
    pub fn new(nodes: usize) -> Self {
        let node = |index: usize| {
            let process = Process { node: NodeId(index as u32 + 1), incarnation: Incarnation(1) };
            let boot = Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: 1 << 40 };
            let core = Core::new(CoreConfig::default(), boot, Instant(0));
            Node { core, arrived: VecDeque::new(), delivered: 0, accepted: 0 }
        };
        let mut cluster = Self { now_ns: 0, nodes: (0..nodes).map(node).collect() };
        cluster.run_until(|all| all.iter().all(|n| n.core.status().members.len() == nodes));
        for index in 0..nodes {
            let join = Command::Join { session: session(index), name: GROUP.into() };
            cluster.give(index, Input::Command(join));
        }
        cluster.run_until(|all| all.iter().all(|n| n.core.group_count() == 1));
        // Until larger datagrams are found to go through, or not.
        for _ in 0..200 {
            cluster.turn();
            cluster.pass_time();
        }
        cluster
    }

    /// Every node sends so many messages of `len` bytes, as fast as they are accepted, and all are
    /// delivered everywhere.
    ///
    /// # Panics
    /// If one is missing.
    #[inline(never)] // it has to be found by its name
    pub fn order(&mut self, each: u64, len: usize, safe: bool) {
        let payload = Bytes::from(vec![0x5A; len]);
        let service = if safe { Service::Safe } else { Service::Agreed };
        let count = self.nodes.len() as u64;
        for node in &mut self.nodes {
            (node.accepted, node.delivered) = (0, 0);
        }
        let mut idle = 0;
        while self.nodes.iter().any(|node| node.delivered < each * count) {
            for index in 0..self.nodes.len() {
                while self.nodes[index].accepted < each && self.nodes[index].core.accepts_sends() {
                    self.nodes[index].accepted += 1;
                    self.send(index, service, payload.clone());
                }
            }
            if self.turn() {
                idle = 0;
            } else {
                idle += 1;
                self.pass_time();
            }
            assert!(idle < 10_000, "it does not go on");
        }
        assert!(self.nodes.iter().all(|node| node.delivered == each * count));
    }

    /// A datagram of that kind, of those that it takes to order a message.
    ///
    /// # Panics
    /// If there is none.
    pub fn overhear(&mut self, kind: &str, message_len: usize) -> Bytes {
        let is_it = |bytes: &&Bytes| wire_kind(bytes) == Some(kind);
        let find = |nodes: &[Node]| {
            let mut under_way = nodes.iter().flat_map(|node| &node.arrived);
            under_way.find_map(|(_, _, bytes)| Some(bytes).filter(is_it).cloned())
        };
        // What the last one sends is under way when all have had their turn.
        let last = self.nodes.len() - 1;
        self.send(last, Service::Agreed, vec![0x5A; message_len].into());
        self.run_until(|nodes| find(nodes).is_some());
        find(&self.nodes).expect("it has just been there")
    }

    fn send(&mut self, index: usize, service: Service, payload: Bytes) {
        let command = Command::Send {
            session: session(index),
            to: Audience::Group(GroupId::of(GROUP), None),
            service,
            priority: Priority::Normal,
            no_self: false,
            tag: 0,
            payload,
        };
        self.give(index, Input::Command(command));
    }

    fn run_until(&mut self, is_so: impl Fn(&[Node]) -> bool) {
        for _ in 0..1_000_000 {
            if is_so(&self.nodes) {
                return;
            }
            if !self.turn() {
                self.pass_time();
            }
        }
        panic!("they do not come together");
    }

    /// Gives every node what has arrived there; false if nothing has.
    fn turn(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.nodes.len() {
            let arrived = std::mem::take(&mut self.nodes[index].arrived);
            if arrived.is_empty() {
                continue;
            }
            any = true;
            self.now_ns += 1_000;
            for (from, multicast, bytes) in arrived {
                let from = address(from);
                self.give(index, Input::Datagram { from, multicast, bytes });
            }
            self.give(index, Input::Drained);
        }
        any
    }

    /// Until somebody has something to do.
    fn pass_time(&mut self) {
        let deadlines = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(at, node)| Some((node.core.deadline()?.0, at)));
        if let Some((deadline, index)) = deadlines.min() {
            self.now_ns = self.now_ns.max(deadline);
            self.give(index, Input::Timeout);
        }
    }

    fn give(&mut self, index: usize, input: Input) {
        self.nodes[index].core.handle(Instant(self.now_ns), input);
        while let Some(output) = self.nodes[index].core.poll() {
            match output {
                Output::Transmit { to, bytes } => self.transmit(index, to, &bytes),
                Output::Message(_) => self.nodes[index].delivered += 1,
                _ => {}
            }
        }
    }

    fn transmit(&mut self, from: usize, to: Destination, bytes: &Bytes) {
        for (index, node) in self.nodes.iter_mut().enumerate().filter(|(at, _)| *at != from) {
            let (multicast, here) = match to {
                Destination::Multicast => (true, true),
                Destination::Unicast(it) => (false, it == address(index)),
                // The path takes no more than it must.
                Destination::Probe(_) => (false, false),
            };
            if here {
                node.arrived.push_back((from, multicast, bytes.clone()));
            }
        }
    }
}

fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, index as u8 + 1], 7000))
}

fn session(index: usize) -> SessionId {
    SessionId((index as u64 + 1) << 24 | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_delivered_everywhere() {
        let mut cluster = Cluster::new(3);
        cluster.order(100, 64, false);
        cluster.order(10, 100_000, true);
        assert!(cluster.nodes.iter().all(|node| node.delivered == 30));
    }

    #[test]
    fn what_is_under_way_is_overheard() {
        let mut cluster = Cluster::new(3);
        for kind in ["data", "token"] {
            assert_eq!(wire_kind(&cluster.overhear(kind, 1_300)), Some(kind));
        }
    }
}
