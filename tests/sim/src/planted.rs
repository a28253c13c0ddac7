//! Bugs planted one by one into the cores: how many seeds it takes to find each says what the
//! simulator and the oracle are worth.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anasazi_protocol::planted::{BUGS, set};
use anasazi_sim::domains;
use anasazi_sim::options::Options;
use anasazi_sim::run::{Watch, run};
use anasazi_sim::story::Failure;

use crate::print;

/// Where bugs are looked for.
pub struct Hunt {
    /// The first seed.
    pub from: u64,
    /// At most so many.
    pub seeds: u64,
    /// Only what the oracle finds counts.
    pub axioms: bool,
    /// Seeds that are tried before the others, where they are among them.
    pub known: Known,
}

/// For each bug, by its name, the seed that found it last.
#[derive(Default)]
pub struct Known(HashMap<String, u64>);

/// How a bug was found.
struct Found {
    /// From the first to the one that found it.
    seeds: u64,
    seed: u64,
    /// By what: an axiom (`G3`), a rule of liveness (`L1`), or one of the words below.
    by: String,
}

/// A client got what it should not; its own books say so, no axiom.
const BY_CLIENT: &str = "client";
/// A cluster did not come to rest, or a core wanted too much, and no rule of liveness says so.
const BY_STUCK: &str = "stuck";
/// An assertion of the core itself.
const BY_PANIC: &str = "panic";
const BY_CONTRADICTION: &str = "contradiction";
/// Who was demoted, or taken back, should not be.
const BY_CONTRACT: &str = "contract";

/// Bugs of engines with several domains, which `anasazi-sim domains` runs, and what should find
/// them: what happened in a domain depended on another one, or a bridge broke a promise.
const OF_DOMAINS: &[(&str, &str)] = &[
    ("one_full_all_wait", "isolation"),
    ("bridge_repeats", "bridge"),
    ("bridge_gap_hidden", "bridge"),
    ("bridge_overflow_hidden", "bridge"),
    ("bridge_no_takeover", "bridge"),
    ("bridge_loops", "bridge"),
];

/// A bug, and how it was found, if it was.
type Result = (usize, Option<Found>);

/// Plants all bugs, or the named one; prints the seeds that each one took. True if all were found.
pub fn run_all(
    name: Option<&str>,
    hunt: &Hunt,
    threads: usize,
    json: bool,
    out: Option<&Path>,
) -> bool {
    if let Err(unknown) = set(name) {
        eprintln!("{unknown}");
        return false;
    }
    // Cores may well trip over a bug; the panic is its finding, and needs no trace.
    std::panic::set_hook(Box::new(|_| {}));
    let is_chosen = |bug: &usize| name.is_none_or(|name| BUGS[*bug].0 == name);
    let chosen: Vec<usize> = (0..BUGS.len()).filter(is_chosen).collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    eprintln!("{:28} {:>5}  {:7} {:>6} {:>7}", "bug", "seeds", "by what", "seed", "time");
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let found = hunt.find(*bug);
                    tell(*bug, found.as_ref(), hunt.seeds, started);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((*bug, found));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(bug, _)| *bug);
    let is_written = out.is_none_or(|out| write_known(&results, out));
    report(&results, json) && is_written
}

/// Writes what `Known::read` reads. True if it could be written.
fn write_known(results: &[Result], out: &Path) -> bool {
    let mut text = String::from(
        "# Planted bugs, and a seed that finds each: written by `planted --out`, and tried first\n\
         # by `planted --known`.\n",
    );
    for (bug, found) in results {
        if let Some(found) = found {
            let _ = writeln!(text, "{} {}", BUGS[*bug].0, found.seed);
        }
    }
    let written = std::fs::write(out, text);
    if let Err(error) = &written {
        eprintln!("{} cannot be written: {error}", out.display());
    }
    written.is_ok()
}

