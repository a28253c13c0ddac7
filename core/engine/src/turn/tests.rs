//! What a turn does when its core breaks at the very beginning.

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Incarnation, Process};
use anasazi_transport::MemoryNetwork;

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
    let limits = SessionLimits {
        sessions_max: 1,
        backlog_len_max: 1 << 20,
        backlog_total_max: 1 << 30,
        hold_max: std::time::Duration::from_secs(1),
        message_len_max: 1 << 20,
        allow_uids: Vec::new(),
        allow_gids: Vec::new(),
    };
    let parts = Parts {
        config: Settings::new().validate().expect("defaults"),
        warnings: Vec::new(),
        // To so many that what it says first leaves at once.
        core: CoreConfig { peers: vec![address; 64], multicast: false, ..CoreConfig::default() },
        boot: Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX },
        limits,
        transport: MemoryNetwork::new().attach(address, true).expect("a transport"),
        seal: None,
        storage: None::<Writer>,
        temporary: Some(directory.path().to_owned()),
        witness: Some(Box::<Breaks>::default()),
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
