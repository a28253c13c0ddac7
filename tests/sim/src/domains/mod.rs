//! Several domains on the same engines: each is judged by the axioms for itself, and none may
//! notice what happens in another one.
//!
//! A seed is run twice: once with all that goes wrong in `slow`, and once without it. What `fast`
//! did must be the same to the nanosecond in both, since the two share nothing but the thread that
//! turns them. Processes fail in both runs alike where they are in `fast`, too. Where a bridge
//! leads from `slow` to `fast`, what happens in `slow` is seen in `fast`: there it must have the
//! same configurations, if nothing goes wrong in `fast` itself.
//!
//! | file | what |
//! |---|---|
//! | `bridges` | what bridges between domains promise |
//! | `network` | one domain's network, and what is done to it |
//! | `machine` | a node with an engine, and what outlives it |
//! | `clients` | what programs do |
//! | `world` | all of them in virtual time |
//! | `shared` | an engine's sockets and disks, held at both ends |

mod bridges;
mod clients;
mod machine;
mod network;
mod shared;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anasazi_oracle::{Entry, Record};
use anasazi_protocol::Process;
use anasazi_protocol::trace::Trace;

use crate::random::Random;
use bridges::BridgesPlan;
use world::{Deed, World};

/// How a seed ended.
#[derive(Debug)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// Messages delivered in all domains of the first run, all processes together.
    pub deliveries: u64,
    /// Messages and gaps that programs got over bridges then.
    pub forwards: u64,
    /// What went wrong in `slow` in the first run, and in the networks of others.
    pub faults: u64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Everything that is decided before a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    /// Nodes from this one on are in `slow` only.
    pub(crate) fast_nodes: usize,
    pub(crate) fault_time_ms: u64,
    /// Mean time between two faults of a domain's network, or of processes; 0: none.
    pub(crate) fast_faults_ms: u64,
    pub(crate) slow_faults_ms: u64,
    pub(crate) process_faults_ms: u64,
    /// Mean time between two bursts of a session.
    pub(crate) fast_traffic_us: u64,
    pub(crate) slow_traffic_us: u64,
    /// Messages of a burst in `slow`.
    pub(crate) slow_burst: u64,
    /// Messages that wait in a core of `slow` before it takes no more.
    pub(crate) slow_queue: usize,
    pub(crate) bridges: BridgesPlan,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xd0_3a17);
        let nodes = random.between(2, 5) as usize;
        Self {
            seed,
            nodes,
            fast_nodes: random.between(1, nodes as u64) as usize,
            fault_time_ms: random.between(1_000, 3_000),
            fast_faults_ms: random.pick(&[0, 0, 500, 1_500]),
            slow_faults_ms: random.pick(&[40, 150, 500]),
            process_faults_ms: random.pick(&[0, 0, 700, 2_000]),
            fast_traffic_us: random.pick(&[5_000, 20_000, 60_000]),
            slow_traffic_us: random.pick(&[10_000, 40_000, 100_000]),
            slow_burst: random.pick(&[1, 8, 40]),
            slow_queue: random.pick(&[8, 100, 4_096]),
            bridges: BridgesPlan::new(&mut random),
        }
    }
}

/// Runs a seed.
pub fn run(seed: u64) -> Outcome {
    let plan = Plan::new(seed);
    let mut outcome = Outcome { seed, deliveries: 0, forwards: 0, faults: 0, failure: None };
    let result = catch_unwind(AssertUnwindSafe(|| {
        let sick = World::new(plan.clone(), true).live()?;
        (outcome.deliveries, outcome.faults) = (sick.deliveries, sick.faults);
        outcome.forwards = sick.forwards;
        let is_bridged = plan.bridges.leads_to_fast();
        if is_bridged && plan.fast_faults_ms + plan.process_faults_ms > 0 {
            return Ok(());
        }
        let well = World::new(plan.clone(), false).live()?;
        if is_bridged {
            return same_configurations(&sick.fast, &well.fast);
        }
        same_deeds(sick.fast, well.fast)
    }));
    outcome.failure = match result {
        Ok(result) => result.err().map(|text| format!("{text}\n    {plan:?}")),
        Err(_) => Some("panicked: see the message above".to_owned()),
    };
    outcome
}

