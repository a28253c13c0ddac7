//! The histories, indexed as they come: by process, by ring, by message.

use std::collections::{BTreeMap, BTreeSet};

use anasazi_protocol::record::{Entry, Record};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{
    Audience, Configuration, GroupId, MemberId, MessageId, NodeId, Priority, Process, RingId,
    Service, SessionId,
};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::group::GroupHistory;
use crate::violation::{Excerpt, Place};

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// In the order of their first record.
    pub processes: Vec<ProcessHistory>,
    pub keys: BTreeMap<Process, usize>,
    pub rings: BTreeMap<RingId, RingHistory>,
    /// Only looked up, never walked.
    pub messages: FxHashMap<MessageId, MessageHistory>,
    /// Whether a same-view message was refused in a configuration, and who said so first. Only
    /// looked up.
    pub refusals: FxHashMap<(MessageId, Configuration), (bool, Place)>,
    /// First seen members of each configuration.
    pub configurations: BTreeMap<Configuration, (Vec<Process>, Place)>,
    /// Processes that were killed: the last they said may be missing.
    pub lost_tails: BTreeSet<Process>,
}

/// One process.
#[derive(Debug)]
pub(crate) struct ProcessHistory {
    pub process: Process,
    pub records: Vec<Record>,
    /// Regular, transitional, regular, ... (C3).
    pub segments: Vec<Segment>,
    /// Which segment is the regular configuration of a ring.
    pub regulars: BTreeMap<RingId, usize>,
    /// Segment and position of each delivery. Only looked up.
    pub delivered: FxHashMap<MessageId, (usize, usize)>,
    /// What it accepted, in order.
    pub sent: Vec<MessageId>,
    /// The last ordinal that it said to have bound.
    pub bound: Option<(RingId, u64)>,
    /// The last place that it said to have given to a message.
    pub ordered: Option<(RingId, u64, u32)>,
    /// Position of the crash or of the clean stop.
    pub end: Option<usize>,
    pub groups: BTreeMap<GroupId, GroupHistory>,
    /// Those of this node for whom a delivery is, until they are said to have got it.
    pub owed: Vec<(Owed, usize)>,
    /// Messages without order that were taken. Only looked up.
    pub unordered: FxHashSet<MessageId>,
}

/// To whom something is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    Group(GroupId),
    Session(SessionId),
}

/// What happened in one configuration at one process.
#[derive(Debug)]
pub(crate) struct Segment {
    pub configuration: Configuration,
    pub members: Vec<Process>,
    pub obligation: Vec<NodeId>,
    /// Of a transitional one: up to here its members know that all of the old ring hold everything.
    pub safe_line: u64,
    pub position: usize,
    pub packets: Vec<PacketSeen>,
    pub deliveries: Vec<Delivery>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketSeen {
    pub ordinal: u64,
    pub origin: NodeId,
    pub hash: u64,
    pub safe: bool,
    pub position: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub message: MessageId,
    pub ordinal: u64,
    pub frame: u32,
    pub safe: bool,
    pub hash: u64,
    pub position: usize,
}

#[derive(Debug, Default)]
pub(crate) struct RingHistory {
    pub slots: BTreeMap<u64, Slot>,
    /// Messages by the place of their last fragment.
    pub messages: BTreeMap<(u64, u32), MessageId>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub origin: Process,
    pub hash: u64,
    pub safe: bool,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct MessageHistory {
    pub session: SessionId,
    pub to: Audience,
    pub service: Service,
    /// None: no message, but a session that joins or leaves.
    pub priority: Option<Priority>,
    pub hash: u64,
    pub sent: Place,
    /// The regular configuration that its sender was in then, if it was in one.
    pub sent_in: Option<RingId>,
    /// The last that the sender had delivered in its regular configuration when it accepted the
    /// message.
    pub known: Option<(RingId, u64, u32)>,
    pub ordered: Option<OrderedAt>,
    /// Of a killed process's lost tail: session and group are not known until a member gets it.
    pub inferred: bool,
    /// It is of a lost tail: not all may be known for whom it is.
    pub is_open: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderedAt {
    pub ring: RingId,
    pub ordinal: u64,
    pub frame: u32,
    pub place: Place,
}

/// How a process's stay in a ring (its regular configuration and the transitional one after it)
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It installed the next regular configuration.
    Moved,
    /// It crashed or stopped.
    Died,
    /// The log ends.
    Open,
}

/// A process's stay in a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay<'a> {
    pub regular: &'a Segment,
    pub transitional: Option<&'a Segment>,
    pub next: Option<&'a Segment>,
    pub end: End,
}

impl History {
    /// Stores the record, without looking at it.
    pub(crate) fn append(&mut self, record: &Record) -> Place {
        let process = *self.keys.entry(record.process).or_insert_with(|| {
            self.processes.push(ProcessHistory::new(record.process));
            self.processes.len() - 1
        });
        let records = &mut self.processes[process].records;
        records.push(record.clone());
        Place { process, position: records.len() - 1 }
    }

