//! A small cluster at one moment: cores, datagrams under way, and everything that may happen next.
//! Copies are cheap; they share what they have in common.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anasazi_oracle::{Checker, Entry, Options, Record, Violation};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{
    Audience, Boot, Command, Configuration, Core, CoreConfig, Destination, Event, Evidence,
    GroupId, Incarnation, Input, Instant, NodeId, Output, Priority, Process, RingId, Service,
    SessionId, Timers,
};
use bytes::Bytes;

use super::digest::Digest;
use crate::node::address;

/// The group to which everything is sent.
const GROUP: &str = "g";
/// When the world begins.
const BEGIN: Instant = Instant(1_000_000_000);

/// What may still go wrong or differ on one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Datagrams dropped or doubled, nodes crashed, links cut.
    pub faults: u8,
    /// Timers that run out although datagrams are under way.
    pub delays: u8,
    /// Messages still to be sent: safe and agreed ones by turns, by one node after the other.
    pub messages: u8,
}

/// A datagram under way.
#[derive(Clone)]
struct Flight {
    from: usize,
    to: usize,
    multicast: bool,
    bytes: Bytes,
    digest: u128,
}

/// What may happen next. Datagrams by their place among those under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It arrives. `busy`: and the node reads on before it looks at what it has.
    Deliver {
        /// Which.
        flight: usize,
        /// There is more to read.
        busy: bool,
    },
    /// There are two of it from now on.
    Double(usize),
    /// It is lost.
    Drop(usize),
    /// A node's timer runs out; if it is not yet due, time passes until it is.
    Fire(usize),
    /// The next message is given to its node.
    Send,
    /// A node dies.
    Crash(usize),
    /// Two nodes do not hear each other any more.
    Cut(usize, usize),
}

/// Everything at one moment.
#[derive(Clone)]
pub struct World {
    now: Instant,
    nodes: Vec<Node>,
    flights: Vec<Flight>,
    cuts: BTreeSet<(usize, usize)>,
    budget: Budget,
    sent: u8,
    /// When anything but the token was last spoken of.
    said_at: Instant,
    /// Of the last step that was no fault; none at the beginning.
    last: Option<Last>,
    /// Who came to find that what others said cannot be, and the row of that.
    contradiction: Option<(usize, &'static str)>,
    log: Log,
}

/// What a step was.
#[derive(Clone, Copy, Hash)]
struct Last {
    /// Whose.
    node: usize,
    /// Time passed.
    waited: bool,
    /// Datagrams from this one on are its work.
    fresh: usize,
}

#[derive(Clone)]
struct Node {
    /// None: it crashed.
    core: Option<Rc<Core>>,
    /// Of the core.
    digest: u128,
    /// Of all that it ever said it did.
    history: u128,
    records: u64,
    ring: Ring,
    /// All regular configurations that it ever was in.
    installed: Rc<BTreeSet<RingId>>,
}

/// The regular configuration that a node is in.
type Ring = Option<Rc<(RingId, Vec<Process>)>>;

type Log = Option<Rc<Entries>>;

struct Entries {
    record: Record,
    before: Log,
}

impl Drop for Entries {
    /// One after the other: a log is longer than the stack is deep.
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(mut entries) = before.and_then(Rc::into_inner) {
            before = entries.before.take();
        }
    }
}

impl World {
    /// Some nodes that have just started.
    pub fn booted(nodes: usize) -> Self {
        let node = Node {
            core: None,
            digest: 0,
            history: 0,
            records: 0,
            ring: None,
            installed: Rc::default(),
        };
        let mut world = Self {
            now: BEGIN,
            nodes: vec![node; nodes],
            flights: Vec::new(),
            cuts: BTreeSet::new(),
            budget: Budget::default(),
            sent: 0,
            said_at: BEGIN,
            last: None,
            contradiction: None,
            log: None,
        };
        for index in 0..nodes {
            world.record(index, Entry::Boot { stored: true });
            let boot = Boot {
                process: process(index),
                ring_sequence_floor: 0,
                ring_sequence_reserved: u64::MAX,
            };
            let core = Core::new(config(index), boot, BEGIN);
            world.nodes[index].core = Some(Rc::new(core));
            world.drain(index);
        }
        world
    }

    /// Some nodes in one ring, with a member of the group on each, and nothing under way.
    ///
    /// # Errors
    /// They do not get there.
    pub fn in_one_ring(nodes: usize) -> Result<Self, String> {
        let mut world = Self::booted(nodes);
        world.join();
        world.settle()?;
        Ok(world)
    }

