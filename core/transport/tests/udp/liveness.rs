//! Connections that end with their process.

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use anasazi_transport::Life;

use super::*;

const LIVES: [Life; 3] = [[1; 16], [2; 16], [3; 16]];

/// Two that watch each other, and know that the other one is there.
fn pair() -> [Udp; 2] {
    let mut both = [open(&options("127.0.0.1:0")), open(&options("127.0.0.1:0"))];
    let addresses = both.each_ref().map(Udp::local_address);
    both[0].watch(LIVES[0], &[(addresses[1], LIVES[1])]);
    both[1].watch(LIVES[1], &[(addresses[0], LIVES[0])]);
    until(&mut both, |both| both.iter().all(|udp| udp.counters().liveness_held == 1));
    both
}

/// Turns them until it is so.
fn until<const N: usize>(all: &mut [Udp; N], is_so: impl Fn(&[Udp; N]) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so(all) {
        assert!(Instant::now() < end, "it does not become so");
        turn(all);
    }
}

fn turn(all: &mut [Udp]) {
    let fds: Vec<_> = all.iter().flat_map(Udp::fds).collect();
    sys::wait_readable(&fds, Duration::from_millis(20));
    for udp in all {
        assert!(udp.receive(64, &mut Vec::new()));
    }
}

fn ended(udp: &mut Udp) -> Vec<Life> {
    let mut out = Vec::new();
    udp.ended(&mut out);
    out
}

/// Turns it for a while in which everything that is to come has come.
fn settle(all: &mut [Udp]) {
    for _ in 0..10 {
        turn(all);
    }
}

#[test]
fn an_end_is_told_once_and_only_of_who_is_watched() {
    let [mut one, other] = pair();
    assert_eq!(ended(&mut one), [[0; 16]; 0]);
    drop(other);
    let mut one = [one];
    until(&mut one, |[one]| one.counters().liveness_ended == 1);
    assert_eq!(ended(&mut one[0]), [LIVES[1]]);
    settle(&mut one);
    assert_eq!(ended(&mut one[0]), [[0; 16]; 0]);
    assert_eq!(one[0].counters().liveness_held, 0);
    nothing_more(&mut one[0]);

    let [mut one, other] = pair();
    one.watch(LIVES[0], &[]);
    drop(other);
    let mut one = [one];
    settle(&mut one);
    assert_eq!(one[0].counters().liveness_ended, 0);
}

#[test]
fn whoever_takes_the_place_of_another_proves_its_end() {
    let [one, other] = pair();
    let place = other.local_address();
    drop(other);
    let mut successor = open(&options(&place.to_string()));
    successor.watch(LIVES[2], &[]);
    let mut both = [one, successor];
    until(&mut both, |[one, _]| one.counters().liveness_ended == 1);
    assert_eq!(ended(&mut both[0]), [LIVES[1]]);
}

#[test]
fn a_connection_that_is_cut_proves_nothing() {
    // Who is called is played by the test: it says the right name.
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut one = [open(&options("127.0.0.1:0"))];
    one[0].watch(LIVES[0], &[(host.local_addr().unwrap(), LIVES[1])]);
    let (mut line, _) = host.accept().unwrap();
    greet(&mut line, LIVES[1]);
    until(&mut one, |[one]| one.counters().liveness_held == 1);
    drop(line);
    let (mut line, _) = host.accept_after(|| turn(&mut one));
    settle(&mut one);
    assert_eq!(one[0].counters().liveness_held, 0, "it is asked for its name again");
    greet(&mut line, LIVES[1]);
    until(&mut one, |[one]| one.counters().liveness_held == 1);
    assert_eq!(one[0].counters().liveness_ended, 0);
    // Now it is the end.
    drop(host);
    drop(line);
    until(&mut one, |[one]| one.counters().liveness_ended == 1);
}

