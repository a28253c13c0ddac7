//! A small language for directed scenarios: one file says what happens to a cluster and what comes
//! of it. `tests/scenarios/README.md` is its description.
//!
//! `words` and `parse` read a file, `settings` are its options, `runner` carries it out on a
//! [`Cluster`](crate::cluster::Cluster) with `links`, `packets`, `expect` and `asked`, `chronicle`
//! tells the story, `golden` compares it with the file, `swarm` is the form of a shrunk seed.

mod asked;
mod chronicle;
mod command;
mod expect;
mod golden;
mod links;
mod packets;
mod parse;
mod runner;
mod settings;
mod swarm;
mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use golden::{difference, render};
pub use parse::{Scenario, parse};
pub(crate) use swarm::forgetful;
pub use swarm::{Swarm, Verdict};

use command::Command;
use runner::Runner;

/// What a scenario printed: for each line with a command, by its number from 0, some lines.
pub type Printed = BTreeMap<usize, Vec<String>>;

/// What is shown where.
const TABLE: &str = include_str!("../../../scenarios/README.md");

/// Where the table says that this is shown: `row 3`, `transition superseded`.
pub fn shown_by(id: &str) -> Option<&'static str> {
    let row = TABLE.lines().find_map(|line| line.strip_prefix(&format!("| {id} |")))?;
    Some(row.trim_end_matches('|').rsplit('|').next()?.trim()).filter(|place| !place.is_empty())
}

/// What came of a scenario.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What it printed.
    pub printed: Printed,
    /// Rows of the transition table that it reached.
    pub rows: BTreeSet<&'static str>,
}

/// Runs a scenario, once for each value that it sweeps over. The error says where it went wrong.
pub fn run(scenario: &Scenario) -> Result<Outcome, String> {
    if let Some(swarm) = &scenario.swarm {
        let printed = [(swarm.line, vec![swarm.verdict().to_string()])].into();
        return Ok(Outcome { printed, ..Outcome::default() });
    }
    let mut first: Option<Printed> = None;
    let (mut applied, mut rows) = (BTreeSet::new(), BTreeSet::new());
    for value in scenario.sweep() {
        let at = value.map_or_else(String::new, |v| format!(" (swept: {} us)", v / 1_000));
        let told = Runner::run(scenario, value.unwrap_or(0)).map_err(|e| format!("{e}{at}"))?;
        applied.extend(told.applied);
        rows.extend(told.rows);
        match &first {
            Some(first) if *first != told.printed => {
                return Err(format!("{}: the story differs{at}", scenario.name));
            }
            Some(_) => {}
            None => first = Some(told.printed),
        }
    }
    // A rule that meets no datagram shows nothing.
    let is_rule = |c: &Command| matches!(c, Command::Packets(_));
    let mut rules = scenario.commands.iter().filter(|(_, c)| is_rule(c));
    match rules.find(|(line, _)| !applied.contains(line)) {
        Some((line, _)) => {
            Err(format!("{}: no datagram was met by `{}`", scenario.name, scenario.lines[*line]))
        }
        None => Ok(Outcome { printed: first.unwrap_or_default(), rows }),
    }
}