    pub(crate) fn process(&self, place: Place) -> &ProcessHistory {
        &self.processes[place.process]
    }

    /// The last that a process has said.
    pub(crate) fn last_place(&self, process: Process) -> Option<Place> {
        let key = *self.keys.get(&process)?;
        Some(Place { process: key, position: self.processes[key].records.len().checked_sub(1)? })
    }

    pub(crate) fn find(&self, process: Process) -> Option<&ProcessHistory> {
        self.keys.get(&process).map(|key| &self.processes[*key])
    }

    /// Adds a record, found to be in order, to the indexes.
    pub(crate) fn index(&mut self, place: Place, entry: &Entry) {
        match entry {
            Entry::Boot { .. } | Entry::Lost { .. } => {}
            Entry::Crash => self.processes[place.process].ended(place.position),
            Entry::Trace(trace) => self.index_trace(place, trace),
        }
    }

    fn index_trace(&mut self, place: Place, trace: &Trace) {
        match trace {
            Trace::Send { message, session, to, service, priority, hash } => {
                let history = &mut self.processes[place.process];
                let known = history.last_delivered();
                history.sent.push(*message);
                let (session, service, priority, hash) = (*session, *service, *priority, *hash);
                let (to, sent, ordered) = (to.clone(), place, None);
                let sent_in = match history.current().map(|s| s.configuration) {
                    Some(Configuration::Regular(ring)) => Some(ring),
                    _ => None,
                };
                let sent = MessageHistory {
                    session,
                    to,
                    service,
                    priority,
                    hash,
                    sent,
                    sent_in,
                    known,
                    ordered,
                    inferred: false,
                    is_open: false,
                };
                self.messages.insert(*message, sent);
            }
            Trace::Slot { ring, ordinal, hash, safe } => {
                let process = &mut self.processes[place.process];
                process.bound = Some((*ring, *ordinal));
                let origin = process.process;
                let slot = Slot { origin, hash: *hash, safe: *safe, place };
                self.rings.entry(*ring).or_default().slots.insert(*ordinal, slot);
            }
            Trace::Ordered { message, ring, ordinal, frame } => {
                let (ring, ordinal, frame) = (*ring, *ordinal, *frame);
                self.processes[place.process].ordered = Some((ring, ordinal, frame));
                if let Some(history) = self.messages.get_mut(message) {
                    history.ordered = Some(OrderedAt { ring, ordinal, frame, place });
                }
                let messages = &mut self.rings.entry(ring).or_default().messages;
                messages.insert((ordinal, frame), *message);
            }
            Trace::Regular { members, .. } | Trace::Transitional { members, .. } => {
                let segment = Segment::new(trace, place.position);
                self.configurations
                    .entry(segment.configuration)
                    .or_insert_with(|| (sorted(members), place));
                self.processes[place.process].enter(segment);
            }
            _ => {
                self.infer(place, trace);
                let process = &mut self.processes[place.process];
                process.index(place.position, trace);
                if let Trace::Deliver { message, configuration, refused, .. } = trace
                    && let Some(known) = self.messages.get(message)
                {
                    process.owe(place.position, known, *refused);
                    self.refusals.entry((*message, *configuration)).or_insert((*refused, place));
                }
            }
        }
    }
}

/// What a killed process did last, known from those who saw its effects.
impl History {
    /// The process ended, and the last that it said may be missing.
    pub(crate) fn has_lost_tail(&self, process: Process) -> bool {
        self.lost_tails.contains(&process) && self.find(process).is_some_and(|p| p.end.is_some())
    }

    /// What it may have said after its last words, if they are not its last ones.
    fn lost_tail(&self, process: Process) -> Option<&ProcessHistory> {
        self.find(process).filter(|_| self.has_lost_tail(process))
    }

    /// It may have bound an ordinal without a trace: behind all others, before any later ring.
    pub(crate) fn may_have_bound(&self, origin: Process, (ring, ordinal): (RingId, u64)) -> bool {
        self.lost_tail(origin).is_some_and(|process| {
            let before = process.bound.filter(|(r, _)| *r == ring);
            !process.has_left(ring) && before.is_none_or(|(_, last)| last < ordinal)
        })
    }

