//! One history out of many, in an order in which things can have happened: a packet is bound to its
//! ordinal before it is taken, a message ordered before it is delivered, and a node ends before it
//! starts again. Clocks are not trusted; they only decide between records that wait for nothing, or
//! for something that no log has.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use anasazi_protocol::record::{Entry, Record};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{MessageId, NodeId, Process, RingId};

/// Something that one record says and another one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fact {
    Bound(RingId, u64),
    Ordered(MessageId),
    /// A message without order was sent.
    Sent(MessageId),
    Ended(Process),
}

/// Gives the records one by one.
#[derive(Debug)]
pub(super) struct Merge {
    lanes: Vec<Lane>,
    before: BTreeMap<Process, Process>,
    /// Only looked up.
    facts: HashSet<Fact>,
    /// Lanes by what their next record waits for. Only looked up.
    waiting: HashMap<Fact, Vec<usize>>,
    /// Lanes that may go on, the last one first.
    ready: Vec<usize>,
    /// What the next record of a lane waits for, and whose word that would be.
    blocked: BTreeMap<usize, (Fact, Option<Process>)>,
}

/// The rest of one process's records.
#[derive(Debug)]
struct Lane {
    records: VecDeque<Record>,
    /// Of the ring whose packets it takes.
    members: Vec<Process>,
}

impl Merge {
    pub(super) fn new(processes: BTreeMap<Process, Vec<Record>>) -> Self {
        let mut newest: BTreeMap<NodeId, Process> = BTreeMap::new();
        let mut before = BTreeMap::new();
        for process in processes.keys() {
            if let Some(older) = newest.insert(process.node, *process) {
                before.insert(*process, older);
            }
        }
        let lane = |records: Vec<_>| Lane { records: records.into(), members: Vec::new() };
        let lanes: Vec<_> = processes.into_values().map(lane).collect();
        let ready = (0..lanes.len()).rev().collect();
        let (facts, waiting) = (HashSet::new(), HashMap::new());
        Self { lanes, before, facts, waiting, ready, blocked: BTreeMap::new() }
    }

    /// What a lane's next record waits for, and whose word that would be.
    fn needs(&self, lane: usize) -> Option<(Fact, Option<Process>)> {
        let Lane { records, members } = &self.lanes[lane];
        let record = records.front()?;
        let (fact, whose) = match &record.entry {
            Entry::Boot { .. } => {
                let before = *self.before.get(&record.process)?;
                (Fact::Ended(before), Some(before))
            }
            Entry::Trace(Trace::Packet { configuration, ordinal, origin, .. }) => {
                let whose = members.iter().find(|m| m.node == *origin).copied();
                (Fact::Bound(configuration.regular(), *ordinal), whose)
            }
            Entry::Trace(Trace::Deliver { message, .. }) => {
                (Fact::Ordered(*message), Some(message.origin))
            }
            Entry::Trace(Trace::Unordered { message, .. }) => {
                (Fact::Sent(*message), Some(message.origin))
            }
            _ => return None,
        };
        (!self.facts.contains(&fact)).then_some((fact, whose))
    }

    fn take(&mut self, lane: usize) -> Option<Record> {
        let record = self.lanes[lane].records.pop_front()?;
        let process = record.process;
        match &record.entry {
            Entry::Trace(Trace::Slot { ring, ordinal, .. }) => {
                self.learn(Fact::Bound(*ring, *ordinal));
            }
            Entry::Trace(Trace::Send { message, service, .. }) if !service.is_ordered() => {
                self.learn(Fact::Sent(*message));
            }
            Entry::Trace(Trace::Ordered { message, .. }) => self.learn(Fact::Ordered(*message)),
            Entry::Trace(Trace::Regular { members, .. }) => {
                self.lanes[lane].members.clone_from(members);
            }
            _ => {}
        }
        if self.lanes[lane].records.is_empty() {
            self.learn(Fact::Ended(process));
        } else {
            self.ready.push(lane);
        }
        Some(record)
    }

    fn learn(&mut self, fact: Fact) {
        self.facts.insert(fact);
        for lane in self.waiting.remove(&fact).unwrap_or_default() {
            if self.blocked.remove(&lane).is_some() {
                self.ready.push(lane);
            }
        }
    }

    /// Everybody waits for what no log has, or for each other: the oracle shall see one of them.
    /// Who waits for a process that has no more to say goes first: those words were lost with it,
    /// or never said. Everybody else may only be waiting for that one.
    fn force(&mut self) -> Option<usize> {
        let mut best = None;
        for (lane, (fact, whose)) in &self.blocked {
            let is_silent = whose.is_none_or(|process| self.facts.contains(&Fact::Ended(process)));
            let is_boot = matches!(fact, Fact::Ended(_));
            let time = self.lanes[*lane].records.front().map_or(u64::MAX, |record| record.time);
            let key = (!is_silent, is_boot, time, *lane);
            if best.is_none_or(|least| key < least) {
                best = Some(key);
            }
        }
        let (.., lane) = best?;
        self.blocked.remove(&lane);
        Some(lane)
    }
}

impl Iterator for Merge {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while let Some(lane) = self.ready.pop() {
            let Some((fact, whose)) = self.needs(lane) else { return self.take(lane) };
            self.blocked.insert(lane, (fact, whose));
            self.waiting.entry(fact).or_default().push(lane);
        }
        let lane = self.force()?;
        self.take(lane)
    }
}
