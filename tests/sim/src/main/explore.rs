//! `anasazi-sim explore`: the bounds from the command line.

use std::time::{Duration, Instant};

use anasazi_sim::explore::{Bounds, Budget, Report, Start, explore_and_tell};
use clap::Args;

/// The bounds of an exploration.
#[derive(Args)]
pub struct Arguments {
    /// How many nodes.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=5))]
    nodes: u8,
    /// Begin at the start of all nodes, not with a ring.
    #[arg(long)]
    boot: bool,
    /// Choices on one path.
    #[arg(long, default_value_t = 14)]
    depth: u16,
    /// Datagrams dropped or doubled, nodes crashed, links cut, on one path.
    #[arg(long, default_value_t = 1)]
    faults: u8,
    /// Timers that run out although datagrams are under way, on one path.
    #[arg(long, default_value_t = 1)]
    delays: u8,
    /// Messages sent on one path.
    #[arg(long, default_value_t = 2)]
    messages: u8,
    /// Of so many path ends, one is healed and must settle.
    #[arg(long, default_value_t = 16)]
    settle_every: u64,
    /// Plant this bug first; see `planted`.
    #[arg(long)]
    planted: Option<String>,
    /// Stop after so many seconds, and be content with what was explored by then; without this,
    /// what is left out is a failure.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
}

impl Arguments {
    /// Explores and prints; whether nothing was found, and nothing left out that was asked for.
    pub fn explore(&self) -> bool {
        if let Some(name) = &self.planted
            && let Err(error) = anasazi_protocol::planted::set(Some(name))
        {
            super::print(&error);
            return false;
        }
        let bounds = Bounds {
            nodes: usize::from(self.nodes),
            start: if self.boot { Start::Boot } else { Start::Ring },
            budget: Budget { faults: self.faults, delays: self.delays, messages: self.messages },
            depth: self.depth,
            settle_every: self.settle_every,
            limit: self.seconds.map(Duration::from_secs),
        };
        let began = Instant::now();
        let progress = |report: &Report| {
            eprintln!(
                "{} states, {} steps, {} ends of paths, {:.0} s",
                report.states,
                report.steps,
                report.paths,
                began.elapsed().as_secs_f64()
            );
        };
        match explore_and_tell(bounds, progress) {
            Ok(report) => {
                super::print(&report.to_string());
                if !report.complete && report.failure.is_none() {
                    super::print("incomplete: the time that was asked for ended before the bounds");
                }
                report.failure.is_none() && (report.complete || self.seconds.is_some())
            }
            Err(error) => {
                super::print(&format!("the start cannot be reached: {error}"));
                false
            }
        }
    }
}