#[test]
fn who_was_never_proven_is_not_judged() {
    for says in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"anasazi lives 1\n"] {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut one = [open(&options("127.0.0.1:0"))];
        one[0].watch(LIVES[0], &[(host.local_addr().unwrap(), LIVES[1])]);
        let (mut line, _) = host.accept().unwrap();
        std::io::Write::write_all(&mut line, says).unwrap();
        settle(&mut one);
        drop((line, host));
        settle(&mut one);
        let counters = one[0].counters();
        assert_eq!((counters.liveness_held, counters.liveness_ended), (0, 0), "{says:?}");
        nothing_more(&mut one[0]);
    }
    // And where nobody is.
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut one = [open(&options("127.0.0.1:0"))];
    one[0].watch(LIVES[0], &[(nowhere, LIVES[1])]);
    settle(&mut one);
    assert_eq!(one[0].counters().liveness_ended, 0);
}

#[test]
fn an_end_before_the_name_is_one_if_nobody_listens_any_more() {
    for goes_on in [true, false] {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut one = [open(&options("127.0.0.1:0"))];
        one[0].watch(LIVES[0], &[(host.local_addr().unwrap(), LIVES[1])]);
        let line = host.accept().unwrap();
        let host = goes_on.then_some(host);
        drop(line);
        settle(&mut one);
        assert_eq!(one[0].counters().liveness_ended, u64::from(!goes_on));
        drop(host);
    }
}

#[test]
fn strangers_are_told_a_name_and_nothing_more() {
    let mut one = [open(&options("127.0.0.1:0"))];
    one[0].watch(LIVES[0], &[]);
    let mut strangers: Vec<_> = (0..300)
        .map(|_| {
            let stranger = TcpStream::connect(one[0].local_address()).unwrap();
            turn(&mut one);
            stranger
        })
        .collect();
    settle(&mut one);
    let mut greeted = 0;
    for stranger in &mut strangers {
        stranger.set_nonblocking(true).unwrap();
        let mut text = Vec::new();
        let _ = stranger.read_to_end(&mut text);
        greeted += usize::from(text == [&b"anasazi lives 1\n"[..], &LIVES[0]].concat());
    }
    assert_eq!(greeted, 256, "no more than that are let in");
    assert_eq!(one[0].counters().liveness_refused, 300 - 256);
    // Whoever talks is hung up on.
    let mut talker = strangers.swap_remove(0);
    std::io::Write::write_all(&mut talker, &[7; 4096]).unwrap();
    settle(&mut one);
    talker.set_nonblocking(false).unwrap();
    talker.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(talker.read(&mut [0; 8]), Ok(0) | Err(_)));
    nothing_more(&mut one[0]);
    drop(strangers);
    settle(&mut one);
    // There is room again.
    let _again = TcpStream::connect(one[0].local_address()).unwrap();
    settle(&mut one);
    nothing_more(&mut one[0]);
}

#[test]
fn a_port_that_is_taken_is_a_warning_and_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap();
    let (mut udp, warnings) = Udp::open(&options(&bind.to_string())).unwrap();
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    for word in [&bind.port().to_string(), "transport.liveness", "in use"] {
        assert!(warning.contains(word), "{warning}");
    }
    udp.watch(LIVES[0], &[(bind, LIVES[1])]);
    assert_eq!(ended(&mut udp), [[0; 16]; 0]);
    let off = UdpOptions { liveness: false, ..options(&bind.to_string()) };
    drop(udp);
    assert_eq!(Udp::open(&off).unwrap().1, [""; 0]);
}

fn greet(line: &mut TcpStream, life: Life) {
    std::io::Write::write_all(line, b"anasazi lives 1\n").unwrap();
    std::io::Write::write_all(line, &life).unwrap();
}

trait AcceptAfter {
    fn accept_after(&self, turn: impl FnMut()) -> (TcpStream, SocketAddr);
}

impl AcceptAfter for TcpListener {
    /// Accepts somebody who calls only after some turns.
    fn accept_after(&self, mut turn: impl FnMut()) -> (TcpStream, SocketAddr) {
        self.set_nonblocking(true).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok((line, from)) = self.accept() {
                line.set_nonblocking(false).unwrap();
                return (line, from);
            }
            assert!(Instant::now() < end, "nobody calls");
            turn();
        }
    }
}
