//! The cluster: real engines on simulated machines, a simulated network between them, and the
//! oracle watching.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use anasazi_engine::config::ValidConfig;
use anasazi_oracle::{Checker, Entry, Options as OracleOptions, Record, Summary};
use anasazi_protocol::{CoreConfig, Event, MemberId, MessageId, Process, SessionId};
use anasazi_transport::{Life, Received, Target};
use bytes::Bytes;

use crate::contracts::Demotions;
use crate::digest::Digest;
use crate::engine::Seen;
use crate::faults::Undo;
use crate::lifecycle::admin_config;
use crate::liveness::Judge;
use crate::network::{Lasting, Network};
use crate::node::{Clock, Node};
use crate::options::Options;
use crate::random::Random;
use crate::schedule::Schedule;
use crate::seals::KeyOwner;
use crate::seen::Sent;
use crate::story::{Failure, Story};
use crate::trap::Trap;

/// More steps than any run needs; a run that takes them is a storm.
const STEPS_MAX: u64 = 40_000_000;
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
    /// Sees what nodes do and say; an entry to which it says `false` is kept from the oracle, which
    /// is how a test breaks an axiom.
    pub tap: Option<Tap>,
    /// Counts.
    pub counts: Counts,
    /// Rows of the transition table that were reached.
    pub rows: BTreeSet<&'static str>,
    /// The same with the state before, and with what came in.
    pub cells: BTreeSet<Cell>,
    pub(crate) random: Random,
    pub(crate) schedule: Schedule<Happening>,
    pub(crate) story: Story,
    /// Faults planned in an earlier epoch do not happen any more.
    pub(crate) epoch: u64,
    /// Faults so far, those left out among them.
    pub(crate) fault_number: u64,
    /// Waits for the repair of what a fault has done.
    pub(crate) trap: Option<Trap>,
    /// Some say what cannot be, on purpose; otherwise that fails the run.
    pub liars: bool,
    /// Sessions act by themselves.
    pub(crate) traffic_on: bool,
    pub(crate) failure: Option<Failure>,
    pub(crate) digest: Option<Digest>,
    pub(crate) judge: Judge,
    pub(crate) demotions: Demotions,
    pub(crate) key_owner: KeyOwner,
    /// What stays cut when all is healed.
    pub(crate) lasting: Lasting,
    /// Clients that wrote all over their memory: what they sent may be anything.
    pub(crate) wild: BTreeSet<MemberId>,
    /// What was sent.
    pub(crate) letters: HashMap<MessageId, Sent>,
    /// The newest wire version of every process.
    pub(crate) newest_wire: BTreeMap<Process, u8>,
    pub(crate) admin_config: ValidConfig,
    /// Lent to a turn and emptied again.
    pub(crate) seen: Vec<Seen>,
    /// The same.
    pub(crate) sent: Vec<(Target, Bytes)>,
    checker: Checker,
    steps: u64,
}

/// Looks at a datagram about to be sent from one node to another.
pub type Filter = Box<dyn FnMut(&Passing<'_>) -> bool>;

/// Changes the configuration of a node, by its index.
pub type Configure = Box<dyn FnMut(usize, &mut CoreConfig)>;

/// Sees what a node, by its index, does and says.
pub type Tap = Box<dyn FnMut(usize, Observed<'_>) -> bool>;

/// What a tap sees.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    /// What the oracle reads.
    Entry(&'a Entry),
    /// What an operator reads.
    Event(&'a Event),
}

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
    /// The kind of datagram.
    pub fn kind(&self) -> &'static str {
        kind_name(self.bytes)
    }
}

/// The kind of a datagram, in a word.
pub fn kind_name(datagram: &[u8]) -> &'static str {
    if anasazi_seal::is_sealed(datagram) {
        return "sealed";
    }
    anasazi_protocol::wire_kind(datagram).unwrap_or("?")
}