    /// It may have given a place to a message without a trace, likewise.
    pub(crate) fn may_have_ordered(
        &self,
        origin: Process,
        (ring, ordinal, frame): (RingId, u64, u32),
    ) -> bool {
        self.lost_tail(origin).is_some_and(|process| {
            let bound = process.bound.filter(|(r, _)| *r == ring);
            let before = process.ordered.filter(|(r, ..)| *r == ring);
            !process.has_left(ring)
                && bound.is_none_or(|(_, last)| last <= ordinal)
                && before.is_none_or(|(_, o, f)| (o, f) < (ordinal, frame))
        })
    }

    /// It may have accepted a message without a trace: after all others.
    pub(crate) fn may_have_sent(&self, message: MessageId) -> bool {
        self.lost_tail(message.origin).is_some_and(|process| {
            process.sent.last().is_none_or(|last| last.counter < message.counter)
        })
    }

    /// The member of the ring whose packets the process takes that runs on a node.
    pub(crate) fn member_on(&self, place: Place, node: NodeId) -> Option<Process> {
        let process = self.process(place);
        let stay = process.stay(process.current()?.configuration.regular())?;
        stay.regular.members.iter().copied().find(|m| m.node == node)
    }

    /// `trace` was found to be in order, so what is not known of it is of a lost tail.
    fn infer(&mut self, place: Place, trace: &Trace) {
        match trace {
            Trace::Packet { configuration, ordinal, origin, hash, safe } => {
                let Some(origin) = self.member_on(place, *origin) else { return };
                let slot = Slot { origin, hash: *hash, safe: *safe, place };
                let ring = self.rings.entry(configuration.regular()).or_default();
                ring.slots.entry(*ordinal).or_insert(slot);
            }
            Trace::Deliver { message, configuration, ordinal, frame, service, hash, .. } => {
                let ring = configuration.regular();
                let (ordinal, frame, service, hash) = (*ordinal, *frame, *service, *hash);
                let known = self.messages.entry(*message).or_insert_with(|| MessageHistory {
                    session: SessionId::default(),
                    to: Audience::Groups(Vec::new()),
                    service,
                    priority: None,
                    hash,
                    sent: place,
                    sent_in: None,
                    known: None,
                    ordered: None,
                    inferred: true,
                    is_open: true,
                });
                if known.ordered.is_none() {
                    known.ordered = Some(OrderedAt { ring, ordinal, frame, place });
                    let messages = &mut self.rings.entry(ring).or_default().messages;
                    messages.insert((ordinal, frame), *message);
                }
            }
            Trace::GroupMessage { group, sender, .. } => {
                let current = self.processes[place.process].current();
                let last = current.and_then(|s| s.deliveries.last()).map(|d| d.message);
                if let Some(message) = last.and_then(|m| self.messages.get_mut(&m))
                    && message.inferred
                {
                    message.session = sender.session;
                    message.to = Audience::Group(*group, None);
                    message.inferred = false;
                }
            }
            _ => {}
        }
    }
}

impl ProcessHistory {
    fn new(process: Process) -> Self {
        Self {
            process,
            records: Vec::new(),
            segments: Vec::new(),
            regulars: BTreeMap::new(),
            delivered: FxHashMap::default(),
            sent: Vec::new(),
            bound: None,
            ordered: None,
            end: None,
            groups: BTreeMap::new(),
            owed: Vec::new(),
            unordered: FxHashSet::default(),
        }
    }

    /// What it said around a position.
    pub(crate) fn excerpt(&self, position: usize) -> Excerpt {
        let whose = self.process.to_string();
        Excerpt::around(whose, &self.records, position, |r| (r.index, r.to_string()))
    }

    /// The current configuration.
    pub(crate) fn current(&self) -> Option<&Segment> {
        self.segments.last()
    }

    /// The stay in a ring, if the process ever installed it.
    pub(crate) fn stay(&self, ring: RingId) -> Option<Stay<'_>> {
        let first = *self.regulars.get(&ring)?;
        let next = self.segments.get(first + 2);
        let end = match (next, self.end) {
            (Some(_), _) => End::Moved,
            (None, Some(_)) => End::Died,
            (None, None) => End::Open,
        };
        let regular = &self.segments[first];
        Some(Stay { regular, transitional: self.segments.get(first + 1), next, end })
    }

    /// It said that it was in a later configuration than that of the ring.
    pub(crate) fn has_left(&self, ring: RingId) -> bool {
        self.current().is_some_and(|last| match last.configuration {
            Configuration::Regular(current) => current > ring,
            Configuration::Transitional { old, .. } => old >= ring,
        })
    }

