//! What happened lately: protocol events in words, for the log and for `{"query":"events"}`.

use std::collections::VecDeque;

use anasazi_protocol::{Differing, Event, NodeId, Process};
use tracing::{debug, error, info, warn};

use crate::domains::DEFAULT_NAME;

/// Events kept.
const EVENTS_MAX: usize = 256;
/// Warnings kept.
const WARNINGS_MAX: usize = 32;

/// One event in words.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Milliseconds of CLOCK_MONOTONIC.
    pub(crate) time_ms: u64,
    /// A word for programs.
    pub(crate) kind: &'static str,
    /// A sentence for people.
    pub(crate) text: String,
}

/// The last events, and the warnings that still hold.
#[derive(Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    warnings: Vec<String>,
}

impl Journal {
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn warn(&mut self, text: String) {
        warn!(target: "anasazi::engine", "{text}");
        self.keep(&text.clone(), text);
    }

    /// Keeps a warning, instead of those that begin as it does; the oldest gives way.
    fn keep(&mut self, beginning: &str, text: String) {
        self.warnings.retain(|warning| !warning.starts_with(beginning));
        if self.warnings.len() == WARNINGS_MAX {
            self.warnings.remove(0);
        }
        self.warnings.push(text);
    }

    /// Logs an event of the domain of this name, and keeps it.
    pub(crate) fn record(&mut self, now_ns: u64, domain: &str, event: &Event) {
        let place = &place(domain);
        let (kind, text) = describe(domain, event);
        let text = format!("{place}{text}");
        let unusable = format!("{place}{MULTICAST_UNUSABLE}");
        match event {
            Event::State { .. } => debug!(target: "anasazi::protocol", kind, "{text}"),
            Event::Installed { .. } => info!(target: "anasazi::protocol", kind, "{text}"),
            Event::DuplicateNode { .. } => error!(target: "anasazi::protocol", kind, "{text}"),
            _ => warn!(target: "anasazi::protocol", kind, "{text}"),
        }
        match event {
            Event::MulticastUnusable { .. } => self.keep(&unusable, text.clone()),
            Event::StorageLost => self.keep(&text, text.clone()),
            Event::SettingsDiffer { node, .. } => {
                self.keep(&format!("{place}{}", stranger(*node)), text.clone());
            }
            Event::Installed { members, multicast, .. } => {
                let fits = |node| format!("{place}{}", stranger(node));
                let fit: Vec<_> = members.iter().map(|member| fits(member.node)).collect();
                self.warnings.retain(|w| !fit.iter().any(|begin| w.starts_with(begin)));
                if *multicast {
                    self.warnings.retain(|w| !w.starts_with(&unusable));
                }
            }
            _ => {}
        }
        self.push(now_ns, kind, text);
    }

    /// Logs and keeps what a session does that its owner should know of.
    pub(crate) fn of_session(&mut self, now_ns: u64, text: String) {
        warn!(target: "anasazi::engine", "{text}");
        self.push(now_ns, "session", text);
    }

    /// Logs and keeps what becomes of a domain.
    pub(crate) fn of_domain(&mut self, now_ns: u64, text: String) {
        info!(target: "anasazi::engine", "{text}");
        self.push(now_ns, "domain", text);
    }

    /// Keeps what becomes of the rules of access.
    pub(crate) fn of_access(&mut self, now_ns: u64, text: String) {
        self.push(now_ns, "access", text);
    }

    fn push(&mut self, now_ns: u64, kind: &'static str, text: String) {
        if self.entries.len() == EVENTS_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { time_ms: now_ns / 1_000_000, kind, text });
    }
}

const MULTICAST_UNUSABLE: &str = "multicast does not reach everyone";

/// What stands before words about a domain: nothing for `default`.
pub(crate) fn place(domain: &str) -> String {
    if domain == DEFAULT_NAME { String::new() } else { format!("domain {domain}: ") }
}

/// How a warning of a node that is set up differently begins.
fn stranger(node: NodeId) -> String {
    format!("node {node} at ")
}

fn describe(domain: &str, event: &Event) -> (&'static str, String) {
    match event {
        Event::State { from, to, cause, .. } => ("state", format!("{from} -> {to}: {cause}")),
        Event::Installed { ring, members, cause, took_us, multicast } => {
            let way = match (members.len(), multicast) {
                (1, _) => "alone",
                (_, true) => "by multicast",
                (_, false) => "by unicast",
            };
            let (ms, members) = (*took_us as f64 / 1_000.0, nodes(members));
            let what = format!("ring {ring}: nodes {members}, {way}; {cause}; took {ms:.1} ms");
            ("configuration", what)
        }
        Event::DuplicateNode { node, address, other } => (
            "duplicate-node",
            format!(
                "the process at {address} (incarnation {:x}) uses this node's id {node}: give each \
                 node its own node.id, or none to have one drawn",
                other.0
            ),
        ),
        Event::MulticastUnusable { node } => (
            "multicast",
            format!(
                "{MULTICAST_UNUSABLE} (that of node {node} is not heard by all): data goes by \
                 unicast; check transport.multicast, transport.interface and the switches' IGMP \
                 snooping, or set transport.multicast = \"off\""
            ),
        ),
        Event::VersionMismatch { address, theirs, ours } => (
            "version",
            format!(
                "{address} speaks wire version {:#x}, this node speaks {:#x}: they cannot form a \
                 ring until one of them is upgraded",
                theirs, ours
            ),
        ),
        Event::SettingsDiffer { node, address, differing } => {
            let differing: Vec<_> = differing.iter().map(|of| differs(domain, of)).collect();
            let what = format!("{}{address} has {}", stranger(*node), differing.join(", "));
            let consequence = match domain {
                DEFAULT_NAME => "",
                _ => "no ring is formed with it until they are equal; ",
            };
            ("settings", format!("{what}: {consequence}set the same at all nodes of the domain"))
        }
        Event::OwnPause { late_ms } => (
            "own-pause",
            format!(
                "this process did not run for {late_ms} ms (suspended, or no processor time): \
                 nobody else is blamed for what it missed meanwhile"
            ),
        ),
        Event::StorageLost => (
            "storage",
            "the state file cannot be written: this node goes on without storage, so ring numbers \
             may repeat after its next start; free or replace the disk and restart it"
                .to_owned(),
        ),
        Event::MergeRefused { node, reason } => {
            ("merge-refused", format!("not merging with the ring of node {node}: {reason}"))
        }
        Event::ContractBroken { .. }
        | Event::ContractVoid { .. }
        | Event::Demoted { .. }
        | Event::NotAdmitted { .. }
        | Event::Refused { .. } => describe_contract(event),
    }
}

