//! The one door for administration: a JSON object in, a JSON object out. Console, demo and tests
//! use it like anybody else.

mod access;
mod contract;
mod domains;
mod keys;
pub(crate) mod show;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anasazi_protocol::{Instant, NodeId};
use anasazi_queue::status::Status;
use serde_json::{Value, json};

use crate::bridges::Bridges;
use crate::config::{Effective, ValidConfig};
use crate::domain::Domain;
use crate::domains::DomainId;
use crate::journal::{Entry, Journal};
use crate::session::Sessions;
use crate::storage::Storage;
use crate::turn::{Place, Table};
pub(crate) use access::By;
use anasazi_transport::Transport;
pub(crate) use domains::Addition;
pub(crate) use keys::KeyChange;

const QUERIES: &str = "status, members, groups, sessions, stats, events, config, domains, keys, \
                       bridges, access, access-check";
const ACTIONS: &str = "isolate, heal, loss, break, shutdown, add-domain, remove-domain, key-stage, \
                       key-activate, key-retire, access-reload";
/// Those of them that are about one domain: the one that `domain` names, else `default`; groups
/// without it are those of all.
const OF_DOMAIN: [&str; 12] = [
    "status",
    "members",
    "groups",
    "stats",
    "keys",
    "isolate",
    "heal",
    "loss",
    "break",
    "key-stage",
    "key-activate",
    "key-retire",
];

pub(crate) struct Admin {
    /// As it is now.
    pub(crate) config: ValidConfig,
    pub(crate) journal: Journal,
    started: Instant,
}

/// What a request comes to.
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) json: String,
    pub(crate) then: Then,
}

/// What is to be done beside answering. Domains come and go in their own time: whoever asked for
/// that is answered then.
pub(crate) enum Then {
    Nothing,
    Stop,
    Add(Box<Addition>),
    Remove(DomainId),
    Keys(DomainId, KeyChange),
    /// Read the rules of access again.
    Reread,
}

/// A request that is refused, and the words for it.
pub(crate) struct Refusal(Status, String);

impl Admin {
    pub(crate) fn new(config: ValidConfig, journal: Journal, now: Instant) -> Self {
        Self { config, journal, started: now }
    }

    /// What a request of somebody comes to.
    pub(crate) fn answer<T: Transport, S: Storage>(
        &self,
        now: Instant,
        json: &[u8],
        by: By,
        domains: &mut Table<T, S>,
        shown: (&Sessions, &Bridges),
    ) -> Answer {
        let result = parse(json).and_then(|request| {
            request.check_allowed(by.trusted, by.is_remote(shown.0))?;
            self.carry_out(now, &request, by, domains, shown)
        });
        match result {
            Ok((value, then)) => Answer { status: Status::OK, json: value.to_string(), then },
            Err(Refusal(status, error)) => {
                let json = json!({ "error": error }).to_string();
                Answer { status, json, then: Then::Nothing }
            }
        }
    }

    fn carry_out<T: Transport, S: Storage>(
        &self,
        now: Instant,
        request: &Request,
        by: By,
        domains: &mut Table<T, S>,
        shown: (&Sessions, &Bridges),
    ) -> Result<(Value, Then), Refusal> {
        let named = request.domain(domains)?;
        match request {
            Request::Query(what, arguments) => {
                let value = self.tell((what, arguments), named, (now, by), domains, shown)?;
                Ok((value, Then::Nothing))
            }
            Request::Do(what, arguments) => {
                let then = self.act((what, arguments), named.unwrap_or_default(), domains)?;
                Ok((json!({ "done": true }), then))
            }
        }
    }