/// A row of the transition table, a state that it begins in, and what comes in.
pub type Cell = (&'static str, &'static str, &'static str);

/// What happened how often.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Faults of processes, partitions and the like.
    pub faults: u64,
    /// Datagrams sent, each receiver counted.
    pub datagrams: u64,
    /// Turns of engines.
    pub turns: u64,
    /// Sessions that ended, or were cut off.
    pub cut: u64,
    /// Records that clients read: messages, views and the like.
    pub records: u64,
    /// Messages that clients were told they had missed.
    pub missed: u64,
    /// Datagrams that asked senders to wait for a client, each receiver counted.
    pub holds: u64,
}

/// Something planned.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrive { to: usize, from: SocketAddr, multicast: bool, bytes: Bytes },
    Unreachable { node: usize, address: SocketAddr },
    Ended { node: usize, process: Life },
    Timer { node: usize, life: u64, at: u64 },
    Persisted { node: usize, life: u64, ticket: u64, durable: bool },
    Act { node: usize, life: u64, session: SessionId },
    Turn { node: usize, life: u64, at: u64 },
    Boot { node: usize, life: u64 },
    Fault { epoch: u64 },
    Keys { epoch: u64 },
    Look,
    Ambush { epoch: u64, node: usize },
    CutOff { epoch: u64, node: usize, time: u64 },
    Trapped { epoch: u64, victim: usize, time: u64 },
    Sprung { epoch: u64, node: usize },
    Undo { epoch: u64, undo: Undo },
}

