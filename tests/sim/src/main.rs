//! `anasazi-sim`: runs seeds, replays one, proves that runs are deterministic.
#![forbid(unsafe_code)]

mod campaign;
#[path = "main/domains.rs"]
mod domains;
#[path = "main/explore.rs"]
mod explore;
#[path = "main/idle.rs"]
mod idle;
mod planted;
#[path = "main/scenario.rs"]
mod scenario;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anasazi_protocol::planted::set as plant;
use anasazi_sim::network::Lasting;
use anasazi_sim::options::Options;
use anasazi_sim::run::{Watch, run};
use anasazi_sim::scenario::Swarm;
use anasazi_sim::shrink;
use campaign::Campaign;
use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand};

/// Nodes of the largest cluster that is tried: a seed of more takes minutes, and nothing is known
/// of it.
const NODES_MAX: u64 = 32;

/// Simulates clusters with faults, and checks every step against the axioms.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run many seeds. Ends with one line of sums; fails if any seed did.
    Run {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
        /// Nodes in every cluster, instead of what the seed says; 32 at most, of which a seed
        /// takes ten seconds.
        #[arg(long, value_parser = nodes())]
        nodes: Option<usize>,
        /// Single links stay cut when all else is healed, instead of what the seed says.
        #[arg(long)]
        bad_links: bool,
        /// Start no further seed after so many seconds.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: Option<u64>,
        /// Start no further seed after one has failed.
        #[arg(long)]
        stop: bool,
        /// Threads; each runs its own seeds.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Print the sums as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Run one seed and tell its story.
    Replay {
        /// Which.
        seed: u64,
        /// Nodes in the cluster, as they were given to `run`.
        #[arg(long, value_parser = nodes())]
        nodes: Option<usize>,
        /// As it was given to `run`.
        #[arg(long)]
        bad_links: bool,
        /// Plant this bug first; see `planted`.
        #[arg(long, value_name = "NAME")]
        planted: Option<String>,
    },
    /// Run scenarios, and print them with their output. Fails if any does not hold.
    Scenario(scenario::Arguments),
    /// Explore every order of events in a small cluster, within bounds.
    Explore(explore::Arguments),
    /// Hours without faults, on networks and machines of every kind. Ends with one line of sums;
    /// fails if any configuration changes.
    Idle(idle::Arguments),
    /// Engines in several domains: each held to the axioms for itself, and a fast one that must be
    /// the same to the nanosecond whatever goes wrong in a slow one.
    Domains(domains::Arguments),
    /// Plant bugs, one after the other, and see how many seeds it takes to find each, and by what:
    /// an axiom of the oracle, a rule of liveness, what a client saw, or a panic of the core. Fails
    /// if any is not found.
    Planted {
        /// Only this one.
        name: Option<String>,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// At most so many seeds for each.
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
        /// Threads; each has its own bug.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Only what the oracle finds counts, and not what cores or clients notice themselves, or
        /// that something does not come about.
        #[arg(long)]
        axioms: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
        /// First try the seeds that this file names: those that found each bug at some time.
        #[arg(long, value_name = "FILE")]
        known: Option<PathBuf>,
        /// Write the seed that found each to this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Leave out of a failing seed what its failure does not need; print the rest as a scenario.
    Shrink {
        /// Which.
        seed: u64,
        /// Nodes in the cluster, as they were given to `run`.
        #[arg(long, value_parser = nodes())]
        nodes: Option<usize>,
        /// As it was given to `run`.
        #[arg(long)]
        bad_links: bool,
        /// Write the scenario to this file instead.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Run seeds in two processes each, and compare everything that happened.
    Determinism {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
    },
    /// Print for each seed a number of everything that happened.
    Digest {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
    },
}

fn main() -> ExitCode {
    let good = match Arguments::parse().command {
        Action::Run { from, seeds, nodes, bad_links, seconds, stop, threads, json } => {
            let world = World { nodes, bad_links };
            let mut campaign = Campaign::new(from, seeds, world);
            (campaign.limit, campaign.stop) = (seconds.map(Duration::from_secs), stop);
            if let Err(error) = campaign.catch_signals() {
                eprintln!("SIGINT and SIGTERM cannot be caught, and end it without sums: {error}");
            }
            campaign.run(threads.max(1));
            campaign.report(json)
        }
        Action::Planted { name, from, seeds, threads, axioms, json, known, out } => {
            let known = known.as_deref().map(planted::Known::read).transpose();
            match known.map(Option::unwrap_or_default) {
                Ok(known) => {
                    let hunt = planted::Hunt { from, seeds, axioms, known };
                    planted::run_all(name.as_deref(), &hunt, threads.max(1), json, out.as_deref())
                }
                Err(error) => {
                    eprintln!("{error}");
                    false
                }
            }
        }
        Action::Explore(arguments) => arguments.explore(),
        Action::Idle(arguments) => arguments.idle(),
        Action::Domains(arguments) => arguments.run(),
        Action::Scenario(arguments) => arguments.play(),
        Action::Replay { seed, nodes, bad_links, planted } => {
            replay(seed, World { nodes, bad_links }, planted.as_deref())
        }
        Action::Shrink { seed, nodes, bad_links, out } => {
            shrink(seed, World { nodes, bad_links }, out.as_deref())
        }
        Action::Determinism { from, seeds } => same_twice(from, seeds),
        Action::Digest { from, seeds } => {
            (from..from + seeds).for_each(|seed| print(&digest(seed)));
            true
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is wanted of every seed, whatever it says itself.
#[derive(Clone, Copy)]
struct World {
    nodes: Option<usize>,
    bad_links: bool,
}

impl World {
    fn options(self, seed: u64) -> Options {
        let mut options = Options::new(seed, self.nodes);
        if self.bad_links {
            options.lasting = Lasting::Links;
        }
        options
    }
}

/// What `--nodes` may be.
fn nodes() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=NODES_MAX)
}

fn replay(seed: u64, world: World, planted: Option<&str>) -> bool {
    if let Err(unknown) = plant(planted) {
        eprintln!("{unknown}");
        return false;
    }
    let options = world.options(seed);
    print(&options.to_string());
    print("       time node state       ring/nodes  done/known    what");
    let outcome = run(options, Watch { echo: true, ..Watch::default() });
    match outcome.failure {
        Some(failure) => print(&format!("\nFAILED, seed {seed}:\n{failure}")),
        None => {
            print(&format!(
                "\nPASSED, seed {seed}: {:.1} s, {} faults, {} deliveries, \
                 whole {} ms after healing",
                outcome.time as f64 / 1e9,
                outcome.faults,
                outcome.deliveries,
                outcome.settled_in / 1_000_000
            ));
            return true;
        }
    }
    false
}

fn shrink(seed: u64, world: World, out: Option<&Path>) -> bool {
    let mut swarm = Swarm::new(seed);
    swarm.nodes = world.nodes;
    swarm.with.extend(world.bad_links.then(|| "bad-links".to_owned()));
    let progress = |runs: usize, what: &str| eprintln!("{runs} runs: {what}");
    let Some(scenario) = shrink::shrink(swarm, progress) else {
        print(&format!("seed {seed} does not fail"));
        return false;
    };
    let Some(path) = out else {
        print(scenario.trim_end());
        return true;
    };
    match std::fs::write(path, scenario) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{} cannot be written: {error}", path.display());
            false
        }
    }
}

/// Two processes have different addresses and different seeds of hash maps.
fn same_twice(from: u64, seeds: u64) -> bool {
    let lines = |child: std::io::Result<Child>| -> Result<String, String> {
        let output = child.and_then(Child::wait_with_output);
        let output = output.map_err(|error| format!("cannot run another process: {error}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (first, second) = (spawn_digest(from, seeds), spawn_digest(from, seeds));
    let (first, second) = match (lines(first), lines(second)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(what), _) | (_, Err(what)) => {
            print(&what);
            return false;
        }
    };
    let differ = first.lines().zip(second.lines()).filter(|(a, b)| a != b);
    let differ: Vec<_> = differ.collect();
    differ.iter().for_each(|(a, b)| print(&format!("{a}, and then {b}")));
    let (a, b) = (first.lines().count() as u64, second.lines().count() as u64);
    print(&format!("seeds={} different={}", a.min(b), differ.len() as u64 + seeds - a.min(b)));
    differ.is_empty() && a == seeds && b == seeds
}

fn spawn_digest(from: u64, seeds: u64) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["digest", "--from", &from.to_string(), "--seeds", &seeds.to_string()])
        .stdout(Stdio::piped())
        .spawn()
}

fn digest(seed: u64) -> String {
    let outcome = run(Options::new(seed, None), Watch { digest: true, ..Watch::default() });
    format!("{seed} {:016x}", outcome.digest)
}

fn print(text: &str) {
    // A closed pipe ends the reader's interest, not the run.
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        let words = std::iter::once("anasazi-sim").chain(line.split(' '));
        Arguments::try_parse_from(words).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_would_say_nothing_is_refused() {
        for line in [
            "run --seeds 0",
            "run --seconds 0",
            "planted --seeds 0",
            "determinism --seeds 0",
            "digest --seeds 0",
            "explore --seconds 0",
            "idle --hours 0",
            "idle --hours -1",
            "scenario",
        ] {
            assert!(!refused(line).is_empty(), "{line} is taken");
        }
        assert_eq!(refused("run --seeds 1 --nodes 32"), "");
        assert_eq!(refused("idle --hours 0.1"), "");
        assert_eq!(refused("replay 5 --nodes 3 --planted held_shifted"), "");
    }

    #[test]
    fn more_nodes_than_are_simulated_are_refused() {
        for line in ["run --nodes 99", "replay 1 --nodes 33", "shrink 1 --nodes 0"] {
            let why = refused(line);
            assert!(why.contains("is not in 1..=32"), "{line}: {why}");
        }
    }
}
