//! `anasazi-sim domains`: engines in several domains.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anasazi_protocol::planted::set as plant;
use anasazi_sim::domains::{Outcome, run};
use clap::Args;

use crate::print;

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Which seeds.
#[derive(Args)]
pub struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Threads; each runs its own seeds.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Plant this bug first; see `planted`.
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
    /// Print the sums as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Sums {
    seeds: u64,
    deliveries: u64,
    forwards: u64,
    faults: u64,
    failed: Vec<u64>,
}

impl Arguments {
    /// Runs them all; whether none failed.
    pub fn run(self) -> bool {
        if let Err(unknown) = plant(self.planted.as_deref()) {
            eprintln!("{unknown}");
            return false;
        }
        let (next, sums) = (AtomicU64::new(self.from), Mutex::new(Sums::default()));
        let (end, started) = (self.from.saturating_add(self.seeds), Instant::now());
        let told = Mutex::new(started);
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    // It is planted for a thread.
                    let _ = plant(self.planted.as_deref());
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            return;
                        }
                        let outcome = run(seed);
                        let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                        sums.add(outcome);
                        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                        if told.elapsed() >= PROGRESS_EVERY {
                            *told = Instant::now();
                            let seconds = started.elapsed().as_secs();
                            eprintln!("{} of {} seeds, {seconds} s", sums.seeds, self.seeds);
                        }
                    }
                });
            }
        });
        sums.into_inner().unwrap_or_else(PoisonError::into_inner).report(self.json)
    }
}

impl Sums {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.deliveries += outcome.deliveries;
        self.forwards += outcome.forwards;
        self.faults += outcome.faults;
        if let Some(failure) = outcome.failure {
            eprintln!("seed {} FAILED\n{failure}", outcome.seed);
            self.failed.push(outcome.seed);
        }
    }

    fn report(&self, json: bool) -> bool {
        let (seeds, failed) = (self.seeds, self.failed.len());
        let (deliveries, faults) = (self.deliveries, self.faults);
        let forwards = self.forwards;
        print(&if json {
            format!(
                "{{\"seeds\":{seeds},\"deliveries\":{deliveries},\"forwards\":{forwards},\
                 \"faults\":{faults},\
                 \"failed\":{:?}}}",
                self.failed
            )
        } else {
            format!(
                "seeds={seeds} deliveries={deliveries} forwards={forwards} faults={faults} \
                 failed={failed}"
            )
        });
        self.failed.is_empty()
    }
}
