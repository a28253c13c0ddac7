//! What must be so at a point of a scenario.

use std::collections::BTreeSet;

use anasazi_protocol::GroupId;

use super::runner::Runner;
use super::words::{Bound, Client, Nodes, Words};

/// Current values rather than counts; the others count from the last `mark`.
const GAUGES: [&str; 10] = [
    "store_packets",
    "send_queue_messages",
    "send_queue_bytes",
    "part_bytes",
    "fragment_bytes",
    "candidates",
    "book_entries",
    "link_entries",
    "ring_mtu",
    "ring_window",
];

/// One of the things that can be expected.
#[derive(Clone, Debug)]
pub(crate) enum Expectation {
    Ring {
        nodes: Nodes,
        members: Nodes,
    },
    View {
        nodes: Nodes,
        group: String,
        members: Vec<Client>,
    },
    State {
        nodes: Nodes,
        state: String,
    },
    Up {
        nodes: Nodes,
        up: bool,
    },
    /// The wire version of its ring.
    Speaks {
        nodes: Nodes,
        version: u64,
    },
    Stat {
        nodes: Nodes,
        name: String,
        bound: Bound,
    },
    /// Configurations since the last `mark`.
    Changes {
        nodes: Nodes,
        bound: Bound,
    },
    /// Something told about it contains this.
    Told {
        nodes: Nodes,
        what: String,
    },
    Got {
        nodes: Nodes,
        bound: Bound,
    },
    /// They got the same messages in the same order, as far as senders and lengths tell; in all
    /// their lives, whatever was marked.
    Same(Nodes),
    Sent {
        kind: String,
        bound: Bound,
    },
    /// The last `settle`, `rest` or `wait`, in nanoseconds.
    Took(Bound),
}

impl Expectation {
    pub(crate) fn parse(words: &mut Words<'_>) -> Result<Self, String> {
        if words.take("same") {
            return Ok(Self::Same(words.nodes()?));
        }
        if words.take("took") {
            return Ok(Self::Took(words.bound()?));
        }
        if words.take("sent") {
            let kind = words.next("a kind of datagram")?.to_owned();
            return Ok(Self::Sent { kind, bound: words.bound()? });
        }
        let nodes = words.nodes()?;
        match words.next("what is expected")? {
            "ring" => Ok(Self::Ring { nodes, members: words.nodes()? }),
            "view" => {
                let group = words.next("a group")?.to_owned();
                Ok(Self::View { nodes, group, members: words.clients()? })
            }
            "state" => Ok(Self::State { nodes, state: words.next("a state")?.to_owned() }),
            "up" => Ok(Self::Up { nodes, up: true }),
            "down" => Ok(Self::Up { nodes, up: false }),
            "speaks" => Ok(Self::Speaks { nodes, version: words.number("a version")? }),
            "stat" => {
                let name = words.next("the name of a count")?.to_owned();
                let stats = anasazi_protocol::Stats::default();
                if !stats.fields().any(|(known, _)| known == name) {
                    let names: Vec<&str> = stats.fields().map(|(known, _)| known).collect();
                    return Err(format!("`{name}` is not counted; {} are", names.join(", ")));
                }
                Ok(Self::Stat { nodes, name, bound: words.bound()? })
            }
            "changes" => Ok(Self::Changes { nodes, bound: words.bound()? }),
            "got" => Ok(Self::Got { nodes, bound: words.bound()? }),
            "told" => Ok(Self::Told { nodes, what: words.rest() }),
            word => Err(format!(
                "`{word}` cannot be expected; `same`, `took`, `sent`, or of nodes: ring, view, \
                 state, up, down, speaks, stat, changes, got, told"
            )),
        }
    }
}

