//! What a turn does when its core breaks at the very beginning, and in which order it looks at its
//! domains.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Incarnation, Process};
use anasazi_seal::{KeyRing, Mode, Seal};
use anasazi_transport::{Memory, MemoryNetwork, Target};

use super::*;
use crate::config::Settings;
use crate::domain::Upward;
use crate::writer::Writer;

/// Breaks when something leaves for the first time.
#[derive(Default)]
struct Breaks(bool);

impl Witness for Breaks {
    fn trace(&mut self, _: Instant, _: &Trace) {}

    fn flush(&mut self) {
        assert!(core::mem::replace(&mut self.0, true), "the first word is wrong");
    }
}

struct NoSessions;

impl Readiness for NoSessions {
    fn add(&self, _: RawFd, _: u64) -> std::io::Result<()> {
        Ok(())
    }

    fn add_edge(&self, _: RawFd, _: u64) -> std::io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: RawFd) {}
}

#[test]
fn what_breaks_before_any_input_is_recorded_and_ends_the_turn() {
    let directory = tempfile::tempdir().expect("a directory");
    let process = Process { node: NodeId(3), incarnation: Incarnation(9) };
    let address = "127.0.0.1:1".parse().expect("an address");
    let default = DomainParts {
        name: String::new(),
        // To so many that what it says first leaves at once.
        core: CoreConfig { peers: vec![address; 64], multicast: false, ..CoreConfig::default() },
        boot: Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX },
        transport: MemoryNetwork::new().attach(address, true).expect("a transport"),
        seal: None,
        weight: 1,
        backlog_len_max: None,
        storage: None::<Writer>,
        witness: Some(Box::<Breaks>::default()),
    };
    let parts = Parts {
        config: Settings::new().validate().expect("defaults"),
        warnings: Vec::new(),
        limits: limits(),
        temporary: Some(directory.path().to_owned()),
        default,
    };
    let mut turn = Turn::new(parts, Instant(1));
    let up = turn.domains[DomainId::DEFAULT].take_up();
    assert!(matches!(up[..], [Upward::Broken { .. }]));
    turn.domains[DomainId::DEFAULT].give_back(up);
    let error = turn.run(Instant(2), true, 0, &NoSessions).expect_err("it is broken");
    let EngineError::Broken(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("the first word is wrong"), "{text}");
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1);
    assert_eq!(turn.run(Instant(3), true, 0, &NoSessions), Err(error));
}

/// It may have been copied meanwhile, with its counters: each such pause is a new boot, and only
/// one.
#[test]
fn whoever_did_not_run_for_long_seals_as_somebody_else() {
    let (drawn, of_other) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU8::new(0)));
    let parts = Parts {
        config: Settings::new().validate().expect("defaults"),
        warnings: Vec::new(),
        limits: limits(),
        temporary: None,
        default: sealed("", &drawn),
    };
    let mut turn = Turn::new(parts, Instant(1));
    let mut drawn_at = |ms: u64| {
        turn.run(Instant(ms * 1_000_000), true, 0, &NoSessions).expect("all is well");
        drawn.load(Ordering::Relaxed)
    };
    for ms in (1..3_000).step_by(10) {
        assert_eq!(drawn_at(ms), 1, "after {ms} ms");
    }
    assert_eq!([20_000, 20_001, 20_100].map(&mut drawn_at), [2; 3]);
    assert_eq!(drawn_at(40_000), 3);
    // Whoever knows that it was copied says so, and that is so in all domains.
    turn.add_domain(sealed("other", &of_other), Instant(40_000_000_000));
    turn.renew_seals();
    assert_eq!([drawn, of_other].map(|of| of.load(Ordering::Relaxed)), [4, 2]);
}

/// A domain that counts the boots that it has drawn.
fn sealed(name: &str, drawn: &Arc<AtomicU8>) -> DomainParts<Memory, Option<Writer>> {
    let drawn = Arc::clone(drawn);
    let draw = move || Some(anasazi_seal::Boot([drawn.fetch_add(1, Ordering::Relaxed); 16]));
    let keys = KeyRing::parse(format!("1 {}", "5a".repeat(32)).as_bytes()).expect("a key");
    let address = "127.0.0.1:1".parse().expect("an address");
    let process = Process { node: NodeId(3), incarnation: Incarnation(9) };
    DomainParts {
        name: name.to_owned(),
        core: CoreConfig { multicast: false, ..CoreConfig::default() },
        boot: Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX },
        transport: MemoryNetwork::new().attach(address, false).expect("a transport"),
        seal: Seal::new(Mode::Aead, keys, 7, Box::new(draw)),
        weight: 1,
        backlog_len_max: None,
        storage: None::<Writer>,
        witness: None,
    }
}

fn limits() -> SessionLimits {
    SessionLimits {
        sessions_max: 1,
        backlog_len_max: 1 << 20,
        backlog_total_max: 1 << 30,
        hold_max: Duration::from_secs(1),
        message_len_max: 1 << 20,
        allow_uids: Vec::new(),
        allow_gids: Vec::new(),
    }
}

/// While all have more than they can take in, each gets as many batches as it weighs.
#[test]
fn a_domain_that_weighs_more_takes_in_more() {
    const FLOOD: usize = 8_192;
    let network = MemoryNetwork::new();
    let process = Process { node: NodeId(3), incarnation: Incarnation(9) };
    let domain = |name: &str, port: u16, weight| DomainParts {
        name: name.to_owned(),
        core: CoreConfig { multicast: false, ..CoreConfig::default() },
        boot: Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX },
        transport: network.attach(([127, 0, 0, 1], port).into(), false).expect("a transport"),
        seal: None,
        weight,
        backlog_len_max: None,
        storage: None::<Writer>,
        witness: None,
    };
    let parts = Parts {
        config: Settings::new().validate().expect("defaults"),
        warnings: Vec::new(),
        limits: limits(),
        temporary: None,
        default: domain("", 1, 1),
    };
    let mut turn = Turn::new(parts, Instant(1));
    let heavy = turn.add_domain(domain("heavy", 2, 3), Instant(1));
    let mut flood = network.attach(([127, 0, 0, 1], 9).into(), false).expect("a transport");
    for port in [1, 2] {
        let target = Target::Unicast(([127, 0, 0, 1], port).into());
        flood.send(&vec![(target, bytes::Bytes::from_static(b"nonsense")); FLOOD]);
    }
    assert_eq!(turn.run(Instant(2), true, 0, &NoSessions), Ok(true));
    let taken = |id| turn.domains[id].look().transport.counters().received_datagrams;
    let (light, heavy) = (taken(DomainId::DEFAULT), taken(heavy));
    assert!(light > 0 && heavy == 3 * light && (heavy as usize) < FLOOD, "{light} and {heavy}");
}
