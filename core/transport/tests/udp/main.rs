//! The UDP transport against the real kernel, on loopback and, as root, in network namespaces.

mod errors;
mod liveness;
mod loopback;
mod memory;
mod namespaces;
mod order;
#[allow(unsafe_code)]
mod sys;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anasazi_transport::{Received, Target, Transport, Udp, UdpOptions};
use bytes::Bytes;

/// Far beyond anything that should happen: what is awaited for this long did not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Options for `bind`, without multicast.
fn options(bind: &str) -> UdpOptions {
    UdpOptions {
        bind: bind.parse().unwrap(),
        multicast: None,
        interface: None,
        multicast_ttl: 1,
        receive_buffer_len: 200 << 10,
        send_buffer_len: 200 << 10,
        dscp: 0,
        liveness: true,
    }
}

/// A group that no other test on this machine is likely to use.
fn fresh_group() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let port = 20_000 + (process % 20_000) as u16;
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([239, 255 - high, (process >> 8) as u8, low], port))
}

/// Opens a transport that must give no warnings.
fn open(options: &UdpOptions) -> Udp {
    let (udp, warnings) = Udp::open(options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(warnings, [""; 0]);
    udp
}

/// A transport on loopback that hears `group`.
fn open_in(group: SocketAddr) -> Udp {
    open(&UdpOptions { multicast: Some(group), ..options("127.0.0.1:0") })
}

/// Receives until there are `count` datagrams; fails when they do not come.
fn receive(udp: &mut impl Transport, count: usize) -> Vec<Received> {
    let end = Instant::now() + PATIENCE;
    let mut out = Vec::new();
    while out.len() < count {
        let left = end.saturating_duration_since(Instant::now());
        let more = sys::wait_readable(&udp.fds(), left);
        assert!(more, "{} of {count} datagrams came; {:?}", out.len(), udp.counters());
        while !udp.receive(64, &mut out) {}
    }
    out
}

/// Fails if anything more is there.
fn nothing_more(udp: &mut impl Transport) {
    let mut out = Vec::new();
    assert!(udp.receive(64, &mut out));
    assert_eq!(out, [], "nothing more was sent");
    assert!(!sys::wait_readable(&udp.fds(), Duration::ZERO), "readable for nothing");
}

fn unicast(to: &impl Transport, content: impl AsRef<[u8]>) -> (Target, Bytes) {
    (Target::Unicast(to.local_address()), Bytes::copy_from_slice(content.as_ref()))
}

fn multicast(content: impl AsRef<[u8]>) -> (Target, Bytes) {
    (Target::Multicast, Bytes::copy_from_slice(content.as_ref()))
}

/// `len` bytes that differ from datagram to datagram and from byte to byte.
fn content(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number * 31 + at * 7 + at / 256) as u8).collect()
}