    /// Sessions ask to be members of the group, one per node.
    pub fn join(&mut self) {
        for index in 0..self.nodes.len() {
            let session = session(index);
            let join = Command::Join { session, name: GROUP.to_owned() };
            self.feed(index, Input::Command(join));
        }
    }

    /// Says what may happen from here on.
    pub fn allow(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Stands for this world and for all that was said in it: worlds of one fingerprint have the
    /// same futures, and the oracle says the same of them.
    pub fn fingerprint(&self) -> u128 {
        let nodes: Vec<_> = self.nodes.iter().map(|n| (n.digest, n.history)).collect();
        let sum = |flights: &[Flight]| flights.iter().fold(0_u128, |n, f| n.wrapping_add(f.digest));
        let last = self.last.filter(|_| self.budget.faults > 0 || self.budget.messages > 0);
        let last = last.map(|last| (last.node, last.waited, sum(&self.flights[last.fresh..])));
        let common = (self.now, self.said_at, &self.cuts, self.budget, self.sent);
        Digest::of(&(common, nodes, sum(&self.flights), last))
    }

    /// Everything that may happen next. What cannot be told apart is listed once; what would come
    /// to the same if it happened earlier is not listed now: datagrams are lost or doubled when
    /// they are sent, nodes die and are cut off just after they did something.
    pub fn choices(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, flight) in self.flights.iter().enumerate() {
            if seen.insert(flight.digest) {
                steps.push(Step::Deliver { flight: index, busy: false });
                if self.flights.iter().filter(|f| f.to == flight.to).count() > 1 {
                    steps.push(Step::Deliver { flight: index, busy: true });
                }
            }
        }
        self.add_timers(&mut steps);
        let sends = |last: Last| last.waited || last.node == self.sender();
        if self.budget.messages > 0 && self.last.is_none_or(sends) {
            steps.push(Step::Send);
        }
        if self.budget.faults > 0 {
            self.add_faults(&mut steps);
        }
        steps
    }

    fn add_faults(&self, steps: &mut Vec<Step>) {
        let fresh = self.last.map_or(0, |last| last.fresh)..self.flights.len();
        steps.extend(fresh.flat_map(|index| [Step::Drop(index), Step::Double(index)]));
        let acted = |node: usize| self.last.is_none_or(|last| last.node == node);
        let alive = self.alive();
        let crash = alive.iter().filter(|node| acted(**node) && alive.len() > 1);
        steps.extend(crash.map(|node| Step::Crash(*node)));
        let pairs =
            alive.iter().flat_map(|a| alive.iter().map(|b| (*a, *b))).filter(|(a, b)| a < b);
        let cut = pairs.filter(|(a, b)| acted(*a) || acted(*b));
        let cut = cut.filter(|pair| !self.cuts.contains(pair));
        steps.extend(cut.map(|(a, b)| Step::Cut(a, b)));
    }

    /// Timers run out in the order of their deadlines; those that are due may be late.
    fn add_timers(&self, steps: &mut Vec<Step>) {
        let deadlines: Vec<_> = (0..self.nodes.len()).map(|i| self.deadline(i)).collect();
        let Some(first) = deadlines.iter().flatten().min().copied() else { return };
        let until = first.max(self.now);
        if until > self.now && !self.flights.is_empty() && self.budget.delays == 0 {
            return;
        }
        let due = |d: &Option<Instant>| d.is_some_and(|d| d <= until);
        steps.extend((0..deadlines.len()).filter(|i| due(&deadlines[*i])).map(Step::Fire));
    }

    /// Lets it happen.
    pub fn apply(&mut self, step: Step) {
        match step {
            Step::Deliver { flight, busy } => {
                let flight = self.flights.remove(flight);
                self.begin(flight.to, false);
                self.arrive(flight, busy);
            }
            Step::Fire(node) => {
                let deadline = self.deadline(node).unwrap_or(self.now);
                let waits = deadline > self.now;
                if waits {
                    self.budget.delays -= u8::from(!self.flights.is_empty());
                    self.now = deadline;
                }
                self.begin(node, waits);
                self.feed(node, Input::Timeout);
            }
            Step::Send => {
                self.begin(self.sender(), false);
                self.send();
            }
            fault => {
                self.budget.faults -= 1;
                self.go_wrong(fault);
            }
        }
    }

