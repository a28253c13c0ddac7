//! `anasazi-sim`: runs seeds, replays one, proves that runs are deterministic.
#![forbid(unsafe_code)]

mod planted;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anasazi_protocol::transitions;
use anasazi_sim::options::Options;
use anasazi_sim::run::{Outcome, Watch, run};
use clap::{Parser, Subcommand};

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
        #[arg(long, default_value_t = 100)]
        seeds: u64,
        /// Nodes in every cluster, instead of what the seed says.
        #[arg(long)]
        nodes: Option<usize>,
        /// Start no further seed after so many seconds.
        #[arg(long)]
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
        #[arg(long)]
        nodes: Option<usize>,
    },
    /// Plant bugs, one after the other, and see how many seeds it takes to find each. Fails if any
    /// is not found.
    Planted {
        /// Only this one.
        name: Option<String>,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// At most so many seeds for each.
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// Threads; each has its own bug.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Run seeds twice and compare everything that happened.
    Determinism {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 10)]
        seeds: u64,
    },
}

fn main() -> ExitCode {
    let good = match Arguments::parse().command {
        Action::Run { from, seeds, nodes, seconds, stop, threads, json } => {
            let limit = seconds.map(Duration::from_secs);
            let campaign = Campaign { limit, stop, ..Campaign::new(from, seeds, nodes) };
            campaign.run(threads.max(1));
            campaign.report(json)
        }
        Action::Planted { name, from, seeds, threads, json } => {
            planted::run_all(name.as_deref(), from, seeds, threads.max(1), json)
        }
        Action::Replay { seed, nodes } => replay(seed, nodes),
        Action::Determinism { from, seeds } => (from..from + seeds).all(same_twice),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Many seeds and their sums.
struct Campaign {
    from: u64,
    seeds: u64,
    nodes: Option<usize>,
    started: Instant,
    limit: Option<Duration>,
    stop: bool,
    next: AtomicU64,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    seeds: u64,
    time: u64,
    faults: u64,
    packet_faults: u64,
    deliveries: u64,
    violations: Vec<u64>,
    stuck: Vec<u64>,
    /// Rows of the transition table that were reached.
    rows: BTreeSet<&'static str>,
    /// Milliseconds from healing to one ring, and the seed; of local networks.
    settled: Vec<(u64, u64)>,
}

impl Sums {
    fn has_failed(&self) -> bool {
        !self.violations.is_empty() || !self.stuck.is_empty()
    }
}

impl Campaign {
    fn new(from: u64, seeds: u64, nodes: Option<usize>) -> Self {
        let (started, next) = (Instant::now(), AtomicU64::new(from));
        let (limit, stop) = (None, false);
        Self { from, seeds, nodes, started, limit, stop, next, sums: Mutex::default() }
    }

    fn run(&self, threads: usize) {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(seed) = self.take() {
                        self.add(&run(Options::new(seed, self.nodes), Watch::default()));
                    }
                });
            }
        });
    }

    fn take(&self) -> Option<u64> {
        let late = self.limit.is_some_and(|limit| self.started.elapsed() >= limit);
        if late || (self.stop && self.sums().has_failed()) {
            return None;
        }
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        (seed < self.from + self.seeds).then_some(seed)
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, outcome: &Outcome) {
        let mut sums = self.sums();
        sums.seeds += 1;
        sums.time += outcome.time;
        sums.faults += outcome.faults;
        sums.packet_faults += outcome.packet_faults;
        sums.deliveries += outcome.deliveries;
        sums.rows.extend(&outcome.rows);
        if let Some(failure) = &outcome.failure {
            let list = if failure.is_violation() { &mut sums.violations } else { &mut sums.stuck };
            list.push(outcome.seed);
            eprintln!("seed {} FAILED\n{failure}", outcome.seed);
        } else if !outcome.wide {
            sums.settled.push((outcome.settled_in / 1_000_000, outcome.seed));
        }
        if sums.seeds.is_multiple_of(50) {
            eprintln!("{} seeds, {:.0} s", sums.seeds, self.started.elapsed().as_secs_f64());
        }
    }

    /// Prints the sums; whether nothing failed.
    fn report(&self, json: bool) -> bool {
        let mut sums = self.sums();
        let hours = sums.time as f64 / 3.6e12;
        let (violations, stuck) = (sums.violations.len(), sums.stuck.len());
        sums.settled.sort_unstable();
        let settled = |permille: usize| {
            let last = sums.settled.len().saturating_sub(1);
            sums.settled.get(last * permille / 1_000).map_or(0, |(ms, _)| *ms)
        };
        let slowest: Vec<_> = sums.settled.iter().rev().take(12).collect();
        eprintln!(
            "one ring after healing of a local network: median {} ms, 99 % {} ms; \
             the slowest (ms, seed) {slowest:?}; {:.0} s of work",
            settled(500),
            settled(990),
            self.started.elapsed().as_secs_f64()
        );
        eprintln!("violations in seeds {:?}, stuck seeds {:?}", sums.violations, sums.stuck);
        let all = transitions::names().count();
        let unreached = transitions::names().filter(|row| !sums.rows.contains(row));
        let unreached: Vec<_> = unreached.collect();
        eprintln!("rows of the transition table that no seed reached: {}", unreached.join(" "));
        let rows = sums.rows.len();
        let text = if json {
            format!(
                "{{\"seeds\":{},\"sim_hours\":{hours:.3},\"faults\":{},\"packet_faults\":{},\
                 \"deliveries\":{},\"rows\":{rows},\"rows_all\":{all},\
                 \"rows_unreached\":{unreached:?},\"violations\":{violations},\
                 \"stuck\":{stuck}}}",
                sums.seeds, sums.faults, sums.packet_faults, sums.deliveries
            )
        } else {
            format!(
                "seeds={} sim_hours={hours:.3} faults={} packet_faults={} deliveries={} \
                 rows={rows}/{all} violations={violations} stuck={stuck}",
                sums.seeds, sums.faults, sums.packet_faults, sums.deliveries
            )
        };
        print(&text);
        violations + stuck == 0
    }
}

fn replay(seed: u64, nodes: Option<usize>) -> bool {
    let options = Options::new(seed, nodes);
    print(&options.to_string());
    let outcome = run(options, Watch { echo: true, digest: false });
    match outcome.failure {
        Some(failure) => print(&format!("\nFAILED, seed {seed}:\n{failure}")),
        None => {
            print(&format!(
                "\nPASSED, seed {seed}: {:.1} s, {} faults, {} deliveries, \
                 one ring {} ms after healing",
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

fn same_twice(seed: u64) -> bool {
    let watch = Watch { echo: false, digest: true };
    let digest = || run(Options::new(seed, None), watch).digest;
    let (first, second) = (digest(), digest());
    if first == second {
        print(&format!("seed {seed}: {first:016x} twice"));
    } else {
        print(&format!("seed {seed}: {first:016x}, and then {second:016x}"));
    }
    first == second
}

fn print(text: &str) {
    // A closed pipe ends the reader's interest, not the run.
    let _ = writeln!(std::io::stdout(), "{text}");
}
