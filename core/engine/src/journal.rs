//! What happened lately: protocol events in words, for the log and for `{"query":"events"}`.

use std::collections::VecDeque;

use anasazi_protocol::{Differing, Event, NodeId, Process, Stays};
use tracing::{debug, error, info, warn};

use crate::domains::DEFAULT_NAME;

/// Events kept.
const EVENTS_MAX: usize = 256;
/// Warnings kept.
const WARNINGS_MAX: usize = 32;
/// A warning of somebody who is said to be set up differently again every minute, as long as he is
/// heard, is over after this time.
const HEARD_WITHIN_NS: u64 = 3 * 60 * 1_000_000_000;

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

/// What the operator should do something about.
struct Warning {
    /// `None`: the engine.
    domain: Option<String>,
    /// A domain has one warning of each.
    subject: Subject,
    text: String,
    /// It no longer holds then, on the clock of the events.
    until_ns: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Multicast,
    Storage,
    /// Of another node.
    Settings(NodeId),
    /// Who seals in another way, by its kind.
    Seal(&'static str),
    /// What it says in its words.
    Other,
}

/// The last events, and the warnings that still hold.
#[derive(Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    warnings: Vec<Warning>,
}

impl Journal {
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The warnings that hold. `of`: those of that domain and of the engine, else all.
    pub(crate) fn warnings(&self, now_ns: u64, of: Option<&str>) -> impl Iterator<Item = &str> {
        let holds = move |warning: &&Warning| {
            let is_of = match (&warning.domain, of) {
                (Some(domain), Some(of)) => domain == of,
                _ => true,
            };
            is_of && warning.until_ns.is_none_or(|until| now_ns < until)
        };
        self.warnings.iter().filter(holds).map(|warning| &warning.text[..])
    }

    /// A warning of the engine; or of a domain, if it begins with the name of one.
    pub(crate) fn warn(&mut self, text: String) {
        warn!(target: "anasazi::engine", "{text}");
        let domain = domain_in(&text).map(str::to_owned);
        self.keep(Warning { domain, subject: Subject::Other, text, until_ns: None });
    }

    /// A domain is gone, and what was wrong with it.
    pub(crate) fn forget(&mut self, domain: &str) {
        self.warnings.retain(|warning| warning.domain.as_deref() != Some(domain));
    }

    /// Keeps a warning, instead of the one of the same; the oldest gives way.
    fn keep(&mut self, warning: Warning) {
        self.warnings.retain(|other| {
            let is_same = other.domain == warning.domain && other.subject == warning.subject;
            !is_same || warning.subject == Subject::Other && other.text != warning.text
        });
        if self.warnings.len() == WARNINGS_MAX {
            self.warnings.remove(0);
        }
        self.warnings.push(warning);
    }

    /// Logs an event of the domain of this name, and keeps it.
    pub(crate) fn record(&mut self, now_ns: u64, domain: &str, event: &Event) {
        let place = &place(domain);
        let (kind, text) = describe(domain, event);
        let text = format!("{place}{text}");
        match event {
            Event::State { .. } => debug!(target: "anasazi::protocol", kind, "{text}"),
            Event::Installed { .. } => info!(target: "anasazi::protocol", kind, "{text}"),
            Event::DuplicateNode { .. } => error!(target: "anasazi::protocol", kind, "{text}"),
            _ => warn!(target: "anasazi::protocol", kind, "{text}"),
        }
        match event {
            Event::MulticastUnusable { .. } => {
                self.keep_of(domain, Subject::Multicast, &text, None)
            }
            Event::StorageLost => self.keep_of(domain, Subject::Storage, &text, None),
            Event::SettingsDiffer { node, .. } => {
                self.keep_of(domain, Subject::Settings(*node), &text, Some(now_ns));
            }
            Event::Installed { members, multicast, .. } => {
                self.warnings.retain(|warning| {
                    let is_over = match warning.subject {
                        Subject::Multicast => *multicast,
                        // In `default` members may differ, and go on being warned of.
                        Subject::Settings(node) => {
                            domain != DEFAULT_NAME && members.iter().any(|of| of.node == node)
                        }
                        _ => false,
                    };
                    !is_over || warning.domain.as_deref() != Some(domain)
                });
            }
            _ => {}
        }
        self.push(now_ns, kind, text);
    }

