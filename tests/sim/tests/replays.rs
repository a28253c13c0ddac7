//! Somebody without a key has recorded all that a sealed cluster ever sent, and shows it again: to
//! the same members in the same ring and in the next one, after a restart, to the others, and to
//! another cluster. Nothing of it is taken.

mod scene;

use std::cell::RefCell;
use std::rc::Rc;

use anasazi_seal::Mode;
use anasazi_sim::options::Options;
use bytes::Bytes;
use scene::{Scene, ms};

/// In all situations together.
const REPLAYS: usize = 1_000_000;
const NODES: usize = 3;

/// Who sent it, whom it has reached, and whether it was sent to all.
type Recorded = (usize, usize, bool, Bytes);

fn sealed(seed: u64, mode: Mode) -> Scene {
    let mut options = Options::quiet(NODES);
    options.seal.mode = Some(mode);
    options.seed = seed;
    Scene::with(options)
}

struct Recorder {
    scene: Scene,
    tape: Rc<RefCell<Vec<Recorded>>>,
}

impl Recorder {
    /// Records from the first datagram on that is sent after the ring was formed.
    fn new(seed: u64, mode: Mode) -> Self {
        let (mut scene, tape) = (sealed(seed, mode), Rc::new(RefCell::new(Vec::new())));
        let writer = Rc::clone(&tape);
        scene.filter(move |passing| {
            let datagram = (passing.from, passing.to, passing.multicast, passing.bytes.clone());
            writer.borrow_mut().push(datagram);
            true
        });
        Self { scene, tape }
    }
}

/// Shows a node everything: how many times something was shown.
fn show(scene: &mut Scene, to: usize, tape: &[Recorded]) -> usize {
    // What is under way arrives, and what it gives rise to.
    scene.run(ms(20));
    let state = |scene: &Scene| {
        let core = scene.cluster.nodes[to].core().expect("it lives");
        format!("{:?} {:?}", core.stats(), core.status())
    };
    let seals = |scene: &Scene| scene.cluster.seal_counters(to).expect("it seals");
    let (before, counters, sent) = (state(scene), seals(scene), scene.cluster.counts.datagrams);
    for (from, _, multicast, bytes) in tape {
        scene.cluster.inject(*from, to, *multicast, bytes.clone());
    }
    let after = seals(scene);
    assert_eq!(after.opened, counters.opened, "something was taken: {after:?}");
    assert_eq!(after.dropped() - counters.dropped(), tape.len() as u64, "{after:?}");
    assert_eq!(state(scene), before);
    assert_eq!(
        scene.cluster.counts.datagrams - sent,
        after.greetings_sent - counters.greetings_sent
    );
    scene.expect_good();
    tape.len()
}

#[test]
fn a_million_replays_are_not_taken_by_anybody() {
    let mut shown = 0;
    for mode in [Mode::Aead, Mode::Integrity] {
        let Recorder { mut scene, tape } = Recorder::new(1, mode);
        let mut other = sealed(2, mode);
        while shown < REPLAYS / if mode == Mode::Aead { 2 } else { 1 } {
            scene.load(100, 300);
            scene.rest(ms(2_000));
            let recorded = tape.take();
            let installed = scene.installed();
            // The same ring: each node, also those that it was not for.
            (0..NODES).for_each(|node| shown += show(&mut scene, node, &recorded));
            assert_eq!(scene.installed(), installed);
            // The next ring, with a member that has started again.
            scene.cluster.crash(2);
            scene.run(ms(1_000));
            scene.cluster.boot(2);
            scene.settle(ms(5_000));
            scene.join(2);
            let installed = scene.installed();
            (0..NODES).for_each(|node| shown += show(&mut scene, node, &recorded));
            assert_eq!(scene.installed(), installed);
            // Another cluster, with the same key.
            (0..NODES).for_each(|node| shown += show(&mut other, node, &recorded));
        }
        scene.unfilter();
        scene.end();
        other.end();
    }
}
