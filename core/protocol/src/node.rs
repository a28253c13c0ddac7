//! What every state shares: identity, outputs, addresses, storage, queue, groups, merge candidates.

use bytes::Bytes;
use core::hash::{Hash, Hasher};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use crate::book::Book;
use crate::config::{Boot, CoreConfig};
use crate::contract::{Keeper, Statement};
use crate::event::{Cause, Event, Stats};
use crate::flaps::Flaps;
use crate::group::Groups;
use crate::id::{GroupId, MessageId, NodeId, Process, SessionId, content_hash};
use crate::limits;
use crate::links::Links;
use crate::output::{Destination, Fate, Output};
use crate::paths::Paths;
use crate::queue::{SendQueue, Waiting};
use crate::random::Random;
use crate::send_rate::SendRate;
use crate::service::{Audience, Priority, Service};
use crate::state::candidates::Candidates;
use crate::state::transitions::{self, At, In, Why};
use crate::state::unordered::Pace;
use crate::storage::Storage;
use crate::terms::Terms;
use crate::time::Instant;
use crate::trace::Trace;
use crate::wire::audience::{Scope, with_head};
use crate::wire::frame::FrameKind;
use crate::wire::{
    Arena, DATA_OVERHEAD_LEN, Decline, Dialect, Header, Join, Packet, Parts, Report, SEAL_LEN,
    SizeProbe, Writer, seal, split,
};

/// For how long it counts that a node held everybody back.
const BLAME_FOR: Duration = Duration::from_secs(30);
/// Who did so twice is left out for so long, and for twice as long each time that it does so again,
/// up to a bound: only a try can tell whether it receives again, and a try costs the others a
/// second.
const LEFT_OUT_FOR: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(8));

#[derive(Clone, Hash)]
pub(crate) struct Node {
    pub(crate) me: Process,
    /// The state that the core is in.
    pub(crate) at: At,
    /// What came in and is being worked on.
    pub(crate) input: In,
    pub(crate) config: CoreConfig,
    pub(crate) now: Instant,
    pub(crate) random: Random,
    pub(crate) out: Outbox,
    pub(crate) book: Book,
    pub(crate) links: Links,
    pub(crate) paths: Paths,
    pub(crate) storage: Storage,
    pub(crate) queue: SendQueue,
    pub(crate) groups: Groups,
    pub(crate) candidates: Candidates,
    pub(crate) flaps: Flaps,
    /// Of how the domain's contract is kept, if it has one.
    pub(crate) contract: Option<Box<Keeper>>,
    pub(crate) parts: Parts,
    /// Bytes of UDP payload per data packet in the present ring, now: the least that any member
    /// has proven or is configured for.
    pub(crate) ring_mtu: usize,
    /// Packets of the base size per rotation in the present ring: the least that any member can
    /// take.
    pub(crate) ring_window: u32,
    /// Nodes that held everybody back: how often, and when last.
    blamed: BTreeMap<NodeId, (u32, Instant)>,
    /// Entries of the gather state so far.
    pub(crate) attempts: u64,
    /// Leave as soon as what was accepted is delivered everywhere; since when.
    pub(crate) leaving: Option<Instant>,
    pub(crate) arena: Arena,
    message_counter: u64,
    /// Packets without order sent so far, and how many may be sent now.
    pub(crate) unordered_counter: u64,
    pub(crate) pace: Pace,
    pub(crate) send_rate: SendRate,
    part_counter: u32,
    /// Kind and hash of the last packet that was sent in parts.
    parts_of: (u8, u64),
    pub(crate) tags: Tags,
}

/// Own accepted messages with their tags, oldest first.
#[derive(Clone, Default, Hash)]
pub(crate) struct Tags(VecDeque<Tagged>);

#[derive(Clone, Hash)]
struct Tagged {
    counter: u64,
    tag: u64,
    session: SessionId,
    /// The first that it is to; none if it is to a session.
    group: GroupId,
}