/// What becomes of a domain's contract.
fn describe_contract(event: &Event) -> (&'static str, String) {
    match event {
        Event::ContractBroken { node, breach } => {
            ("contract-broken", format!("node {node} breaks the domain's contract: {breach}"))
        }
        Event::ContractVoid { broken, members, breach } => (
            "contract-void",
            format!(
                "{broken} of {members} members break the domain's contract, one of them by \
                 {breach}: nobody is demoted for what most cannot keep; raise the bounds of \
                 contract.*, or find out what is wrong with the network"
            ),
        ),
        Event::Demoted { node, breach, stated_by, out_for, .. } => {
            let by: Vec<_> = stated_by.iter().map(ToString::to_string).collect();
            let (by, out_for) = (by.join(", "), out_for.as_secs_f64());
            (
                "demoted",
                format!(
                    "node {node} is demoted, it breaks the domain's contract: {breach}, as node \
                     {by} measured; it is not taken back for {out_for} s"
                ),
            )
        }
        Event::NotAdmitted { node, breach } => (
            "not-admitted",
            format!("node {node} is not let in, it would break the domain's contract: {breach}"),
        ),
        Event::Refused { by, breach } => (
            "refused",
            format!(
                "refused by this domain (node {by} measured): {breach}; this node stays alone in \
                 it until it does better"
            ),
        ),
        _ => ("contract", format!("{event:?}")),
    }
}

/// The key as it is configured, with both values.
fn differs(domain: &str, of: &Differing) -> String {
    let Differing { key, theirs, ours } = of;
    let table = if domain == DEFAULT_NAME { String::new() } else { format!("domain.{domain}.") };
    format!("{table}{key} = {theirs} (here {ours})")
}

fn nodes(members: &[Process]) -> String {
    let ids: Vec<_> = members.iter().map(|p| p.node.to_string()).collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests {
    use anasazi_protocol::{Incarnation, NodeId, RingId};

    use super::*;

    fn installed(multicast: bool) -> Event {
        let process = Process { node: NodeId(1), incarnation: Incarnation(1) };
        Event::Installed {
            ring: RingId { sequence: 4, representative: process },
            members: vec![process],
            cause: anasazi_protocol::event::Cause::CommitTimeout,
            took_us: 1,
            multicast,
        }
    }

    #[test]
    fn warnings_of_one_kind_replace_each_other_and_go_when_they_no_longer_hold() {
        let mut journal = Journal::default();
        journal.warn("first".to_owned());
        journal.warn("first".to_owned());
        for node in 0..50 {
            journal.record(0, DEFAULT_NAME, &Event::MulticastUnusable { node: NodeId(node) });
            journal.record(0, DEFAULT_NAME, &Event::StorageLost);
        }
        assert_eq!(journal.warnings().len(), 3);
        assert!(journal.warnings()[1].contains("node 49"), "{:?}", journal.warnings());
        journal.record(0, DEFAULT_NAME, &installed(false));
        assert_eq!(journal.warnings().len(), 3);
        journal.record(0, DEFAULT_NAME, &installed(true));
        assert_eq!(journal.warnings().len(), 2);
        (0..100).for_each(|number| journal.warn(format!("{number}.")));
        assert_eq!(journal.warnings().len(), WARNINGS_MAX);
        assert_eq!(journal.warnings().last().map(String::as_str), Some("99."));
    }

    #[test]
    fn keys_that_differ_are_named_as_they_are_configured_until_the_node_fits() {
        let differing = vec![Differing { key: "ring.token_loss_ms", theirs: 500, ours: 300 }];
        let address = "10.0.0.7:7745".parse().expect("an address");
        let event = Event::SettingsDiffer { node: NodeId(1), address, differing };
        let mut journal = Journal::default();
        journal.record(0, "slow", &event);
        journal.record(0, "slow", &event);
        journal.record(0, DEFAULT_NAME, &event);
        let [slow, default] = journal.warnings() else { panic!("{:?}", journal.warnings()) };
        let begin = "domain slow: node 1 at 10.0.0.7:7745 has domain.slow.ring.token_loss_ms = 500 \
                     (here 300): no ring is formed";
        assert!(slow.starts_with(begin), "{slow}");
        let begin = "node 1 at 10.0.0.7:7745 has ring.token_loss_ms = 500 (here 300):";
        assert!(default.starts_with(begin), "{default}");
        journal.record(0, "slow", &installed(false));
        assert_eq!(journal.warnings().len(), 1);
    }
}
