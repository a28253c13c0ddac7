use super::*;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn datagram(target: Target, content: &'static str) -> (Target, Bytes) {
    (target, Bytes::from_static(content.as_bytes()))
}

fn heard(transport: &mut Memory) -> Vec<(u16, bool, String)> {
    let mut out = Vec::new();
    assert!(transport.receive(usize::MAX, &mut out));
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    out.iter().map(|r| (r.from.port(), r.multicast, text(&r.bytes))).collect()
}

#[test]
fn multicast_reaches_the_others_and_unicast_one_in_order() {
    let network = MemoryNetwork::new();
    let mut a = network.attach(address(1), true).unwrap();
    let mut b = network.attach(address(2), true).unwrap();
    let mut c = network.attach(address(3), true).unwrap();
    let mut deaf = network.attach(address(4), false).unwrap();
    a.send(&[
        datagram(Target::Multicast, "one"),
        datagram(Target::Unicast(address(2)), "two"),
        datagram(Target::Multicast, "three"),
    ]);
    let group = [(1, true, "one".to_owned()), (1, true, "three".to_owned())];
    assert_eq!(heard(&mut b), [group[0].clone(), (1, false, "two".to_owned()), group[1].clone()]);
    assert_eq!(heard(&mut c), group);
    assert_eq!(heard(&mut a), [], "no own copies");
    assert_eq!(heard(&mut deaf), []);
    deaf.send(&[datagram(Target::Multicast, "lost"), datagram(Target::Unicast(address(1)), "ok")]);
    assert_eq!(heard(&mut a), [(4, false, "ok".to_owned())]);
    assert_eq!(deaf.counters().send_lost, 1);
    assert_eq!(deaf.counters().sent_datagrams, 1);
}

#[test]
fn max_is_kept_and_the_rest_comes_next() {
    let network = MemoryNetwork::new();
    let mut a = network.attach(address(1), true).unwrap();
    let mut b = network.attach(address(2), true).unwrap();
    a.send(&["1", "2", "3"].map(|text| datagram(Target::Multicast, text)));
    let mut out = Vec::new();
    assert!(!b.receive(2, &mut out));
    assert_eq!(out.len(), 2);
    assert!(b.receive(2, &mut out));
    assert_eq!(out.len(), 3);
    assert!(b.receive(0, &mut out));
}

#[test]
fn an_address_without_a_transport_is_unreachable() {
    let network = MemoryNetwork::new();
    let mut a = network.attach(address(1), true).unwrap();
    drop(network.attach(address(2), true).unwrap());
    a.send(&[
        datagram(Target::Unicast(address(2)), "x"),
        datagram(Target::Unicast(address(2)), "y"),
    ]);
    let mut out = Vec::new();
    a.unreachable(&mut out);
    assert_eq!(out, [address(2)]);
    a.unreachable(&mut out);
    assert_eq!(out.len(), 1, "told once");
    assert!(network.attach(address(1), true).is_err(), "an address is given once");
    assert!(network.attach(address(2), true).is_ok(), "and again when it is free");
}

#[test]
fn a_full_inbox_loses_what_comes_and_says_so() {
    let network = MemoryNetwork::new();
    let mut a = network.attach(address(1), true).unwrap();
    let mut b = network.attach(address(2), true).unwrap();
    let batch = vec![datagram(Target::Multicast, "x"); INBOX_COUNT_MAX + 5];
    a.send(&batch);
    assert_eq!(heard(&mut b).len(), INBOX_COUNT_MAX);
    assert_eq!(b.counters().receive_lost, 5);
}
