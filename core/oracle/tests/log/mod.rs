//! Hand-made logs. Process `n` is node n in incarnation 1; ring `n` is represented by process 1
//! unless it is a process's first one; message `(p, c)` is the c-th of process p and has the hash
//! `c`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};

use anasazi_oracle::{Axiom, Checker, Entry, Options, Record, Summary, Violation};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{
    Audience, Configuration, GroupId, Incarnation, MemberId, MessageId, NodeId, Priority, Process,
    RingId, Service, SessionId, ViewCause, ViewId,
};

#[derive(Clone, Default)]
pub struct Log {
    records: Vec<Record>,
    indexes: BTreeMap<Process, u64>,
    /// The last view of each node.
    views: BTreeMap<u32, Vec<u32>>,
    pub options: Options,
    /// Of transitional configurations; `None`: just what was taken as safe in the ring before.
    pub safe_line: Option<u64>,
}

pub const GROUP: GroupId = GroupId(7);

pub fn process(node: u32) -> Process {
    incarnation(node, 1)
}

pub fn incarnation(node: u32, incarnation: u64) -> Process {
    Process { node: NodeId(node), incarnation: Incarnation(incarnation) }
}

/// A ring formed by process 1.
pub fn ring(sequence: u64) -> RingId {
    RingId { sequence, representative: process(1) }
}

/// The ring in which a process begins.
pub fn first_ring(process: Process) -> RingId {
    RingId { sequence: 1, representative: process }
}

pub fn regular(sequence: u64) -> Configuration {
    Configuration::Regular(ring(sequence))
}

pub fn transitional(old: u64, new: u64) -> Configuration {
    Configuration::Transitional { old: ring(old), new: ring(new) }
}

pub fn message(node: u32, counter: u64) -> MessageId {
    MessageId { origin: process(node), counter }
}

/// The one session of a process.
pub fn session(node: u32) -> SessionId {
    SessionId((1 << 24) + u64::from(node))
}

pub fn member(node: u32) -> MemberId {
    MemberId { node: NodeId(node), session: session(node) }
}

pub fn members(nodes: &[u32]) -> Vec<MemberId> {
    nodes.iter().map(|n| member(*n)).collect()
}

pub fn view(sequence: u64, ordinal: u64, sub: u32) -> ViewId {
    ViewId { ring: ring(sequence), ordinal, sub }
}

/// All others came together in one other set.
fn sets(nodes: &[u32], together: &[u32]) -> Vec<u32> {
    nodes.iter().map(|n| u32::from(!together.contains(n))).collect()
}

/// Where a message is ordered and delivered: frame 1 of a packet of its own.
#[derive(Clone, Copy)]
pub struct At {
    pub message: MessageId,
    pub ring: u64,
    pub ordinal: u64,
    pub safe: bool,
}

/// The agreed message `counter` of `node`, at an ordinal of ring 2.
pub fn agreed(node: u32, counter: u64, ordinal: u64) -> At {
    At { message: message(node, counter), ring: 2, ordinal, safe: false }
}

pub fn safe(node: u32, counter: u64, ordinal: u64) -> At {
    At { safe: true, ..agreed(node, counter, ordinal) }
}

impl At {
    fn service(self) -> Service {
        if self.safe { Service::Safe } else { Service::Agreed }
    }

    /// As its record says it.
    pub fn delivery(self, configuration: Configuration) -> Trace {
        Trace::Deliver {
            message: self.message,
            configuration,
            ordinal: self.ordinal,
            frame: 1,
            service: self.service(),
            hash: self.message.counter,
            refused: false,
        }
    }
}

