//! One seed from beginning to end: first faults, under which only safety is asked for; then
//! everything is healed, and the cluster must come to one ring, deliver all that was accepted, and
//! stay at rest.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use anasazi_protocol::Core;

use crate::cluster::{Cell, Cluster};
use crate::liveness::Liveness;
use crate::network::Lasting;
use crate::node::Node;
use crate::options::Options;
use crate::scenario;
use crate::session::Session;
use crate::story::Failure;

/// Traffic goes on for so long after the cluster has become one ring.
const TRAFFIC_AFTER: Duration = Duration::from_secs(1);
/// Nothing may change for so long at the end, and not for the longest of the protocol's times,
const QUIET: Duration = Duration::from_secs(5);
/// and in one seed of so many for a minute: what waits for ever longer comes back late.
const LONG_QUIET: (u64, Duration) = (50, Duration::from_secs(60));
/// A bad link that has been so for this long is taken for one that stays, and more.
const LASTS: Duration = Duration::from_secs(4);

/// Who was not let in is measured again within this.
const LIMIT_OF_CONTRACTS: Duration = Duration::from_secs(10);

/// What a short message takes of a packet beyond its bytes, at most.
const MESSAGE_COSTS: u64 = 100;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// Virtual time, in nanoseconds.
    pub time: u64,
    /// Faults of processes and of the network at large.
    pub faults: u64,
    /// Faults of single datagrams.
    pub packet_faults: u64,
    /// Messages delivered, all processes together, as the oracle counts.
    pub deliveries: u64,
    /// Messages that clients which chose to were told they had missed.
    pub missed: u64,
    /// Datagrams that asked senders to wait for a client.
    pub holds: u64,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// The protocol's timers were so many times as long as by default.
    pub timer_scale: u32,
    /// Links stay bad in the end, or a contract keeps members out for a while.
    pub parted: bool,
    /// From the end of all faults to one ring, in nanoseconds.
    pub settled_in: u64,
    /// The most configurations that a node installed since the end of all faults.
    pub changes: u64,
    /// Rows of the transition table that were reached.
    pub rows: BTreeSet<&'static str>,
    /// The same with the state before, and with what came in.
    pub cells: BTreeSet<Cell>,
    /// A number of everything that happened, if it was asked for.
    pub digest: u64,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// How a run is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// Print the story to standard output.
    pub echo: bool,
    /// Make a number of everything that happens.
    pub digest: bool,
    /// The oracle is not shown a packet that is delivered after a crash: a failure to try the
    /// shrinking with.
    pub forgetful: bool,
    /// Cores that notice what cannot be are not in the wrong: the oracle is to find it, not they.
    pub trusting: bool,
}

/// Runs a seed; a panic of a core is an outcome like others.
pub fn run(options: Options, watch: Watch) -> Outcome {
    let seed = options.seed;
    let mut outcome = Outcome {
        seed,
        time: 0,
        faults: 0,
        packet_faults: 0,
        deliveries: 0,
        missed: 0,
        holds: 0,
        nodes: options.nodes,
        timer_scale: options.timer_scale,
        parted: options.lasting == Lasting::Links || options.contract.is_binding(),
        settled_in: 0,
        changes: 0,
        rows: BTreeSet::new(),
        cells: BTreeSet::new(),
        digest: 0,
        failure: None,
    };
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut cluster = Cluster::new(options);
        if watch.echo {
            cluster.echo();
        }
        if watch.digest {
            cluster.keep_digest();
        }
        cluster.liars = watch.trusting;
        if watch.forgetful {
            cluster.tap = Some(scenario::forgetful());
        }
        // A panic in the middle leaves the outcome as far as it was known.
        live(cluster, &mut outcome)
    }));
    outcome.failure = match result {
        Ok(result) => result.err(),
        Err(_) => Some(Failure::Panicked("see the message above".to_owned())),
    };
    outcome
}

