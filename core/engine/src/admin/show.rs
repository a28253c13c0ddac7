//! What there is, as JSON.

use std::net::SocketAddr;

use anasazi_protocol::{Instant, Stats, ViewId};
use anasazi_transport::Transport;
use serde_json::{Value, json};

use super::contract;
pub(crate) use super::keys::keys;
use super::keys::summary;
use crate::domain::Domain;
use crate::domains::DomainId;
use crate::session::Sessions;
use crate::storage::Storage;
use crate::turn::Place;

/// The nodes of a domain's ring.
pub(super) fn members<T: Transport, S>(domain: &Domain<T, S>) -> Vec<Value> {
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

/// The groups of a domain, by the names by which sessions join them.
pub(super) fn groups<T: Transport, S: Storage>(
    (id, place): (DomainId, &Place<T, S>),
    sessions: &Sessions,
) -> Vec<Value> {
    let group = |g: anasazi_protocol::GroupStatus| {
        let held_by = sessions.held_by(id.group(g.id));
        let member =
            |m: &anasazi_protocol::MemberId| json!({ "node": m.node.0, "session": m.session.0 });
        json!({
            "name": place.full(&g.name),
            "domain": place.name,
            "id": format!("{:016x}", g.id.0),
            "members": g.members.iter().map(member).collect::<Vec<_>>(),
            "view": view(g.view),
            "messages": g.sequence,
            "held_by": held_by.map(|node| node.0).collect::<Vec<_>>(),
        })
    };
    // Its thread does not wait until all are written down.
    let groups: Vec<_> = place.look().core.groups().collect();
    groups.into_iter().map(group).collect()
}

/// Where a view stands.
pub(crate) fn view(id: ViewId) -> Value {
    json!({ "ring": id.ring.to_string(), "ordinal": id.ordinal, "sub": id.sub })
}

/// A core's counters.
pub(super) fn stats(stats: &Stats) -> Value {
    stats.fields().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

/// A domain in a list of them.
pub(crate) fn domain<T: Transport, S: Storage>(place: &Place<T, S>) -> Value {
    let domain = &*place.look();
    let status = domain.core.status();
    let contract = contract::contract(status.contract.as_ref(), domain.process.node);
    let ring = status.ring.map(|ring| {
        json!({
            "id": ring.to_string(),
            "rotation_us": status.rotation.map(contract::micros),
            "members": status.members.len(),
            "nodes": status.members.iter().map(|(of, _)| of.node.0).collect::<Vec<_>>(),
            "multicast": status.multicast,
        })
    });
    json!({
        "name": place.name,
        "state": if place.removal.is_some() { "leaving" } else { status.state },
        "added": place.is_added,
        "thread": place.waited().map(|[own, engine]| json!({
            "waited_us": contract::micros(own),
            "engine_waited_us": contract::micros(engine),
        })),
        "address": domain.transport.local_address().to_string(),
        "ring": ring,
        "groups": domain.core.group_count(),
        "measured": status.measured.iter().map(contract::measured).collect::<Vec<_>>(),
        "contract": contract,
        "seal": summary(domain),
    })
}

/// A transport's counters.
pub(super) fn transport<T: Transport, S>(domain: &Domain<T, S>) -> Value {
    let counters = domain.transport.counters();
    counters.fields().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

/// Every session.
pub(super) fn sessions(now: Instant, sessions: &Sessions) -> Vec<Value> {
    let row = |s: crate::session::SessionInfo| {
        json!({
            "session": s.session.0,
            "domain": s.domain,
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
