//! Many seeds and their sums.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anasazi_protocol::transitions;
use anasazi_sim::cluster::Cell;
use anasazi_sim::run::{Outcome, Watch, run};
use anasazi_sim::scenario::shown_by;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::{World, print};

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// Slow seeds that are named.
const SLOWEST: usize = 12;
/// One view after healing is to take no longer than this in 99 of 100 local networks.
const P99_MS_MAX: u64 = 2_000;
/// In 99 of 100 clusters no node may go through more configurations than this after healing: the
/// bound of each seed (L5) has to allow for the worst.
const P99_CHANGES_MAX: u64 = 6;
/// Fewer seeds than this say nothing about one in a hundred.
const P99_SEEDS_MIN: usize = 500;
/// Of those with slower timers, which one in ten has.
const P99_SLOW_SEEDS_MIN: usize = 50;

/// Fewer seeds than this need not have seen everything.
const CELLS_SEEDS_MIN: u64 = 1_000;

/// Which seeds to run, and when to stop.
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// What is wanted of every one of them.
    pub world: World,
    /// Start no further seed after this time.
    pub limit: Option<Duration>,
    /// Start no further seed after one has failed.
    pub stop: bool,
    /// A signal asked it to end.
    interrupted: Arc<AtomicBool>,
    started: Instant,
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
    /// What became of clients that read too slowly and chose that.
    missed: u64,
    holds: u64,
    violations: Vec<u64>,
    stuck: Vec<u64>,
    /// Rows of the transition table that were reached.
    rows: BTreeSet<&'static str>,
    cells: BTreeSet<Cell>,
    /// Milliseconds from healing to one ring, and the seed; of local networks of several nodes.
    settled: Vec<(u64, u64)>,
    /// The same of those with slower timers, by how many times these are slower.
    settled_slow: Vec<u64>,
    /// The same of clusters whose links stay bad, which never are one.
    settled_parted: Vec<u64>,
    /// Of how many seeds some node went through so many configurations after healing.
    changes: BTreeMap<u64, u64>,
    told: Option<Instant>,
}

impl Sums {
    fn has_failed(&self) -> bool {
        !self.violations.is_empty() || !self.stuck.is_empty()
    }

    /// All that have, in order.
    fn failing(&self) -> Vec<u64> {
        let mut seeds = [&self.violations[..], &self.stuck[..]].concat();
        seeds.sort_unstable();
        seeds
    }

    /// So many of a thousand local networks took no longer than this.
    fn settled_ms(&self, permille: usize) -> u64 {
        let times: Vec<u64> = self.settled.iter().map(|(ms, _)| *ms).collect();
        at_rank(&times, permille)
    }

    /// Those with slower timers, in proportion, and those that cannot be one, for which no bound is
    /// set.
    fn print_healing_elsewhere(&self) {
        let (of, p99) = (self.settled_slow.len(), at_rank(&self.settled_slow, 990));
        let verdict = match self.is_slow_in_proportion() {
            true => "FAILED: ",
            false if of < P99_SLOW_SEEDS_MIN => "not judged, too few: ",
            false => "",
        };
        eprintln!(
            "p99 of {of} seeds with slower timers, in proportion, at most {P99_MS_MAX} ms: \
             {verdict}{p99} ms"
        );
        eprintln!(
            "{} seeds more have links that stay bad, or contracts: median {} ms, p99 {} ms",
            self.settled_parted.len(),
            at_rank(&self.settled_parted, 500),
            at_rank(&self.settled_parted, 990),
        );
    }

    /// Healing takes too long too often, as far as so many seeds can say.
    fn is_slow(&self) -> bool {
        self.settled.len() >= P99_SEEDS_MIN && self.settled_ms(990) > P99_MS_MAX
    }

    /// The same with slower timers.
    fn is_slow_in_proportion(&self) -> bool {
        let (all, late) = (self.settled_slow.len(), self.settled_slow.iter());
        let late = late.filter(|ms| **ms > P99_MS_MAX).count();
        // One alone says nothing about one in a hundred.
        all >= P99_SLOW_SEEDS_MIN && late > 1 && late * 100 > all
    }

    /// Healing takes too many configurations too often.
    fn is_restless(&self) -> bool {
        let more = self.changes.range(P99_CHANGES_MAX + 1..).map(|(_, seeds)| seeds).sum::<u64>();
        self.seeds >= P99_SEEDS_MIN as u64 && more * 100 > self.seeds
    }

    /// How long healing took, and how many changes. In the order of time already.
    fn print_healing(&self) {
        let slowest: Vec<_> = self.settled.iter().rev().take(SLOWEST).collect();
        eprintln!(
            "one view after healing of a local network: median {} ms; the slowest (ms, seed) \
             {slowest:?}",
            self.settled_ms(500)
        );
        let of = self.settled.len();
        let verdict = match self.settled_ms(990) {
            p99 if self.is_slow() => format!("FAILED: {p99} ms"),
            _ if of < P99_SEEDS_MIN => format!("not judged below {P99_SEEDS_MIN} of them"),
            p99 => format!("{p99} ms"),
        };
        eprintln!("p99 of {of} such seeds, at most {P99_MS_MAX} ms: {verdict}");
        self.print_healing_elsewhere();
        let spread: Vec<String> =
            self.changes.iter().map(|(changes, seeds)| format!("{changes}: {seeds}")).collect();
        eprintln!("configurations of a node after healing, and seeds: {}", spread.join(", "));
        if self.is_restless() {
            eprintln!("FAILED: more than {P99_CHANGES_MAX} of them in over one seed of a hundred");
        }
    }

