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
    let up = turn.domains[DomainId::DEFAULT].take_up(usize::MAX);
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

/// More than any turn takes in.
const FLOOD: usize = 8_192;

/// A turn of `default`, at port 1, and of one more domain for each further weight, at the next
/// ports: what each took in of a flood.
fn taken_in_a_turn(weights: &[u32]) -> Vec<usize> {
    let network = MemoryNetwork::new();
    let process = Process { node: NodeId(3), incarnation: Incarnation(9) };
    let address = |at: usize| ([127, 0, 0, 1], 1 + at as u16).into();
    let domain = |at: usize| DomainParts {
        name: format!("domain-{at}"),
        core: CoreConfig { multicast: false, ..CoreConfig::default() },
        boot: Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX },
        transport: network.attach(address(at), false).expect("a transport"),
        seal: None,
        weight: weights[at],
        backlog_len_max: None,
        storage: None::<Writer>,
        witness: None,
    };
    let parts = Parts {
        config: Settings::new().validate().expect("defaults"),
        warnings: Vec::new(),
        limits: limits(),
        temporary: None,
        default: domain(0),
    };
    let mut turn = Turn::new(parts, Instant(1));
    let more = (1..weights.len()).map(|at| turn.add_domain(domain(at), Instant(1)));
    let ids: Vec<DomainId> = std::iter::once(DomainId::DEFAULT).chain(more).collect();
    let mut flood = network.attach(address(weights.len()), false).expect("a transport");
    for at in 0..weights.len() {
        let datagram = (Target::Unicast(address(at)), bytes::Bytes::from_static(b"nonsense"));
        flood.send(&vec![datagram; FLOOD]);
    }
    assert_eq!(turn.run(Instant(2), true, 0, &NoSessions), Ok(true));
    let taken = |id| turn.domains[id].look().transport.counters().received_datagrams as usize;
    ids.into_iter().map(taken).collect()
}

/// While all have more than they can take in, each gets as many batches as it weighs.
#[test]
fn a_domain_that_weighs_more_takes_in_more() {
    let taken = taken_in_a_turn(&[1, 3]);
    assert!(taken[0] > 0 && taken[1] == 3 * taken[0] && taken[1] < FLOOD, "{taken:?}");
}

/// Where others wait for it, a turn is short.
#[test]
fn a_domain_that_is_not_alone_takes_in_less_in_a_turn() {
    let (alone, beside) = (taken_in_a_turn(&[1]), taken_in_a_turn(&[1, 1]));
    assert_eq!((alone, beside), (vec![4 * 256], vec![32, 32]));
}