    /// Keeps a warning of a domain. `heard_ns`: it is of somebody who was heard then.
    fn keep_of(&mut self, domain: &str, subject: Subject, text: &str, heard_ns: Option<u64>) {
        let until_ns = heard_ns.map(|at| at.saturating_add(HEARD_WITHIN_NS));
        let (domain, text) = (Some(domain.to_owned()), text.to_owned());
        self.keep(Warning { domain, subject, text, until_ns });
    }

    /// Logs and keeps that somebody seals in another way than this node does in a domain.
    pub(crate) fn of_mismatch(
        &mut self,
        now_ns: u64,
        domain: &str,
        kind: &'static str,
        text: &str,
    ) {
        let text = format!("{}{text}", place(domain));
        warn!(target: "anasazi::engine", kind, "{text}");
        self.keep_of(domain, Subject::Seal(kind), &text, Some(now_ns));
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

/// The name of the domain with which words about one begin (see [`place`]), or a key of it.
fn domain_in(text: &str) -> Option<&str> {
    let of_words = || text.strip_prefix("domain ")?.split_once(": ");
    let of_key = || text.strip_prefix("domain.")?.split_once('.');
    let (name, _) = of_words().or_else(of_key)?;
    (!name.contains(' ')).then_some(name)
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
            let what = format!("node {node} at {address} has {}", differing.join(", "));
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
        | Event::ContractStays { .. }
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
        Event::ContractStays { node, breach, stays } => (
            "contract-stays",
            format!(
                "node {node} breaks the domain's contract and is not demoted: {breach}; \
                 {stays}{}",
                advice(*stays)
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
                 it until it does better. If all nodes are refused, none can meet the contract: \
                 its bounds are wrong, or the network is"
            ),
        ),
        _ => ("contract", format!("{event:?}")),
    }
}

/// What to do where a member stays that breaks the contract.
fn advice(stays: Stays) -> &'static str {
    match stays {
        Stays::OneOfTwo => ": find out which of them is slow, and stop it or cure it",
        Stays::MostBreakIt { .. } | Stays::MostMayBreakIt { .. } => {
            ": raise the bounds of contract.*, or find out what is wrong with the network"
        }
        Stays::HoldUnproved { .. } => {
            ": see that contract.hold_us is well above what `anasazi domains --json` shows as \
             hold_us, at each node of the next one, when all is well"
        }
        Stays::Unasked => ": see what `anasazi domains` says at the other nodes",
        Stays::AfterWorse(_) | Stays::AfterNext(_) | Stays::MeasuresAnew(_) => "",
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

    fn warnings(journal: &Journal, now_ns: u64) -> Vec<&str> {
        journal.warnings(now_ns, None).collect()
    }

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
        assert_eq!(warnings(&journal, 0).len(), 3);
        let shown = warnings(&journal, 0);
        assert!(shown[1].contains("node 49"), "{shown:?}");
        journal.record(0, DEFAULT_NAME, &installed(false));
        assert_eq!(warnings(&journal, 0).len(), 3);
        journal.record(0, DEFAULT_NAME, &installed(true));
        assert_eq!(warnings(&journal, 0).len(), 2);
        (0..100).for_each(|number| journal.warn(format!("{number}.")));
        assert_eq!(warnings(&journal, 0).len(), WARNINGS_MAX);
        assert_eq!(journal.warnings(0, None).last(), Some("99."));
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
        let shown = warnings(&journal, 0);
        let [slow, default] = shown[..] else { panic!("{shown:?}") };
        let begin = "domain slow: node 1 at 10.0.0.7:7745 has domain.slow.ring.token_loss_ms = 500 \
                     (here 300): no ring is formed";
        assert!(slow.starts_with(begin), "{slow}");
        let begin = "node 1 at 10.0.0.7:7745 has ring.token_loss_ms = 500 (here 300):";
        assert!(default.starts_with(begin), "{default}");
        journal.record(0, "slow", &installed(false));
        journal.record(0, DEFAULT_NAME, &installed(false));
        let shown = warnings(&journal, 0);
        assert!(matches!(shown[..], [of] if of.starts_with(begin)), "{shown:?}");
    }

