use super::*;
use crate::memory::{Memory, MemoryNetwork};

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn three() -> (Faulty<Memory>, Memory, Memory) {
    let network = MemoryNetwork::new();
    let attach = |port| network.attach(address(port), true).unwrap();
    (Faulty::new(attach(1), 42), attach(2), attach(3))
}

fn x(target: Target) -> (Target, Bytes) {
    (target, Bytes::from_static(b"x"))
}

fn senders(transport: &mut dyn Transport) -> Vec<u16> {
    let mut out = Vec::new();
    transport.receive(usize::MAX, &mut out);
    out.iter().map(|received| received.from.port()).collect()
}

#[test]
fn without_rules_nothing_changes() {
    let (mut faulty, mut b, mut c) = three();
    b.send(&[x(Target::Multicast)]);
    c.send(&[x(Target::Unicast(address(1)))]);
    assert_eq!(senders(&mut faulty), [2, 3]);
    faulty.send(&[x(Target::Multicast), x(Target::Unicast(address(2)))]);
    assert_eq!(senders(&mut b), [1, 1]);
    assert_eq!(senders(&mut c), [2, 1]);
    assert_eq!(faulty.counters().faults_dropped, 0);
}

#[test]
fn isolation_leaves_only_the_peers_that_exist_until_it_is_healed() {
    let (mut faulty, mut b, mut c) = three();
    faulty.isolate(Some([address(2)].into()));
    b.send(&[x(Target::Unicast(address(1)))]);
    c.send(&[x(Target::Multicast), x(Target::Unicast(address(1)))]);
    assert_eq!(senders(&mut faulty), [2]);
    assert_eq!(senders(&mut b), [3]);
    faulty.send(&[x(Target::Unicast(address(3))), x(Target::Unicast(address(2)))]);
    assert_eq!(senders(&mut b), [1]);
    assert_eq!(senders(&mut c), []);
    assert_eq!(faulty.counters().faults_dropped, 3);
    faulty.isolate(None);
    c.send(&[x(Target::Multicast)]);
    faulty.send(&[x(Target::Unicast(address(3)))]);
    assert_eq!(senders(&mut faulty), [3]);
    assert_eq!(senders(&mut c), [1]);
    assert_eq!(faulty.counters().faults_dropped, 3);
}

#[test]
fn what_is_in_the_list_before_is_not_touched() {
    let (mut faulty, mut b, _c) = three();
    faulty.isolate(Some([].into()));
    b.send(&[x(Target::Multicast)]);
    let own = Received { from: address(9), multicast: false, bytes: Bytes::new() };
    let mut out = vec![own.clone()];
    assert!(faulty.receive(10, &mut out));
    assert_eq!(out, [own]);
    let mut unreachable = vec![address(9)];
    faulty.send(&[x(Target::Unicast(address(7)))]);
    faulty.unreachable(&mut unreachable);
    assert_eq!(unreachable, [address(9)]);
}

#[test]
fn an_isolated_peer_is_not_reported_as_unreachable() {
    let (mut faulty, _b, _c) = three();
    faulty.send(&[x(Target::Unicast(address(7))), x(Target::Unicast(address(8)))]);
    faulty.isolate(Some([address(7)].into()));
    let mut unreachable = Vec::new();
    faulty.unreachable(&mut unreachable);
    assert_eq!(unreachable, [address(7)]);
}

#[test]
fn loss_has_its_rate_and_repeats_with_its_seed() {
    let run = |seed, permille| {
        let network = MemoryNetwork::new();
        let mut faulty = Faulty::new(network.attach(address(1), true).unwrap(), seed);
        let mut b = network.attach(address(2), true).unwrap();
        faulty.loss_permille(permille);
        let numbered = |n: u32| (Target::Multicast, Bytes::copy_from_slice(&n.to_le_bytes()));
        b.send(&(0..10_000).map(numbered).collect::<Vec<_>>());
        let mut out = Vec::new();
        faulty.receive(usize::MAX, &mut out);
        assert_eq!(faulty.counters().faults_dropped, 10_000 - out.len() as u64);
        out
    };
    assert_eq!(run(1, 0).len(), 10_000);
    assert_eq!(run(1, 1_000).len(), 0);
    assert_eq!(run(1, u16::MAX).len(), 0);
    let kept = run(1, 100);
    assert!((8_800..9_200).contains(&kept.len()), "{} of 10000 kept at 100 permille", kept.len());
    assert_eq!(run(1, 100), kept, "equal seeds, equal loss");
    assert_ne!(run(2, 100), kept, "other seeds, other loss");
}
