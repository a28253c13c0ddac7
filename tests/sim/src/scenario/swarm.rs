//! A seed of the swarm as a scenario: all that the seed decides, less what is left out.

use std::fmt;

use anasazi_oracle::{Axiom, Entry};
use anasazi_protocol::trace::Trace;

use crate::cluster::{Observed, Tap};
use crate::options::{Options, Without};
use crate::run::{Outcome, Watch, run};
use crate::story::Failure;

use super::settings::Setting;
use super::words::{NODES_MAX, Time, Words};

/// A seed and what is changed about it.
#[derive(Clone, Debug, Default)]
pub struct Swarm {
    /// Which seed.
    pub seed: u64,
    /// Nodes, if they are not what the seed says.
    pub nodes: Option<usize>,
    /// What is left out.
    pub without: Without,
    /// Faults end at this time, in milliseconds, if not when the seed says.
    pub until_ms: Option<u64>,
    /// What the world is like, where it is not what the seed says: `loss=0`.
    pub with: Vec<String>,
    /// A failure is planted into the log.
    pub forgetful: bool,
    /// Where it stands in its file.
    pub(crate) line: usize,
}

/// How a run ended, as far as two runs can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Well.
    Passes,
    /// The oracle objects.
    Breaks(Axiom),
    /// A client got what it should not.
    Client,
    /// It does not come to rest.
    Stuck,
    /// A core panicked.
    Panics,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes => write!(f, "passes"),
            Self::Breaks(axiom) => write!(f, "breaks {axiom}"),
            Self::Client => write!(f, "breaks what a client was promised"),
            Self::Stuck => write!(f, "gets stuck"),
            Self::Panics => write!(f, "panics"),
        }
    }
}

impl From<&Outcome> for Verdict {
    fn from(outcome: &Outcome) -> Self {
        match &outcome.failure {
            None => Self::Passes,
            Some(Failure::Violation(violation)) => Self::Breaks(violation.axiom),
            Some(Failure::Client(_)) => Self::Client,
            Some(Failure::Stuck(_)) => Self::Stuck,
            Some(Failure::Panicked(_) | Failure::Contradicted(_) | Failure::Contract(_)) => {
                Self::Panics
            }
        }
    }
}

impl Swarm {
    /// The seed as it is.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// What is decided before the run.
    pub fn options(&self) -> Result<Options, String> {
        let mut options = Options::new(self.seed, self.nodes);
        for word in &self.with {
            Setting::parse(word).apply(&mut options)?;
        }
        options.without = self.without.clone();
        options.fault_time_ms = self.until_ms.unwrap_or(options.fault_time_ms);
        Ok(options)
    }

    /// Runs it.
    pub fn run(&self) -> Result<Outcome, String> {
        let watch = Watch { forgetful: self.forgetful, ..Watch::default() };
        Ok(run(self.options()?, watch))
    }

    /// How it ends. Settings were tried when they were read.
    pub fn verdict(&self) -> Verdict {
        self.run().map_or(Verdict::Stuck, |outcome| Verdict::from(&outcome))
    }

    /// Takes a line of the file; `false` if it says nothing about the seed.
    pub(crate) fn line(&mut self, verb: &str, words: &mut Words<'_>) -> Result<bool, String> {
        match verb {
            "nodes" => {
                let count = words.number("a number of nodes")? as usize;
                if !(1..=NODES_MAX).contains(&count) {
                    return Err(format!("1 to {NODES_MAX} nodes"));
                }
                self.nodes = Some(count);
            }
            "until" => {
                let Time::Fixed(time) = words.time()? else {
                    return Err("nothing is swept here".to_owned());
                };
                self.until_ms = Some(time / 1_000_000);
            }
            "plant" => {
                words.must("forgotten-packet")?;
                self.forgetful = true;
            }
            "with" => {
                while words.peek().is_some() {
                    let word = words.next("a setting")?;
                    Setting::parse(word).apply(&mut Options::quiet(1))?;
                    self.with.push(word.to_owned());
                }
            }
            "without" if words.take("fault") => {
                while words.peek().is_some() {
                    let (first, last) = words.range("faults")?;
                    self.without.faults.extend(first..=last);
                }
            }
            "without" => {
                words.must("traffic")?;
                self.without.traffic.extend(words.nodes()?.0.into_iter().flatten());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The file, with how it ends now.
    pub fn file(&self, verdict: Verdict) -> String {
        let mut text =
            format!("title Seed {} in short\nswarm {}\n> {verdict}\n", self.seed, self.seed);
        if let Some(nodes) = self.nodes {
            text.push_str(&format!("nodes {nodes}\n"));
        }
        if self.forgetful {
            text.push_str("plant forgotten-packet\n");
        }
        if !self.with.is_empty() {
            text.push_str(&format!("with {}\n", self.with.join(" ")));
        }
        let faults: Vec<u64> = self.without.faults.iter().copied().collect();
        if !faults.is_empty() {
            text.push_str(&format!("without fault {}\n", ranges(&faults)));
        }
        if !self.without.traffic.is_empty() {
            let nodes = self.without.traffic.iter().map(|n| format!("n{}", n + 1));
            text.push_str(&format!("without traffic {}\n", nodes.collect::<Vec<_>>().join(" ")));
        }
        if let Some(until) = self.until_ms {
            text.push_str(&format!("until {until}ms\n"));
        }
        text
    }
}

/// `1..3 7`.
fn ranges(numbers: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let word = |(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}..{last}") }
    };
    ranges.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Keeps from the oracle the first packet that is delivered in a ring that came after a crash.
pub(crate) fn forgetful() -> Tap {
    let (mut crashed, mut installed, mut forgotten) = (false, false, false);
    Box::new(move |_, seen| {
        let Observed::Entry(entry) = seen else { return true };
        match entry {
            Entry::Crash => crashed = true,
            Entry::Trace(Trace::Regular { .. }) => installed = crashed,
            Entry::Trace(Trace::Packet { .. }) if installed && !forgotten => {
                forgotten = true;
                return false;
            }
            _ => {}
        }
        true
    })
}
