//! Services and audiences in a ring of three, over a network that may lose what is chosen.

use anasazi_protocol::{
    Audience, Boot, Command, Core, CoreConfig, Destination, Fate, GroupId, Incarnation, Input,
    Instant, MemberId, MessageDelivery, NodeId, Output, Priority, Process, Recipients, Service,
    SessionId, ViewId, limits,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;

const DELAY_NS: u64 = 50_000;
/// The kind of a packet without order, in its second byte.
const UNORDERED: u8 = 14;

#[derive(Default)]
struct Cluster {
    now: u64,
    cores: BTreeMap<u32, Core>,
    flying: BTreeMap<(u64, u64), (u32, u32, bool, Bytes)>,
    order: u64,
    views: BTreeMap<(u32, GroupId), ViewId>,
    messages: BTreeMap<u32, Vec<MessageDelivery>>,
    receipts: Vec<(u32, u64, Fate)>,
    /// Nodes that send nothing that arrives.
    cut: Vec<u32>,
    unordered: Vec<(u32, Bytes)>,
    /// Where it was said, by whom, and what.
    held: Vec<(u32, u32, Vec<GroupId>, u16)>,
}

fn address(node: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, node as u8], 7000))
}

fn session(node: u32) -> SessionId {
    SessionId(u64::from(node) << 24 | 1)
}

fn member(node: u32) -> MemberId {
    MemberId { node: NodeId(node), session: session(node) }
}

fn group(name: &str) -> GroupId {
    GroupId::of(name)
}

