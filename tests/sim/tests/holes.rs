//! A packet is lost to all but its sender, and the sender is gone: what the others ordered behind
//! the hole is delivered by all who promised, whatever happens to them during the recovery. Each
//! scenario is repeated with the second blow a little later, through the whole recovery.

mod scene;

use std::time::Duration;

use anasazi_sim::cluster::Cluster;
use anasazi_sim::options::Options;
use scene::{Scene, ms};

/// Steps of the sweep, in microseconds.
const STEP_US: u64 = 20;
/// How many: the recovery takes about 2 ms.
const STEPS: u64 = 120;

/// Five nodes; the first one's packets reach nobody, the second one orders behind them; then the
/// first crashes and its host says so.
fn with_a_hole(step: u64) -> Scene {
    // Every other time the survivors lack packets of each other as well, and have to share them
    // first.
    let uneven = step % 2 == 1;
    let mut options = Options::quiet(5);
    options.network.unreachable = true;
    options.seed = step;
    let mut scene = Scene::with(options);
    scene.load(3, 100);
    scene.rest(ms(500));
    scene.filter(move |passing| {
        let lost = passing.from == 0 || (uneven && passing.to == passing.from + 2);
        passing.kind() != "data" || !lost
    });
    for _ in 0..3 {
        (0..3).for_each(|node| scene.send(node, 200, true));
        scene.run(Duration::from_micros(700));
    }
    scene.cluster.crash(0);
    scene.unfilter();
    let noticed = |c: &Cluster| c.nodes[1..].iter().all(|n| n.state == "gather");
    assert!(scene.cluster.run_until(ms(400), noticed), "nobody misses it");
    scene
}

/// The second blow: one is cut off, another crashes.
fn strike(step: u64, cut_off: usize, crash: usize) {
    let mut scene = with_a_hole(step);
    scene.run(Duration::from_micros(step * STEP_US));
    let others: Vec<usize> = (1..5).filter(|n| *n != cut_off).collect();
    let cuts = scene.cluster.partition(&[&[cut_off], &others]);
    scene.cluster.crash(crash);
    scene.run(ms(600));
    scene.cluster.mend(&cuts);
    scene.end();
}

#[test]
fn one_is_cut_off_while_the_sender_behind_the_hole_crashes() {
    (0..STEPS).for_each(|step| strike(step, 4, 1));
}

#[test]
fn the_representative_is_cut_off_while_another_crashes() {
    (0..STEPS).for_each(|step| strike(step, 1, 2));
}

#[test]
fn the_last_one_crashes_while_the_next_is_cut_off() {
    (0..STEPS).for_each(|step| strike(step, 3, 4));
}

/// Everybody is cut off from everybody for a moment, at any moment of the recovery.
#[test]
fn all_are_parted_in_the_middle_of_it() {
    for step in 0..STEPS {
        let mut scene = with_a_hole(step);
        scene.run(Duration::from_micros(step * STEP_US));
        let cuts = scene.cluster.partition(&[&[1], &[2], &[3], &[4]]);
        scene.run(Duration::from_micros(300 + 17 * step));
        scene.cluster.mend(&cuts);
        scene.run(ms(2));
        scene.cluster.crash(1);
        scene.end();
    }
}