impl Cluster {
    /// Machines on which nothing runs yet.
    pub fn new(mut options: Options) -> Self {
        if options.lasting == Lasting::Links {
            // Whoever cannot hear the only one that it knows of meets nobody.
            options.network.sparse_peers = false;
        }
        let mut random = Random::new(options.seed);
        let network = Network::new(options.network.clone(), options.nodes, random.fork());
        let mut slow = Random::new(options.seed.rotate_left(53));
        let nodes = (0..options.nodes).map(|index| {
            let offset = if random.coin() { 0 } else { random.below(1 << 60) };
            let fast = random.below(options.machine.drift_ppm + 1) as i64;
            let drift_ppm = if slow.coin() { -fast } else { fast };
            Node::new(index, Clock::new(offset, drift_ppm))
        });
        let nodes = nodes.collect();
        Self {
            now: 0,
            nodes,
            network,
            filter: None,
            configure: None,
            tap: None,
            counts: Counts::default(),
            rows: BTreeSet::new(),
            cells: BTreeSet::new(),
            random,
            schedule: Schedule::default(),
            story: Story::default(),
            epoch: 0,
            fault_number: 0,
            trap: None,
            liars: false,
            traffic_on: options.traffic.interval_us > 0,
            failure: None,
            digest: None,
            judge: Judge::default(),
            demotions: Demotions::default(),
            key_owner: KeyOwner::new(options.nodes),
            lasting: Lasting::None,
            wild: BTreeSet::new(),
            letters: HashMap::new(),
            newest_wire: BTreeMap::new(),
            admin_config: admin_config(),
            seen: Vec::new(),
            sent: Vec::new(),
            checker: Checker::new(OracleOptions {
                senders_are_members: options.traffic.outsiders == 0,
                order_is_real: true,
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
            order_is_real: true,
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

    /// The oracle's last word. `quiesced`: all is healed and at rest. A violation is worse than
    /// being stuck, and may well be the reason for it.
    pub fn finish(self, quiesced: bool) -> Result<Summary, Failure> {
        let stuck = match self.failure {
            Some(failure @ Failure::Stuck(_)) => Some(failure),
            Some(failure) => return Err(failure),
            None => None,
        };
        let finished = self.checker.finish(quiesced && stuck.is_none());
        let summary = finished.map_err(|violation| Failure::Violation(Box::new(violation)))?;
        stuck.map_or(Ok(summary), Err)
    }

    /// Tells a line about a node, or about the world.
    pub(crate) fn tell(&mut self, node: Option<usize>, what: &str) {
        let teller = node.map(|node| (node, &self.nodes[node]));
        let line = self.story.line(self.now, teller, what);
        match node {
            Some(node) => self.nodes[node].remember(&line),
            None => self.nodes.iter_mut().for_each(|n| n.remember(&line)),
        }
    }

    /// Shows the oracle what a process did.
    pub(crate) fn record(&mut self, node: usize, entry: Entry) {
        if self.tap.as_mut().is_some_and(|tap| !tap(node, Observed::Entry(&entry))) {
            return;
        }
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
            Happening::Arrive { to, from, .. } if self.is_lost_on_the_way(from, to) => {}
            Happening::Arrive { to, from, multicast, bytes } => {
                self.receive(to, Received { from, multicast, bytes });
            }
            Happening::Unreachable { node, address } => self.hear_of(node, address),
            Happening::Ended { node, process } => self.hear_of_the_end(node, process),
            Happening::Timer { node, life, at } if self.lives(node, life) => self.timer(node, at),
            Happening::Persisted { node, life, ticket, durable } if self.lives(node, life) => {
                self.persisted(node, ticket, durable);
            }
            Happening::Act { node, life, session } if self.lives(node, life) => {
                self.act(node, session);
            }
            Happening::Turn { node, life, at } if self.lives(node, life) => {
                self.planned_turn(node, at);
            }
            Happening::Boot { node, life } if self.nodes[node].life == life => self.boot(node),
            Happening::Look => self.look(),
            Happening::Fault { epoch } if epoch == self.epoch => self.next_fault(),
            Happening::Keys { epoch } if epoch == self.epoch => self.change_keys(),
            Happening::Ambush { epoch, node } if epoch == self.epoch => self.ambush(node),
            Happening::CutOff { epoch, node, time } if epoch == self.epoch => {
                self.cut_off(node, time);
            }
            Happening::Trapped { epoch, victim, time } if epoch == self.epoch => {
                self.end_victim(victim, time);
            }
            Happening::Sprung { epoch, node } if epoch == self.epoch => self.spring(node),
            Happening::Undo { epoch, undo } if epoch == self.epoch => self.undo(undo),
            _ => {}
        }
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].life == life && self.nodes[node].runs()
    }

    /// Where cutting a connection also loses what is under way, it was cut meanwhile.
    fn is_lost_on_the_way(&mut self, from: SocketAddr, to: usize) -> bool {
        let from = self.nodes.iter().position(|n| n.address == from);
        from.is_some_and(|from| self.network.loses_on_the_way(from, to))
    }

    /// Something comes in at a machine; a process that does not run finds it later, unless the
    /// kernel has no room.
    pub(crate) fn receive(&mut self, node: usize, datagram: Received) {
        let room = self.options.machine.mailbox_len_max;
        match &mut self.nodes[node].turn {
            Some(turn) => turn.transport_mut().put(datagram, room),
            None if datagram.multicast => return,
            None => return self.nobody_listens(node, datagram.from),
        }
        self.turn(node);
    }

    /// A host answers that nobody listens there.
    fn hear_of(&mut self, node: usize, address: SocketAddr) {
        if let Some(turn) = &mut self.nodes[node].turn {
            turn.transport_mut().put_unreachable(address);
            self.turn(node);
        }
    }

    /// A liveness connection has ended, and nobody listens at the other end.
    fn hear_of_the_end(&mut self, node: usize, process: Life) {
        if let Some(turn) = &mut self.nodes[node].turn {
            turn.transport_mut().put_ended(process);
            self.turn(node);
        }
    }

    /// A host closes the connections of a process that is no more.
    pub(crate) fn lines_end(&mut self, node: usize, process: Life) {
        if !self.options.network.liveness {
            return;
        }
        for other in 0..self.nodes.len() {
            let Some(turn) = &mut self.nodes[other].turn else { continue };
            if turn.transport_mut().watches(process) {
                let end = self.network.carry(self.now, (node, other), &Bytes::new(), false);
                if let Some(end) = end.first() {
                    self.schedule.plan(end.time, Happening::Ended { node: other, process });
                }
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
}

/// As the schedule counts.
pub fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