    fn tell<T: Transport, S: Storage>(
        &self,
        (what, arguments): (&str, &Value),
        named: Option<DomainId>,
        (now, by): (Instant, By),
        domains: &Table<T, S>,
        (sessions, bridges): (&Sessions, &Bridges),
    ) -> Result<Value, Refusal> {
        let id = named.unwrap_or_default();
        let of_domain = format!("{}/*", domains[id].name);
        by.check(what, &of_domain, sessions)?;
        Ok(match what {
            "status" => self.status(now, domains, named, sessions),
            "members" => json!({ "members": show::members(&domains[id].look()) }),
            "groups" => {
                let these = domains.iter().filter(|(id, _)| named.is_none_or(|named| named == *id));
                let groups = these.flat_map(|of| show::groups(of, sessions)).collect();
                let whole = named.map_or("*", |_| &of_domain);
                json!({ "groups": by.only_allowed(groups, whole, sessions)? })
            }
            "sessions" => json!({ "sessions": show::sessions(now, sessions) }),
            "stats" => {
                let domain = domains[id].look();
                let protocol = show::stats(&domain.core.stats());
                json!({ "protocol": protocol, "transport": show::transport(&domain) })
            }
            "events" => json!({ "events": self.events() }),
            "config" => json!({ "config": self.effective_config() }),
            "access" => access::show(sessions),
            "access-check" => access::check(arguments, by, sessions)?,
            "domains" => {
                let shown = domains.iter().map(|(_, domain)| {
                    let mut shown = show::domain(domain);
                    shown["bridges"] = bridges.of_domain(&domain.name, domains).into();
                    shown
                });
                json!({ "domains": shown.collect::<Vec<_>>() })
            }
            "keys" => json!({ "keys": show::keys(&domains[id]) }),
            "bridges" => json!({ "bridges": bridges.show(domains) }),
            other => return Err(unknown("query", other, QUERIES)),
        })
    }

    fn act<T: Transport, S: Storage>(
        &self,
        (what, arguments): (&str, &Value),
        id: DomainId,
        domains: &mut Table<T, S>,
    ) -> Result<Then, Refusal> {
        match what {
            "shutdown" => Ok(Then::Stop),
            "add-domain" => Ok(Then::Add(Box::new(self.add(arguments, domains)?))),
            "remove-domain" => Ok(Then::Remove(self.remove(arguments, domains)?)),
            "key-stage" | "key-activate" | "key-retire" => {
                Ok(Then::Keys(id, self.key_change(what, arguments, &domains[id])?))
            }
            "access-reload" if self.config.access.file.is_none() => {
                let text = "there is no file of rules: set access.file, and start again";
                Err(Refusal(Status::ESTATE, text.to_owned()))
            }
            "access-reload" => Ok(Then::Reread),
            "isolate" | "heal" | "loss" | "break" => {
                self.inject(what, arguments, &mut domains[id])?;
                Ok(Then::Nothing)
            }
            other => Err(unknown("do", other, ACTIONS)),
        }
    }

