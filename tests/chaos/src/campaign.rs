//! Many rounds: some on one set of daemons, then the oracle over all their logs, then the next set.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, NODES, Setup};
use crate::faults;
use crate::nemesis::Nemesis;
use crate::pace::Pace;
use crate::random::Random;
use crate::trouble::Trouble;
use crate::verdict;

/// Rounds on one set of daemons.
pub(crate) const ROUNDS_PER_SEED: u64 = 5;
/// Before the faults, and after them.
const STEADY: Duration = Duration::from_millis(500);
/// Until what was done is in the files.
const WRITTEN: Duration = Duration::from_millis(200);

/// What was done, and what came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) rounds: u64,
    pub(crate) faults: u64,
    pub(crate) kills: u64,
    pub(crate) deliveries: u64,
    pub(crate) violations: u64,
    pub(crate) stuck: u64,
    /// Milliseconds from healing to one ring.
    pub(crate) settled_ms: Vec<u64>,
}

/// What to run.
pub(crate) struct Campaign {
    pub(crate) program: PathBuf,
    pub(crate) seed: u64,
    pub(crate) rounds: u64,
    pub(crate) keep: bool,
}

impl Campaign {
    /// Runs until all is done or something is wrong; the sums so far in either case.
    pub(crate) fn run(&self, pace: &Pace) -> (Sums, Result<(), Trouble>) {
        let mut sums = Sums::default();
        let mut seed = self.seed;
        while sums.rounds < self.rounds {
            let rounds = ROUNDS_PER_SEED.min(self.rounds - sums.rounds);
            if let Err(trouble) = self.run_seed(seed, rounds, pace, &mut sums) {
                return (sums, Err(trouble));
            }
            seed += 1;
        }
        (sums, Ok(()))
    }

    fn run_seed(
        &self,
        seed: u64,
        rounds: u64,
        pace: &Pace,
        sums: &mut Sums,
    ) -> Result<(), Trouble> {
        let setup = Setup::draw(seed);
        eprintln!(
            "seed {seed}: {}, {} messages a second of each client{}",
            if setup.multicast { "multicast" } else { "unicast" },
            setup.rate,
            if setup.tiny_buffers { ", tiny socket buffers" } else { "" }
        );
        let mut cluster = Cluster::start(&setup, &self.program, pace)?;
        let judged = self.rounds_of(seed, rounds, &mut cluster, pace, sums);
        if self.keep || matches!(&judged, Err(trouble) if !matches!(trouble, Trouble::Interrupted))
        {
            eprintln!("logs are kept in {}", cluster.place.keep().display());
        }
        if judged.is_err() {
            eprintln!("again: anasazi-chaos run --seed {seed} --rounds {rounds}");
        }
        judged
    }

    fn rounds_of(
        &self,
        seed: u64,
        rounds: u64,
        cluster: &mut Cluster,
        pace: &Pace,
        sums: &mut Sums,
    ) -> Result<(), Trouble> {
        let mut random = Random::new(seed);
        for round in 1..=rounds {
            if round > 1 {
                cluster.go();
            }
            let done = run_round(&mut random, round, cluster, pace, sums);
            if let Err(trouble) = done {
                if let Trouble::Stuck(_) = trouble {
                    (sums.rounds, sums.stuck) = (sums.rounds + round, sums.stuck + 1);
                }
                return Err(worse_than(trouble, cluster, sums));
            }
        }
        // Nothing is sent any more; the threads that write the logs come to their end.
        pace.wait(WRITTEN)?;
        verdict::note_rest(cluster.place.path())?;
        let started = Instant::now();
        let verdict = verdict::judge(cluster.place.path(), true).inspect_err(|trouble| {
            // What has no verdict is no round.
            if let Trouble::Violation(_) = trouble {
                (sums.rounds, sums.violations) = (sums.rounds + rounds, sums.violations + 1);
            }
        })?;
        sums.rounds += rounds;
        sums.deliveries += verdict.deliveries;
        eprintln!("  judged in {:.1} s: {verdict}", started.elapsed().as_secs_f64());
        cluster.stop().inspect_err(|_| sums.stuck += 1)
    }
}

/// What is wrong with the order may be why nothing goes on.
fn worse_than(trouble: Trouble, cluster: &Cluster, sums: &mut Sums) -> Trouble {
    let Trouble::Stuck(text) = &trouble else { return trouble };
    match verdict::judge(cluster.place.path(), false) {
        Err(Trouble::Violation(worse)) => {
            sums.violations += 1;
            Trouble::Violation(format!("{worse}\nand besides: {text}"))
        }
        _ => trouble,
    }
}

fn run_round(
    random: &mut Random,
    round: u64,
    cluster: &mut Cluster,
    pace: &Pace,
    sums: &mut Sums,
) -> Result<(), Trouble> {
    pace.wait(STEADY)?;
    let faults = faults::draw(random, NODES, cluster.clients.len());
    let mut nemesis = Nemesis::new();
    let told: Vec<_> = faults
        .iter()
        .map(|timed| format!("{} ({} to {} ms)", timed.fault, timed.from_ms, timed.until_ms))
        .collect();
    eprintln!("  round {round}: {}", told.join("; "));
    let done = nemesis.run(cluster, &faults, pace);
    sums.faults += faults.len() as u64;
    sums.kills += nemesis.kills;
    done?;
    cluster.heal()?;
    let took = cluster.await_one_ring()?;
    sums.settled_ms.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    pace.wait(STEADY)?;
    cluster.rest(round)
}
