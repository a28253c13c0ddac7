//! The one door for administration: a JSON object in, a JSON object out. Console, demo and tests
//! use it like anybody else.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anasazi_protocol::{Instant, NodeId, Stats, ViewId};
use anasazi_queue::status::Status;
use serde_json::{Value, json};

use crate::config::{Effective, ValidConfig};
use crate::domain::Domain;
use crate::domains::DomainId;
use crate::journal::{Entry, Journal};
use crate::session::Sessions;
use crate::storage::Storage;
use anasazi_transport::Transport;

const QUERIES: &str = "status, members, groups, sessions, stats, events, config";
const ACTIONS: &str = "isolate, heal, loss, break, shutdown";

pub(crate) struct Admin {
    config: ValidConfig,
    pub(crate) journal: Journal,
    started: Instant,
}

/// What a request comes to.
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) json: String,
    pub(crate) shutdown: bool,
}

/// A request that is refused, and the words for it.
struct Refusal(Status, String);

impl Admin {
    pub(crate) fn new(config: ValidConfig, journal: Journal, now: Instant) -> Self {
        Self { config, journal, started: now }
    }

    /// `trusted`: asked by a user who may do more than ask.
    pub(crate) fn answer<T: Transport, S: Storage>(
        &self,
        now: Instant,
        json: &[u8],
        trusted: bool,
        domain: &mut Domain<T, S>,
        sessions: &Sessions,
    ) -> Answer {
        let result = parse(json).and_then(|request| {
            request.check_allowed(trusted)?;
            self.carry_out(now, &request, domain, sessions)
        });
        match result {
            Ok((value, shutdown)) => {
                Answer { status: Status::OK, json: value.to_string(), shutdown }
            }
            Err(Refusal(status, error)) => {
                Answer { status, json: json!({ "error": error }).to_string(), shutdown: false }
            }
        }
    }

    fn carry_out<T: Transport, S: Storage>(
        &self,
        now: Instant,
        request: &Request,
        domain: &mut Domain<T, S>,
        sessions: &Sessions,
    ) -> Result<(Value, bool), Refusal> {
        let done = json!({ "done": true });
        let value = match request {
            Request::Query(what) => match what.as_str() {
                "status" => self.status(now, domain, sessions),
                "members" => json!({ "members": members(domain) }),
                "groups" => json!({ "groups": groups(domain, sessions) }),
                "sessions" => json!({ "sessions": describe_sessions(now, sessions) }),
                "stats" => {
                    let protocol = stats(&domain.core.stats());
                    json!({ "protocol": protocol, "transport": transport(domain) })
                }
                "events" => json!({ "events": self.events() }),
                "config" => json!({ "config": self.effective_config() }),
                other => return Err(unknown("query", other, QUERIES)),
            },
            Request::Do(what, arguments) => match what.as_str() {
                "shutdown" => return Ok((done, true)),
                "isolate" | "heal" | "loss" | "break" => {
                    self.inject(what, arguments, domain)?;
                    done
                }
                other => return Err(unknown("do", other, ACTIONS)),
            },
        };
        Ok((value, false))
    }

    fn status<T: Transport, S: Storage>(
        &self,
        now: Instant,
        domain: &Domain<T, S>,
        sessions: &Sessions,
    ) -> Value {
        let status = domain.core.status();
        let ring = status.ring.map(|ring| {
            json!({
                "id": ring.to_string(),
                "sequence": ring.sequence,
                "members": members(domain),
                "multicast": status.multicast,
            })
        });
        json!({
            "cluster": self.config.cluster,
            "node": domain.process.node.0,
            "name": self.config.node.name,
            "incarnation": domain.process.incarnation.0,
            "version": env!("CARGO_PKG_VERSION"),
            "state": status.state,
            "address": domain.transport.local_address().to_string(),
            "ring": ring,
            "uptime_ms": now.since(self.started).as_millis() as u64,
            "sessions": sessions.len(),
            "groups": domain.core.group_count(),
            "warnings": self.journal.warnings(),
        })
    }

    fn events(&self) -> Vec<Value> {
        let entry = |e: &Entry| json!({ "time_ms": e.time_ms, "kind": e.kind, "text": e.text });
        self.journal.entries().map(entry).collect()
    }

    fn effective_config(&self) -> Vec<Value> {
        let row = |e: &Effective| {
            let origin = e.origin.to_string();
            json!({ "key": e.key, "value": e.value, "origin": origin })
        };
        self.config.effective().iter().map(row).collect()
    }

    /// Faults, for tests: only where the configuration allows them by name.
    fn inject<T: Transport, S>(
        &self,
        what: &str,
        arguments: &Value,
        domain: &mut Domain<T, S>,
    ) -> Result<(), Refusal> {
        if !self.config.transport.allow_faults {
            let text = "fault injection is not allowed here: it takes transport.allow_faults = \
                        true in the configuration";
            return Err(Refusal(Status::EACCES, text.to_owned()));
        }
        match what {
            "heal" => {
                domain.transport.isolate(None);
                domain.transport.loss_permille(0);
            }
            "break" => match arguments.get("in").map_or(Some("core"), Value::as_str) {
                Some("core") => domain.recorder.break_next(),
                Some("engine") => domain.recorder.break_now(),
                _ => return Err(invalid("`in` must be \"core\" or \"engine\"")),
            },
            "loss" => {
                let permille = arguments.get("permille").and_then(Value::as_u64);
                let permille = permille.and_then(|p| u16::try_from(p).ok()).filter(|p| *p <= 1_000);
                let wrong = || invalid("`permille` must be a whole number from 0 to 1000");
                domain.transport.loss_permille(permille.ok_or_else(wrong)?);
            }
            _ => {
                let nodes = arguments.get("nodes").and_then(Value::as_array);
                let nodes = nodes.ok_or_else(|| invalid("`nodes` must be a list of node ids"))?;
                let addresses = nodes.iter().map(|n| address_of(n, domain));
                let addresses = addresses.collect::<Result<Vec<Option<SocketAddr>>, _>>()?;
                domain
                    .transport
                    .isolate(Some(addresses.into_iter().flatten().collect::<BTreeSet<_>>()));
            }
        }
        Ok(())
    }
}