    fn status<T: Transport, S: Storage>(
        &self,
        now: Instant,
        domains: &Table<T, S>,
        named: Option<DomainId>,
        sessions: &Sessions,
    ) -> Value {
        let place = &domains[named.unwrap_or_default()];
        let of = named.map(|_| &place.name[..]);
        let domain = place.look();
        let status = domain.core.status();
        let ring = status.ring.map(|ring| {
            json!({
                "id": ring.to_string(),
                "sequence": ring.sequence,
                "members": show::members(&domain),
                "rotation_us": status.rotation.map(contract::micros),
                "multicast": status.multicast,
            })
        });
        json!({
            "cluster": self.config.cluster,
            "node": domain.process.node.0,
            "name": self.config.node.name,
            "incarnation": domain.process.incarnation.0,
            "version": env!("CARGO_PKG_VERSION"),
            "domain": place.name,
            "domains": domains.names(),
            "state": status.state,
            "address": domain.transport.local_address().to_string(),
            "ring": ring,
            "seal": keys::summary(&domain),
            "uptime_ms": now.since(self.started).as_millis() as u64,
            "sessions": sessions.len(),
            "groups": domain.core.group_count(),
            "contract": contract::contract(status.contract.as_ref(), domain.process.node),
            "warnings": self.journal.warnings(now.0, of).collect::<Vec<_>>(),
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
    fn inject<T: Transport, S: Storage>(
        &self,
        what: &str,
        arguments: &Value,
        place: &mut Place<T, S>,
    ) -> Result<(), Refusal> {
        let all = self.config.all_domains();
        let config = all.iter().find(|config| config.name == place.name);
        if !config.is_some_and(|config| config.transport.allow_faults) {
            let text = "fault injection is not allowed here: it takes transport.allow_faults = \
                        true in the configuration";
            return Err(Refusal(Status::EACCES, text.to_owned()));
        }
        let mut domain = place.work();
        match what {
            "heal" => {
                domain.transport.inner_mut().isolate(None);
                domain.transport.inner_mut().loss_permille(0);
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
                domain.transport.inner_mut().loss_permille(permille.ok_or_else(wrong)?);
            }
            _ => {
                let nodes = arguments.get("nodes").and_then(Value::as_array);
                let nodes = nodes.ok_or_else(|| invalid("`nodes` must be a list of node ids"))?;
                let addresses = nodes.iter().map(|n| address_of(n, &domain));
                let addresses = addresses.collect::<Result<Vec<Option<SocketAddr>>, _>>()?;
                domain
                    .transport
                    .inner_mut()
                    .isolate(Some(addresses.into_iter().flatten().collect::<BTreeSet<_>>()));
            }
        }
        Ok(())
    }
}

/// A request as it came.
enum Request {
    Query(String, Value),
    Do(String, Value),
}

impl Request {
    /// Actions are for those who could stop this process anyway.
    fn check_allowed(&self, trusted: bool, is_remote: bool) -> Result<(), Refusal> {
        match self {
            Self::Do(what, _) if !trusted => {
                let advice = match is_remote {
                    true => {
                        "not over TCP, where nobody can tell who it is; use the local socket \
                             (shm:PATH of client.listen)"
                    }
                    false => "run the command as one of them",
                };
                let text = format!(
                    "{what:?} may be asked for by root and by the engine's own user only: {advice}"
                );
                Err(Refusal(Status::EACCES, text))
            }
            _ => Ok(()),
        }
    }

    /// The domain that it names, if it names one; it must be about something that domains have.
    fn domain<T, S>(&self, domains: &Table<T, S>) -> Result<Option<DomainId>, Refusal> {
        let (Self::Query(what, arguments) | Self::Do(what, arguments)) = self;
        let Some(name) = arguments.get("domain") else { return Ok(None) };
        if !OF_DOMAIN.contains(&&what[..]) {
            let those = OF_DOMAIN.join(", ");
            let text = format!("{what:?} is of the whole engine; of a `domain` are {those}");
            return Err(invalid(&text));
        }
        let id = name.as_str().and_then(|name| domains.find(name));
        id.map(Some).ok_or_else(|| {
            let known = domains.names().join(", ");
            invalid(&format!("this engine has no domain {name}; it has: {known}"))
        })
    }
}

fn parse(json: &[u8]) -> Result<Request, Refusal> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| invalid(&format!("not a JSON object: {error}")))?;
    let word = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
    match (word("query"), word("do")) {
        (Some(query), None) => Ok(Request::Query(query, value)),
        (None, Some(action)) => Ok(Request::Do(action, value)),
        _ => Err(invalid(&format!(
            "give either {{\"query\": one of {QUERIES}}} or {{\"do\": one of {ACTIONS}}}"
        ))),
    }
}

/// The request can be read, and is allowed to its sender.
#[cfg(feature = "fuzzing")]
pub(crate) fn may_carry_out(json: &[u8], trusted: bool) -> bool {
    parse(json).and_then(|request| request.check_allowed(trusted, false)).is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is served may ask; who could end this process anyway may act.
    #[test]
    fn actions_are_for_the_trusted() {
        let check = |json: &str, trusted| {
            parse(json.as_bytes()).and_then(|request| request.check_allowed(trusted, false))
        };
        for action in ACTIONS.split(", ") {
            let json = json!({ "do": action }).to_string();
            assert!(check(&json, true).is_ok());
            let Err(Refusal(status, text)) = check(&json, false) else { panic!("{action}") };
            assert_eq!(status, Status::EACCES);
            assert!(text.contains(action) && text.contains("root"), "{text}");
        }
        assert!(check("{\"query\":\"status\"}", false).is_ok());
    }
}
