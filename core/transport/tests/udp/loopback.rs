//! What arrives, from whom, and what is counted.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::UdpSocket;

use super::*;

#[test]
fn three_transports_on_one_host_hear_each_others_multicasts() {
    let group = fresh_group();
    let mut all = [open_in(group), open_in(group), open_in(group)];
    let addresses: Vec<_> = all.iter().map(Udp::local_address).collect();
    for (number, udp) in all.iter_mut().enumerate() {
        assert!(udp.has_multicast());
        udp.send(&[multicast(format!("from {number}"))]);
    }
    for (own, udp) in all.iter_mut().enumerate() {
        let mut heard = receive(udp, 2);
        heard.sort_by_key(|received| received.bytes.clone());
        let others: Vec<_> = (0..3).filter(|number| *number != own).collect();
        for (received, other) in heard.iter().zip(others) {
            assert_eq!(received.from, addresses[other], "the unicast address of the sender");
            assert!(received.multicast);
            assert_eq!(received.bytes, format!("from {other}"));
        }
        nothing_more(udp);
        assert_eq!(udp.counters().own_copies, 1, "the own copy came and was dropped");
        assert_eq!(udp.counters().received_datagrams, 2);
    }
}

#[test]
fn groups_do_not_mix() {
    let (first, mut second) = (fresh_group(), fresh_group());
    second.set_port(first.port());
    let (mut a, mut b, mut c) = (open_in(first), open_in(second), open_in(first));
    a.send(&[multicast("for the first"), unicast(&b, "for b")]);
    assert_eq!(receive(&mut b, 1)[0].bytes, "for b");
    nothing_more(&mut b);
    assert_eq!(receive(&mut c, 1)[0].bytes, "for the first");
}

#[test]
fn unicast_says_who_sent_it_and_can_be_answered() {
    let (mut a, mut b) = (open(&options("127.0.0.1:0")), open(&options("127.0.0.2:0")));
    assert_ne!(a.local_address().port(), 0, "a free port was taken");
    a.send(&[unicast(&b, "question")]);
    let question = receive(&mut b, 1).remove(0);
    assert_eq!(question.from, a.local_address());
    assert!(!question.multicast);
    assert_eq!(question.bytes, "question");
    b.send(&[(Target::Unicast(question.from), Bytes::from_static(b"answer"))]);
    let answer = receive(&mut a, 1).remove(0);
    assert_eq!((answer.from, &answer.bytes[..]), (b.local_address(), &b"answer"[..]));
    nothing_more(&mut a);
    nothing_more(&mut b);
}

#[test]
fn a_run_is_received_as_one() {
    let (mut a, mut b) = (open(&options("127.0.0.1:0")), open(&options("127.0.0.1:0")));
    let run: Vec<_> = (0..46).map(|n| unicast(&b, content(n, 1_400))).collect();
    a.send(&run);
    assert_eq!((a.counters().sent_runs, a.counters().sent_calls), (1, 1));
    assert!(sys::wait_readable(&b.fds(), PATIENCE));
    let mut out = Vec::new();
    assert!(b.receive(64, &mut out));
    assert_eq!((out.len(), b.counters().received_calls), (46, 1));
}

#[test]
fn an_address_of_the_loopback_network_joins_on_loopback() {
    let group = fresh_group();
    let on_second = UdpOptions { multicast: Some(group), ..options("127.0.0.2:0") };
    let (mut a, mut b) = (open_in(group), open(&on_second));
    b.send(&[multicast("from the second")]);
    assert_eq!(receive(&mut a, 1)[0].from, b.local_address());
}

#[test]
fn an_interface_can_stand_for_its_address() {
    let named = UdpOptions { interface: Some("lo".to_owned()), ..options("0.0.0.0:0") };
    assert_eq!(open(&named).local_address().ip().to_string(), "127.0.0.1");
}

#[test]
fn ipv6_carries_single_datagrams_and_runs() {
    if let Err(error) = UdpSocket::bind("[::1]:0") {
        eprintln!("SKIPPED: this machine has no IPv6 on loopback ({error})");
        return;
    }
    let (mut a, mut b) = (open(&options("[::1]:0")), open(&options("[::1]:0")));
    let sent: Vec<_> = (0..100).map(|n| unicast(&b, content(n, 1_000 + n / 90))).collect();
    a.send(&sent);
    let got = receive(&mut b, 100);
    for (received, (_, bytes)) in got.iter().zip(&sent) {
        assert_eq!(received.from, a.local_address());
        assert_eq!(received.bytes, bytes);
    }
    assert!(a.counters().sent_runs > 0);
}

