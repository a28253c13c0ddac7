//! Clusters to which nothing happens, for hours: the configuration must stay what it is, with
//! traffic or without, on networks of every kind that loses nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::options::{Multicast, Options, Traffic};
use crate::story::Failure;

/// Until all nodes are in one ring at the beginning.
const ONE_RING_MAX: Duration = Duration::from_secs(10);

/// A cluster by its name.
#[derive(Clone, Debug)]
pub struct Calm {
    /// What it is like, in a few words.
    pub name: &'static str,
    options: Options,
}

/// What came of one.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Virtual time, in nanoseconds.
    pub time: u64,
    /// Messages delivered, all processes together.
    pub deliveries: u64,
    /// Configurations installed after the first common one, all processes together.
    pub changes: u64,
    /// What else was wrong.
    pub failure: Option<Failure>,
}

/// All of them.
pub fn all() -> Vec<Calm> {
    let calm = |name, nodes, change: &dyn Fn(&mut Options)| {
        let mut options = Options::quiet(nodes);
        change(&mut options);
        Calm { name, options }
    };
    vec![
        calm("one node", 1, &|_| {}),
        calm("two nodes", 2, &|_| {}),
        calm("five nodes", 5, &|_| {}),
        calm("nine nodes without multicast", 9, &|o| o.network.multicast = Multicast::Off),
        calm("32 nodes", 32, &|_| {}),
        calm("three nodes with traffic", 3, &speak),
        calm("five nodes with traffic and churn, uneven delays", 5, &|o| {
            speak(o);
            (o.traffic.churn, o.traffic.disconnect) = (50, 10);
            (o.network.delay_us, o.network.jitter_us) = (300, 900);
        }),
        calm("four nodes with traffic, far apart", 4, &|o| {
            speak(o);
            (o.network.delay_us, o.network.jitter_us, o.timer_scale) = (20_000, 5_000, 12);
        }),
        calm("six nodes with traffic, without multicast, on bad clocks", 6, &|o| {
            speak(o);
            o.network.multicast = Multicast::Off;
            (o.machine.drift_ppm, o.machine.timer_late_us) = (500, 2_000);
        }),
        calm("five nodes with traffic on slow machines", 5, &|o| {
            speak(o);
            (o.machine.turn_us, o.machine.slow_nodes) = (200, 1_000);
            o.machine.persist_us = 20_000;
        }),
    ]
}

/// A session of each node sends a few messages a second, of every kind.
fn speak(options: &mut Options) {
    options.traffic = Traffic {
        sessions: 1,
        groups: 3,
        interval_us: 2_000_000,
        burst: 4,
        safe: 300,
        unreliable: 100,
        unicast: 100,
        multi: 100,
        same_view: 100,
        long: 50,
        ..Traffic::none()
    };
}

impl Calm {
    /// How large it is.
    pub fn nodes(&self) -> usize {
        self.options.nodes
    }

    /// Lets it live for so long.
    pub fn live(self, time: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        let lived = catch_unwind(AssertUnwindSafe(|| live(self.options, time, &mut outcome)));
        outcome.failure = match lived {
            Ok(result) => result.err(),
            Err(_) => Some(Failure::Panicked("see the message above".to_owned())),
        };
        outcome
    }
}

fn live(options: Options, time: Duration, outcome: &mut Outcome) -> Result<(), Failure> {
    let mut cluster = Cluster::new(options);
    (0..cluster.nodes.len()).for_each(|node| cluster.boot_in(node, 0));
    let is_one_ring = |c: &Cluster| c.nodes.iter().all(|n| n.runs()) && c.settled().is_ok();
    if !cluster.run_until(ONE_RING_MAX, is_one_ring) {
        let missing = cluster.settled().err().unwrap_or_default();
        cluster.fail(Failure::Stuck(format!("no ring within {ONE_RING_MAX:?}: {missing}")));
    }
    let (began, installed) = (cluster.now, cluster.installed());
    cluster.run_for(time);
    cluster.traffic_on = false;
    let limit = cluster.options.traffic.drain_limit;
    if !cluster.run_until(limit, |c| c.at_rest().is_ok()) {
        let missing = cluster.at_rest().err().unwrap_or_default();
        cluster.fail(Failure::Stuck(format!("not at rest {limit:?} after the end: {missing}")));
    }
    (outcome.time, outcome.changes) = (cluster.now - began, cluster.installed() - installed);
    outcome.deliveries = cluster.finish(true)?.deliveries;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_where_nothing_happens() {
        for calm in all() {
            let (name, speaks) = (calm.name, calm.options.traffic.sessions > 0);
            let outcome = calm.live(Duration::from_secs(20));
            assert!(outcome.failure.is_none(), "{name}: {outcome:?}");
            assert_eq!(outcome.changes, 0, "{name}");
            assert_eq!(outcome.deliveries > 0, speaks, "{name}");
        }
    }

    #[test]
    fn a_change_is_counted() {
        let mut options = Options::quiet(3);
        // More than a token may stay away.
        options.network.late = (2, 2_000_000);
        let outcome = Calm { name: "late", options }.live(Duration::from_secs(600));
        assert!(outcome.changes > 0, "{outcome:?}");
    }
}