    fn begin(&mut self, node: usize, waited: bool) {
        self.last = Some(Last { node, waited, fresh: self.flights.len() });
    }

    fn go_wrong(&mut self, fault: Step) {
        match fault {
            Step::Drop(flight) => {
                self.flights.remove(flight);
                if let Some(last) = self.last.as_mut().filter(|last| flight < last.fresh) {
                    last.fresh -= 1;
                }
            }
            Step::Double(flight) => self.flights.push(self.flights[flight].clone()),
            Step::Crash(node) => {
                self.nodes[node].core = None;
                self.nodes[node].digest = 0;
                // What was on its way to it comes to nothing.
                let fresh = self.last.map(|last| last.fresh);
                let before = fresh.map_or(0, |fresh| {
                    self.flights[..fresh].iter().filter(|f| f.to != node).count()
                });
                self.flights.retain(|f| f.to != node);
                self.last = self.last.map(|last| Last { fresh: before, ..last });
                self.record(node, Entry::Crash);
            }
            Step::Cut(a, b) => {
                self.cuts.insert((a, b));
            }
            Step::Deliver { .. } | Step::Fire(_) | Step::Send => unreachable!("no faults"),
        }
    }

    /// Who sends the next message.
    fn sender(&self) -> usize {
        usize::from(self.sent) % self.nodes.len()
    }

    /// How many datagrams are under way.
    pub fn under_way(&self) -> usize {
        self.flights.len()
    }

    /// Damages a datagram under way, between its header and its checksum, which is made anew: as
    /// somebody would who means it.
    pub fn damage(&mut self, flight: usize, at: usize, with: u8) {
        let flight = &mut self.flights[flight];
        let mut bytes = flight.bytes.to_vec();
        let body = HEADER_LEN..bytes.len() - CHECKSUM_LEN;
        if let Some(byte) = bytes[body].get_mut(at) {
            *byte ^= with;
        }
        flight.bytes = sealed(bytes);
        flight.digest = Digest::of(&(flight.from, flight.to, flight.multicast, &flight.bytes));
    }

    /// Puts a datagram under way that no node has sent, sealed as if one had.
    pub fn forge(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        if bytes.len() >= HEADER_LEN + CHECKSUM_LEN {
            let bytes = sealed(bytes);
            let digest = Digest::of(&(from, to, false, &bytes));
            self.flights.push(Flight { from, to, multicast: false, bytes, digest });
        }
    }

    /// A node is told that nobody listens where another one is.
    pub fn unreachable(&mut self, node: usize, about: usize) {
        let address = address(about);
        self.feed(node, Input::Evidence(Evidence::Unreachable { address }));
    }

    /// A node is told that the process of another one has ended, whether or not that is so.
    pub fn ended(&mut self, node: usize, about: usize) {
        let process = process(about);
        self.feed(node, Input::Evidence(Evidence::Ended { process }));
    }

    /// A node is asked to leave.
    pub fn leave(&mut self, node: usize) {
        self.feed(node, Input::Shutdown);
    }