/// The error says what is so instead.
pub(crate) fn check(runner: &Runner, expectation: &Expectation) -> Result<(), String> {
    match expectation {
        Expectation::Ring { nodes, members } => runner.each(nodes, |n| ring(runner, n, members)),
        Expectation::View { nodes, group, members } => {
            runner.each(nodes, |n| view(runner, n, group, members))
        }
        Expectation::State { nodes, state } => runner.each(nodes, |n| {
            let found = runner.cluster.nodes[n].state;
            same(found == state, || format!("is in {found}"))
        }),
        Expectation::Up { nodes, up } => runner.each(nodes, |n| {
            let found = runner.cluster.nodes[n].runs();
            same(found == *up, || if found { "runs" } else { "does not run" }.to_owned())
        }),
        Expectation::Speaks { nodes, version } => runner.each(nodes, |n| {
            let core = runner.cluster.nodes[n].core();
            let found = core.map_or(0, |core| u64::from(core.status().wire_version));
            same(found == *version, || format!("speaks {found}"))
        }),
        Expectation::Stat { nodes, name, bound } => runner.each(nodes, |n| {
            let now = runner.stat(n, name);
            let before = if GAUGES.contains(&&name[..]) { 0 } else { runner.marked(n, name) };
            let value = now.saturating_sub(before);
            same(bound.holds(value), || format!("has {name} {value}, not {bound}"))
        }),
        Expectation::Changes { nodes, bound } => runner.each(nodes, |n| {
            let name = "configurations_installed";
            let value = runner.stat(n, name).saturating_sub(runner.marked(n, name));
            same(bound.holds(value), || format!("had {value} configurations, not {bound}"))
        }),
        Expectation::Told { nodes, what } => runner.each(nodes, |n| {
            let last = runner.cluster.nodes[n].lines.iter().any(|line| line.contains(what));
            same(last || runner.was_told(n, what), || "was not told so".to_owned())
        }),
        Expectation::Got { nodes, bound } => runner.each(nodes, |n| {
            let value = runner.received(n).len() as u64;
            same(bound.holds(value), || format!("got {value} messages, not {bound}"))
        }),
        Expectation::Same(nodes) => {
            let nodes = nodes.of(runner.cluster.nodes.len());
            let first = runner.received(nodes[0]);
            match nodes.iter().find(|n| runner.received(**n) != first) {
                Some(other) => Err(runner.first_difference(nodes[0], *other)),
                None => Ok(()),
            }
        }
        Expectation::Sent { kind, bound } => {
            let value = runner.sent(kind);
            same(bound.holds(value), || format!("{value} of {kind} were sent, not {bound}"))
        }
        Expectation::Took(bound) => same(bound.holds(runner.took), || {
            format!("it took {} us, not {bound} ns", runner.took / 1_000)
        }),
    }
}

fn same(good: bool, else_what: impl FnOnce() -> String) -> Result<(), String> {
    if good { Ok(()) } else { Err(else_what()) }
}

fn ring(runner: &Runner, node: usize, members: &Nodes) -> Result<(), String> {
    let all = &runner.cluster.nodes;
    let wanted: BTreeSet<_> = members.of(all.len()).iter().map(|n| all[*n].process).collect();
    let Some((_, found)) = &all[node].ring else { return Err("is in no ring".to_owned()) };
    same(found.iter().copied().collect::<BTreeSet<_>>() == wanted, || {
        let names: Vec<String> = found.iter().map(|m| format!("n{}", m.node)).collect();
        format!("is in a ring of {}", names.join(" "))
    })
}

fn view(runner: &Runner, node: usize, group: &str, members: &[Client]) -> Result<(), String> {
    let found = runner.cluster.members_seen(node, GroupId::of(group)).unwrap_or_default();
    let wanted: BTreeSet<_> = members.iter().filter_map(|m| runner.member(m)).collect();
    let known: BTreeSet<_> = found.iter().copied().collect();
    same(known == wanted && wanted.len() == members.len(), || {
        let names: Vec<String> = known.iter().map(|m| runner.name(*m)).collect();
        format!("sees [{}] in {group}", names.join(" "))
    })
}