    /// Changes of state, by state and input, that no seed saw: all, and those that nothing else
    /// shows.
    fn unreached_cells(&self) -> (Vec<String>, Vec<String>) {
        let unreached = transitions::cells().filter(|cell| !self.cells.contains(cell));
        let named = |(row, from, on): Cell| format!("{row} from {from} on {on}");
        let all: Vec<String> = unreached.map(named).collect();
        let owed = |words: &&String| shown_by(&format!("change {words}")) == Some("swarm");
        let owed = all.iter().filter(owed).cloned().collect();
        (all, owed)
    }

    /// So many seeds must have seen what nothing else shows.
    fn is_blind(&self) -> bool {
        self.seeds >= CELLS_SEEDS_MIN && !self.unreached_cells().1.is_empty()
    }

    fn print_cells(&self) {
        let (unreached, owed) = self.unreached_cells();
        let all = transitions::cells().count();
        let reached = all - unreached.len();
        eprintln!("{reached} of {all} changes by state and input; not {}", unreached.join(", "));
        if self.is_blind() {
            eprintln!("FAILED: nothing but these seeds is to show {}", owed.join(", "));
        }
    }

    fn hours(&self) -> f64 {
        self.time as f64 / 3.6e12
    }
}

impl Campaign {
    /// Seeds from one on, without an early end.
    pub fn new(from: u64, seeds: u64, world: World) -> Self {
        let (started, next) = (Instant::now(), AtomicU64::new(from));
        let (limit, stop, interrupted) = (None, false, Arc::default());
        let sums = Mutex::default();
        Self { from, seeds, world, limit, stop, interrupted, started, next, sums }
    }

    /// From here on SIGINT and SIGTERM let the seeds that run come to their ends, and start no
    /// more; a second one ends the process at once.
    pub fn catch_signals(&self) -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&self.interrupted))?;
            flag::register(signal, Arc::clone(&self.interrupted))?;
        }
        Ok(())
    }

    /// Runs them; every thread runs seeds of its own.
    pub fn run(&self, threads: usize) {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(seed) = self.take() {
                        self.add(&run(self.world.options(seed), Watch::default()));
                    }
                });
            }
        });
    }

    fn take(&self) -> Option<u64> {
        let late = self.limit.is_some_and(|limit| self.started.elapsed() >= limit);
        let failed = self.stop && self.sums().has_failed();
        if late || failed || self.interrupted.load(Ordering::Relaxed) {
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
        sums.missed += outcome.missed;
        sums.holds += outcome.holds;
        sums.rows.extend(&outcome.rows);
        sums.cells.extend(&outcome.cells);
        *sums.changes.entry(outcome.changes).or_default() += 1;
        if let Some(failure) = &outcome.failure {
            let list = if failure.is_violation() { &mut sums.violations } else { &mut sums.stuck };
            list.push(outcome.seed);
            eprintln!("seed {} FAILED\n{failure}", outcome.seed);
        } else if outcome.nodes > 1 {
            let ms = outcome.settled_in / 1_000_000;
            match outcome.timer_scale {
                _ if outcome.parted => sums.settled_parted.push(ms),
                1 => sums.settled.push((ms, outcome.seed)),
                times => sums.settled_slow.push(ms / u64::from(times)),
            }
        }
        if sums.told.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
            sums.told = Some(Instant::now());
            eprintln!(
                "{} of {} seeds, {:.2} simulated hours, {} failed, {:.0} s",
                sums.seeds,
                self.seeds,
                sums.hours(),
                sums.violations.len() + sums.stuck.len(),
                self.started.elapsed().as_secs_f64()
            );
        }
    }

    /// Prints the sums, the last line in words for programs; whether nothing failed and healing was
    /// fast.
    pub fn report(&self, json: bool) -> bool {
        let mut sums = self.sums();
        sums.settled.sort_unstable();
        sums.settled_slow.sort_unstable();
        sums.settled_parted.sort_unstable();
        sums.print_healing();
        eprintln!(
            "clients missed {} messages and were told so; {} datagrams let senders wait for others",
            sums.missed, sums.holds
        );
        sums.violations.sort_unstable();
        sums.stuck.sort_unstable();
        eprintln!("violations in seeds {:?}, stuck seeds {:?}", sums.violations, sums.stuck);
        if let Some(seed) = sums.failing().first() {
            let nodes = self.world.nodes.map_or_else(String::new, |n| format!(" --nodes {n}"));
            let links = if self.world.bad_links { " --bad-links" } else { "" };
            eprintln!("the story of the first: anasazi-sim replay {seed}{nodes}{links}");
        }
        if let Some(cpu) = cpu_seconds() {
            eprintln!(
                "{cpu:.1} s of CPU time: {:.3} per seed, {:.2} per simulated hour",
                cpu / sums.seeds.max(1) as f64,
                cpu / sums.hours().max(1e-9)
            );
        }
        let rows: Vec<_> = transitions::names().collect();
        let unreached: Vec<_> = rows.iter().filter(|row| !sums.rows.contains(*row)).collect();
        let where_else = |row: &&&str| match shown_by(&format!("transition {row}")) {
            Some(place) => format!("{row} (but {place} does)"),
            None => format!("{row} (and NOTHING ELSE does)"),
        };
        let named: Vec<String> = unreached.iter().map(where_else).collect();
        eprintln!("rows of the transition table that no seed reached: {}", named.join(", "));
        sums.print_cells();
        let fields = [
            ("seeds", sums.seeds.to_string()),
            ("sim_hours", format!("{:.3}", sums.hours())),
            ("faults", sums.faults.to_string()),
            ("packet_faults", sums.packet_faults.to_string()),
            ("deliveries", sums.deliveries.to_string()),
            ("p99_ms", sums.settled_ms(990).to_string()),
            ("rows", format!("{}/{}", sums.rows.len(), rows.len())),
            ("violations", sums.violations.len().to_string()),
            ("stuck", sums.stuck.len().to_string()),
            ("failing", seeds_in_a_word(&sums.failing())),
        ];
        if json {
            let numbers = fields.iter().filter(|(key, _)| !["rows", "failing"].contains(key));
            let all: Vec<_> = numbers.map(|(key, n)| format!("\"{key}\":{n}")).collect();
            let (reached, all_rows) = (sums.rows.len(), rows.len());
            print(&format!(
                "{{{},\"rows\":{reached},\"rows_all\":{all_rows},\
                 \"rows_unreached\":{unreached:?},\"failing\":{:?}}}",
                all.join(","),
                sums.failing()
            ));
        } else {
            let all: Vec<_> = fields.iter().map(|(key, n)| format!("{key}={n}")).collect();
            print(&all.join(" "));
        }
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        if interrupted {
            eprintln!("interrupted: {} of {} seeds were run", sums.seeds, self.seeds);
        }
        let is_slow = sums.is_slow() || sums.is_slow_in_proportion();
        let is_good = !sums.has_failed() && !is_slow && !sums.is_restless();
        !interrupted && is_good && !sums.is_blind()
    }
}

