//! The cluster: real cores on simulated machines, a simulated network between them, and the oracle
//! watching.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anasazi_oracle::{Checker, Entry, Options as OracleOptions, Record, Summary};
use anasazi_protocol::{CoreConfig, Evidence, Input, SessionId};
use bytes::Bytes;

use crate::digest::Digest;
use crate::faults::Undo;
use crate::network::Network;
use crate::node::{Clock, Node};
use crate::options::Options;
use crate::random::Random;
use crate::schedule::Schedule;
use crate::story::{Failure, Story};

/// More steps than any run needs; a run that takes them is a storm.
const STEPS_MAX: u64 = 40_000_000;
/// Timeouts in a row that each want the next one at once.
const SPINS_MAX: u32 = 1_000;

/// An answer of a host that takes longer than this is lost, in nanoseconds.
const ANSWER_LIFE: u64 = 2_000_000;

/// A cluster in virtual time.
pub struct Cluster {
    /// What was decided before.
    pub options: Options,
    /// Nanoseconds since the beginning.
    pub now: u64,
    /// The machines.
    pub nodes: Vec<Node>,
    /// What is between them.
    pub network: Network,
    /// Decides what each datagram's fate is before the network does: `false` loses it.
    pub filter: Option<Filter>,
    /// Changes what a node is told when it starts.
    pub configure: Option<Configure>,
    /// Counts.
    pub counts: Counts,
    /// Rows of the transition table that were reached.
    pub rows: BTreeSet<&'static str>,
    pub(crate) random: Random,
    pub(crate) schedule: Schedule<Happening>,
    pub(crate) story: Story,
    /// Faults planned in an earlier epoch do not happen any more.
    pub(crate) epoch: u64,
    /// Sessions act by themselves.
    pub(crate) traffic_on: bool,
    pub(crate) failure: Option<Failure>,
    pub(crate) digest: Option<Digest>,
    checker: Checker,
    steps: u64,
}

/// Looks at a datagram about to be sent from one node to another.
pub type Filter = Box<dyn FnMut(&Passing<'_>) -> bool>;

/// Changes the configuration of a node, by its index.
pub type Configure = Box<dyn FnMut(usize, &mut CoreConfig)>;

/// A datagram about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// In nanoseconds.
    pub now: u64,
    /// Index of the sending node.
    pub from: usize,
    /// Index of the receiving node.
    pub to: usize,
    /// Through the multicast group.
    pub multicast: bool,
    /// All of it.
    pub bytes: &'a Bytes,
}

impl Passing<'_> {
    /// The kind of datagram: the second byte of each says it.
    pub fn kind(&self) -> &'static str {
        kind_name(self.bytes)
    }
}

/// The kind of a datagram, in a word.
pub fn kind_name(datagram: &[u8]) -> &'static str {
    const NAMES: [&str; 18] = [
        "?",
        "data",
        "token",
        "token ack",
        "wake",
        "join",
        "propose",
        "state",
        "plan",
        "plan ack",
        "beacon",
        "bye",
        "duplicate",
        "part",
        "unreliable",
        "probe",
        "probe answer",
        "decline",
    ];
    let kind = datagram.get(1).map_or(0, |kind| usize::from(*kind));
    NAMES.get(kind).copied().unwrap_or("?")
}

/// What happened how often.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Faults of processes, partitions and the like.
    pub faults: u64,
    /// Datagrams sent, each receiver counted.
    pub datagrams: u64,
    /// Messages given to local members.
    pub messages: u64,
    /// Views given to local members.
    pub views: u64,
}

/// Something planned.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrive { to: usize, from: SocketAddr, multicast: bool, bytes: Bytes },
    Unreachable { node: usize, address: SocketAddr },
    Timer { node: usize, life: u64, at: u64 },
    Persisted { node: usize, life: u64, ticket: u64, durable: bool },
    Act { node: usize, life: u64, session: SessionId },
    Pump { node: usize, life: u64 },
    Boot { node: usize, life: u64 },
    Fault { epoch: u64 },
    Ambush { epoch: u64, node: usize },
    Undo { epoch: u64, undo: Undo },
}

