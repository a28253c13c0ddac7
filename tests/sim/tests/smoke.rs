//! Some seeds from beginning to end, and that a seed is one run.

use anasazi_sim::options::Options;
use anasazi_sim::run::{Watch, run};

/// In which clients miss messages that they are told of.
const MISSING: u64 = 5_000_165;
/// In which senders wait for clients.
const WAITING: u64 = 5_000_140;

#[test]
fn a_few_seeds_pass() {
    for seed in 9_000..9_012 {
        let outcome = run(Options::new(seed, None), Watch::default());
        assert!(outcome.failure.is_none(), "seed {seed}: {}", outcome.failure.unwrap());
        assert!(outcome.time > 0 && outcome.deliveries > 0, "seed {seed} did nothing: {outcome:?}");
    }
}

#[test]
fn a_seed_is_one_run() {
    let watch = Watch { digest: true, ..Watch::default() };
    let digest = |seed| run(Options::new(seed, Some(3)), watch).digest;
    assert_eq!(digest(77), digest(77));
    assert_ne!(digest(77), digest(78));
}

/// Clients that do not read miss messages, or let others wait: the seeds that are to show it do.
#[test]
fn clients_that_stand_still_get_what_they_chose() {
    let outcomes = [MISSING, WAITING].map(|seed| run(Options::new(seed, None), Watch::default()));
    for outcome in &outcomes {
        let failure = outcome.failure.as_ref();
        assert!(failure.is_none(), "seed {}: {}", outcome.seed, failure.unwrap());
    }
    assert!(outcomes[0].missed > 0 && outcomes[1].holds > 0, "{outcomes:?}");
}

/// - 511482: one of two had been away when the key that it seals with was retired, and the other
///   one did not know where it is.
/// - 511602: a contract that nobody can meet, of which half of the members were found at a time.
/// - 521145: answers to offers of keys took the place of those to what was said.
/// - 520346: what a member said of the others, again and again, while no token came.
/// - 540250: a hold that nobody can keep, for which one after the other was put out.
#[test]
fn seeds_that_once_failed() {
    for seed in [511_482, 511_602, 520_346, 521_145, 540_250] {
        let outcome = run(Options::new(seed, None), Watch::default());
        assert!(outcome.failure.is_none(), "seed {seed}: {}", outcome.failure.unwrap());
    }
}
