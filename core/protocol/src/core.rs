//! The core: the one entrance and the one exit.

use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use crate::contract::{ContractStatus, Measured};
use crate::event::{Cause, Event, Stats};
use crate::id::{GroupId, Incarnation, MemberId, Process, RingId, SessionId, ViewId};
use crate::input::{Command, Evidence, Input};
use crate::limits;
use crate::node::Node;
use crate::output::Output;
use crate::ring::Ring;
use crate::state::hold;
use crate::state::transitions::{At, In, Why};
use crate::state::unordered::{self, Letter};
use crate::state::{Probation, Sender, State};
use crate::terms::{Strangers, Terms};
use crate::time::Instant;
use crate::wire::frame::FrameKind;
use crate::wire::{
    Data, Gone, Header, KIND_DATA, Packet, Piece, ProbeAnswer, Reader, SizeAnswer, WireError, open,
};
use crate::{Boot, CoreConfig};

/// A clean leave that cannot be completed, because no ring is formed, ends after this.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(3);
/// Peers about which something was said once.
const TOLD_MAX: usize = 64;

/// One domain's protocol on one node. See the crate's first page for the contract.
///
/// A copy, taken when the outputs are drained, goes on just as the original would. What is hashed
/// is everything that decides what a core will do, so drained cores of equal hash behave alike; the
/// counters of [`Stats`] are left out. This is for tests that explore many futures of one past.
#[derive(Clone, Hash)]
pub struct Core {
    node: Node,
    /// Taken out only while a handler runs.
    state: State,
    /// Addresses about which the operator was told.
    told: BTreeSet<SocketAddr>,
    strangers: Strangers,
}

/// Where a core is, for people.
#[derive(Clone, Debug)]
pub struct Status {
    /// operational, gather, commit, recovery, probation, stopped
    pub state: &'static str,
    /// The last regular configuration.
    pub ring: Option<RingId>,
    /// Its members, in token order, with their addresses where known (not for this node itself).
    pub members: Vec<(Process, Option<SocketAddr>)>,
    /// Its data travels by multicast.
    pub multicast: bool,
    /// The wire version that its members speak; 0 without a ring.
    pub wire_version: u8,
    /// How long the token was away from this node when it last came; `None` for a ring of one.
    pub rotation: Option<Duration>,
    /// What is measured of the other members, if that is asked for or there is a contract.
    pub measured: Vec<Measured>,
    /// How the domain's contract is kept, if it has one.
    pub contract: Option<ContractStatus>,
}

/// A group, for people.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    /// Its id.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Its members, in order.
    pub members: Vec<MemberId>,
    /// Its present view.
    pub view: ViewId,
    /// Messages so far in this view.
    pub sequence: u64,
}

impl Core {
    /// A core that has just booted. Drain its outputs.
    pub fn new(config: CoreConfig, boot: Boot, now: Instant) -> Self {
        let mut node = Node::new(config, boot, now);
        let state = Probation::enter(&mut node);
        Self { node, state, told: BTreeSet::new(), strangers: Strangers::default() }
    }