fn live(mut cluster: Cluster, outcome: &mut Outcome) -> Result<(), Failure> {
    start(&mut cluster);
    cluster.judge();
    cluster.run_for(Duration::from_millis(cluster.options.fault_time_ms));
    let healed = heal(&mut cluster);
    outcome.settled_in = cluster.now;
    let result = healed.and_then(|took| {
        outcome.settled_in = took;
        rest(&mut cluster)
    });
    outcome.time = cluster.now;
    outcome.changes = cluster.changes();
    outcome.faults = cluster.counts.faults;
    outcome.packet_faults = cluster.network.faults;
    (outcome.missed, outcome.holds) = (cluster.counts.missed, cluster.counts.holds);
    outcome.rows = std::mem::take(&mut cluster.rows);
    outcome.cells = std::mem::take(&mut cluster.cells);
    outcome.digest = cluster.digest();
    if let Err(missing) = result {
        let report = format!("{missing}\n{}", cluster.last_lines());
        cluster.fail(Failure::Stuck(report));
    }
    let summary = cluster.finish(true)?;
    outcome.deliveries = summary.deliveries;
    match summary.undelivered.first() {
        Some(first) => Err(Failure::Stuck(Liveness::L3.broken(format!(
            "{} accepted messages were never delivered by their origins, the first is {}#{}",
            summary.undelivered.len(),
            first.origin,
            first.counter
        )))),
        None => Ok(()),
    }
}

fn start(cluster: &mut Cluster) {
    let within = cluster.options.start_within_ms * 1_000_000;
    for node in 0..cluster.nodes.len() {
        let wait = cluster.random.below(within + 1);
        cluster.boot_in(node, wait);
    }
    cluster.start_faults();
}

/// Ends all faults, and waits for one ring. Says how long after that the last change was.
fn heal(cluster: &mut Cluster) -> Result<u64, String> {
    let healed = cluster.now;
    cluster.put_clocks_right();
    cluster.heal(false);
    let last_change = settle(cluster).map_err(|what| format!("{what} after all was healed"))?;
    Ok(last_change - healed)
}

/// Waits for one ring, or for rings that are as large as can be where links stay bad. Says when the
/// last change was.
fn settle(cluster: &mut Cluster) -> Result<u64, String> {
    // Each time that members are left behind for a bad link, it has to be certain that it stays.
    let links = cluster.lasting == Lasting::Links;
    let limit = Duration::from_secs(if links { 30 } else { 10 });
    let scale = if cluster.options.timer_scale > 1 { 6 } else { 1 };
    // Who was demoted comes back when its time is over and it was measured.
    let contract = cluster.options.contract;
    let limit = limit * scale
        + if contract.is_binding() {
            LIMIT_OF_CONTRACTS + 2 * (contract.patience + contract.readmit_max)
        } else {
            Duration::ZERO
        };
    // What failed just before the end of all faults is noticed within the loss time; where links
    // stay bad, some rings are left only for what has proven to last.
    let timers = cluster.options.timers();
    let notices = timers.token_loss + timers.consensus;
    let lasts = if links { LASTS } else { notices };
    // What was broken before is said for as long as it is remembered.
    let lasts = if contract.is_binding() { lasts.max(2 * contract.patience) } else { lasts };
    let mut since = (cluster.installed(), cluster.now);
    let settled = |c: &Cluster| {
        if since.0 != c.installed() {
            since = (c.installed(), c.now);
        }
        c.settled().is_ok() && c.now - since.1 >= lasts.as_nanos() as u64
    };
    if cluster.run_until(limit + lasts, settled) {
        return Ok(since.1);
    }
    let missing = cluster.settled().err().unwrap_or_default();
    Err(format!("no common ring ({missing}) {limit:?}"))
}