impl Cluster {
    /// Three nodes in one ring; each has a session in "all", the first two in "two" as well.
    fn new() -> Self {
        let mut cluster = Self::default();
        for node in 1..=3 {
            let process = Process { node: NodeId(node), incarnation: Incarnation(1) };
            let boot = Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: 1 << 40 };
            let peers = (1..=3).filter(|n| *n != node).map(address).collect();
            let config = CoreConfig { peers, multicast: true, ..CoreConfig::default() };
            cluster.cores.insert(node, Core::new(config, boot, Instant(0)));
            cluster.drain(node);
        }
        cluster.run(1_000);
        for (node, name) in [(1, "all"), (2, "all"), (3, "all"), (1, "two"), (2, "two")] {
            let join = Command::Join { session: session(node), name: name.into() };
            cluster.command(node, join);
            cluster.run(50);
        }
        cluster
    }

    fn command(&mut self, node: u32, command: Command) {
        self.give(node, Input::Command(command));
    }

    fn give(&mut self, node: u32, input: Input) {
        let now = Instant(self.now);
        self.cores.get_mut(&node).expect("a node").handle(now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: u32) {
        while let Some(output) = self.cores.get_mut(&node).and_then(Core::poll) {
            match output {
                Output::Transmit { to, bytes } => self.transmit(node, to, &bytes),
                Output::View(view) => _ = self.views.insert((node, view.group), view.id),
                Output::Message(message) => self.messages.entry(node).or_default().push(message),
                Output::Receipt { tag, fate, .. } => self.receipts.push((node, tag, fate)),
                Output::Held { by, groups, for_ms } => {
                    self.held.push((node, by.0, groups, for_ms));
                }
                _ => {}
            }
        }
    }

    fn transmit(&mut self, node: u32, to: Destination, bytes: &Bytes) {
        if bytes[1] == UNORDERED {
            self.unordered.push((node, bytes.clone()));
        }
        for peer in 1..=3 {
            let reaches = to == Destination::Multicast || to == Destination::Unicast(address(peer));
            if peer != node && reaches && !self.cut.contains(&node) {
                self.order += 1;
                let multicast = to == Destination::Multicast;
                let at = (self.now + DELAY_NS, self.order);
                self.flying.insert(at, (node, peer, multicast, bytes.clone()));
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

    fn send(&mut self, node: u32, to: Audience, service: Service, tag: u64, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        let (session, priority, no_self) = (session(node), Priority::Normal, false);
        let send = Command::Send { session, to, service, priority, no_self, tag, payload };
        self.command(node, send);
    }

    /// What each node got since the last time: to whom, and what.
    fn got(&mut self, node: u32) -> Vec<(Recipients, Service, Vec<u8>)> {
        let messages = self.messages.remove(&node).unwrap_or_default();
        messages.into_iter().map(|m| (m.to, m.service, m.payload.concat())).collect()
    }
}

#[test]
fn the_service_asked_for_comes_with_the_message_in_one_order() {
    let mut cluster = Cluster::new();
    let ordered = &Service::ALL[1..];
    for (tag, service) in (1..).zip(ordered) {
        cluster.send(1, Audience::Group(group("all"), None), *service, tag, &[tag as u8]);
    }
    cluster.run(100);
    let expected: Vec<_> = (1..)
        .zip(ordered)
        .map(|(n, s)| (Recipients::Group(group("all"), n), *s, vec![n as u8]))
        .collect();
    for node in 1..=3 {
        assert_eq!(cluster.got(node), expected, "{node}");
    }
    assert_eq!(cluster.receipts, []);
}

#[test]
fn several_groups_get_it_at_one_place_also_in_pieces() {
    let mut cluster = Cluster::new();
    let long = vec![7; 5_000];
    let to = Audience::Groups(vec![(group("two"), None), (group("all"), None)]);
    cluster.send(3, to.clone(), Service::Safe, 4, &long);
    let gone = Audience::Groups(vec![(group("two"), None), (group("nobody's"), None)]);
    cluster.send(3, gone, Service::Agreed, 5, b"from outside");
    cluster.run(100);
    let (all, two) = ((group("all"), 1), (group("two"), 1));
    for node in 1..=2 {
        let second = Recipients::Groups(vec![(group("two"), 2)]);
        let expected = [
            (Recipients::Groups(vec![two, all]), Service::Safe, long.clone()),
            (second, Service::Agreed, b"from outside".to_vec()),
        ];
        assert_eq!(cluster.got(node), expected);
    }
    assert_eq!(cluster.got(3), [(Recipients::Groups(vec![all]), Service::Safe, long)]);
    assert_eq!(cluster.receipts, [(3, 5, Fate::Done)]);
}

#[test]
fn one_session_gets_it_and_its_sender_hears_what_became_of_it() {
    let mut cluster = Cluster::new();
    let stranger = MemberId { node: NodeId(2), session: SessionId(99) };
    for (service, first) in [(Service::Agreed, 10), (Service::Unreliable, 20)] {
        cluster.send(1, Audience::Member(member(2)), service, first, b"to 2");
        cluster.send(1, Audience::Member(member(1)), service, first + 1, b"to myself");
        cluster.send(1, Audience::Member(stranger), service, first + 2, b"to nobody");
        cluster.run(100);
        let to = Recipients::Session(session(2));
        assert_eq!(cluster.got(2), [(to, service, b"to 2".to_vec())]);
        let to = Recipients::Session(session(1));
        assert_eq!(cluster.got(1), [(to, service, b"to myself".to_vec())]);
        assert_eq!(cluster.got(3), []);
        let expected = [(1, first, Fate::Done), (1, first + 2, Fate::NotMember)];
        assert_eq!(std::mem::take(&mut cluster.receipts), expected);
    }
}

#[test]
fn same_view_is_refused_by_all_alike_once_the_view_has_changed() {
    let mut cluster = Cluster::new();
    let views = [1, 2].map(|node| cluster.views[&(node, group("two"))]);
    assert_eq!(views[0], views[1]);
    let to = Audience::Group(group("two"), Some(views[0]));
    cluster.send(1, to.clone(), Service::Agreed, 1, b"in time");
    // Both are on their way at once; the leave is ordered first or the message is.
    cluster.command(2, Command::Leave { session: session(2), group: group("two") });
    cluster.run(100);
    cluster.got(1);
    cluster.got(2);
    cluster.receipts.clear();
    let refused = [1, 2, 3].map(|node| cluster.cores[&node].stats().messages_refused);
    assert!(refused.iter().all(|count| *count == refused[0]), "all alike: {refused:?}");
    let several = vec![(group("all"), None), (group("two"), Some(views[0]))];
    cluster.send(1, to, Service::Safe, 2, &[1; 4_000]);
    cluster.send(1, Audience::Groups(several), Service::Agreed, 3, b"one is not");
    cluster.send(1, Audience::Group(group("all"), None), Service::Agreed, 4, b"counts on");
    cluster.run(100);
    for node in 1..=3 {
        let to = Recipients::Group(group("all"), 1);
        let expected = (to, Service::Agreed, b"counts on".to_vec());
        assert_eq!(cluster.got(node), [expected], "refused ones count nowhere");
        assert_eq!(cluster.cores[&node].stats().messages_refused, refused[0] + 2);
    }
    assert_eq!(cluster.receipts, [(1, 2, Fate::OtherView), (1, 3, Fate::OtherView)]);
}

#[test]
fn without_order_means_at_once_at_most_once_and_only_to_members() {
    let mut cluster = Cluster::new();
    cluster.send(1, Audience::Group(group("two"), None), Service::Unreliable, 9, b"now");
    let expected = (Recipients::Group(group("two"), 0), Service::Unreliable, b"now".to_vec());
    assert_eq!(cluster.got(1), std::slice::from_ref(&expected), "before any token");
    cluster.run(1);
    assert_eq!(cluster.got(2), [expected]);
    assert_eq!(cluster.got(3), []);
    // Again, from the network; and from outside of the ring.
    let (_, copy) = cluster.unordered[0].clone();
    let dropped = cluster.cores[&2].stats().unordered_dropped;
    for _ in 0..3 {
        let bytes = copy.clone();
        cluster.give(2, Input::Datagram { from: address(1), multicast: true, bytes });
    }
    assert_eq!(cluster.got(2), []);
    assert_eq!(cluster.cores[&2].stats().unordered_dropped, dropped + 3);
    assert_eq!(cluster.receipts, []);
}

#[test]
fn without_order_what_is_too_long_or_too_much_is_refused() {
    let mut cluster = Cluster::new();
    let to = || Audience::Group(group("all"), None);
    let longest = vec![1; limits::UNORDERED_LEN_MAX];
    cluster.send(1, to(), Service::Unreliable, 1, &longest);
    cluster.send(1, to(), Service::Unreliable, 2, &vec![1; limits::UNORDERED_LEN_MAX + 1]);
    assert_eq!(cluster.receipts, [(1, 2, Fate::TooLong)]);
    cluster.run(10);
    assert_eq!(cluster.got(2).len(), 1);
    cluster.receipts.clear();
    let sent = u64::from(limits::UNORDERED_PER_MS_MAX);
    for tag in 1..=sent + 1 {
        assert_eq!(cluster.cores[&1].accepts_sends(), tag <= sent, "{tag}");
        cluster.send(1, to(), Service::Unreliable, tag, b"x");
    }
    assert_eq!(cluster.receipts, [(1, sent + 1, Fate::NotSent)]);
    cluster.run(2);
    assert!(cluster.cores[&1].accepts_sends(), "the next millisecond has room");
    assert_eq!(cluster.got(3).len() as u64, sent + 1);
}

#[test]
fn without_order_nothing_crosses_a_change_of_rings() {
    let mut cluster = Cluster::new();
    cluster.send(1, Audience::Group(group("all"), None), Service::Unreliable, 1, b"old");
    let (_, old) = cluster.unordered[0].clone();
    cluster.run(10);
    cluster.messages.clear();
    cluster.cut.push(3);
    let is_two = |c: &Core| c.status().members.len() == 2 && c.status().state == "operational";
    let mut tag = 10;
    while !(is_two(&cluster.cores[&1]) && is_two(&cluster.cores[&2])) {
        assert!(tag < 10_000, "no ring of two");
        if cluster.cores[&1].status().state != "operational" {
            cluster.send(1, Audience::Group(group("all"), None), Service::Unreliable, tag, b"?");
            assert_eq!(cluster.receipts.pop(), Some((1, tag, Fate::NotSent)));
            tag += 1;
        }
        cluster.run(1);
    }
    assert!(tag > 10, "it was seen between the rings");
    assert_eq!(cluster.got(2), []);
    cluster.give(2, Input::Datagram { from: address(1), multicast: true, bytes: old });
    assert_eq!(cluster.got(2), [], "a packet of the ring before");
    cluster.send(1, Audience::Group(group("all"), None), Service::Unreliable, 2, b"new");
    cluster.run(1);
    assert_eq!(cluster.got(2).len(), 1);
}

#[test]
fn a_wish_that_senders_wait_reaches_the_ring_and_no_further() {
    let mut cluster = Cluster::new();
    let groups = || vec![group("all"), group("two")];
    cluster.command(2, Command::Hold { groups: groups(), for_ms: 250 });
    cluster.run(5);
    cluster.held.sort();
    let said: Vec<_> = (1..=3).map(|node| (node, 2, groups(), 250)).collect();
    assert_eq!(std::mem::take(&mut cluster.held), said);
    // Nobody asks it of itself, and a ring that is gone is not asked.
    cluster.cut.push(2);
    cluster.command(2, Command::Hold { groups: groups(), for_ms: 0 });
    cluster.run(5);
    assert_eq!(std::mem::take(&mut cluster.held), [(2, 2, groups(), 0)]);
    cluster.run(2_000);
    assert_eq!(cluster.cores[&2].status().members.len(), 1);
    cluster.cut.clear();
    cluster.command(2, Command::Hold { groups: groups(), for_ms: 250 });
    cluster.run(1);
    assert!(cluster.held.iter().all(|(node, ..)| *node == 2), "{:?}", cluster.held);
}

/// Its host gives it no more commands by then; should one come all the same, it may be what makes
/// the node see that its time is over. (Change of state: left from operational on command.)
#[test]
fn a_command_after_the_time_to_leave_ends_the_node() {
    let mut cluster = Cluster::new();
    cluster.give(3, Input::Shutdown);
    cluster.now += 3_000_000_000;
    let hold = Command::Leave { session: session(3), group: group("all") };
    cluster.command(3, hold);
    assert_eq!(cluster.cores[&3].status().state, "stopped");
}