    /// Takes one input; drain `poll` afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if let State::Stopped = self.state {
            return;
        }
        self.state.notice_own_pause(&mut self.node, now);
        self.node.now = self.node.now.max(now);
        self.node.pace.refill(self.node.now);
        // What has been said since leaves first.
        if !matches!(input, Input::Drained) {
            self.step(In::Token, State::install_due);
        }
        match input {
            Input::Datagram { from, multicast, bytes } => self.on_datagram(from, multicast, &bytes),
            Input::Drained => self.step(In::Drained, State::on_drained),
            Input::Timeout => self.on_timeout(),
            Input::Command(command) => self.on_command(command),
            Input::Persisted { ticket, durable } => {
                if self.node.storage.persisted(ticket, durable) {
                    self.node.out.event(Event::StorageLost);
                }
                self.step(In::Persisted, State::on_persisted);
            }
            Input::Evidence(Evidence::Ended { process }) => {
                self.step(In::Unreachable, |state, node| {
                    state.on_gone(node, process, Gone::Unreachable)
                });
            }
            Input::Evidence(Evidence::Unreachable { address }) => {
                // A process that has just spoken is not gone: the answer is about one that was
                // there before it.
                let recently = self.node.config.timers.token_repeat;
                for process in self.node.book.silent_at(address, now, recently) {
                    self.step(In::Unreachable, |state, node| {
                        state.on_gone(node, process, Gone::Unreachable)
                    });
                }
            }
            Input::Shutdown => self.on_shutdown(),
        }
    }

    /// The next output, if any.
    pub fn poll(&mut self) -> Option<Output> {
        self.node.out.pop()
    }

    /// When to give `Input::Timeout`, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        if let State::Stopped = self.state {
            return None;
        }
        let leave = self.node.leaving.map(|since| since + SHUTDOWN_WITHIN);
        let pace = self.node.pace.deadline();
        let rate = self.node.send_rate.deadline(self.node.now);
        [self.state.deadline(&self.node), leave, pace, rate].into_iter().flatten().min()
    }

    /// The next input takes longer than others: a ring is installed before it. Others wait for what
    /// has been said up to now.
    pub fn is_about_to_install(&self) -> bool {
        self.state.is_about_to_install()
    }

    /// Room for more sends; while false, leave commands in the sessions' rings (joins and leaves
    /// too, for their order).
    pub fn accepts_sends(&self) -> bool {
        self.node.queue.has_room(&self.node.config)
            && self.node.pace.has_room()
            && self.node.send_rate.has_room(self.node.now)
            && self.node.leaving.is_none()
            && !matches!(self.state, State::Stopped)
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        Stats {
            send_queue_messages: self.node.queue.messages() as u64,
            send_queue_bytes: self.node.queue.bytes() as u64,
            part_bytes: self.node.parts.bytes() as u64,
            fragment_bytes: self.node.groups.fragment_bytes() as u64,
            candidates: self.node.candidates.len() as u64,
            book_entries: self.node.book.len() as u64,
            link_entries: self.node.links.len() as u64,
            ring_mtu: self.node.ring_mtu as u64,
            ring_window: self.state.ring().map_or(0, |ring| u64::from(ring.window(&self.node))),
            ..self.node.out.stats.clone()
        }
    }

    /// Where it is.
    pub fn status(&self) -> Status {
        let (ring, keeper) = (self.state.ring(), self.node.contract.as_ref());
        let address = |p: &Process| (*p, self.node.book.address(*p));
        Status {
            state: self.state.at().name(),
            ring: ring.map(|r| r.id),
            members: ring.map(|r| r.members.iter().map(address).collect()).unwrap_or_default(),
            multicast: ring.is_some_and(|r| r.multicast),
            wire_version: ring.map_or(0, |r| r.dialect.version()),
            rotation: ring.filter(|r| !r.is_alone()).map(Ring::rotation),
            measured: keeper.map(|keeper| keeper.measured()).unwrap_or_default(),
            contract: keeper.filter(|of| of.is_binding()).map(|of| of.status(self.node.now)),
        }
    }

    /// How many groups the domain has.
    pub fn group_count(&self) -> usize {
        self.node.groups.iter().count()
    }

    /// Where a node was last heard from.
    pub fn address_of(&self, node: crate::NodeId) -> Option<SocketAddr> {
        self.node.book.latest_address(node)
    }

    /// All groups of the domain, as this node has them now.
    pub fn groups(&self) -> impl Iterator<Item = GroupStatus> {
        self.node.groups.iter().map(|(id, group)| GroupStatus {
            id: *id,
            name: group.name.to_string(),
            members: group.members.clone(),
            view: group.view,
            sequence: group.sequence,
        })
    }

    /// It is a member of a group, as this node has it now.
    pub fn has_member(&self, group: GroupId, member: MemberId) -> bool {
        self.node.groups.has_member(group, member)
    }

    /// The name of a group, if it is known.
    pub fn group_name(&self, group: GroupId) -> Option<&str> {
        self.node.groups.name(group)
    }

    fn step(&mut self, input: In, handler: impl FnOnce(State, &mut Node) -> State) {
        self.node.input = input;
        let state = core::mem::replace(&mut self.state, State::Stopped);
        self.state = handler(state, &mut self.node);
        assert!(self.state.at() == self.node.at, "a change of state that the table did not see");
    }

    fn on_timeout(&mut self) {
        self.step(In::Timeout, State::on_timeout);
        let overdue = |since| self.node.now.since(since) >= SHUTDOWN_WITHIN;
        if self.node.leaving.is_some_and(overdue) && !matches!(self.state, State::Stopped) {
            self.stop(None, Why::Overdue, &Cause::Shutdown);
        }
    }

    fn on_shutdown(&mut self) {
        if self.node.leaving.is_some() {
            return;
        }
        self.node.leaving = Some(self.node.now);
        if let State::Probation(_) = self.state {
            self.node.input = In::Shutdown;
            return self.stop(None, Why::Leaving, &Cause::Shutdown);
        }
        for session in self.node.groups.local_sessions() {
            let (kind, group) = (FrameKind::Disconnect, GroupId::default());
            self.node.accept_control(kind, session, group, Bytes::new());
        }
        self.step(In::Shutdown, State::on_work);
    }

    fn stop(&mut self, fault: Option<String>, why: Why, cause: &Cause) {
        self.node.moved(At::Stopped, why, cause);
        let bye = Packet::Bye { process: self.node.me };
        let known = self.node.book.addresses();
        self.node.send_everywhere(&known, &bye);
        self.node.trace_end(fault.is_none());
        self.node.lose_tagged();
        self.node.out.push(Output::Stopped { fault });
        self.state = State::Stopped;
    }

    fn on_command(&mut self, command: Command) {
        let node = &mut self.node;
        match command {
            Command::Join { session, name } => {
                let (group, name) = (GroupId::of(&name), Bytes::from(name));
                node.accept_control(FrameKind::Join, session, group, name);
            }
            Command::Leave { session, group } => {
                node.accept_control(FrameKind::Leave, session, group, Bytes::new());
            }
            Command::Disconnect { session } => {
                let (kind, group) = (FrameKind::Disconnect, GroupId::default());
                node.accept_control(kind, session, group, Bytes::new());
            }
            Command::Notice { content } if content.len() > limits::NOTICE_LEN_MAX => return,
            Command::Notice { content } => {
                let (session, group) = (SessionId::default(), GroupId::default());
                node.accept_control(FrameKind::Notice, session, group, content);
            }
            Command::Hold { groups, for_ms } => return self.hold(groups, for_ms),
            Command::Send { session, to, service, priority, no_self, tag, payload } => {
                if !service.is_ordered() {
                    let letter = Letter { session, to, no_self, tag, payload };
                    return self.send_unordered(letter);
                }
                node.accept(session, &to, (service, priority, no_self, tag), payload);
            }
        }
        self.step(In::Command, State::on_work);
    }
}

