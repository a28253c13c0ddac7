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

use crate::cluster::Cell;
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
    /// Where in the transition table it was.
    pub cells: BTreeSet<Cell>,
    /// Why the seed fails, if it is one that does.
    pub failure: Option<String>,
}

impl Outcome {
    /// Whether all is so that the file says: its seed passes, the transitions that it shows happen,
    /// and its output is what it was, if there is any. The error says what is not.
    pub fn holds(&self, scenario: &Scenario, text: &str) -> Result<(), String> {
        let name = &scenario.name;
        if let Some(failure) = &self.failure {
            return Err(format!("{name}: {failure}"));
        }
        let shown = scenario.shows.iter().filter_map(|shown| shown.strip_prefix("transition "));
        let missed: Vec<&str> =
            shown.filter(|row| !self.cells.iter().any(|cell| cell.0 == *row)).collect();
        if !missed.is_empty() {
            return Err(format!("{name}: no such transition happens: {}", missed.join(", ")));
        }
        let has_output = text.lines().any(|line| line.starts_with('>'));
        match difference(text, &render(scenario, &self.printed)).filter(|_| has_output) {
            Some(difference) => Err(format!("{name}: {difference}")),
            None => Ok(()),
        }
    }
}

/// Runs a scenario, once for each value that it sweeps over. The error says where it went wrong.
pub fn run(scenario: &Scenario) -> Result<Outcome, String> {
    if let Some(swarm) = &scenario.swarm {
        let ended = swarm.run()?;
        let printed = [(swarm.line, vec![Verdict::from(&ended).to_string()])].into();
        let failure = ended.failure.map(|failure| failure.to_string());
        return Ok(Outcome { printed, failure, cells: ended.cells });
    }
    let mut first: Option<Printed> = None;
    let (mut applied, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for value in scenario.sweep() {
        let at = value.map_or_else(String::new, |v| format!(" (swept: {} us)", v / 1_000));
        let told = Runner::run(scenario, value.unwrap_or(0)).map_err(|e| format!("{e}{at}"))?;
        applied.extend(told.applied);
        cells.extend(told.cells);
        match &first {
            Some(first) if *first != told.printed => {
                return Err(other_story(scenario, first, &told.printed) + &at);
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
            let (place, rule) = (scenario.place(*line), scenario.lines[*line].trim());
            Err(format!("{place}: no datagram was met by `{rule}`"))
        }
        None => Ok(Outcome { printed: first.unwrap_or_default(), cells, failure: None }),
    }
}

/// Two runs of a sweep printed different things: what the first line of them is.
fn other_story(scenario: &Scenario, first: &Printed, now: &Printed) -> String {
    let nothing = Vec::new();
    let places = first.keys().chain(now.keys());
    let one = |told: &[String], at: usize| match told.get(at) {
        Some(line) => format!("`{}`", line.trim()),
        None => "nothing more".to_owned(),
    };
    let differs = places.copied().find_map(|line| {
        let was = first.get(&line).unwrap_or(&nothing);
        let is = now.get(&line).unwrap_or(&nothing);
        let same = was.iter().zip(is).take_while(|(a, b)| a == b).count();
        let words = format!("{} at first, and now {}", one(was, same), one(is, same));
        (was != is).then(|| format!("{}: the story differs: {words}", scenario.place(line)))
    });
    differs.unwrap_or_else(|| format!("{}: the story differs", scenario.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a file that can be read.
    fn wrong(text: &str) -> String {
        run(&parse("x.txt", text).expect("it can be read")).expect_err("it must not hold")
    }

    #[test]
    fn messages_that_differ_are_named_with_the_line_and_the_story() {
        // Lines of the output count, too.
        let what = wrong(
            "title x\nring 2\n> nothing\npartition n1 | n2\nsend n1 g 70 agreed\ntick 2s\n\
             expect same all\n",
        );
        let lines: Vec<&str> = what.lines().collect();
        assert_eq!(
            lines[0],
            "x.txt:7: at `expect same all`: n2 got something else than n1: message 1 is 70 bytes \
             from n1 at n1, and missing at n2; n1 got 1 in all, n2 0"
        );
        assert_eq!(lines[1], "the story so far, from the last `mark` on:");
        assert_eq!(lines[2], "  n1");
        assert!(what.contains("1 to g from n1"), "{what}");
    }

    #[test]
    fn a_view_that_is_not_so_is_told_with_the_names_of_the_file() {
        let what = wrong("title x\nring 2\nexpect n1 view g n1\n");
        let line = what.lines().next();
        assert_eq!(line, Some("x.txt:3: at `expect n1 view g n1`: n1 sees [n1 n2] in g"));
    }

    #[test]
    fn what_is_wrong_in_the_end_is_told_with_the_story() {
        let what = wrong("title x\nnodes 2\nconfigure n2 cluster=42\nboot all\n\n# the end\n");
        assert!(
            what.starts_with("x.txt:6: after the last line, with all faults ended: L1"),
            "{what}"
        );
        assert!(what.contains("\nthe story so far, from the last `mark` on:\n  n1"), "{what}");
        let rule = wrong("title x\nring 2\ndrop decline n1 -> n2\nload 1 10\nrest within 1s\n");
        assert!(
            rule.starts_with("x.txt:3: no datagram was met by `drop decline n1 -> n2`"),
            "{rule}"
        );
    }

    #[test]
    fn the_first_difference_of_two_runs_of_a_sweep_is_named() {
        let scenario = parse("x.txt", "title x\nring 2\nstory\n").expect("good");
        let told =
            |lines: &[&str]| Printed::from([(2, lines.iter().map(|l| (*l).into()).collect())]);
        assert_eq!(
            other_story(&scenario, &told(&["n1", "  end", "  boot"]), &told(&["n1", "  boot"])),
            "x.txt:3: the story differs: `end` at first, and now `boot`"
        );
    }

    /// A command that the documentation leaves out is known to nobody.
    #[test]
    fn the_documentation_has_every_command() {
        let error = parse("x.txt", "title x\nnonsense\n").unwrap_err();
        let verbs = error.split("they are ").nth(1).and_then(|rest| rest.split(": ").next());
        let verbs: Vec<&str> = verbs.expect("a list").split(", ").collect();
        assert!(verbs.len() > 50, "{verbs:?}");
        let words: BTreeSet<&str> = TABLE.split(['`', ' ', ',', '\n']).collect();
        let missing: Vec<_> = verbs.iter().filter(|verb| !words.contains(**verb)).collect();
        assert!(missing.is_empty(), "tests/scenarios/README.md lacks {missing:?}");
    }
}