    /// All that was said so far, the last first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        let entries = std::iter::successors(self.log.as_ref(), |entries| entries.before.as_ref());
        entries.map(|entries| &entries.record)
    }

    /// Who found, and where, that what nodes said cannot be: no faults make that true.
    pub fn contradiction(&self) -> Option<(usize, &'static str)> {
        self.contradiction
    }

    /// The nodes that run.
    pub fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].core.is_some()).collect()
    }

    fn deadline(&self, node: usize) -> Option<Instant> {
        self.nodes[node].core.as_ref()?.deadline()
    }

    fn arrive(&mut self, flight: Flight, busy: bool) {
        let (from, multicast) = (address(flight.from), flight.multicast);
        let bytes = flight.bytes;
        self.feed(flight.to, Input::Datagram { from, multicast, bytes });
        if !busy {
            self.feed(flight.to, Input::Drained);
        }
    }

    fn send(&mut self) {
        self.budget.messages -= 1;
        let node = self.sender();
        let safe = self.sent.is_multiple_of(2);
        self.sent += 1;
        let payload = Bytes::copy_from_slice(&[self.sent]);
        let (session, to, tag) = (session(node), Audience::Group(GroupId::of(GROUP), None), 0);
        let service = if safe { Service::Safe } else { Service::Agreed };
        let (priority, no_self) = (Priority::Normal, false);
        let send = Command::Send { session, to, service, priority, no_self, tag, payload };
        self.feed(node, Input::Command(send));
    }

    /// Gives an input to a node, if it runs.
    pub fn feed(&mut self, node: usize, input: Input) {
        let Some(core) = &mut self.nodes[node].core else { return };
        if Rc::get_mut(core).is_none() {
            *core = Rc::new(Core::clone(core));
        }
        if let Some(core) = Rc::get_mut(core) {
            core.handle(self.now, input);
        }
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) =
            self.nodes[node].core.as_mut().and_then(Rc::get_mut).and_then(Core::poll)
        {
            match output {
                Output::Transmit { to, bytes } => self.transmit(node, to, &bytes),
                Output::Trace(trace) => self.trace(node, *trace),
                Output::Event(Event::State { row, .. }) if row.ends_with("-contradiction") => {
                    self.contradiction = Some((node, row));
                }
                _ => {}
            }
        }
        let core = self.nodes[node].core.as_ref();
        self.nodes[node].digest = core.map_or(0, Digest::of);
    }

    fn transmit(&mut self, from: usize, to: Destination, bytes: &Bytes) {
        for index in 0..self.nodes.len() {
            let meant = match to {
                Destination::Multicast => index != from,
                Destination::Unicast(there) | Destination::Probe(there) => there == address(index),
            };
            let cut = self.cuts.contains(&(from.min(index), from.max(index)));
            if meant && !cut && self.nodes[index].core.is_some() {
                let multicast = to == Destination::Multicast;
                let digest = Digest::of(&(from, index, multicast, bytes));
                let bytes = bytes.clone();
                self.flights.push(Flight { from, to: index, multicast, bytes, digest });
            }
        }
    }

    fn trace(&mut self, node: usize, trace: Trace) {
        match &trace {
            Trace::Regular { ring, members } => {
                self.nodes[node].ring = Some(Rc::new((*ring, members.clone())));
                Rc::make_mut(&mut self.nodes[node].installed).insert(*ring);
            }
            Trace::Transitional { .. } => self.nodes[node].ring = None,
            _ => {}
        }
        self.record(node, Entry::Trace(trace));
    }

    /// Who has installed the ring of a safe packet, or is gone: that is asked at the moment of its
    /// delivery (SA2), so worlds that differ in it are different.
    fn installed_by(&self, trace: &Trace) -> Option<Vec<bool>> {
        let Trace::Packet { configuration: Configuration::Regular(ring), safe: true, .. } = trace
        else {
            return None;
        };
        let has = |node: &Node| node.core.is_none() || node.installed.contains(ring);
        Some(self.nodes.iter().map(has).collect())
    }

    fn record(&mut self, node: usize, entry: Entry) {
        self.nodes[node].records += 1;
        // Where the token was is no part of what the axioms speak of.
        if !matches!(&entry, Entry::Trace(Trace::TokenVisit { .. })) {
            let trace = if let Entry::Trace(trace) = &entry { Some(trace) } else { None };
            let seen = trace.and_then(|trace| self.installed_by(trace));
            let history = &mut self.nodes[node];
            history.history = Digest::of(&(history.history, trace, seen));
            self.said_at = self.now;
        }
        let (process, index) = (process(node), self.nodes[node].records);
        let record = Record { process, index, time: self.now.0, entry };
        self.log = Some(Rc::new(Entries { record, before: self.log.take() }));
    }

    /// All is said and done: nothing is under way or waits, every node that runs is in a ring, and
    /// nothing has happened for a while.
    pub fn is_at_rest(&self) -> bool {
        self.flights.is_empty()
            && self.budget.messages == 0
            && self.now.since(self.said_at) >= RESTING
            && self.nodes.iter().filter_map(|node| node.core.as_ref()).all(|core| {
                core.status().state == "operational" && core.stats().send_queue_messages == 0
            })
    }

    /// Heals everything and lets the world run in the plainest order until all run in one ring,
    /// and have had time to deliver what they hold.
    ///
    /// # Errors
    /// They do not come together in time.
    pub fn settle(&mut self) -> Result<(), String> {
        self.cuts.clear();
        self.budget = Budget::default();
        let give_up = self.now + Duration::from_secs(20);
        while self.now < give_up {
            let next = (0..self.nodes.len()).filter_map(|i| Some((self.deadline(i)?, i))).min();
            let due = next.is_some_and(|(deadline, _)| deadline <= self.now);
            if !due && !self.flights.is_empty() {
                self.now = self.now + HOP;
                self.apply(Step::Deliver { flight: 0, busy: false });
                continue;
            }
            if self.is_at_rest() && self.are_together() {
                return Ok(());
            }
            let Some((_, node)) = next else { break };
            self.apply(Step::Fire(node));
        }
        let state = |i: &usize| self.nodes[*i].core.as_ref().map_or("down", |c| c.status().state);
        let states: Vec<_> = self.alive().iter().map(state).collect();
        Err(format!("no common ring 20 s after everything was healed: {states:?}"))
    }

    /// All that run are in one ring.
    pub fn are_together(&self) -> bool {
        let alive = self.alive();
        let rings: BTreeSet<_> = alive.iter().map(|i| self.nodes[*i].ring.clone()).collect();
        let complete = |ring: &Ring| ring.as_ref().is_some_and(|r| r.1.len() == alive.len());
        rings.len() == 1 && rings.iter().all(complete)
    }

    /// What the oracle says of everything so far.
    ///
    /// # Errors
    /// An axiom is violated.
    pub fn judge(&self, quiesced: bool) -> Result<(), Box<Violation>> {
        let records: Vec<_> = self.records().collect();
        let mut checker = Checker::new(Options {
            senders_are_members: true,
            order_is_real: true,
            ..Options::default()
        });
        records.iter().rev().try_for_each(|record| checker.observe(record))?;
        checker.finish(quiesced)?;
        Ok(())
    }

    /// A step in words.
    pub fn describe(&self, step: Step) -> String {
        let flight = |i: usize| {
            let f = &self.flights[i];
            let kind = crate::cluster::kind_name(&f.bytes);
            format!("{kind} n{} -> n{}", f.from + 1, f.to + 1)
        };
        match step {
            Step::Deliver { flight: i, busy: false } => format!("deliver {}", flight(i)),
            Step::Deliver { flight: i, .. } => format!("deliver {}, and read on", flight(i)),
            Step::Double(i) => format!("DOUBLE {}", flight(i)),
            Step::Drop(i) => format!("DROP {}", flight(i)),
            Step::Fire(i) => format!("timer of n{}", i + 1),
            Step::Send => format!("n{} sends", self.sender() + 1),
            Step::Crash(i) => format!("CRASH n{}", i + 1),
            Step::Cut(a, b) => format!("CUT n{} | n{}", a + 1, b + 1),
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9} us ", self.now.since(BEGIN).as_micros())?;
        for (index, node) in self.nodes.iter().enumerate() {
            let state = node.core.as_ref().map_or("down", |core| core.status().state);
            write!(f, " n{} {state}", index + 1)?;
        }
        Ok(())
    }
}