    /// What was put right is not warned of for ever; what goes on is.
    #[test]
    fn warnings_of_others_go_when_these_are_not_heard_any_more() {
        const MINUTE: u64 = 60 * 1_000_000_000;
        let differing = vec![Differing { key: "ring.token_loss_ms", theirs: 500, ours: 300 }];
        let address = "10.0.0.7:7745".parse().expect("an address");
        let event = Event::SettingsDiffer { node: NodeId(7), address, differing };
        let mut journal = Journal::default();
        for minute in 0..10 {
            journal.record(minute * MINUTE, "slow", &event);
            journal.of_mismatch(minute * MINUTE, "slow", "unsealed", "10.0.0.7:7745 is open");
            journal.of_mismatch(minute * MINUTE, DEFAULT_NAME, "unsealed", "10.0.0.8:1 is open");
        }
        journal.record(10 * MINUTE, "slow", &Event::StorageLost);
        let last = 9 * MINUTE;
        let shown = warnings(&journal, last + 3 * MINUTE - 1);
        assert_eq!(shown.len(), 4, "{shown:?}");
        assert!(shown[1] == "domain slow: 10.0.0.7:7745 is open", "{shown:?}");
        assert!(shown[2] == "10.0.0.8:1 is open", "{shown:?}");
        let shown = warnings(&journal, last + 3 * MINUTE);
        assert!(matches!(shown[..], [of] if of.contains("state file")), "{shown:?}");
    }

    #[test]
    fn warnings_of_a_domain_are_shown_with_it_and_go_with_it() {
        let mut journal = Journal::default();
        journal.warn("the engine is old".to_owned());
        journal.warn("domain slow was removed: it is late".to_owned());
        journal.warn("domain slow: its buffer is small".to_owned());
        journal.warn("domain.slow.transport.allow_faults is true".to_owned());
        journal.record(0, "slow", &Event::StorageLost);
        journal.record(0, DEFAULT_NAME, &Event::StorageLost);
        let count = |journal: &Journal, of| journal.warnings(0, of).count();
        assert_eq!(count(&journal, None), 6);
        assert_eq!(count(&journal, Some("slow")), 5);
        assert_eq!(count(&journal, Some(DEFAULT_NAME)), 3);
        assert_eq!(count(&journal, Some("slo")), 2);
        journal.forget("slow");
        assert_eq!(count(&journal, None), 3);
        let own = journal.warnings(0, Some("slow")).collect::<Vec<_>>();
        assert_eq!(own, ["the engine is old", "domain slow was removed: it is late"]);
    }

    #[test]
    fn where_one_stays_that_breaks_the_contract_it_is_said_why_and_what_to_do() {
        use anasazi_protocol::{Bound, Breach};
        let breach = Breach { bound: Bound::Hold, measured: 9_000_000, allowed: 5_000_000 };
        let stays = Stays::HoldUnproved { known: 1, unknown: 2 };
        let event = Event::ContractStays { node: NodeId(3), breach, stays };
        let (kind, text) = describe("fast", &event);
        let words = "node 3 breaks the domain's contract and is not demoted: token hold 9 ms \
                     measured, 5 ms allowed; 1 of 3 others are known to keep the token hold, not \
                     most: see that contract.hold_us is well above what";
        assert!(kind == "contract-stays" && text.starts_with(words), "{text}");
    }
}