/// What has no place in the order.
impl Core {
    fn send_unordered(&mut self, letter: Letter) {
        let ring = match &self.state {
            State::Operational(operational) => Some(&operational.ring),
            _ => None,
        };
        unordered::send(&mut self.node, ring, letter);
    }

    fn hold(&mut self, groups: Vec<GroupId>, for_ms: u16) {
        // Nothing is ordered meanwhile.
        let State::Operational(operational) = &self.state else { return };
        hold::send(&mut self.node, &operational.ring, groups, for_ms);
    }
}

/// Datagrams.
impl Core {
    fn on_datagram(&mut self, from: SocketAddr, multicast: bool, bytes: &Bytes) {
        let stats = &mut self.node.out.stats;
        stats.datagrams_received += 1;
        stats.bytes_received += bytes.len() as u64;
        if let Err(error) = self.read(from, multicast, bytes) {
            self.drop_malformed(from, error);
        }
    }

    fn read(
        &mut self,
        address: SocketAddr,
        multicast: bool,
        bytes: &Bytes,
    ) -> Result<(), WireError> {
        let config = &self.node.config;
        let (header, mut body) = open(bytes, (config.cluster, config.domain), config.checksum)?;
        if self.is_own(&header) {
            return Ok(());
        }
        let from = Sender { header, address };
        if header.kind == KIND_DATA {
            // Nearly all are, and nobody but the ring looks at them.
            let data = Data::decode(&mut body)?;
            self.node.book.alive(header.node, header.boot, multicast, self.node.now);
            self.step(In::Data, |state, node| state.on_data(node, from, data));
            return Ok(());
        }
        match Packet::decode(header.kind, body)? {
            Packet::Part { id, index, count, kind, piece } => {
                let piece = Piece { id, index, count, kind, bytes: piece };
                if let Some(packet) = self.whole(&header, piece)? {
                    self.on_packet(from, multicast, packet);
                }
            }
            packet => self.on_packet(from, multicast, packet),
        }
        Ok(())
    }

