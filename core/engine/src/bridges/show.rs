//! Bridges as JSON.

use serde_json::{Value, json};

use super::membership::Memberships;
use super::{Bridge, Bridges, is_engine};
use crate::config::BridgeConfig;
use crate::domains::DomainGroup;

impl Bridges {
    pub(crate) fn show(&self) -> Value {
        self.bridges.iter().map(|bridge| bridge.show(&self.memberships)).collect()
    }
}

/// The names of the bridges that begin or end in a domain.
pub(crate) fn of_domain(bridges: &[BridgeConfig], domain: &str) -> Vec<Value> {
    let is_its = |of: &&BridgeConfig| of.from.domain == domain || of.to.domain == domain;
    let show = |of: &BridgeConfig| {
        let (from, to) = (of.from.to_string(), of.to.to_string());
        json!({ "name": of.name, "from": from, "to": to })
    };
    bridges.iter().filter(is_its).map(show).collect()
}

impl Bridge {
    fn show(&self, memberships: &Memberships) -> Value {
        let (messages, bytes) = self.gateway.waiting();
        let counters = self.gateway.counters();
        let members = |group: Option<DomainGroup>| {
            let of = group.and_then(|group| memberships.of(group));
            of.map_or_else(Vec::new, <[_]>::to_vec)
        };
        let gateways = members(self.ends.map(|ends| ends.gateways));
        let source = members(self.ends.map(|ends| ends.source));
        let source = source.iter().filter(|member| !is_engine(member.session));
        let source = source.map(|m| json!({ "node": m.node.0, "session": m.session.0 }));
        json!({
            "name": self.config.name,
            "from": self.config.from.to_string(),
            "to": self.config.to.to_string(),
            "state": self.state(!gateways.is_empty()),
            "reason": self.trouble,
            "gateways": gateways.iter().map(|member| member.node.0).collect::<Vec<_>>(),
            "source_members": source.collect::<Vec<_>>(),
            "waiting": messages,
            "waiting_bytes": bytes,
            "forwarded": counters.forwarded,
            "filtered": counters.filtered,
            "replaced": counters.replaced,
            "dropped": counters.dropped,
            "looped": counters.looped,
        })
    }

    fn state(&self, is_gateway: bool) -> &'static str {
        match self.ends {
            None => "stopped",
            Some(_) if self.gateway.is_active() => "active",
            Some(_) if self.trouble.is_some() => "refused",
            Some(_) if is_gateway => "standby",
            Some(_) => "joining",
        }
    }
}
