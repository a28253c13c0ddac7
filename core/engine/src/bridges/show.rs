//! Bridges as JSON: those of this engine, and those of which others tell.

use anasazi_bridge::Far;
use anasazi_protocol::{MemberId, Process};
use anasazi_transport::Transport;
use serde_json::{Value, json};

use super::membership::Memberships;
use super::{Bridge, Bridges, clients, own_member};
use crate::admin::show;
use crate::domains::{DomainGroup, DomainId};
use crate::storage::Storage;
use crate::turn::Table;

impl Bridges {
    pub(crate) fn show<T: Transport, S: Storage>(&self, domains: &Table<T, S>) -> Vec<Value> {
        let own = self.bridges.iter().map(|bridge| bridge.show(&self.memberships));
        let others = self.others(domains, |_| true).map(|(domain, by, far)| {
            json!({
                "name": far.name,
                "from": far.from,
                "to": domains[domain].full_name(far.to),
                "state": RECEIVER,
                "reason": null,
                "gateways": [by.node.0],
                "source_members": members(far.members.iter()),
                "source_count": far.count,
                "source_view": show::view(far.view),
            })
        });
        own.chain(others).collect()
    }

    /// The bridges that begin or end in a domain, as far as they are known here.
    pub(crate) fn of_domain<T: Transport, S: Storage>(
        &self,
        name: &str,
        domains: &Table<T, S>,
    ) -> Vec<Value> {
        let is_its = |of: &&Bridge| of.config.from.domain == name || of.config.to.domain == name;
        let own =
            self.bridges.iter().filter(is_its).map(|bridge| bridge.show_short(&self.memberships));
        let others = self.others(domains, |domain| domains[domain].name == name);
        let others = others.map(|(domain, _, far)| {
            let to = domains[domain].full_name(far.to);
            json!({ "name": far.name, "from": far.from, "to": to, "state": RECEIVER })
        });
        own.chain(others).collect()
    }

    /// Of which others tell, in some domains: they are members of the target, and this engine is no
    /// gateway.
    fn others<'a, T: Transport, S: Storage>(
        &'a self,
        domains: &'a Table<T, S>,
        is_wanted: impl Fn(DomainId) -> bool + 'a,
    ) -> impl Iterator<Item = (DomainId, Process, &'a Far)> {
        let told = self.far.iter().filter(move |(domain, bridge, by, far)| {
            // A domain with a thread of its own is looked at only if it has to be.
            if !is_wanted(*domain) {
                return false;
            }
            let is_member = domains[*domain].look().core.has_member(far.to, own_member(*by));
            // One that cannot run here knows no more than others do.
            let is_own = |own: &Bridge| own.id == *bridge && own.ends.is_some();
            is_member && !self.bridges.iter().any(is_own)
        });
        told.map(|(domain, _, by, far)| (domain, by, far))
    }
}

/// State of one that another engine is a gateway of.
const RECEIVER: &str = "receiver";

fn members<'a>(of: impl Iterator<Item = &'a MemberId>) -> Vec<Value> {
    of.map(|member| json!({ "node": member.node.0, "session": member.session.0 })).collect()
}

impl Bridge {
    fn show(&self, memberships: &Memberships) -> Value {
        let (messages, bytes) = self.gateway.waiting();
        let counters = self.gateway.counters();
        let of = |group: Option<DomainGroup>| group.and_then(|group| memberships.of(group));
        let source = self.ends.map(|ends| ends.source);
        let far = members(clients(of(source).unwrap_or_default()));
        json!({
            "name": self.config.name,
            "from": self.config.from.to_string(),
            "to": self.config.to.to_string(),
            "state": self.state(memberships),
            "reason": self.trouble,
            "gateways": self.gateways(memberships).iter().map(|of| of.node.0).collect::<Vec<_>>(),
            "source_count": far.len(),
            "source_members": far,
            "source_view": source.and_then(|of| memberships.view_of(of)).map(show::view),
            "waiting": messages,
            "waiting_bytes": bytes,
            "forwarded": counters.forwarded,
            "filtered": counters.filtered,
            "replaced": counters.replaced,
            "dropped": counters.dropped,
            "looped": counters.looped,
        })
    }

    /// In a list of domains.
    fn show_short(&self, memberships: &Memberships) -> Value {
        json!({
            "name": self.config.name,
            "from": self.config.from.to_string(),
            "to": self.config.to.to_string(),
            "state": self.state(memberships),
            "reason": self.trouble,
            "waiting": self.gateway.waiting().0,
            "dropped": self.gateway.counters().dropped,
        })
    }

    fn gateways<'a>(&self, memberships: &'a Memberships) -> &'a [MemberId] {
        let group = self.ends.map(|ends| ends.gateways);
        group.and_then(|group| memberships.of(group)).unwrap_or_default()
    }

    fn state(&self, memberships: &Memberships) -> &'static str {
        match self.ends {
            None => "stopped",
            Some(_) if self.gateway.is_active() => "active",
            Some(_) if self.trouble.is_some() => "refused",
            Some(_) if !self.gateways(memberships).is_empty() => "standby",
            Some(_) => "joining",
        }
    }
}