    fn is_own(&self, header: &Header) -> bool {
        let me = self.node.me;
        header.node == me.node && header.boot == me.incarnation.0 as u32
    }

    /// Puts parts together.
    fn whole(&mut self, header: &Header, piece: Piece) -> Result<Option<Packet>, WireError> {
        let Some((kind, body)) = self.node.parts.add(header.node, header.boot, piece) else {
            return Ok(None);
        };
        match Packet::decode(kind, Reader::new(&body))? {
            Packet::Part { .. } => Err(WireError::Invalid("a part of parts")),
            packet => Ok(Some(packet)),
        }
    }

    fn drop_malformed(&mut self, address: SocketAddr, error: WireError) {
        let stats = &mut self.node.out.stats;
        match error {
            WireError::Checksum => stats.dropped_checksum += 1,
            WireError::OtherCluster | WireError::OtherDomain => stats.dropped_other_cluster += 1,
            WireError::Truncated | WireError::Invalid(_) => stats.dropped_malformed += 1,
            WireError::Version(theirs) => {
                stats.dropped_not_ours += 1;
                if self.tell_once(address) {
                    let ours = crate::wire::VERSION;
                    self.node.out.event(Event::VersionMismatch { address, theirs, ours });
                }
            }
        }
    }

    fn tell_once(&mut self, address: SocketAddr) -> bool {
        self.told.len() < TOLD_MAX && self.told.insert(address)
    }

    fn on_packet(&mut self, from: Sender, multicast: bool, packet: Packet) {
        if let Some(process) = claimed_process(&packet)
            && !self.admits(&from, process, &packet)
        {
            return;
        }
        let (node, boot) = (from.header.node, from.header.boot);
        self.node.book.alive(node, boot, multicast, self.node.now);
        match packet {
            Packet::Bye { process } => {
                self.step(In::Bye, |state, node| state.on_gone(node, process, Gone::Left));
            }
            Packet::Probe(_) if matches!(self.state, State::Probation(_)) => {}
            Packet::Probe(probe) => {
                let answer = ProbeAnswer { process: self.node.me, probe };
                self.node.send(from.address, &Packet::ProbeAnswer(answer));
            }
            Packet::SizeProbe(_) if matches!(self.state, State::Probation(_)) => {}
            Packet::SizeProbe(probe) => {
                let answer = SizeAnswer { process: self.node.me, probe };
                self.node.send(from.address, &Packet::SizeAnswer(answer));
            }
            Packet::SizeAnswer(answer) => {
                if answer.probe.process == self.node.me {
                    let now = self.node.now;
                    self.node.paths.answered(answer.process, answer.probe.number, now);
                } else {
                    self.node.out.stats.dropped_stale += 1;
                }
            }
            Packet::Duplicate { owner, answered } if !matches!(self.state, State::Probation(_)) => {
                let mine = owner.node == self.node.me.node && answered == self.node.me.incarnation;
                if mine && self.tell_once(from.address) {
                    self.tell_duplicate(from.address, owner);
                }
                // To all others a newer process of a node replaces the older one.
                if mine && owner.incarnation > self.node.me.incarnation {
                    self.node.input = In::Duplicate;
                    let fault = Some(in_use(owner.node, from.address));
                    self.stop(fault, Why::Superseded, &Cause::Superseded);
                }
            }
            Packet::Outdated { newest, answered } if !matches!(self.state, State::Probation(_)) => {
                self.on_outdated(newest, answered);
            }
            packet => {
                self.step(In::of(&packet), |state, node| state.on_packet(node, from, packet));
            }
        }
    }

    /// What a process says of itself is to be listened to.
    fn admits(&mut self, from: &Sender, process: Process, packet: &Packet) -> bool {
        let header = &from.header;
        if (process.node, process.incarnation.0 as u32) != (header.node, header.boot) {
            self.node.out.stats.dropped_malformed += 1;
            return false;
        }
        if process.node == self.node.me.node {
            self.on_namesake(from.address, process);
            return false;
        }
        let probation = matches!(packet, Packet::Beacon(beacon) if beacon.probation);
        // Who is on probation is nobody's peer yet, and may be about to be turned away.
        if self.turns_away(from.address, process, probation) || probation {
            return false;
        }
        if let Some(terms) = terms(packet)
            && self.is_stranger(In::of(packet), (process, from.address), terms)
        {
            return false;
        }
        let (counter, now) = (header.counter, self.node.now);
        self.node.links.seen(process);
        let is_fresh = self.node.book.heard(process, from.address, counter, now);
        self.node.out.stats.dropped_stale += u64::from(!is_fresh);
        is_fresh
    }