impl Known {
    /// Reads the seeds that `planted --out` wrote.
    ///
    /// # Errors
    /// Says which line of the file is not understood, or why it cannot be read.
    pub fn read(file: &Path) -> std::result::Result<Self, String> {
        let place = file.display();
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|error| format!("{place} cannot be read: {error}"))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        let seeds = lines.map(|(number, line)| {
            let entry = line.split_once(' ').and_then(|(name, seed)| {
                let is_bug = BUGS.iter().any(|(bug, _)| *bug == name);
                Some((name.to_owned(), seed.parse().ok().filter(|_| is_bug)?))
            });
            entry.ok_or_else(|| {
                format!("{place}:{}: \"{line}\" is not a planted bug and a seed", number + 1)
            })
        });
        Ok(Self(seeds.collect::<std::result::Result<_, _>>()?))
    }
}

impl Hunt {
    /// Runs seeds with the bug until one fails that does not fail without it.
    fn find(&self, bug: usize) -> Option<Found> {
        let all = self.from..self.from + self.seeds;
        let known = self.known.0.get(BUGS[bug].0).copied().filter(|seed| all.contains(seed));
        known.into_iter().chain(all).find_map(|seed| {
            let by = self.found_by((bug, true), seed)?;
            let is_new = self.found_by((bug, false), seed).is_none();
            is_new.then(|| Found { seeds: seed - self.from + 1, seed, by })
        })
    }

    /// By what a seed fails, with a bug or as it fails where that would be.
    fn found_by(&self, (bug, is_planted): (usize, bool), seed: u64) -> Option<String> {
        let name = BUGS[bug].0;
        set(is_planted.then_some(name)).ok()?;
        let of_domains = OF_DOMAINS.iter().find(|(bug, _)| *bug == name);
        let found = if let Some((_, by)) = of_domains {
            let failure = domains::run(seed).failure;
            failure.filter(|text| !is_planted || text.starts_with(by)).map(|_| (*by).to_owned())
        } else {
            let watch = Watch { trusting: self.axioms, ..Watch::default() };
            let failure = run(Options::new(seed, None), watch).failure;
            let counts = |failure: &Failure| {
                !self.axioms || !is_planted || matches!(failure, Failure::Violation(_))
            };
            failure.filter(counts).map(|failure| by_what(&failure))
        };
        set(None).ok()?;
        found
    }
}

fn by_what(failure: &Failure) -> String {
    match failure {
        Failure::Violation(violation) => violation.axiom.to_string(),
        Failure::Client(_) => BY_CLIENT.to_owned(),
        Failure::Stuck(report) => rule(report).unwrap_or(BY_STUCK).to_owned(),
        Failure::Panicked(_) => BY_PANIC.to_owned(),
        Failure::Contradicted(_) => BY_CONTRADICTION.to_owned(),
        Failure::Contract(_) => BY_CONTRACT.to_owned(),
    }
}

/// The rule of liveness that a report names: "no common ring after 10s: L1 (those who ...".
fn rule(report: &str) -> Option<&str> {
    let words: Vec<&str> = report.lines().next()?.split(' ').collect();
    let is_rule = |word: &str| {
        let number = word.strip_prefix('L').and_then(|number| number.parse::<u8>().ok());
        number.is_some()
    };
    words.windows(2).find(|pair| is_rule(pair[0]) && pair[1].starts_with('(')).map(|pair| pair[0])
}

fn tell(bug: usize, found: Option<&Found>, seeds: u64, started: Instant) {
    let ((name, rule), time) = (BUGS[bug], started.elapsed().as_secs_f64());
    match found {
        Some(Found { seeds, seed, by }) => {
            eprintln!("{name:28} {seeds:>5}  {by:7} {seed:>6} {time:>5.1} s");
        }
        None => eprintln!("{name:28} NOT FOUND in {seeds} seeds, {time:.1} s: \"{rule}\""),
    }
}

