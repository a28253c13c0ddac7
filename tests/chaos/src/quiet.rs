//! Nothing goes wrong, but busy loops compete for every core: no daemon may take another one for
//! dead.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cluster::{Cluster, NODES, Setup};
use crate::machine::{Looks, Still};
use crate::nemesis::Busy;
use crate::pace::Pace;
use crate::trouble::Trouble;
use crate::{gaps, verdict};

/// Busy loops for each core.
const LOOPS_PER_CORE: usize = 2;
const LOOK: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Debug)]
pub(crate) struct Quiet {
    pub(crate) seconds: f64,
    pub(crate) loops: usize,
    /// Configurations installed after the start, all daemons together.
    pub(crate) changes: u64,
    /// For how long a core stood still when that was seen; of several times the shortest, and
    /// without any the longest of the whole run.
    pub(crate) withheld: Duration,
    /// The longest time that a daemon was without the token.
    pub(crate) gap_worst: Duration,
    pub(crate) deliveries: u64,
}

impl Still for Quiet {
    fn changed(&self) -> (u64, Duration) {
        (self.changes, self.withheld)
    }
}

/// Watches a cluster under load for so long.
pub(crate) fn run(
    program: &Path,
    time: Duration,
    keep: bool,
    pace: &Pace,
) -> Result<Quiet, Trouble> {
    let setup = Setup {
        seed: 0,
        multicast: true,
        tiny_buffers: false,
        seal: "aead",
        rate: 5,
        churn: false,
    };
    let mut cluster = Cluster::start(&setup, program, pace)?;
    let result = watch(&mut cluster, time, pace);
    if keep || !matches!(&result, Ok(quiet) if quiet.changes == 0) {
        eprintln!("logs are kept in {}", cluster.place.keep().display());
    }
    result
}

fn watch(cluster: &mut Cluster, time: Duration, pace: &Pace) -> Result<Quiet, Trouble> {
    // What belongs to the start is over.
    pace.wait(LOOK)?;
    let before = cluster.changes();
    if before.len() < NODES {
        return Err(Trouble::Stuck(format!("only {} daemons answer at rest", before.len())));
    }
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_ns = u64::try_from(unix.as_nanos()).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let loops = cores * LOOPS_PER_CORE;
    let mut busy = Busy::default();
    busy.start(loops)?;
    let started = Instant::now();
    let mut looks = Looks::start(&before)?;
    let mut next = started;
    while started.elapsed() < time {
        next += LOOK;
        pace.until(next.min(started + time))?;
        cluster.check()?;
        looks.look(cluster.changes());
    }
    let seconds = started.elapsed().as_secs_f64();
    busy.stop();
    cluster.rest(1)?;
    looks.look(cluster.changes());
    pace.wait(LOOK)?;
    let verdict = verdict::judge(cluster.place.path(), true)?;
    let gap_worst = gaps::worst(cluster.place.path(), since_ns);
    let (changes, withheld, deliveries) = (looks.changes(), looks.withheld(), verdict.deliveries);
    Ok(Quiet { seconds, loops, changes, withheld, gap_worst, deliveries })
}