impl Log {
    pub fn add(&mut self, process: Process, entry: Entry) -> &mut Self {
        let index = self.indexes.entry(process).or_insert(0);
        let time = self.records.len() as u64 * 1_000_000;
        self.records.push(Record { process, index: *index, time, entry });
        *index += 1;
        self
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn trace(&mut self, node: u32, trace: Trace) -> &mut Self {
        self.add(process(node), Entry::Trace(trace))
    }

    pub fn boot(&mut self, process: Process) -> &mut Self {
        let ring = first_ring(process);
        self.add(process, Entry::Boot { stored: false });
        self.add(process, Entry::Trace(Trace::Regular { ring, members: vec![process] }))
    }

    /// Processes 1..=n in ring 2.
    pub fn together(n: u32) -> Self {
        let mut log = Self::default();
        let everyone: Vec<u32> = (1..=n).collect();
        for node in 1..=n {
            log.boot(process(node));
            let old = first_ring(process(node));
            let alone = vec![process(node)];
            let obligation = vec![NodeId(node)];
            let (new, members, safe_line) = (ring(2), alone, 0);
            log.trace(node, Trace::Transitional { old, new, members, obligation, safe_line });
            log.regular(node, 2, &everyone);
        }
        log
    }

    pub fn regular(&mut self, node: u32, sequence: u64, members: &[u32]) -> &mut Self {
        let members = members.iter().map(|n| process(*n)).collect();
        self.trace(node, Trace::Regular { ring: ring(sequence), members })
    }

    pub fn transitional(
        &mut self,
        node: u32,
        (old, new): (u64, u64),
        members: &[u32],
        obligation: &[u32],
    ) -> &mut Self {
        let members = members.iter().map(|n| process(*n)).collect();
        let obligation = obligation.iter().map(|n| NodeId(*n)).collect();
        let (old, new) = (ring(old), ring(new));
        let safe_line = self.safe_line.unwrap_or_else(|| self.last_safe(old));
        self.trace(node, Trace::Transitional { old, new, members, obligation, safe_line })
    }

    fn last_safe(&self, old: RingId) -> u64 {
        let ordinals = self.records.iter().filter_map(|r| match &r.entry {
            Entry::Trace(Trace::Packet { configuration, ordinal, safe: true, .. })
                if *configuration == Configuration::Regular(old) =>
            {
                Some(*ordinal)
            }
            _ => None,
        });
        ordinals.max().unwrap_or(0)
    }

    /// `node` goes from ring `old` to ring `new`, both of the same members.
    pub fn moves(&mut self, node: u32, rings: (u64, u64), members: &[u32]) -> &mut Self {
        self.transitional(node, rings, members, members).regular(node, rings.1, members)
    }

    pub fn accept(&mut self, at: At) -> &mut Self {
        let message = at.message;
        let session = session(message.origin.node.0);
        let hash = message.counter;
        let send = Trace::Send {
            message,
            session,
            to: Audience::Group(GROUP, None),
            service: at.service(),
            priority: Some(Priority::Normal),
            hash,
        };
        self.add(message.origin, Entry::Trace(send))
    }

    pub fn slot(&mut self, at: At) -> &mut Self {
        let (ring, ordinal, safe) = (ring(at.ring), at.ordinal, at.safe);
        let hash = at.message.counter + 1_000;
        self.add(at.message.origin, Entry::Trace(Trace::Slot { ring, ordinal, hash, safe }))
    }

    pub fn order(&mut self, at: At) -> &mut Self {
        self.slot(at);
        let (message, ring, ordinal) = (at.message, ring(at.ring), at.ordinal);
        let ordered = Trace::Ordered { message, ring, ordinal, frame: 1 };
        self.add(message.origin, Entry::Trace(ordered))
    }

    /// Accepted and ordered by its origin.
    pub fn send(&mut self, at: At) -> &mut Self {
        self.accept(at).order(at)
    }

    pub fn packet(&mut self, node: u32, at: At, configuration: Configuration) -> &mut Self {
        let (ordinal, safe, origin) = (at.ordinal, at.safe, at.message.origin.node);
        let hash = at.message.counter + 1_000;
        self.trace(node, Trace::Packet { configuration, ordinal, origin, hash, safe })
    }

    pub fn deliver(&mut self, node: u32, at: At) -> &mut Self {
        self.deliver_in(node, at, regular(at.ring))
    }

    pub fn deliver_in(&mut self, node: u32, at: At, configuration: Configuration) -> &mut Self {
        self.packet(node, at, configuration);
        self.trace(node, at.delivery(configuration))
    }

    /// `node`, which has a session in the group if it is among the members, gets a view.
    pub fn view(&mut self, node: u32, id: ViewId, nodes: &[u32], together: &[u32]) -> &mut Self {
        let left: &[u32] = if nodes.contains(&node) { &[] } else { &[node] };
        self.view_of(node, id, nodes, (together, left))
    }

    pub fn view_of(
        &mut self,
        node: u32,
        id: ViewId,
        nodes: &[u32],
        (together, left): (&[u32], &[u32]),
    ) -> &mut Self {
        let local = nodes.iter().filter(|n| **n == node).map(|n| session(*n)).collect();
        let view = Trace::GroupView {
            group: GROUP,
            id,
            transitional: false,
            cause: self.cause(node, id, nodes, together),
            members: members(nodes),
            sets: sets(nodes, together),
            together: members(together),
            local,
            local_left: left.iter().map(|n| session(*n)).collect(),
        };
        self.views.insert(node, nodes.to_vec());
        self.trace(node, view)
    }

    fn cause(&self, node: u32, id: ViewId, nodes: &[u32], together: &[u32]) -> ViewCause {
        let before = self.views.get(&node);
        let is_new = |n: &u32| before.is_none_or(|before| !before.contains(n));
        match id.sub {
            0 if nodes.iter().all(|n| together.contains(n)) => ViewCause::Network,
            0 => ViewCause::Merge,
            _ if nodes.iter().any(is_new) => ViewCause::Join,
            _ => ViewCause::Leave,
        }
    }

    /// `node` is told that only `nodes` of the group's members come along to ring `new`.
    pub fn signal(&mut self, node: u32, new: u64, nodes: &[u32]) -> &mut Self {
        let local = nodes.iter().filter(|n| **n == node).map(|n| session(*n)).collect();
        let signal = Trace::GroupView {
            group: GROUP,
            id: view(new, u64::from(node), 0),
            transitional: true,
            cause: ViewCause::Network,
            members: members(nodes),
            sets: vec![0; nodes.len()],
            together: members(nodes),
            local,
            local_left: Vec::new(),
        };
        self.trace(node, signal)
    }

    /// `node` goes on alone from ring `old` to ring `new`, and its group loses members by that.
    pub fn leaves_behind(&mut self, node: u32, rings: (u64, u64)) -> &mut Self {
        self.transitional(node, rings, &[node], &[node]).signal(node, rings.1, &[node]);
        self.regular(node, rings.1, &[node])
    }

    /// The message is given to the group's members at `node`.
    pub fn give(&mut self, node: u32, at: At, sequence: u64) -> &mut Self {
        let sender = member(at.message.origin.node.0);
        let hash = at.message.counter;
        self.trace(node, Trace::GroupMessage { group: GROUP, sender, sequence, hash })
    }

    pub fn check(&self, quiesced: bool) -> Result<Summary, Violation> {
        let mut checker = Checker::new(self.options.clone());
        for record in &self.records {
            checker.observe(record)?;
        }
        checker.finish(quiesced)
    }

    /// What somebody has not delivered although all is at rest.
    pub fn undelivered(&self) -> Option<Violation> {
        let mut checker = Checker::new(self.options.clone());
        self.records.iter().for_each(|record| checker.observe(record).expect("no violation"));
        checker.undelivered()
    }

    /// The log breaks this rule and is found out, with histories to read.
    pub fn assert_violates(&self, axiom: Axiom) {
        self.assert_violates_if(axiom, false);
    }

    /// The same, between two processes: the histories of both are shown.
    pub fn assert_violates_between(&self, axiom: Axiom) {
        self.assert_violates(axiom);
        let violation = self.check(false).expect_err("the log must be refused");
        let whose: BTreeSet<&str> = violation.excerpts.iter().map(|e| &e.whose[..]).collect();
        assert_eq!(whose.len(), 2, "{violation}");
    }

    pub fn assert_violates_if(&self, axiom: Axiom, quiesced: bool) {
        let violation = self.check(quiesced).expect_err("the log must be refused");
        assert_eq!(violation.axiom, axiom, "{violation}");
        assert!(!violation.excerpts.is_empty(), "no history is shown: {violation}");
        let text = violation.to_string();
        assert!(text.contains(axiom.title()) && text.contains(">>"), "unreadable: {text}");
    }

    pub fn assert_holds(&self, quiesced: bool) -> Summary {
        self.check(quiesced).unwrap_or_else(|violation| panic!("{violation}"))
    }
}
