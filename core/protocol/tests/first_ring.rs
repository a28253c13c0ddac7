//! The shortest path through the whole core: nodes start, find each other, order messages, lose
//! one, go on. The network is perfect here; the simulator has the others.

use anasazi_protocol::{
    Audience, Boot, Command, Core, CoreConfig, Destination, GroupId, Incarnation, Input, Instant,
    NodeId, Output, Priority, Process, Service, SessionId,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;

const DELAY_NS: u64 = 50_000;

struct Cluster {
    now: u64,
    cores: BTreeMap<u32, Core>,
    /// (arrival, order) to datagram.
    flying: BTreeMap<(u64, u64), (u32, u32, bool, Bytes)>,
    order: u64,
    views: BTreeMap<u32, Vec<(Vec<u32>, String)>>,
    messages: BTreeMap<u32, Vec<Vec<u8>>>,
    /// Kinds of the datagrams that each node sent, in order: `d`ata, `t`oken, others.
    sent: BTreeMap<u32, String>,
}

fn address(node: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, node as u8], 7000))
}

fn session(node: u32) -> SessionId {
    SessionId(u64::from(node) << 24 | 1)
}

impl Cluster {
    fn new(nodes: u32, multicast: bool) -> Self {
        let mut cluster = Self {
            now: 0,
            cores: BTreeMap::new(),
            flying: BTreeMap::new(),
            order: 0,
            views: BTreeMap::new(),
            messages: BTreeMap::new(),
            sent: BTreeMap::new(),
        };
        for node in 1..=nodes {
            let process = Process { node: NodeId(node), incarnation: Incarnation(1) };
            let boot = Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: 1 << 40 };
            let peers = (1..=nodes).filter(|n| *n != node).map(address).collect();
            let config = CoreConfig { peers, multicast, ..CoreConfig::default() };
            cluster.cores.insert(node, Core::new(config, boot, Instant(0)));
            cluster.drain(node);
        }
        cluster
    }

    fn give(&mut self, node: u32, input: Input) {
        let now = Instant(self.now);
        if let Some(core) = self.cores.get_mut(&node) {
            core.handle(now, input);
            self.drain(node);
        }
    }

    fn drain(&mut self, node: u32) {
        let all: Vec<u32> = self.cores.keys().copied().collect();
        while let Some(output) = self.cores.get_mut(&node).and_then(Core::poll) {
            match output {
                Output::Transmit { to, bytes } => {
                    let kind = ["d", "t"].get(usize::from(bytes[1]) - 1).unwrap_or(&".");
                    self.sent.entry(node).or_default().push_str(kind);
                    for peer in &all {
                        let multicast = to == Destination::Multicast;
                        if *peer != node
                            && (multicast || to == Destination::Unicast(address(*peer)))
                        {
                            self.order += 1;
                            let at = (self.now + DELAY_NS, self.order);
                            self.flying.insert(at, (node, *peer, multicast, bytes.clone()));
                        }
                    }
                }
                Output::View(view) => {
                    let members = view.members.iter().map(|m| m.node.0).collect();
                    self.views.entry(node).or_default().push((members, view.reason));
                }
                Output::Message(message) => {
                    self.messages.entry(node).or_default().push(message.payload.concat());
                }
                _ => {}
            }
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + ms * 1_000_000;
        loop {
            let timer = self.cores.iter().filter_map(|(n, c)| Some((c.deadline()?.0, *n))).min();
            let packet = self.flying.first_key_value().map(|(k, _)| k.0);
            let next = timer.map(|t| t.0).into_iter().chain(packet).min().unwrap_or(end);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if packet == Some(next) {
                let (_, (from, to, multicast, bytes)) = self.flying.pop_first().expect("flying");
                self.give(to, Input::Datagram { from: address(from), multicast, bytes });
                self.give(to, Input::Drained);
            } else if let Some((_, node)) = timer {
                self.give(node, Input::Timeout);
            }
        }
    }

    fn send(&mut self, node: u32, safe: bool, payload: Vec<u8>) {
        let command = Command::Send {
            session: session(node),
            to: Audience::Group(GroupId::of("room"), None),
            service: if safe { Service::Safe } else { Service::Agreed },
            priority: Priority::Normal,
            no_self: false,
            tag: 0,
            payload: payload.into(),
        };
        self.give(node, Input::Command(command));
    }

    fn rings(&self) -> Vec<usize> {
        self.cores.values().map(|c| c.status().members.len()).collect()
    }
}

fn through_a_loss(multicast: bool) {
    let mut cluster = Cluster::new(3, multicast);
    cluster.run(1_000);
    assert_eq!(cluster.rings(), vec![3, 3, 3]);
    for node in 1..=3 {
        let join = Command::Join { session: session(node), name: "room".into() };
        cluster.give(node, Input::Command(join));
        cluster.run(50);
    }
    let views = &cluster.views[&1];
    assert_eq!(views.last().map(|v| v.0.clone()), Some(vec![1, 2, 3]));
    for i in 0..100u32 {
        cluster.send(1 + i % 3, i % 2 == 0, vec![i as u8; 1 + 97 * i as usize]);
    }
    cluster.run(500);
    assert_eq!(cluster.messages[&1].len(), 100);
    assert_eq!(cluster.messages[&1], cluster.messages[&2]);
    assert_eq!(cluster.messages[&1], cluster.messages[&3]);

    cluster.cores.remove(&1);
    cluster.run(2_000);
    assert_eq!(cluster.rings(), vec![2, 2]);
    let (members, reason) = cluster.views[&2].last().expect("a view");
    assert_eq!((members, reason.as_str()), (&vec![2, 3], "node 1 did not answer"));
    cluster.send(2, true, b"still here".to_vec());
    cluster.run(100);
    assert_eq!(cluster.messages[&3].last().map(Vec::as_slice), Some(&b"still here"[..]));
    for core in cluster.cores.values() {
        assert_eq!((core.stats().store_packets, core.stats().send_queue_messages), (0, 0));
    }
}

#[test]
fn three_nodes_order_messages_and_survive_the_loss_of_one() {
    through_a_loss(true);
}

#[test]
fn the_same_without_multicast() {
    through_a_loss(false);
}

/// The accelerated ring: the successor works on its own packets while the rest of a burst is on its
/// way; what overtakes what causes no repeats.
#[test]
fn a_long_burst_goes_out_around_the_token_and_a_short_one_before_it() {
    let mut cluster = Cluster::new(3, true);
    cluster.run(1_000);
    let join = Command::Join { session: session(2), name: "room".into() };
    cluster.give(2, Input::Command(join));
    cluster.run(500);
    // The first of the burst finds the token parked here, and leaves at once.
    for (messages, expected) in [(1, "dt"), (20, "ddddddddtdddddddd")] {
        cluster.sent.clear();
        for i in 0..messages {
            cluster.send(2, false, vec![i; 1_200]);
        }
        cluster.run(100);
        assert!(cluster.sent[&2].contains(expected), "{messages}: {}", cluster.sent[&2]);
        assert_eq!(cluster.messages[&2].len(), usize::from(messages));
        cluster.messages.clear();
    }
    let asked: u64 = cluster.cores.values().map(|c| c.stats().repeats_requested).sum();
    assert_eq!(asked, 0, "nothing was lost");
}