impl Tags {
    /// The tag of an own message that is being delivered: mostly the oldest.
    pub(crate) fn take(&mut self, counter: u64) -> u64 {
        let found = self.0.binary_search_by_key(&counter, |tagged| tagged.counter);
        let taken = found.ok().and_then(|at| self.0.remove(at));
        taken.map_or(0, |tagged| tagged.tag)
    }
}

/// Outputs in order, and the counters.
#[derive(Clone)]
pub(crate) struct Outbox {
    outputs: VecDeque<Output>,
    pub(crate) stats: Stats,
    tracing: bool,
    /// Messages say where they are in the order.
    pub(crate) places: bool,
}

/// Of the counters only the one that travels decides anything. Outputs are drained whenever a core
/// is looked at.
impl Hash for Outbox {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.stats.datagrams_sent.hash(state);
    }
}

impl Outbox {
    pub(crate) fn new(tracing: bool, places: bool) -> Self {
        Self { outputs: VecDeque::new(), stats: Stats::default(), tracing, places }
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    pub(crate) fn is_tracing(&self) -> bool {
        self.tracing
    }

    /// The record is made only where somebody reads it.
    #[inline]
    pub(crate) fn trace(&mut self, record: impl FnOnce() -> Trace) {
        if self.tracing {
            self.push(Output::Trace(Box::new(record())));
        }
    }
}

impl Node {
    pub(crate) fn new(config: CoreConfig, boot: Boot, now: Instant) -> Self {
        Self {
            me: boot.process,
            at: At::Probation,
            input: In::AtOnce,
            now,
            random: Random::new(config.seed ^ u64::from(boot.process.node.0)),
            out: Outbox::new(config.trace, config.places),
            book: Book::default(),
            links: Links::new(config.timers.beacon),
            paths: Paths::default(),
            storage: Storage::new(boot.ring_sequence_floor, boot.ring_sequence_reserved),
            queue: SendQueue::default(),
            groups: Groups::new(boot.process.node),
            candidates: Candidates::new(config.timers.beacon),
            parts: Parts::default(),
            ring_mtu: config.mtu,
            ring_window: config.window,
            flaps: Flaps::new(config.timers.beacon),
            contract: Keeper::new(boot.process.node, &config),
            blamed: BTreeMap::new(),
            attempts: 0,
            leaving: None,
            arena: Arena::default(),
            message_counter: 0,
            unordered_counter: 0,
            pace: Pace::new(now),
            send_rate: SendRate::new(config.send_len_per_s_max),
            part_counter: 0,
            parts_of: (0, 0),
            tags: Tags::default(),
            config,
        }
    }

    /// Content bytes of an ordinary data packet: the recovery wrapper must fit around it later.
    pub(crate) fn content_len_max(&self) -> usize {
        self.ring_mtu - DATA_OVERHEAD_LEN - limits::ENCAPSULATION_LEN
    }

    /// Packets per rotation, all members together: what the members' buffers take of the present
    /// size.
    pub(crate) fn window(&self) -> u32 {
        let cost = |mtu: usize| (mtu + limits::DATAGRAM_OVERHEAD_LEN) as u64;
        let (base, present) = (cost(self.config.mtu), cost(self.ring_mtu.max(self.config.mtu)));
        ((u64::from(self.ring_window) * base / present) as u32).max(1)
    }

    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::new(self.config.wire, self.config.features)
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms::of(&self.config)
    }

    pub(crate) fn header(&mut self, kind: u8) -> Header {
        self.out.stats.datagrams_sent += 1;
        Header {
            kind,
            domain: self.config.domain,
            cluster: self.config.cluster,
            node: self.me.node,
            boot: self.me.incarnation.0 as u32,
            counter: self.out.stats.datagrams_sent,
            checksum: self.config.checksum,
        }
    }

    pub(crate) fn transmit(&mut self, to: Destination, bytes: Bytes) {
        self.out.stats.bytes_sent += bytes.len() as u64;
        self.out.push(Output::Transmit { to, bytes });
    }

