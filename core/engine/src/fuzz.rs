//! Doors for the fuzz targets in `tests/fuzz`: parsers that are private otherwise. Not for anybody
//! else.

use std::net::SocketAddr;
use std::time::Duration;

use anasazi_protocol::{
    Boot, Command, CoreConfig, Incarnation, Instant, NodeId, Process, SessionId,
};
use anasazi_queue::status::Status;
use anasazi_transport::{Memory, MemoryNetwork};
use serde_json::Value;

use crate::admin::{Admin, By, Then};
use crate::bridges::Bridges;
use crate::config::{Settings, ValidConfig};
use crate::domain::Domain;
use crate::domains::DEFAULT_NAME;
use crate::journal::Journal;
use crate::recorder::Recorder;
use crate::session::{SessionLimits, Sessions};
use crate::state_file::Stored;
use crate::storage::Storage;
use crate::turn::{Place, Table};

/// Reads a request of the administration door, and says whether it may be carried out.
pub fn admin_request(json: &[u8], trusted: bool) -> bool {
    crate::admin::may_carry_out(json, trusted)
}

/// Reads the two copies that a state file has; whether one can be believed.
pub fn state_copies(bytes: &[u8; 128]) -> bool {
    crate::state_file::read_copies(bytes)
}

/// Ring numbers are a core's own from the start, so nothing is written.
struct NoDisk;

impl Storage for NoDisk {
    fn write(&mut self, _: u64, _: Stored) {}
    fn take_written(&mut self, _: &mut Vec<(u64, bool)>) {}
}

/// An administration door that is open: node 1 of a ring of two, with a group, and with faults
/// allowed.
pub struct Desk {
    admin: Admin,
    bridges: Bridges,
    domains: Table<Memory, NoDisk>,
    sessions: Sessions,
    now: Instant,
}

impl Default for Desk {
    fn default() -> Self {
        let network = MemoryNetwork::new();
        let mut domains = [domain(&network, 1), domain(&network, 2)];
        let (session, name) = (SessionId::first(Incarnation(1)), "g".to_owned());
        let mut now = BEGIN;
        domains.iter_mut().for_each(|domain| domain.begin(now));
        domains[0].command(now, Command::Join { session, name });
        while domains[0].core.status().members.len() < 2 || domains[0].core.group_count() < 1 {
            assert!(now.since(BEGIN) < Duration::from_secs(20), "no ring of two");
            for domain in &mut domains {
                domain.tick(now);
                domain.receive(usize::MAX, now);
                domain.flush();
            }
            now = now + Duration::from_millis(1);
        }
        let [domain, _] = domains;
        let sessions = Sessions::new(limits(), domain.process, crate::turn::SESSION_KEYS);
        let domains = Table::new(Place::new(DEFAULT_NAME.to_owned(), domain));
        let bridges = Bridges::new(&config());
        Self {
            admin: Admin::new(config(), Journal::default(), BEGIN),
            domains,
            sessions,
            bridges,
            now,
        }
    }
}

impl Desk {
    /// Carries out a request. An answer is one JSON object, a refusal has words, and who is not
    /// trusted changes nothing. Whether it is done.
    pub fn carry_out(&mut self, json: &[u8], trusted: bool) -> bool {
        let parsed: Value = serde_json::from_slice(json).unwrap_or_default();
        let acts = parsed.get("do").is_some();
        if trusted && parsed["do"] == "break" && parsed["in"] == "engine" {
            // It panics, as it was asked to.
            return false;
        }
        let Self { admin, domains, sessions, bridges, now } = self;
        // Of a session that is not there: nothing is kept from it.
        let by = By { session: SessionId(1), trusted };
        let answer = admin.answer(*now, json, by, domains, (sessions, bridges));
        let Ok(Value::Object(object)) = serde_json::from_str(&answer.json) else {
            panic!("no JSON object: {}", answer.json);
        };
        let done = answer.status == Status::OK;
        let words = object.get("error").and_then(Value::as_str).map_or(0, str::len);
        assert_eq!(words == 0, done, "{}", answer.json);
        assert!(words <= WORDS_MAX + json.len() * ESCAPED_MAX, "too many words: {}", answer.json);
        assert!(!done || trusted || !acts, "done for somebody who may only ask");
        let shutdown = trusted && parsed["do"] == "shutdown" && parsed.get("query").is_none();
        assert!(
            !matches!(answer.then, Then::Stop) || shutdown,
            "the end, and nobody has asked for it"
        );
        done
    }
}

fn domain(network: &MemoryNetwork, node: u32) -> Domain<Memory, NoDisk> {
    let process = Process { node: NodeId(node), incarnation: Incarnation(1) };
    let boot = Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX };
    let address = SocketAddr::from(([127, 0, 0, 1], 7_000 + node as u16));
    let Ok(transport) = network.attach(address, true) else { panic!("no descriptors left") };
    let recorder = Recorder::new(process, None, None);
    let core = CoreConfig { multicast: true, seed: node.into(), ..CoreConfig::default() };
    let outside = (transport, None, NoDisk);
    Domain::new((core, boot), outside, recorder, None, BEGIN)
}

fn config() -> ValidConfig {
    let mut settings = Settings::for_daemon();
    let set = settings.set("transport.allow_faults", "true");
    let Ok(config) = set.and_then(|()| settings.validate()) else { panic!("the defaults fit") };
    config
}

fn limits() -> SessionLimits {
    SessionLimits {
        sessions_max: 1,
        backlog_len_max: 1 << 20,
        backlog_total_max: 1 << 30,
        hold_max: Duration::from_secs(10),
        message_len_max: 1 << 10,
        allow_uids: Vec::new(),
        allow_gids: Vec::new(),
    }
}

const BEGIN: Instant = Instant(1_000_000_000);
/// Bytes of a refusal around what it quotes.
const WORDS_MAX: usize = 400;
/// Bytes that a byte of a request may take in a refusal that quotes it.
const ESCAPED_MAX: usize = 12;