fn report(results: &[Result], json: bool) -> bool {
    let caught = results.iter().filter(|(_, found)| found.is_some()).count();
    let planted = results.len();
    let most = results.iter().filter_map(|(_, found)| found.as_ref()).map(|f| f.seeds).max();
    let most = most.unwrap_or(0);
    eprintln!("found by: {}", sums(results));
    eprintln!("the story of one: anasazi-sim replay SEED --planted BUG");
    if json {
        let one = |(bug, found): &Result| match found {
            Some(f) => format!(
                "{{\"name\":\"{}\",\"seeds\":{},\"seed\":{},\"by\":\"{}\"}}",
                BUGS[*bug].0, f.seeds, f.seed, f.by
            ),
            None => format!("{{\"name\":\"{}\",\"seeds\":null}}", BUGS[*bug].0),
        };
        let bugs: Vec<String> = results.iter().map(one).collect();
        let bugs = bugs.join(",");
        print(&format!("{{\"planted\":{planted},\"caught\":{caught},\"bugs\":[{bugs}]}}"));
    } else {
        print(&format!("most_seeds={most} planted={planted} caught={caught}"));
    }
    caught == planted && planted > 0
}

/// `G3 5, L1 2, panic 1`: how many bugs each found.
fn sums(results: &[Result]) -> String {
    let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
    for found in results.iter().filter_map(|(_, found)| found.as_ref()) {
        *sums.entry(&found.by).or_default() += 1;
    }
    let words: Vec<String> = sums.iter().map(|(by, count)| format!("{by} {count}")).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use anasazi_sim::liveness::Liveness;

    use super::*;

    fn stuck(report: &str) -> String {
        by_what(&Failure::Stuck(report.to_owned()))
    }

    #[test]
    fn what_found_a_bug_has_a_name() {
        let l1 = Liveness::L1.broken("node 2 is in no ring");
        assert_eq!(stuck(&l1), "L1");
        assert_eq!(
            stuck(&format!("no common ring 10s after all was healed: {l1}\n  L2 (x)")),
            "L1"
        );
        assert_eq!(stuck("40000000 steps: this is a storm\n  L2 (x)"), "stuck");
        assert_eq!(stuck("node L5 is asked for 3 (of 5)"), "stuck");
        assert_eq!(by_what(&Failure::Panicked("here".to_owned())), "panic");
        assert_eq!(by_what(&Failure::Client("it sees too much".to_owned())), "client");
    }

    /// Those without one are looked for from the first seed on, each time.
    #[test]
    fn every_bug_has_a_seed_that_found_it() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("known.txt");
        let known = Known::read(&file).unwrap();
        let missing: Vec<_> = BUGS
            .iter()
            .filter(|(bug, _)| !known.0.contains_key(*bug))
            .map(|(bug, _)| bug)
            .collect();
        assert!(missing.is_empty(), "{missing:?}: renew it (`planted --known FILE --out FILE`)");
        let of_domains = |(bug, _): &&(&str, &str)| BUGS.iter().any(|(of, _)| of == bug);
        assert!(OF_DOMAINS.iter().all(|bug| of_domains(&bug)), "a name that no bug has");
    }

    #[test]
    fn seeds_are_read_as_they_are_written() {
        let found = |seed| Some(Found { seeds: seed, seed, by: "G3".to_owned() });
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known.txt");
        assert!(write_known(&[(0, found(7)), (1, None), (2, found(9))], &file));
        let known = Known::read(&file).unwrap();
        let expected = [(BUGS[0].0.to_owned(), 7), (BUGS[2].0.to_owned(), 9)];
        assert_eq!(known.0, HashMap::from(expected));
        std::fs::write(&file, "# seeds\nno_such_bug 7\n").unwrap();
        let error = Known::read(&file).map(|_| ()).unwrap_err();
        let place = format!("{}:2: ", file.display());
        assert_eq!(error, format!("{place}\"no_such_bug 7\" is not a planted bug and a seed"));
    }

    #[test]
    fn the_sums_say_how_many_each_found() {
        let found = |by: &str| Some(Found { seeds: 1, seed: 1, by: by.to_owned() });
        let results = [(0, found("G3")), (1, None), (2, found("panic")), (3, found("G3"))];
        assert_eq!(sums(&results), "G3 2, panic 1");
        assert_eq!(sums(&results[1..2]), "nothing");
    }
}
