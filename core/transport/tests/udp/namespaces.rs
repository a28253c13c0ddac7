//! What needs a network of its own: hosts, small MTUs, slow links. Each test lives in fresh network
//! namespaces, which only root can make; otherwise it says that it was skipped.

use std::process::Command;
use std::sync::mpsc;
use std::thread;

use super::*;

/// Runs `body` in a network namespace of its own, with loopback up.
fn in_new_network(body: impl FnOnce() + Send + 'static) {
    let run = move || {
        if let Err(error) = sys::enter_new_network() {
            eprintln!("SKIPPED: no network namespace of its own, which needs root ({error})");
            return;
        }
        if let Err(error) = Command::new("ip").arg("-V").output() {
            eprintln!("SKIPPED: no ip command ({error}); package iproute2 has it");
            return;
        }
        ip("link set lo up");
        body();
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(arguments: &str) {
    run("ip", arguments);
}

fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {complaint}");
}

/// A slow loopback. What still waits in it at the end is thrown away while its receiver lives:
/// answered later, one by one, it would use up what the kernel sets aside for such answers on the
/// whole machine.
struct SlowLoopback;

impl SlowLoopback {
    fn new(speed: &str) -> Self {
        ip("link set lo mtu 1500");
        run("tc", &format!("qdisc add dev lo root tbf {speed} limit 10mb"));
        Self
    }
}

impl Drop for SlowLoopback {
    fn drop(&mut self) {
        let _ = Command::new("tc").args(["qdisc", "del", "dev", "lo", "root"]).status();
    }
}

#[test]
fn where_runs_do_not_fit_the_mtu_single_datagrams_arrive() {
    in_new_network(|| {
        ip("link set lo mtu 1000");
        let group = fresh_group();
        let (mut a, mut b) = (open_in(group), open_in(group));
        for round in 0..3 {
            let batch: Vec<_> = (0..20).map(|n| multicast(content(n, 1_400))).collect();
            a.send(&batch);
            let got = receive(&mut b, 20);
            for (received, (_, bytes)) in got.iter().zip(&batch) {
                assert_eq!(received.bytes, bytes);
            }
            let counters = a.counters();
            assert_eq!((counters.runs_refused, counters.send_lost), (1, 0), "round {round}");
            assert_eq!(counters.sent_runs, 0);
        }
        let batch: Vec<_> = (0..20).map(|n| unicast(&b, content(n, 500))).collect();
        a.send(&batch);
        assert_eq!(receive(&mut b, 20).len(), 20);
        assert!(a.counters().sent_runs > 0, "other addresses still get runs");
    });
}

#[test]
fn what_finds_no_room_waits_and_goes_out_in_order_when_there_is() {
    in_new_network(|| {
        // What a slow loopback held back arrives through a queue of each processor: a sender that
        // moves from one to another has its datagrams overtake each other in the kernel.
        sys::stay_on_this_processor().unwrap();
        let small = UdpOptions { send_buffer_len: 16 << 10, ..options("127.0.0.1:0") };
        let large = UdpOptions { receive_buffer_len: 2 << 20, ..options("127.0.0.1:0") };
        let (mut a, mut b) = (open(&small), open(&large));
        let _slow = SlowLoopback::new("rate 200mbit burst 16kb");
        // All in all more than may ever wait at one time.
        for round in 0..70 {
            let batch: Vec<_> = (0..300).map(|n| unicast(&b, content(n, 1_000 + n % 3))).collect();
            a.send(&batch);
            let sent = |a: &Udp| a.counters().sent_datagrams - round * 300;
            while sent(&a) < 300 {
                assert!(sys::wait_readable(&a.fds(), PATIENCE), "{:?}", a.counters());
                a.receive(64, &mut Vec::new());
            }
            nothing_more(&mut a);
            let got = receive(&mut b, 300);
            for (received, (_, bytes)) in got.iter().zip(&batch) {
                assert_eq!(received.bytes, bytes);
            }
        }
        assert_eq!(a.counters().send_lost, 0);
        assert!(a.counters().send_waited > 17_000, "{:?}", a.counters());
    });
}

#[test]
fn what_waits_is_bounded() {
    in_new_network(|| {
        let small = UdpOptions { send_buffer_len: 16 << 10, ..options("127.0.0.1:0") };
        let (mut a, b) = (open(&small), open(&options("127.0.0.1:0")));
        let _slow = SlowLoopback::new("rate 8kbit burst 2kb");
        let megabyte: Vec<_> = (0..1_000).map(|n| unicast(&b, content(n, 1_000))).collect();
        (0..30).for_each(|_| a.send(&megabyte));
        let counters = a.counters();
        assert!(counters.send_waited <= 17_000, "{counters:?}");
        assert!(counters.send_lost > 12_000, "{counters:?}");
        let all = counters.sent_datagrams + counters.send_waited + counters.send_lost;
        assert_eq!(all, 30_000);
    });
}

#[test]
fn a_group_is_heard_on_its_own_interface_only() {
    in_new_network(|| {
        ip("link add cable0 type veth peer name cable1");
        configure("cable0", "10.9.0.1/24");
        ip("link set cable1 up");
        wait_for_carrier("cable0");
        let group = fresh_group();
        let on_cable = UdpOptions { multicast: Some(group), ..options("10.9.0.1:0") };
        let through_lo = UdpOptions { interface: Some("lo".to_owned()), ..on_cable.clone() };
        let (mut on_lo, mut on_cable) = (open_in(group), open(&on_cable));
        let (mut second, mut through_lo) = (open_in(group), open(&through_lo));
        on_cable.send(&[multicast("cable")]);
        through_lo.send(&[multicast("lo")]);
        assert_eq!(receive(&mut on_lo, 1)[0].bytes, "lo");
        assert_eq!(receive(&mut second, 1)[0].bytes, "lo");
        on_cable.send(&[unicast(&on_lo, "end"), unicast(&second, "end")]);
        assert_eq!(receive(&mut on_lo, 1)[0].bytes, "end", "nothing from the cable");
        assert_eq!(receive(&mut second, 1)[0].bytes, "end");
        nothing_more(&mut through_lo);
        on_lo.send(&[multicast("lo")]);
        assert_eq!(receive(&mut through_lo, 1)[0].from, on_lo.local_address());
        while !on_cable.receive(64, &mut Vec::new()) {}
        assert_eq!(on_cable.counters().received_datagrams, 0);
    });
}

#[test]
fn an_address_without_a_route_is_a_loss_and_stops_nothing() {
    in_new_network(|| {
        let (mut a, mut b) = (open(&options("127.0.0.1:0")), open(&options("127.0.0.1:0")));
        let nowhere = (Target::Unicast("192.0.2.9:7".parse().unwrap()), Bytes::from_static(b"x"));
        a.send(&[nowhere.clone(), unicast(&b, "1"), nowhere, unicast(&b, "2")]);
        assert_eq!(receive(&mut b, 2)[1].bytes, "2");
        assert_eq!(a.counters().send_lost, 2);
        nothing_more(&mut a);
    });
}

#[test]
fn without_a_route_for_multicast_there_is_a_warning_and_unicast() {
    in_new_network(|| {
        let group = "[ff15::7745]:7745".parse().unwrap();
        let wish = UdpOptions { multicast: Some(group), ..options("[::1]:0") };
        let (mut a, warnings) = Udp::open(&wish).unwrap_or_else(|error| panic!("{error}"));
        assert!(!a.has_multicast());
        assert_eq!(warnings.len(), 1);
        let start = "no multicast to [ff15::7745]:7745 on lo (";
        assert!(warnings[0].starts_with(start), "{}", warnings[0]);
        assert!(warnings[0].contains("transport.peers"), "{}", warnings[0]);
        let mut b = open(&options("[::1]:0"));
        a.send(&[unicast(&b, "by itself")]);
        assert_eq!(receive(&mut b, 1)[0].bytes, "by itself");
    });
}

#[test]
fn an_interface_that_is_down_is_named() {
    in_new_network(|| {
        ip("link set lo down");
        let text = Udp::open(&options("127.0.0.1:0")).err().map(|error| error.to_string());
        // Newer kernels keep the address of an interface that is down.
        if let Some(text) = text {
            assert!(text.contains("or its interface is down"), "{text}");
        }
    });
}

/// Two hosts with a cable between them: this thread, and another one that answers until the other
/// end is dropped.
fn with_neighbour(ours: &'static str, theirs: &'static str, group: &'static str) {
    let (say, hear) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    let options_for =
        |bind: &str| UdpOptions { multicast: Some(group.parse().unwrap()), ..options(bind) };
    let neighbour = thread::spawn(move || {
        sys::enter_new_network().unwrap();
        ip("link set lo up");
        say.send(sys::thread_id()).unwrap();
        stopped.recv().unwrap(); // the cable is there
        configure("cable1", theirs);
        wait_for_carrier("cable1");
        let mut udp = open(&options_for(&address(theirs)));
        say.send(0).unwrap();
        let got = receive(&mut udp, 101);
        let answer: Vec<_> = got[..100].iter().map(|r| multicast(&r.bytes)).collect();
        assert!(got[..100].iter().all(|received| received.multicast));
        assert_eq!(got[100].bytes, "token");
        udp.send(&answer);
        stopped.recv().unwrap();
    });
    let id = hear.recv().unwrap();
    ip("link add cable0 type veth peer name cable1");
    ip(&format!("link set cable1 netns {id}"));
    configure("cable0", ours);
    stop.send(()).unwrap();
    hear.recv().unwrap();
    wait_for_carrier("cable0");
    let mut udp = open(&options_for(&address(ours)));
    let to: SocketAddr = address(theirs).parse().unwrap();
    let mut batch: Vec<_> = (0..100).map(|n| multicast(content(n, 1_400))).collect();
    batch.push((Target::Unicast(to), Bytes::from_static(b"token")));
    udp.send(&batch);
    let got = receive(&mut udp, 100);
    for (received, (_, bytes)) in got.iter().zip(&batch) {
        assert_eq!(received.bytes, bytes);
        assert_eq!(received.from, to);
    }
    let counters = udp.counters();
    assert!(counters.sent_runs >= 3 && counters.runs_refused == 0, "{counters:?}");
    stop.send(()).unwrap();
    neighbour.join().unwrap();
}

/// A cable that carries 1500 bytes, then 9000: of what is larger than its end takes, ordinary
/// datagrams arrive in fragments, probes not at all.
fn probes_over_a_cable(bind: &'static str, head_len: usize) {
    let (say, hear) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    let neighbour = thread::spawn(move || {
        sys::enter_new_network().unwrap();
        say.send(sys::thread_id()).unwrap();
        stopped.recv().unwrap();
        ip("link set cable1 mtu 9000");
        configure("cable1", &format!("{bind}2/64").replace("10.9.0.2/64", "10.9.0.2/24"));
        wait_for_carrier("cable1");
        let mut udp = open(&options(&address(&format!("{bind}2/64"))));
        say.send(0).unwrap();
        let lens = |count, udp: &mut Udp| {
            receive(udp, count).iter().map(|r| r.bytes.len()).collect::<Vec<_>>()
        };
        let fits = 1_500 - head_len;
        assert_eq!(lens(4, &mut udp), [fits, fits + 1, 8_900, 100]);
        say.send(0).unwrap();
        assert_eq!(lens(22, &mut udp), [vec![8_900; 21], vec![100]].concat());
        stopped.recv().unwrap();
    });
    let id = hear.recv().unwrap();
    ip("link add cable0 type veth peer name cable1");
    ip(&format!("link set cable1 netns {id}"));
    configure("cable0", &format!("{bind}1/64").replace("10.9.0.1/64", "10.9.0.1/24"));
    stop.send(()).unwrap();
    hear.recv().unwrap();
    wait_for_carrier("cable0");
    let mut udp = open(&options(&address(&format!("{bind}1/64"))));
    let to: SocketAddr = address(&format!("{bind}2/64")).parse().unwrap();
    let data = |len| (Target::Unicast(to), Bytes::from(content(1, len)));
    let probe = |len| (Target::Probe(to), Bytes::from(content(1, len)));
    let fits = 1_500 - head_len;
    udp.send(&[probe(fits), probe(fits + 1), data(fits + 1), probe(8_900), data(8_900), data(100)]);
    hear.recv().unwrap();
    assert_eq!((udp.counters().probes_refused, udp.counters().send_lost), (2, 0));
    ip("link set cable0 mtu 9000");
    let mut batch = vec![probe(8_900)];
    batch.resize(21, data(8_900));
    batch.push(data(100));
    udp.send(&batch);
    stop.send(()).unwrap();
    neighbour.join().unwrap();
    let counters = udp.counters();
    assert_eq!((counters.runs_refused, counters.send_lost), (1, 0), "at first it had to be so");
    assert!(counters.sent_runs >= 3, "{counters:?}");
}

#[test]
fn probes_find_out_what_a_cable_carries_over_ipv4() {
    in_new_network(|| probes_over_a_cable("10.9.0.", 28));
}

#[test]
fn probes_find_out_what_a_cable_carries_over_ipv6() {
    in_new_network(|| probes_over_a_cable("fd09::", 48));
}

/// As on a host whose daemon starts before its network does.
#[test]
fn an_interface_that_comes_up_later_carries_multicasts() {
    in_new_network(|| {
        ip("link add cable0 type veth peer name cable1");
        ip("address add 10.9.0.1/24 dev cable0");
        let group = Some("239.192.77.1:7745".parse().unwrap());
        let at = |bind| open(&UdpOptions { multicast: group, ..options(bind) });
        let (mut sender, mut hearer) = (at("10.9.0.1:5000"), at("10.9.0.1:5001"));
        assert!(sender.has_multicast());
        sender.send(&[multicast(b"nobody hears this")]);
        ip("link set cable1 up");
        ip("link set cable0 up");
        wait_for_carrier("cable0");
        sender.send(&[multicast(b"token")]);
        assert_eq!(receive(&mut hearer, 1)[0].bytes, "token");
    });
}

/// "10.9.0.1/24" and so on, with a fixed port.
fn address(with_prefix: &str) -> String {
    let ip = with_prefix.split('/').next().unwrap();
    if ip.contains(':') { format!("[{ip}]:5000") } else { format!("{ip}:5000") }
}

fn configure(interface: &str, address: &str) {
    let extra = if address.contains(':') { "nodad" } else { "" };
    ip(&format!("address add {address} dev {interface} {extra}"));
    ip(&format!("link set {interface} up"));
}

/// Until then the kernel throws away what is multicast. It announces this to nobody who could be
/// asked more simply.
fn wait_for_carrier(interface: &str) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let output = Command::new("ip").args(["link", "show", "dev", interface]).output().unwrap();
        if String::from_utf8_lossy(&output.stdout).contains("state UP") {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{interface} did not come up");
}

#[test]
fn two_hosts_hear_each_other_in_runs_over_ipv4() {
    in_new_network(|| with_neighbour("10.9.0.1/24", "10.9.0.2/24", "239.192.77.1:7745"));
}

#[test]
fn two_hosts_hear_each_other_in_runs_over_ipv6() {
    in_new_network(|| with_neighbour("fd09::1/64", "fd09::2/64", "[ff15::7745]:7745"));
}

#[test]
fn two_hosts_hear_each_other_by_a_group_of_the_link() {
    in_new_network(|| with_neighbour("fd09::1/64", "fd09::2/64", "[ff12::7745]:7745"));
}

#[test]
fn own_multicasts_come_back_only_while_somebody_here_may_want_them() {
    in_new_network(|| {
        // Loopback carries everything back by itself.
        ip("link add d0 type veth peer name d1");
        ip("link set d1 up");
        ip("addr add 198.51.100.1/24 dev d0");
        ip("link set d0 up");
        let group = Some(fresh_group());
        let [mut a, mut b] =
            [(); 2].map(|()| open(&UdpOptions { multicast: group, ..options("198.51.100.1:0") }));
        let say = |from: &mut Udp| from.send(&[multicast("hello")]);
        let heard = |by: &mut Udp| {
            sys::wait_readable(&by.fds(), Duration::from_millis(200));
            let mut out = Vec::new();
            assert!(by.receive(8, &mut out));
            out.len()
        };
        say(&mut a);
        assert_eq!(heard(&mut b), 1, "nobody is watched");
        heard(&mut a);
        // All others are elsewhere: nobody here hears it, itself neither.
        let elsewhere = "192.0.2.1:7".parse().unwrap();
        a.watch([1; 16], &[(elsewhere, [2; 16])]);
        let copies = a.counters().own_copies;
        say(&mut a);
        assert_eq!((heard(&mut b), heard(&mut a)), (0, 0));
        assert_eq!(a.counters().own_copies, copies);
        // Who begins here is heard, and hears from then on.
        say(&mut b);
        assert_eq!(heard(&mut a), 1);
        say(&mut a);
        assert_eq!(heard(&mut b), 1);
        // One that is watched is here.
        a.watch([1; 16], &[(elsewhere, [2; 16]), (b.local_address(), [3; 16])]);
        say(&mut a);
        assert_eq!(heard(&mut b), 1);
        a.watch([1; 16], &[]);
        say(&mut a);
        assert_eq!(heard(&mut b), 1);
    });
}