#[test]
fn without_a_group_multicasts_are_lost_and_counted() {
    let (mut a, mut b) = (open(&options("127.0.0.1:0")), open(&options("127.0.0.1:0")));
    assert!(!a.has_multicast());
    a.send(&[multicast("1"), unicast(&b, "2"), multicast("3")]);
    assert_eq!(receive(&mut b, 1)[0].bytes, "2");
    assert_eq!(a.counters().send_lost, 2);
    assert_eq!(a.counters().sent_datagrams, 1);
}

#[test]
fn anything_that_comes_in_is_handed_over_as_it_is() {
    let mut udp = open(&options("127.0.0.1:0"));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for len in [0, 1, 7, 65_507] {
        stranger.send_to(&content(len, len), udp.local_address()).unwrap();
    }
    let got = receive(&mut udp, 4);
    for (received, len) in got.iter().zip([0, 1, 7, 65_507]) {
        assert_eq!(received.from, stranger.local_addr().unwrap());
        assert_eq!(received.bytes, content(len, len));
    }
}

/// An address at which nobody listens. A program that another test starts at this moment may have
/// inherited the socket, and keeps it until it runs; so the host is asked whether the port is
/// closed indeed.
fn closed_address(bind: &str) -> SocketAddr {
    let end = Instant::now() + PATIENCE;
    let address = open(&options(bind)).local_address();
    let asker = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).unwrap();
    asker.connect(address).unwrap();
    asker.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    while Instant::now() < end {
        let refused = asker.send(b"closed?").and_then(|_| asker.recv(&mut [0]));
        if refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            return address;
        }
    }
    panic!("{address} stays open");
}

#[test]
fn a_closed_port_is_reported_as_unreachable_and_disturbs_nobody_else() {
    let (mut a, mut b) = (open(&options("127.0.0.1:0")), open(&options("127.0.0.1:0")));
    let closed = closed_address("127.0.0.1:0");
    a.send(&[(Target::Unicast(closed), Bytes::from_static(b"anybody?"))]);
    assert!(sys::wait_readable(&a.fds(), PATIENCE), "the answer wakes the owner");
    // The kernel fails the next send for it; that one must get through all the same.
    a.send(&[unicast(&b, "1"), unicast(&b, "2")]);
    let got = receive(&mut b, 2);
    assert_eq!((&got[0].bytes[..], &got[1].bytes[..]), (&b"1"[..], &b"2"[..]));
    let mut out = Vec::new();
    assert!(a.receive(64, &mut out));
    assert_eq!(out, []);
    let mut unreachable = Vec::new();
    a.unreachable(&mut unreachable);
    assert_eq!(unreachable, [closed]);
    a.unreachable(&mut unreachable);
    assert_eq!(unreachable.len(), 1, "told once");
    assert_eq!(a.counters().port_unreachable, 1);
    assert_eq!(a.counters().send_lost, 0);
    nothing_more(&mut a);
    let again = (Target::Unicast(closed), Bytes::from_static(b"anybody now?"));
    for _ in 0..3 {
        a.send(std::slice::from_ref(&again));
    }
    while a.counters().port_unreachable < 4 {
        assert!(sys::wait_readable(&a.fds(), PATIENCE), "{:?}", a.counters());
        a.receive(64, &mut Vec::new());
    }
    unreachable.clear();
    a.unreachable(&mut unreachable);
    assert_eq!(unreachable, [closed], "once, though it answered three times");
}

#[test]
fn a_closed_port_in_the_middle_of_a_batch_is_reported_too() {
    let (mut a, mut b) = (open(&options("127.0.0.1:0")), open(&options("127.0.0.1:0")));
    let closed = closed_address("127.0.0.1:0");
    let to_closed = (Target::Unicast(closed), Bytes::from_static(b"anybody?"));
    a.send(&[unicast(&b, "1"), to_closed, unicast(&b, "2"), unicast(&b, "and 3")]);
    let got: Vec<_> = receive(&mut b, 3).into_iter().map(|received| received.bytes).collect();
    assert_eq!(got, ["1", "2", "and 3"]);
    assert!(sys::wait_readable(&a.fds(), PATIENCE));
    a.receive(64, &mut Vec::new());
    let mut unreachable = Vec::new();
    a.unreachable(&mut unreachable);
    assert_eq!(unreachable, [closed]);
    nothing_more(&mut a);
}

