//! Some seeds from beginning to end, and that a seed is one run.

use anasazi_sim::options::Options;
use anasazi_sim::run::{Watch, run};

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