/// What waits now goes at a third of the ring's speed at least, and then the ring gets to rest.
/// Where links lose packets for good, its window may be an eighth of what it is configured to be;
/// where data make a rotation as long as a third of the time after which a token counts as lost, it
/// does not grow beyond what a ring begins with. A node whose queue takes few messages orders no
/// more than these in a rotation. A packet has messages of one kind, safe or not: where the two
/// take turns, each message is a packet of its own.
fn drain_limit(cluster: &Cluster) -> Duration {
    // Queues are full not only where more is sent than goes through: while no ring lasts, too.
    let (options, traffic) = (&cluster.options, &cluster.options.traffic);
    let loss_us = options.timers().token_loss.as_micros() as u64;
    let share = match () {
        () if options.loaded_rotation_us() > loss_us / 3 => u64::from(options.window / 16).max(8),
        () if cluster.network.options.loss > 0 => 8,
        () => 3,
    };
    let stats = |node: &Node| node.core().map(Core::stats).unwrap_or_default();
    let bytes = |node: &Node| {
        let (stats, sessions) = (stats(node), node.sessions.iter());
        let asked: u64 = sessions.map(Session::bytes_waiting).sum();
        stats.send_queue_bytes + MESSAGE_COSTS * stats.send_queue_messages + asked
    };
    let messages = |node: &Node| {
        let asked: u64 = node.sessions.iter().map(Session::messages_waiting).sum();
        stats(node).send_queue_messages + asked
    };
    let all: u64 = cluster.nodes.iter().map(bytes).sum();
    let most = cluster.nodes.iter().map(messages).max().unwrap_or(0);
    let in_turns = |of_all: u64| Duration::from_micros(of_all * options.rotation_us() * share);
    let by_speed = Duration::from_secs(all * share / options.bytes_per_second().max(1));
    let by_queue = in_turns(most / options.machine.queue.0.max(1) as u64);
    let packets: u64 = cluster.nodes.iter().map(messages).sum();
    let by_kinds = match traffic.safe {
        1..1_000 => in_turns(packets / u64::from(options.window).max(1)),
        _ => Duration::ZERO,
    };
    traffic.drain_limit + by_speed.max(by_queue).max(by_kinds)
}

fn quiet(options: &Options) -> Duration {
    let (one_in, long) = LONG_QUIET;
    if options.seed.is_multiple_of(one_in) {
        return long;
    }
    let timers = options.timers();
    QUIET.max(timers.recovery + timers.commit + timers.consensus)
}

/// Ends the traffic; everything must be delivered, and then nothing may change any more.
fn rest(cluster: &mut Cluster) -> Result<(), String> {
    let installed = cluster.installed();
    // A ring lives with bad links between its members until it needs one of them (seed 500045).
    let bad_links = cluster.bad_links_in_rings();
    cluster.judge.visits_on = true;
    cluster.run_for(TRAFFIC_AFTER);
    cluster.traffic_on = false;
    // What a bad link loses has to be asked for, and comes from another member.
    let times = if cluster.lasting == Lasting::Links { 6 } else { 1 };
    let limit = drain_limit(cluster) * times;
    let rests = |c: &Cluster| c.at_rest().and_then(|()| c.groups_agree());
    if !cluster.run_until(limit, |c| rests(c).is_ok()) {
        let missing = rests(cluster).err().unwrap_or_default();
        return Err(format!("not at rest {limit:?} after the last message: {missing}"));
    }
    if cluster.installed() != installed {
        if cluster.bad_links_in_rings() >= bad_links {
            return Err(changed("while there was traffic"));
        }
        settle(cluster).map_err(|what| format!("{what} after a bad link was found"))?;
    }
    let installed = cluster.installed();
    cluster.tell(None, "all is delivered");
    cluster.run_for(quiet(&cluster.options));
    cluster.at_rest().map_err(|missing| format!("it did not last: {missing}"))?;
    cluster.judge_last_visits();
    if cluster.installed() != installed {
        return Err(changed("while nothing happened"));
    }
    cluster.few_changes()
}

fn changed(when: &str) -> String {
    Liveness::L5.broken(format!("the configuration changed {when}"))
}