    /// Another process uses this node's id. If it has just started it will hear of it and stop.
    fn on_namesake(&mut self, address: SocketAddr, other: Process) {
        let answer = Packet::Duplicate { owner: self.node.me, answered: other.incarnation };
        let probation = matches!(self.state, State::Probation(_));
        if probation && other.incarnation > self.node.me.incarnation {
            // Both have just started: the newer one gives way, and will be told by this one.
        } else if probation {
            return;
        }
        self.node.send(address, &answer);
        if other.incarnation > self.node.me.incarnation && self.tell_once(address) {
            self.tell_duplicate(address, other);
        }
    }

    /// Of two processes of a node the newer one counts, even if it is gone: what it said may still
    /// come, and would then be about the other one. Whoever is on probation may not have its name
    /// either.
    fn turns_away(&mut self, address: SocketAddr, process: Process, probation: bool) -> bool {
        let newest = self
            .node
            .book
            .newest(process.node)
            .filter(|newest| process < *newest || probation && process == *newest);
        let Some(newest) = newest else { return false };
        self.node.out.stats.dropped_stale += 1;
        self.node.send(address, &Packet::Outdated { newest, answered: process.incarnation });
        true
    }

    /// Where all must have the same times and contract, what a process with others says leads to
    /// nothing, but that an older one of its node is gone.
    fn is_stranger(
        &mut self,
        input: In,
        (process, address): (Process, SocketAddr),
        theirs: &Terms,
    ) -> bool {
        let (ours, now) = (self.node.terms(), self.node.now);
        let (is_one, event) = self.strangers.judge((process, address), &ours, theirs, now);
        event.into_iter().for_each(|event| self.node.out.event(event));
        let is_one = is_one && self.node.config.same_terms;
        if is_one && let Some(older) = self.state.older_of(process) {
            self.step(input, |state, node| state.on_gone(node, older, Gone::Restarted));
        }
        is_one
    }

    /// In probation that is the state's affair.
    fn on_outdated(&mut self, newest: Process, answered: Incarnation) {
        let me = self.node.me;
        let mine = newest.node == me.node && answered == me.incarnation;
        if mine && newest.incarnation > me.incarnation {
            self.node.input = In::Outdated;
            self.stop(Some(outdated(newest)), Why::Superseded, &Cause::Superseded);
        }
    }

    fn tell_duplicate(&mut self, address: SocketAddr, other: Process) {
        let (node, other) = (other.node, other.incarnation);
        self.node.out.event(Event::DuplicateNode { node, address, other });
    }
}

pub(crate) fn in_use(node: crate::NodeId, address: SocketAddr) -> String {
    format!(
        "node id {node} is in use by the process at {address}: give each node its own node.id, or \
         none to have one drawn"
    )
}

fn outdated(newest: Process) -> String {
    format!(
        "the others know a newer process of this node, {newest}: this node started with a clock \
         that was set back, or another process has its id"
    )
}

/// What the sender's ring must have in common, if the packet leads to a ring with it.
fn terms(packet: &Packet) -> Option<&Terms> {
    match packet {
        Packet::Join(join) => Some(&join.terms),
        Packet::Beacon(beacon) => Some(&beacon.terms),
        _ => None,
    }
}

/// The process that a packet says it comes from.
fn claimed_process(packet: &Packet) -> Option<Process> {
    match packet {
        Packet::Join(join) => Some(join.process),
        Packet::Beacon(beacon) => Some(beacon.process),
        Packet::State(state) => Some(state.process),
        Packet::Bye { process } => Some(*process),
        Packet::Probe(probe) => Some(probe.process),
        Packet::ProbeAnswer(answer) => Some(answer.process),
        Packet::SizeProbe(probe) => Some(probe.process),
        Packet::SizeAnswer(answer) => Some(answer.process),
        Packet::Decline(decline) => Some(decline.process),
        Packet::NotAdmitted { process, .. } => Some(*process),
        _ => None,
    }
}