    /// Seals a packet into as many datagrams as it needs.
    pub(crate) fn datagrams(&mut self, packet: &Packet) -> Vec<Bytes> {
        let mut body = Writer::default();
        packet.encode(&mut body);
        let room = self.config.mtu - SEAL_LEN;
        if body.bytes.len() <= room {
            let header = self.header(packet.kind());
            return vec![seal(&mut self.arena, &header, body.bytes.len(), |w| {
                w.slice(&body.bytes)
            })];
        }
        let body = body.bytes.freeze();
        // What is said again has the same number: its parts complete what arrived the last time.
        let content = content_hash(&body);
        if self.parts_of != (packet.kind(), content) {
            self.parts_of = (packet.kind(), content);
            self.part_counter = self.part_counter.wrapping_add(1);
        }
        let pieces = split(self.part_counter, packet.kind(), body, room - 16);
        pieces.iter().flat_map(|piece| self.datagrams(piece)).collect()
    }

    pub(crate) fn send(&mut self, to: SocketAddr, packet: &Packet) {
        for bytes in self.datagrams(packet) {
            self.transmit(Destination::Unicast(to), bytes);
        }
    }

    pub(crate) fn send_to(&mut self, process: Process, packet: &Packet) {
        if let Some(address) = self.book.address(process) {
            self.send(address, packet);
        }
    }

    /// Sends a probe of its size, if it is known where to.
    pub(crate) fn probe_size(&mut self, process: Process, probe: SizeProbe) {
        let Some(address) = self.book.address(process) else { return };
        let packet = Packet::SizeProbe(probe);
        let header = self.header(packet.kind());
        let len = usize::from(probe.size) - SEAL_LEN;
        let bytes = seal(&mut self.arena, &header, len, |w| packet.encode(w));
        self.transmit(Destination::Probe(address), bytes);
    }

    /// Nothing came from that process, though it was asked. Where its address is unknown it was
    /// not.
    pub(crate) fn bad_link(&mut self, process: Process) {
        if self.book.address(process).is_some() {
            self.links.bad(process, self.now);
        }
    }

    /// Others' words about links; true if they say something new.
    pub(crate) fn learn_links(&mut self, reports: &[Report]) -> bool {
        let mut news = false;
        for report in reports {
            news |= self.links.learn(report, self.me, self.now);
        }
        news
    }

    /// Answers a Join that asks for a merge, and is not taken up.
    pub(crate) fn decline(&mut self, join: &Join, busy: bool) {
        let reports = self.links.reports(self.me, self.now);
        let decline = Decline { process: self.me, attempt: join.attempt, busy, reports };
        self.send_to(join.process, &Packet::Decline(decline));
    }

    /// By multicast if there is one, and by unicast to each of `addresses`.
    pub(crate) fn send_everywhere(&mut self, addresses: &[SocketAddr], packet: &Packet) {
        for bytes in self.datagrams(packet) {
            if self.config.multicast {
                self.transmit(Destination::Multicast, bytes.clone());
            }
            for address in addresses {
                self.transmit(Destination::Unicast(*address), bytes.clone());
            }
        }
    }

    /// This node could promise the number of the next ring now. If not, it is about to.
    pub(crate) fn may_promise_next(&mut self) -> bool {
        let next = self.storage.sequence_max + 1;
        self.persist_if_wanted(next);
        self.storage.may_promise(next)
    }

    pub(crate) fn persist_if_wanted(&mut self, sequence: u64) {
        if let Some((ticket, ring_sequence_max)) = self.storage.wanted(sequence) {
            self.out.push(Output::Persist { ticket, ring_sequence_max });
        }
    }

    /// This node held everybody back until the ring had to be left.
    pub(crate) fn blame(&mut self, other: NodeId) {
        self.book.doubt_multicast();
        if other != self.me.node {
            let now = self.now;
            self.blamed.retain(|_, (_, at)| now.since(*at) < BLAME_FOR);
            let (count, at) = self.blamed.entry(other).or_default();
            (*count, *at) = (*count + 1, now);
        }
    }

