//! `anasazi-sim idle`: hours in which nothing happens.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use anasazi_sim::idle::{Calm, Outcome, all};
use clap::Args;

use crate::print;

/// How long, and how fast.
#[derive(Args)]
pub struct Arguments {
    /// Simulated hours, all clusters together.
    #[arg(long, default_value_t = 10.0, value_parser = hours)]
    hours: f64,
    /// Only clusters with this in their names, which share the hours.
    #[arg(long, default_value = "")]
    only: String,
    /// Threads; each has its own cluster.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Print the sums as one JSON object.
    #[arg(long)]
    json: bool,
}

/// More than nothing: of no time nothing could be said.
fn hours(word: &str) -> Result<f64, String> {
    let hours: Option<f64> = word.parse().ok();
    hours.filter(|h| *h > 0.0 && h.is_finite()).ok_or_else(|| "hours, more than 0".to_owned())
}

#[derive(Default)]
struct Sums {
    clusters: u64,
    time: u64,
    deliveries: u64,
    changes: u64,
    violations: u64,
    stuck: u64,
}

impl Arguments {
    /// Lets all clusters live; whether nothing changed, and nothing else was wrong.
    pub fn idle(self) -> bool {
        let mut waiting = all();
        waiting.retain(|calm| calm.name.contains(&self.only));
        if waiting.is_empty() {
            let names: Vec<_> = all().iter().map(|calm| calm.name).collect();
            eprintln!("--only {:?} is none of: {}", self.only, names.join("; "));
            return false;
        }
        let hours = self.hours / waiting.len() as f64;
        let Ok(each) = Duration::try_from_secs_f64(hours * 3_600.0) else {
            eprintln!("--hours {} is no time", self.hours);
            return false;
        };
        // The large ones first.
        waiting.sort_by_key(Calm::nodes);
        let (waiting, sums) = (Mutex::new(waiting), Mutex::new(Sums::default()));
        let take = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while let Some(calm) = take() {
                        let name = calm.name;
                        let outcome = calm.live(each);
                        sums.lock().unwrap_or_else(PoisonError::into_inner).add(name, &outcome);
                    }
                });
            }
        });
        sums.into_inner().unwrap_or_else(PoisonError::into_inner).report(self.json)
    }
}

impl Sums {
    fn add(&mut self, name: &str, outcome: &Outcome) {
        let Outcome { time, deliveries, changes, failure } = outcome;
        let hours = *time as f64 / 3.6e12;
        eprintln!("{name}: {hours:.3} hours, {deliveries} deliveries, {changes} changes");
        self.clusters += 1;
        self.time += time;
        self.deliveries += deliveries;
        self.changes += changes;
        if let Some(failure) = failure {
            eprintln!("{name} FAILED\n{failure}");
            let count = if failure.is_violation() { &mut self.violations } else { &mut self.stuck };
            *count += 1;
        }
    }

    fn report(&self, json: bool) -> bool {
        let fields = [
            ("clusters", self.clusters.to_string()),
            ("sim_hours", format!("{:.3}", self.time as f64 / 3.6e12)),
            ("deliveries", self.deliveries.to_string()),
            ("changes", self.changes.to_string()),
            ("violations", self.violations.to_string()),
            ("stuck", self.stuck.to_string()),
        ];
        if json {
            let all: Vec<_> = fields.iter().map(|(key, n)| format!("\"{key}\":{n}")).collect();
            print(&format!("{{{}}}", all.join(",")));
        } else {
            let all: Vec<_> = fields.iter().map(|(key, n)| format!("{key}={n}")).collect();
            print(&all.join(" "));
        }
        self.changes + self.violations + self.stuck == 0
    }
}