/// Whether each node did the same at the same time. A turn takes no time here, and takes in so many
/// requests of all domains together: where a client has sent hundreds it may read before the last
/// ones are taken, or after, in the same nanosecond.
fn same_deeds(mut sick: Vec<Deed>, mut well: Vec<Deed>) -> Result<(), String> {
    // One of the two may have been watched for longer, until slow was well again.
    let last = |deeds: &[Deed]| deeds.last().map(Deed::time);
    let end = last(&sick).min(last(&well));
    for deeds in [&mut sick, &mut well] {
        deeds.retain(|deed| Some(deed.time()) < end);
        deeds.sort_by_key(|deed| (deed.time(), deed.node(), matches!(deed, Deed::Read { .. })));
    }
    let mut pairs = sick.iter().zip(&well);
    let Some((with, without)) = pairs.find(|(one, other)| one != other) else {
        if sick.len() == well.len() {
            return Ok(());
        }
        return Err(format!(
            "isolation: fast did {} things with faults in slow, and {} without",
            sick.len(),
            well.len()
        ));
    };
    Err(format!(
        "isolation: fast is not the same with faults in slow as without:\n    with     \
         {with:?}\n    without  {without:?}"
    ))
}

/// Whether each process had the same ones, whenever that was.
fn same_configurations(sick: &[Deed], well: &[Deed]) -> Result<(), String> {
    let of = |deeds: &[Deed]| {
        let mut all: BTreeMap<Process, Vec<Vec<Process>>> = BTreeMap::new();
        for deed in deeds {
            if let Deed::Core(Record { process, entry: Entry::Trace(trace), .. }) = deed
                && let Trace::Regular { members, .. } = trace
            {
                all.entry(*process).or_default().push(members.clone());
            }
        }
        all
    };
    let (sick, well) = (of(sick), of(well));
    if sick == well {
        return Ok(());
    }
    Err(format!(
        "isolation: fast has other configurations with faults in slow than without:\n    with     \
         {sick:?}\n    without  {well:?}"
    ))
}

#[cfg(test)]
mod tests {
    use anasazi_protocol::planted;

    use super::*;

    fn read(time: u64, node: usize, content: u64) -> Deed {
        Deed::Read { time, node, kind: 1, content }
    }

    /// The last nanosecond of the shorter run may lack something.
    #[test]
    fn runs_are_the_same_but_for_their_ends() {
        let all = || vec![read(1, 0, 7), read(1, 1, 8), read(2, 0, 9), read(3, 0, 1)];
        assert_eq!(same_deeds(all(), all()), Ok(()));
        let shorter = vec![read(1, 1, 8), read(1, 0, 7), read(2, 0, 9)];
        assert_eq!(same_deeds(all(), shorter), Ok(()));
        let later = vec![read(1, 0, 7), read(2, 1, 8), read(2, 0, 9), read(3, 0, 1)];
        assert!(same_deeds(all(), later).is_err_and(|text| text.contains("is not the same")));
        let more = vec![read(1, 0, 7), read(1, 1, 8), read(2, 0, 9), read(2, 0, 9), read(3, 0, 1)];
        assert!(same_deeds(all(), more).is_err_and(|text| text.contains("3 things")));
        let other = vec![read(1, 0, 7), read(1, 1, 7), read(2, 0, 9), read(3, 0, 1)];
        assert!(same_deeds(all(), other).is_err());
    }

    #[test]
    fn some_seeds() {
        for seed in 1..=8 {
            let outcome = run(seed);
            assert!(outcome.failure.is_none(), "seed {seed}: {outcome:?}");
            assert!(outcome.deliveries > 0, "seed {seed}: nothing was delivered");
        }
    }

    /// A bridge that waited for room to join kept its engine turning.
    #[test]
    fn seeds_that_once_failed() {
        for seed in [301_795, 301_900, 303_712] {
            let outcome = run(seed);
            assert!(outcome.failure.is_none(), "seed {seed}: {outcome:?}");
        }
    }

    #[test]
    fn a_domain_that_holds_up_another_is_found() {
        planted::set(Some("one_full_all_wait")).expect("a planted bug");
        let found = (1..=40).find_map(|seed| run(seed).failure);
        planted::set(None).expect("none");
        let found = found.expect("nobody noticed");
        assert!(found.starts_with("isolation: "), "{found}");
    }
}