    /// It did so more than once lately: better a ring without it than no ring.
    pub(crate) fn is_blamed(&self, other: NodeId) -> bool {
        let (least, most) = LEFT_OUT_FOR;
        self.blamed.get(&other).is_some_and(|(count, at)| {
            let time = least * (1 << count.saturating_sub(2).min(8));
            *count > 1 && self.now.since(*at) < time.min(most)
        })
    }

    /// The last word, for the oracle; `asked`: this is the leave that it was told to make.
    pub(crate) fn trace_end(&mut self, asked: bool) {
        let since = self.leaving.filter(|_| asked);
        let waited_ms = since.map(|since| self.now.since(since).as_millis() as u64);
        self.out.trace(|| Trace::Stopped { waited_ms });
    }

    /// Counts a message of a local session, and names it.
    pub(crate) fn accepted(
        &mut self,
        session: SessionId,
        to: &Audience,
        (service, priority): (Service, Option<Priority>),
        payload: &[u8],
    ) -> MessageId {
        self.message_counter += 1;
        let message = MessageId { origin: self.me, counter: self.message_counter };
        self.out.stats.messages_accepted += 1;
        self.out.trace(|| Trace::Send {
            message,
            session,
            to: to.clone(),
            service,
            priority,
            hash: content_hash(payload),
        });
        message
    }

    /// Takes a message of a local session into the queue.
    pub(crate) fn accept(
        &mut self,
        session: SessionId,
        to: &Audience,
        (service, priority, no_self, tag): (Service, Priority, bool, u64),
        payload: Bytes,
    ) {
        self.send_rate.take(payload.len(), self.now);
        let priority = Some(priority);
        let counter = self.accepted(session, to, (service, priority), &payload).counter;
        let group = to.groups().next().map_or_else(GroupId::default, |(group, _)| group);
        if tag != 0 {
            self.tags.0.push_back(Tagged { counter, tag, session, group });
        }
        let kind = FrameKind::Message(Scope::of(to));
        let payload = with_head(to, payload);
        let waiting = Waiting::new((kind, session, group), counter, payload);
        self.queue.push(Waiting { service, priority, no_self, ..waiting });
    }

    /// This node is out of its ring: what became of messages that were not delivered here nobody
    /// will tell it.
    pub(crate) fn lose_tagged(&mut self) {
        for Tagged { tag, session, group, .. } in core::mem::take(&mut self.tags.0) {
            let to = Audience::Group(group, None);
            self.out.push(Output::Receipt { session, to, tag, fate: Fate::Lost });
        }
    }

    /// A control message: agreed, in order with everything else.
    pub(crate) fn accept_control(
        &mut self,
        kind: FrameKind,
        session: SessionId,
        group: GroupId,
        payload: Bytes,
    ) {
        let (to, service) = (Audience::Group(group, None), Service::Agreed);
        let counter = self.accepted(session, &to, (service, None), &payload).counter;
        self.queue.push(Waiting::new((kind, session, group), counter, payload));
    }

    /// Says in the order how the contract is kept.
    pub(crate) fn accept_statement(&mut self, statement: &Statement) {
        let mut payload = Writer::default();
        statement.encode(&mut payload);
        let (session, group) = (SessionId::default(), GroupId::default());
        self.accept_control(FrameKind::Statement, session, group, payload.bytes.freeze());
    }

    /// The state changes: the only way to another one, and only if the table has a row for it.
    pub(crate) fn moved(&mut self, to: At, why: Why, cause: &Cause) {
        let (from, input) = (self.at, self.input);
        let Some(row) = transitions::find(from, input, why, to) else {
            panic!(
                "no row in the transition table: {} -> {} on {}, because {} ({cause})",
                from.name(),
                to.name(),
                input.name(),
                why.name()
            );
        };
        (self.at, self.input) = (to, In::AtOnce);
        let (row, from, to, on) = (row.name, from.name(), to.name(), input.name());
        self.out.event(Event::State { row, from, to, on, cause: cause.clone() });
    }
}