#[test]
fn many_closed_ports_are_each_reported_and_leave_the_descriptor_quiet() {
    let mut a = open(&options("127.0.0.1:0"));
    let closed: BTreeSet<_> = (0..10).map(|_| closed_address("127.0.0.1:0")).collect();
    let batch: Vec<_> =
        closed.iter().map(|to| (Target::Unicast(*to), Bytes::from_static(b"x"))).collect();
    let mut unreachable = Vec::new();
    for datagram in &batch {
        a.send(std::slice::from_ref(datagram));
    }
    while unreachable.len() < closed.len() {
        let some = unreachable.len();
        assert!(sys::wait_readable(&a.fds(), PATIENCE), "{some} were reported: {:?}", a.counters());
        a.receive(64, &mut Vec::new());
        a.unreachable(&mut unreachable);
    }
    assert_eq!(unreachable.iter().copied().collect::<BTreeSet<_>>(), closed);
    nothing_more(&mut a);
}

#[test]
fn an_unreachable_port_over_ipv6_is_reported() {
    if let Err(error) = UdpSocket::bind("[::1]:0") {
        eprintln!("SKIPPED: this machine has no IPv6 on loopback ({error})");
        return;
    }
    let mut a = open(&options("[::1]:0"));
    let closed = closed_address("[::1]:0");
    a.send(&[(Target::Unicast(closed), Bytes::from_static(b"anybody?"))]);
    assert!(sys::wait_readable(&a.fds(), PATIENCE));
    a.receive(64, &mut Vec::new());
    let mut unreachable = Vec::new();
    a.unreachable(&mut unreachable);
    assert_eq!(unreachable, [closed]);
    nothing_more(&mut a);
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let mut a = open(&options("127.0.0.1:0"));
    let mut b = open(&UdpOptions { receive_buffer_len: 8 << 10, ..options("127.0.0.1:0") });
    // Unequal, so that each is an arrival of its own.
    let sent: Vec<_> = (0..400).map(|n| unicast(&b, content(n, 900 + n))).collect();
    a.send(&sent);
    let mut out = Vec::new();
    while !b.receive(64, &mut out) {}
    assert!(!out.is_empty() && out.len() < sent.len(), "{} fitted", out.len());
    let lost = (sent.len() - out.len()) as u64;
    a.send(&[unicast(&b, "the next one tells")]);
    receive(&mut b, 1);
    assert_eq!(b.counters().receive_lost, lost);
    a.send(&[unicast(&b, "and not twice")]);
    receive(&mut b, 1);
    assert_eq!(b.counters().receive_lost, lost);
}

#[test]
fn buffers_are_as_asked_or_a_warning_says_what_they_are() {
    let asked = UdpOptions {
        receive_buffer_len: 1 << 29,
        send_buffer_len: 100_000,
        ..options("127.0.0.1:0")
    };
    let (udp, warnings) = std::thread::spawn(move || {
        if let Err(error) = sys::drop_privileges() {
            eprintln!("privileges were not dropped ({error})");
        }
        Udp::open(&asked).unwrap()
    })
    .join()
    .unwrap();
    let counters = udp.counters();
    assert_eq!(counters.receive_buffer_len_wanted, 1 << 29);
    let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
    let limit: u64 = limit.trim().parse().unwrap();
    assert_eq!(counters.receive_buffer_len, limit.min(1 << 29));
    assert!(limit < 1 << 29, "this machine lets everybody have half a gigabyte");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in ["receive buffer", &limit.to_string(), "536870912", "net.core.rmem_max"] {
        assert!(warnings[0].contains(part), "{part:?} is missing in {:?}", warnings[0]);
    }
    assert_eq!(counters.send_buffer_len, 100_000);
    assert_eq!(counters.send_buffer_len_wanted, 100_000);
}

#[test]
fn root_gets_the_buffers_beyond_the_limit() {
    let large = UdpOptions { receive_buffer_len: 64 << 20, ..options("127.0.0.1:0") };
    let (udp, warnings) = Udp::open(&large).unwrap();
    if !warnings.is_empty() {
        eprintln!("SKIPPED: not root ({})", warnings[0]);
        return;
    }
    assert_eq!(udp.counters().receive_buffer_len, 64 << 20);
}

#[test]
fn probes_arrive_where_they_fit_and_do_not_disturb_runs() {
    let group = fresh_group();
    let (mut a, mut b) = (open_in(group), open_in(group));
    let probe = |len| (Target::Probe(b.local_address()), Bytes::from(content(9, len)));
    let mut batch: Vec<_> = (0..20).map(|n| unicast(&b, content(n, 1_400))).collect();
    batch.insert(10, probe(8_900));
    batch.push(probe(8_900));
    a.send(&batch);
    let got = receive(&mut b, 22);
    for (received, (_, bytes)) in got.iter().zip(&batch) {
        assert_eq!(received.bytes, bytes);
    }
    let counters = a.counters();
    assert_eq!((counters.probes_refused, counters.send_lost), (0, 0));
    assert_eq!((counters.sent_datagrams, counters.sent_runs), (22, 2));
}