/// What a datagram takes while all settles: a token that never rests must not stop the clock.
const HOP: Duration = Duration::from_micros(100);

/// For so long a ring is left alone before it counts as settled.
const RESTING: Duration = Duration::from_millis(100);

/// Bytes of a datagram before its body, and after it.
const HEADER_LEN: usize = 32;
const CHECKSUM_LEN: usize = 4;

fn sealed(mut bytes: Vec<u8>) -> Bytes {
    bytes.truncate(bytes.len() - CHECKSUM_LEN);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.into()
}

fn process(index: usize) -> Process {
    Process { node: NodeId(index as u32 + 1), incarnation: Incarnation(1) }
}

fn session(index: usize) -> SessionId {
    // Unique over all nodes, as real ones are.
    SessionId(SessionId::first(Incarnation(1)).0 + index as u64)
}

/// Short timers: what a step can reach is bounded by steps, not by time.
fn config(index: usize) -> CoreConfig {
    let ms = Duration::from_millis;
    let timers = Timers {
        token_loss: ms(45),
        token_repeat: ms(10),
        idle_rotate: ms(15),
        join_repeat: ms(15),
        consensus: ms(60),
        commit: ms(60),
        recovery: ms(200),
        beacon: ms(200),
        probation: ms(20),
    };
    CoreConfig {
        peers: Vec::<SocketAddr>::new(),
        seed: index as u64,
        trace: true,
        timers,
        // Nothing is probed.
        mtu_max: anasazi_protocol::limits::MTU_DEFAULT,
        ..CoreConfig::default()
    }
}