/// Of sorted times, the one that so many of a thousand do not exceed.
fn at_rank(times: &[u64], permille: usize) -> u64 {
    let rank = (times.len() * permille).div_ceil(1_000).max(1);
    times.get(rank - 1).copied().unwrap_or(0)
}

/// `12,15`, or `-` for none.
fn seeds_in_a_word(seeds: &[u64]) -> String {
    let words: Vec<String> = seeds.iter().map(u64::to_string).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(",") }
}

/// CPU time of this process so far: the kernel counts it in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let ticks: f64 =
        after_name.split_whitespace().skip(11).take(2).flat_map(str::parse::<f64>).sum();
    Some(ticks / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_signal_no_seed_is_started_and_the_campaign_has_failed() {
        let campaign = Campaign::new(1, 2, World { nodes: None, bad_links: false });
        assert_eq!(campaign.take(), Some(1));
        campaign.interrupted.store(true, Ordering::Relaxed);
        assert_eq!(campaign.take(), None);
        assert!(!campaign.report(false));
    }

    #[test]
    fn one_restless_seed_in_a_hundred_is_allowed() {
        let sums = |calm, restless| Sums {
            seeds: calm + restless,
            changes: [(2, calm), (P99_CHANGES_MAX + 1, restless)].into(),
            ..Sums::default()
        };
        assert!(!sums(990, 10).is_restless());
        assert!(sums(989, 11).is_restless());
        assert!(!sums(100, 11).is_restless(), "too few");
    }

    #[test]
    fn slower_timers_have_a_bound_too() {
        let sums = |calm, late| Sums {
            settled_slow: [vec![500; calm], vec![P99_MS_MAX + 1; late]].concat(),
            ..Sums::default()
        };
        assert!(!sums(198, 2).is_slow_in_proportion());
        assert!(sums(197, 3).is_slow_in_proportion());
        assert!(!sums(P99_SLOW_SEEDS_MIN, 1).is_slow_in_proportion(), "it may be one in a hundred");
        assert!(sums(P99_SLOW_SEEDS_MIN, 2).is_slow_in_proportion());
        assert!(!sums(P99_SLOW_SEEDS_MIN - 3, 2).is_slow_in_proportion(), "too few");
    }

    #[test]
    fn seeds_that_failed_are_one_word() {
        let sums = Sums { violations: vec![15], stuck: vec![20, 12], ..Sums::default() };
        assert_eq!(seeds_in_a_word(&sums.failing()), "12,15,20");
        assert_eq!(seeds_in_a_word(&Sums::default().failing()), "-");
    }
}