/// A request as it came.
enum Request {
    Query(String),
    Do(String, Value),
}

impl Request {
    /// Actions are for those who could stop this process anyway.
    fn check_allowed(&self, trusted: bool) -> Result<(), Refusal> {
        match self {
            Self::Do(what, _) if !trusted => {
                let text = format!(
                    "{what:?} may be asked for by root and by the engine's own user only: run the \
                     command as one of them"
                );
                Err(Refusal(Status::EACCES, text))
            }
            _ => Ok(()),
        }
    }
}

fn parse(json: &[u8]) -> Result<Request, Refusal> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| invalid(&format!("not a JSON object: {error}")))?;
    let word = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
    match (word("query"), word("do")) {
        (Some(query), None) => Ok(Request::Query(query)),
        (None, Some(action)) => Ok(Request::Do(action, value)),
        _ => Err(invalid(&format!(
            "give either {{\"query\": one of {QUERIES}}} or {{\"do\": one of {ACTIONS}}}"
        ))),
    }
}

/// The request can be read, and is allowed to its sender.
#[cfg(feature = "fuzzing")]
pub(crate) fn may_carry_out(json: &[u8], trusted: bool) -> bool {
    parse(json).and_then(|request| request.check_allowed(trusted)).is_ok()
}

fn invalid(text: &str) -> Refusal {
    Refusal(Status::EINVAL, text.to_owned())
}

fn unknown(key: &str, word: &str, known: &str) -> Refusal {
    invalid(&format!("unknown {key} {word:?}; known are {known}"))
}

/// The node itself needs no address: nothing is sent to it.
fn address_of<T, S>(node: &Value, domain: &Domain<T, S>) -> Result<Option<SocketAddr>, Refusal> {
    let id = node.as_u64().and_then(|id| u32::try_from(id).ok()).map(NodeId);
    let id = id.ok_or_else(|| invalid(&format!("{node} is not a node id")))?;
    if id == domain.process.node {
        return Ok(None);
    }
    match domain.core.address_of(id) {
        Some(address) => Ok(Some(address)),
        None => Err(invalid(&format!("node {id} was never heard here"))),
    }
}

fn members<T: Transport, S>(domain: &Domain<T, S>) -> Vec<Value> {
    let own = domain.transport.local_address();
    let member = |(process, address): (anasazi_protocol::Process, Option<SocketAddr>)| {
        let is_self = process == domain.process;
        json!({
            "node": process.node.0,
            "incarnation": process.incarnation.0,
            "address": if is_self { Some(own) } else { address }.map(|a| a.to_string()),
            "self": is_self,
        })
    };
    domain.core.status().members.into_iter().map(member).collect()
}

fn groups<T, S>(domain: &Domain<T, S>, sessions: &Sessions) -> Vec<Value> {
    let group = |g: anasazi_protocol::GroupStatus| {
        let held_by = sessions.held_by(DomainId::DEFAULT.group(g.id));
        let member =
            |m: &anasazi_protocol::MemberId| json!({ "node": m.node.0, "session": m.session.0 });
        json!({
            "name": domain.full(&g.name),
            "id": format!("{:016x}", g.id.0),
            "members": g.members.iter().map(member).collect::<Vec<_>>(),
            "view": view(g.view),
            "messages": g.sequence,
            "held_by": held_by.map(|node| node.0).collect::<Vec<_>>(),
        })
    };
    domain.core.groups().map(group).collect()
}

fn view(id: ViewId) -> Value {
    json!({ "ring": id.ring.to_string(), "ordinal": id.ordinal, "sub": id.sub })
}

fn stats(stats: &Stats) -> Value {
    stats.fields().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

fn transport<T: Transport, S>(domain: &Domain<T, S>) -> Value {
    let counters = domain.transport.counters();
    counters.fields().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

fn describe_sessions(now: Instant, sessions: &Sessions) -> Vec<Value> {
    let row = |s: crate::session::SessionInfo| {
        json!({
            "session": s.session.0,
            "pid": s.who.map(|(pid, _)| pid),
            "uid": s.who.map(|(_, uid)| uid),
            "way": s.way,
            "groups": s.groups,
            "send_used": s.send_used,
            "receive_used": s.receive_used,
            "backlog": s.backlog_len,
            "slow_policy": s.slow_policy,
            "skipped": s.skipped,
            "holds_ms": s.holds_since.map(|at| now.since(at).as_millis() as u64),
            "claim_open_ms": s.claim_open_since.map(|at| now.since(at).as_millis() as u64),
        })
    };
    sessions.describe().into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is served may ask; who could end this process anyway may act.
    #[test]
    fn actions_are_for_the_trusted() {
        let check = |json: &str, trusted| {
            parse(json.as_bytes()).and_then(|request| request.check_allowed(trusted))
        };
        for action in ["shutdown", "heal", "isolate", "loss", "break"] {
            let json = json!({ "do": action }).to_string();
            assert!(check(&json, true).is_ok());
            let Err(Refusal(status, text)) = check(&json, false) else { panic!("{action}") };
            assert_eq!(status, Status::EACCES);
            assert!(text.contains(action) && text.contains("root"), "{text}");
        }
        assert!(check("{\"query\":\"status\"}", false).is_ok());
    }
}