    /// The session is a member of some group.
    pub(crate) fn has_member(&self, session: SessionId) -> bool {
        let mut tenures = self.groups.values().filter_map(|g| g.tenure.as_ref());
        tenures.any(|tenure| tenure.local.contains(&session))
    }

    /// A message was delivered: those whom it is for are to get it.
    fn owe(&mut self, position: usize, message: &MessageHistory, refused: bool) {
        self.owed.clear();
        let has_members = |g: &GroupId| self.groups.get(g).is_some_and(|g| g.tenure.is_some());
        let groups = message.to.groups().map(|(group, _)| group).filter(has_members);
        let session = match message.to {
            Audience::Member(MemberId { node, session }) if node == self.process.node => {
                Some(session).filter(|s| self.has_member(*s)).map(Owed::Session)
            }
            _ => None,
        };
        let all = groups.map(Owed::Group).chain(session).filter(|_| !refused);
        self.owed = all.map(|owed| (owed, position)).collect();
    }

    fn last_delivered(&self) -> Option<(RingId, u64, u32)> {
        let segment = self.current()?;
        let Configuration::Regular(ring) = segment.configuration else { return None };
        segment.deliveries.last().map(|d| (ring, d.ordinal, d.frame))
    }

    fn ended(&mut self, position: usize) {
        self.end.get_or_insert(position);
    }

    fn enter(&mut self, segment: Segment) {
        if let Configuration::Regular(ring) = segment.configuration {
            self.regulars.insert(ring, self.segments.len());
        }
        self.segments.push(segment);
    }

    fn index(&mut self, position: usize, trace: &Trace) {
        let last = self.segments.len().saturating_sub(1);
        match trace {
            Trace::Packet { ordinal, origin, hash, safe, .. } => {
                let (ordinal, origin, hash, safe) = (*ordinal, *origin, *hash, *safe);
                let packet = PacketSeen { ordinal, origin, hash, safe, position };
                if let Some(segment) = self.segments.last_mut() {
                    segment.packets.push(packet);
                }
            }
            Trace::GroupView { group, .. } | Trace::GroupMessage { group, .. } => {
                let Some(segment) = self.segments.last() else { return };
                let configuration = segment.configuration;
                self.groups.entry(*group).or_default().index(position, configuration, trace);
                self.owed.retain(|(owed, _)| *owed != Owed::Group(*group));
            }
            Trace::Deliver { message, ordinal, frame, service, hash, .. } => {
                self.delivered.insert(*message, (last, position));
                let (message, ordinal, frame, hash) = (*message, *ordinal, *frame, *hash);
                let safe = service.is_safe();
                let delivery = Delivery { message, ordinal, frame, safe, hash, position };
                if let Some(segment) = self.segments.last_mut() {
                    segment.deliveries.push(delivery);
                }
            }
            Trace::Unordered { message, .. } => {
                self.unordered.insert(*message);
            }
            Trace::Unicast { session, .. } => {
                self.owed.retain(|(owed, _)| *owed != Owed::Session(*session));
            }
            Trace::Stopped { .. } => self.ended(position),
            _ => {}
        }
    }
}

impl Segment {
    fn new(trace: &Trace, position: usize) -> Self {
        let (configuration, members, obligation, safe_line) = match trace {
            Trace::Transitional { old, new, members, obligation, safe_line } => {
                let configuration = Configuration::Transitional { old: *old, new: *new };
                (configuration, members.clone(), obligation.clone(), *safe_line)
            }
            Trace::Regular { ring, members } => {
                (Configuration::Regular(*ring), members.clone(), Vec::new(), 0)
            }
            other => unreachable!("not a configuration: {other:?}"),
        };
        let (packets, deliveries) = (Vec::new(), Vec::new());
        Self { configuration, members, obligation, safe_line, position, packets, deliveries }
    }

    pub(crate) fn has(&self, process: Process) -> bool {
        self.members.contains(&process)
    }

    pub(crate) fn has_node(&self, node: NodeId) -> bool {
        self.members.iter().any(|m| m.node == node)
    }
}

impl<'a> Stay<'a> {
    /// The regular configuration, then the transitional one if there is one.
    pub(crate) fn segments(self) -> impl Iterator<Item = &'a Segment> {
        std::iter::once(self.regular).chain(self.transitional)
    }
}

pub(crate) fn sorted(members: &[Process]) -> Vec<Process> {
    let mut members = members.to_vec();
    members.sort_unstable();
    members
}
