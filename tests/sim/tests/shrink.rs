//! Shrinking, tried with a failure that is planted into the log: after a crash and a new ring, one
//! delivery is kept from the oracle.

use anasazi_sim::scenario::{Swarm, Verdict, parse, render, run};
use anasazi_sim::shrink::shrink;

fn planted(seed: u64) -> Swarm {
    let mut swarm = Swarm::new(seed);
    swarm.forgetful = true;
    swarm
}

/// A seed that fails only because of what is planted, and has faults to leave out.
fn failing() -> Swarm {
    let fails = |swarm: &Swarm| {
        let outcome = swarm.run().expect("settings are good");
        outcome.faults >= 8 && matches!(Verdict::from(&outcome), Verdict::Breaks(_))
    };
    (100..200).map(planted).find(fails).expect("a seed with a crash")
}

#[test]
fn a_failing_seed_becomes_a_short_scenario_that_fails_alike() {
    let swarm = failing();
    let (verdict, before) = (swarm.verdict(), swarm.run().expect("good").faults);
    let file = shrink(swarm.clone(), |_, _| {}).expect("it fails");
    let scenario = parse("shrunk.txt", &file).expect("what is written can be read");
    let printed = run(&scenario).expect("a seed in short always ends").printed;
    assert_eq!(render(&scenario, &printed), file, "it fails again, in the same way");
    assert!(file.contains(&format!("> {verdict}\n")), "{file}");
    assert!(file.contains("without fault") || file.contains("until"), "{file}");
    let after = scenario.swarm().expect("a seed").run().expect("good").faults;
    assert!(after < before && after <= 3, "{before} faults became {after}\n{file}");
}

#[test]
fn a_seed_that_passes_is_not_shrunk() {
    assert_eq!(Swarm::new(9_000).verdict(), Verdict::Passes);
    assert!(shrink(Swarm::new(9_000), |_, _| {}).is_none());
}

/// What is written is what is read.
#[test]
fn the_form_carries_everything() {
    let text = "title x\nswarm 7\nplant forgotten-packet\nnodes 3\nwith loss=0 mtu=1400\n\
                without fault 2..4 9\nwithout traffic n2\nuntil 1500ms\n";
    let swarm = parse("x.txt", text).expect("good").swarm().expect("a seed").clone();
    assert_eq!((swarm.nodes, swarm.until_ms), (Some(3), Some(1_500)));
    assert_eq!(swarm.without.faults.iter().copied().collect::<Vec<_>>(), [2, 3, 4, 9]);
    let again = parse("y.txt", &swarm.file(Verdict::Passes)).expect("good");
    let again = again.swarm().expect("a seed");
    assert_eq!(again.file(Verdict::Passes), swarm.file(Verdict::Passes));
    let (first, second) = (swarm.run().expect("good"), again.run().expect("good"));
    assert_eq!((first.time, first.faults), (second.time, second.faults));
}
