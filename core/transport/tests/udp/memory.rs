//! The in-memory transport tells its owner as the real one does.

use anasazi_transport::{Faulty, MemoryNetwork};

use super::*;

#[test]
fn the_descriptor_is_readable_exactly_while_something_is_there() {
    let network = MemoryNetwork::new();
    let attach = |port| network.attach(SocketAddr::from(([10, 0, 0, 1], port)), true).unwrap();
    let (mut a, mut b) = (attach(1), Faulty::new(attach(2), 1));
    nothing_more(&mut b);
    for round in 0..3 {
        a.send(&[multicast("1"), unicast(&b, "2"), multicast("3")]);
        let mut out = Vec::new();
        for _ in 0..2 {
            assert!(sys::wait_readable(&b.fds(), Duration::ZERO), "round {round}");
            assert!(!b.receive(1, &mut out));
        }
        assert!(sys::wait_readable(&b.fds(), Duration::ZERO), "round {round}");
        assert!(b.receive(1, &mut out));
        assert_eq!(out.len(), 3);
        nothing_more(&mut b);
    }
}
