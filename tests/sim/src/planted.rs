//! Bugs planted one by one into the cores: how many seeds it takes to find each says what the
//! simulator and the oracle are worth.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anasazi_protocol::planted::{BUGS, set};
use anasazi_sim::options::Options;
use anasazi_sim::run::{Watch, run};
use anasazi_sim::story::Failure;

use crate::print;

/// How a bug was found.
struct Found {
    seeds: u64,
    seed: u64,
    how: String,
}

/// A bug, and how it was found, if it was.
type Result = (usize, Option<Found>);

/// Plants all bugs, or the named one; prints the seeds that each one took. True if all were found.
pub fn run_all(name: Option<&str>, from: u64, seeds: u64, threads: usize, json: bool) -> bool {
    if let Err(unknown) = set(name) {
        eprintln!("{unknown}");
        return false;
    }
    // Cores may well trip over a bug; the panic is its finding, and needs no trace.
    std::panic::set_hook(Box::new(|_| {}));
    let is_chosen = |bug: &usize| name.is_none_or(|name| BUGS[*bug].0 == name);
    let chosen: Vec<usize> = (0..BUGS.len()).filter(is_chosen).collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let found = hunt(*bug, from, seeds);
                    tell(*bug, found.as_ref(), seeds, started);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((*bug, found));
                }
            });
        }
    });
    report(results.into_inner().unwrap_or_else(PoisonError::into_inner), json)
}

/// Runs seeds with the bug until one fails that does not fail without it.
fn hunt(bug: usize, from: u64, seeds: u64) -> Option<Found> {
    (from..from + seeds).find_map(|seed| {
        let how = match failure(Some(bug), seed)? {
            Failure::Violation(violation) => violation.axiom.to_string(),
            Failure::Client(_) => "what a client saw".to_owned(),
            Failure::Stuck(_) => "stuck".to_owned(),
            Failure::Panicked(_) => "a panic".to_owned(),
        };
        failure(None, seed).is_none().then(|| Found { seeds: seed - from + 1, seed, how })
    })
}

fn failure(bug: Option<usize>, seed: u64) -> Option<Failure> {
    set(bug.map(|bug| BUGS[bug].0)).ok()?;
    let outcome = run(Options::new(seed, None), Watch::default());
    set(None).ok()?;
    outcome.failure
}

fn tell(bug: usize, found: Option<&Found>, seeds: u64, started: Instant) {
    let ((name, rule), time) = (BUGS[bug], started.elapsed().as_secs_f64());
    match found {
        Some(Found { seeds, seed, how }) => {
            eprintln!("{name:30} {seeds:>4} seeds: {how}, seed {seed}, {time:.1} s");
        }
        None => eprintln!("{name:30} NOT FOUND in {seeds} seeds, {time:.1} s: \"{rule}\""),
    }
}

fn report(mut results: Vec<Result>, json: bool) -> bool {
    results.sort_by_key(|(bug, _)| *bug);
    let caught = results.iter().filter(|(_, found)| found.is_some()).count();
    let planted = results.len();
    let most = results.iter().filter_map(|(_, found)| found.as_ref()).map(|f| f.seeds).max();
    let most = most.unwrap_or(0);
    if json {
        let one = |(bug, found): &Result| match found {
            Some(f) => format!(
                "{{\"name\":\"{}\",\"seeds\":{},\"seed\":{},\"how\":\"{}\"}}",
                BUGS[*bug].0, f.seeds, f.seed, f.how
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
