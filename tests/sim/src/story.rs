//! What is told: one line per event, for a replay as it happens, for a report afterwards.

use std::fmt;
use std::io::Write;

use anasazi_oracle::Violation;
use anasazi_protocol::Event;

use crate::node::Node;

/// Why a run failed.
#[derive(Debug)]
pub enum Failure {
    /// The oracle found an axiom broken.
    Violation(Box<Violation>),
    /// A client got what it should not.
    Client(String),
    /// The cluster does not come to rest where it should, or a core wants too much.
    Stuck(String),
    /// A core panicked.
    Panicked(String),
    /// Cores that follow the protocol told each other what cannot be.
    Contradicted(String),
    /// Somebody was demoted, or taken back, who should not be.
    Contract(String),
}

impl Failure {
    /// Safety is broken; otherwise liveness.
    pub fn is_violation(&self) -> bool {
        !matches!(self, Self::Stuck(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(violation) => write!(f, "{violation}"),
            Self::Client(what) => write!(f, "CLIENT: {what}"),
            Self::Stuck(what) => write!(f, "STUCK: {what}"),
            Self::Panicked(what) => write!(f, "PANIC: {what}"),
            Self::Contradicted(what) => write!(f, "CONTRADICTION: {what}"),
            Self::Contract(what) => write!(f, "CONTRACT: {what}"),
        }
    }
}

/// Prints lines as they come, or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Story {
    /// To standard output.
    pub echo: bool,
}

impl Story {
    /// One line: the time, the node, its state, its ring, how far it has delivered and knows of,
    /// what happened.
    pub fn line(self, now: u64, node: Option<(usize, &Node)>, what: &str) -> String {
        let time = format!("{:>4}.{:06}", now / 1_000_000_000, now / 1_000 % 1_000_000);
        let line = match node {
            Some((index, node)) => {
                let ring = node.ring.as_ref().map_or_else(String::new, |(ring, members)| {
                    format!("{}@{}/{}", ring.sequence, ring.representative.node, members.len())
                });
                let place = format!("{}/{}", node.delivered, node.ordered);
                let (name, state) = (format!("n{}", index + 1), node.state);
                format!("{time} {name:<4}{state:<12}{ring:<12}{place:<14}{what}")
            }
            None => format!("{time} == {what}"),
        };
        if self.echo {
            // A closed pipe ends the reader's interest, not the run.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        line
    }
}

/// A core's event in a few words.
pub fn describe(event: &Event) -> String {
    match event {
        Event::State { from, to, cause, .. } => format!("{from} -> {to}: {cause}"),
        Event::Installed { ring, members, took_us, multicast, .. } => {
            let members: Vec<String> = members.iter().map(|m| m.node.to_string()).collect();
            let by = if *multicast { "multicast" } else { "unicast" };
            format!("INSTALLED {ring} of [{}] in {took_us} us, {by}", members.join(" "))
        }
        Event::ContractBroken { node, breach } => format!("broken by node {node}: {breach}"),
        Event::ContractVoid { broken, members, .. } => {
            format!("the contract is void, {broken} of {members} break it")
        }
        Event::ContractStays { node, stays, .. } => format!("node {node} stays: {stays}"),
        Event::Demoted { node, breach, .. } => format!("node {node} is demoted: {breach}"),
        Event::NotAdmitted { node, breach } => format!("node {node} is not admitted: {breach}"),
        Event::Refused { by, breach } => format!("refused by node {by}: {breach}"),
        other => format!("{other:?}"),
    }
}