impl Cluster {
    /// Machines on which nothing runs yet.
    pub fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let network = Network::new(options.network.clone(), options.nodes, random.fork());
        let nodes = (0..options.nodes).map(|index| {
            let offset = if random.coin() { 0 } else { random.below(1 << 60) };
            let drift_ppm = random.below(options.machine.drift_ppm + 1);
            Node::new(index, Clock { offset, drift_ppm })
        });
        let nodes = nodes.collect();
        Self {
            now: 0,
            nodes,
            network,
            filter: None,
            configure: None,
            counts: Counts::default(),
            rows: BTreeSet::new(),
            random,
            schedule: Schedule::default(),
            story: Story::default(),
            epoch: 0,
            traffic_on: options.traffic.interval_us > 0,
            failure: None,
            digest: None,
            checker: Checker::new(OracleOptions {
                senders_are_members: true,
                ..OracleOptions::default()
            }),
            steps: 0,
            options,
        }
    }

    /// Two of the nodes have the same id on purpose.
    pub fn expect_twins(&mut self, node: usize) {
        let twins = [self.nodes[node].id].into();
        self.checker = Checker::new(OracleOptions {
            senders_are_members: true,
            twins,
            ..OracleOptions::default()
        });
    }

    /// Prints what happens to standard output.
    pub fn echo(&mut self) {
        self.story.echo = true;
    }

    /// Makes a number of everything that happens.
    pub fn keep_digest(&mut self) {
        self.digest = Some(Digest::default());
    }

    /// That number.
    pub fn digest(&self) -> u64 {
        self.digest.as_ref().map_or(0, Digest::value)
    }

    /// Does the next thing; `false` if nothing is planned or the run has failed.
    pub fn step(&mut self) -> bool {
        if self.failure.is_some() {
            return false;
        }
        let Some((time, what)) = self.schedule.take() else { return false };
        self.now = self.now.max(time);
        self.steps += 1;
        if self.steps > STEPS_MAX {
            self.fail(Failure::Stuck(format!("{STEPS_MAX} steps: this is a storm")));
        }
        self.happen(what);
        self.failure.is_none()
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + nanoseconds(time);
        while self.schedule.next_time().is_some_and(|t| t <= end) && self.step() {}
        self.now = self.now.max(end);
    }

    /// Lets time pass until something is so; `false` if it is not after that time.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + nanoseconds(limit);
        loop {
            if done(self) {
                return true;
            }
            if self.schedule.next_time().is_none_or(|t| t > end) || !self.step() {
                return done(self);
            }
        }
    }

    /// The run has failed, unless it had before.
    pub fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Why the run has failed, if it has.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The oracle's last word. `quiesced`: all is healed and at rest.
    pub fn finish(self, quiesced: bool) -> Result<Summary, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let finished = self.checker.finish(quiesced);
        finished.map_err(|violation| Failure::Violation(Box::new(violation)))
    }

    /// Tells a line about a node, or about the world.
    pub(crate) fn tell(&mut self, node: Option<usize>, what: &str) {
        let line = self.story.line(self.now, node, what);
        match node {
            Some(node) => self.nodes[node].remember(&line),
            None => self.nodes.iter_mut().for_each(|n| n.remember(&line)),
        }
    }

    /// Shows the oracle what a process did.
    pub(crate) fn record(&mut self, node: usize, entry: Entry) {
        let (process, index) = (self.nodes[node].process, self.nodes[node].index);
        self.nodes[node].index += 1;
        let record = Record { process, index, time: self.now, entry };
        if let Some(digest) = &mut self.digest {
            digest.add(&record);
        }
        if self.failure.is_none()
            && let Err(violation) = self.checker.observe(&record)
        {
            self.fail(Failure::Violation(Box::new(violation)));
        }
    }

    /// Plans something that many nanoseconds from now.
    pub(crate) fn plan_in(&mut self, nanoseconds: u64, what: Happening) {
        self.schedule.plan(self.now + nanoseconds, what);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrive { to, from, multicast, bytes } => {
                self.arrive(to, Input::Datagram { from, multicast, bytes });
            }
            Happening::Unreachable { node, address } => {
                self.arrive(node, Input::Evidence { address, kind: Evidence::Unreachable });
            }
            Happening::Timer { node, life, at } if self.lives(node, life) => self.timer(node, at),
            Happening::Persisted { node, life, ticket, durable } if self.lives(node, life) => {
                self.persisted(node, ticket, durable);
            }
            Happening::Act { node, life, session } if self.lives(node, life) => {
                self.act(node, session);
            }
            Happening::Pump { node, life } if self.lives(node, life) => self.pump(node),
            Happening::Boot { node, life } if self.nodes[node].life == life => self.boot(node),
            Happening::Fault { epoch } if epoch == self.epoch => self.next_fault(),
            Happening::Ambush { epoch, node } if epoch == self.epoch => self.ambush(node),
            Happening::Undo { epoch, undo } if epoch == self.epoch => self.undo(undo),
            _ => {}
        }
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].life == life && self.nodes[node].core.is_some()
    }

    /// Something comes in at a machine; a process that does not run finds it later, unless the
    /// kernel had no room.
    fn arrive(&mut self, node: usize, input: Input) {
        if let Input::Datagram { from, multicast: false, .. } = input
            && self.nodes[node].core.is_none()
        {
            self.nobody_listens(node, from);
        } else if self.nodes[node].paused {
            if self.nodes[node].mailbox.len() < self.options.machine.mailbox_len_max {
                self.nodes[node].mailbox.push_back(input);
            }
        } else {
            self.feed(node, input);
            // A busy machine reads on before it is done with what it has.
            if self.random.coin() {
                self.feed(node, Input::Drained);
            }
        }
    }

    fn nobody_listens(&mut self, node: usize, from: SocketAddr) {
        let Some(sender) = self.nodes.iter().position(|n| n.address == from) else { return };
        if !self.options.network.unreachable {
            return;
        }
        let (now, route) = (self.now, (node, sender));
        let answer = self.network.carry(now, route, &Bytes::new(), false);
        let address = self.nodes[node].address;
        // The answer tells what is so now; the network does not keep it for long.
        if let Some(answer) = answer.first().filter(|a| a.time < now + ANSWER_LIFE) {
            self.schedule.plan(answer.time, Happening::Unreachable { node: sender, address });
        }
    }

    fn timer(&mut self, node: usize, at: u64) {
        if self.nodes[node].timer_at != Some(at) || self.nodes[node].paused {
            return;
        }
        self.nodes[node].timer_at = None;
        let now = self.nodes[node].clock.read(self.now);
        let due = |n: &Node| n.core.as_ref().and_then(|c| c.deadline()).is_some_and(|d| d <= now);
        if !due(&self.nodes[node]) {
            self.arm(node);
            return;
        }
        self.feed(node, Input::Timeout);
        let spinning = due(&self.nodes[node]);
        let node_now = &mut self.nodes[node];
        node_now.spins = if spinning { node_now.spins + 1 } else { 0 };
        if node_now.spins > SPINS_MAX {
            let what = format!("n{} has a deadline that Timeout does not move", node + 1);
            self.fail(Failure::Stuck(what));
        }
    }
}

/// As the schedule counts.
pub fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
