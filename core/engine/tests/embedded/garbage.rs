//! Anybody can send anything to the unicast port.

use std::net::UdpSocket;

use anasazi_transport::{Target, Transport, Udp, UdpOptions};
use bytes::Bytes;

use super::*;

/// Datagrams that an engine dropped, for whatever reason.
fn dropped(host: &Host) -> u64 {
    let stats = host.ask(0, "stats");
    let protocol = stats["protocol"].as_object().unwrap();
    let reasons = protocol.iter().filter(|(name, _)| name.starts_with("dropped_"));
    reasons.map(|(_, count)| count.as_u64().unwrap()).sum()
}

/// splitmix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[test]
fn noise_and_damaged_datagrams_are_counted_and_harmless() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut settings = settings();
    settings.set("transport.peers", &socket.local_addr().unwrap().to_string()).unwrap();
    let host = Host::with(&settings);
    let target = host.address(0);

    // What it says to its peers, cut short and with one bit changed.
    let mut buffer = [0; 2_000];
    let mut real = Vec::new();
    host.run_until("a beacon", |_| {
        let len = socket.recv(&mut buffer).unwrap_or(0);
        real = buffer[..len].to_vec();
        len > 0
    });
    let mut bad: Vec<Vec<u8>> = (0..real.len()).map(|len| real[..len].to_vec()).collect();
    for bit in 0..real.len() * 8 {
        let mut changed = real.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        bad.push(changed);
    }
    let mut state = 1;
    bad.extend((0..300).map(|number| {
        let len = random(&mut state) % if number % 10 == 0 { 60_000 } else { 200 };
        (0..len).map(|_| random(&mut state) as u8).collect()
    }));

    host.run_until("its own ring", |host| host.engines()[0].engine.is_operational());
    let ring = host.ask(0, "status")["ring"].clone();
    let before = dropped(&host);
    // Few at a time: none is to be lost on the way.
    for some in bad.chunks(20) {
        some.iter().for_each(|datagram| _ = socket.send_to(datagram, target).unwrap());
        host.turn(PATIENCE);
    }
    let expected = before + bad.len() as u64;
    host.run_until("every one counted", |host| dropped(host) == expected);
    assert_eq!(host.ask(0, "status")["ring"], ring);
    assert!(host.engines()[0].engine.is_operational());
}

/// One read of the transport can bring more than a turn takes: the rest is not left lying.
#[test]
fn a_burst_is_taken_in_to_the_last_datagram() {
    let host = Host::with(&settings());
    host.run_until("its own ring", |host| host.engines()[0].engine.is_operational());
    let target = Target::Unicast(host.address(0));
    let before = dropped(&host);
    let options = UdpOptions {
        bind: "127.0.0.1:0".parse().unwrap(),
        multicast: None,
        interface: None,
        multicast_ttl: 0,
        receive_buffer_len: 1 << 20,
        send_buffer_len: 1 << 20,
        dscp: 0,
        liveness: true,
    };
    let (mut udp, _) = Udp::open(&options).unwrap();
    // Equal lengths travel in runs, of which one read takes 32.
    udp.send(&vec![(target, Bytes::from_static(&[7; 100])); 1_900]);
    let arrived = |host: &Host| host.ask(0, "stats")["transport"]["received_datagrams"].clone();
    host.run_until("some", |host| arrived(host).as_u64() >= Some(1_000));
    host.run_until("all", |host| dropped(host) == before + 1_900);
}
