//! The oracle's two doors: records go in one by one, and at the end the whole is judged.

use std::collections::BTreeSet;

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Configuration, MessageId, NodeId, Process};

use crate::finish;
use crate::group::{self, Views};
use crate::history::History;
use crate::online::configurations::{self, RingIds};
use crate::online::identity::Identities;
use crate::online::{messages, services};
use crate::violation::{Finding, Place, Verdict, Violation};
use anasazi_protocol::record::{Entry, Record};

/// What is known about a log beforehand.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its clients send to a group only while they are members of it. Without this, G6 cannot be
    /// told from a log.
    pub senders_are_members: bool,
    /// Its clients ask for their own messages, so that these must be there, too (CL).
    pub clients_hear_themselves: bool,
    /// Nodes of which two processes run at the same time, on purpose.
    pub twins: BTreeSet<NodeId>,
    /// Processes whose logs may end too early, as those of killed ones do. What others saw of their
    /// last deeds counts as said by them.
    pub lost_tails: BTreeSet<Process>,
}

/// Checks event logs of any number of processes. Records come in the order in which things
/// happened, as a simulator has them: a message is sent before it is delivered.
#[derive(Debug, Default)]
pub struct Checker {
    history: History,
    identities: Identities,
    ring_ids: RingIds,
    views: Views,
}

/// What a log contained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Process incarnations.
    pub processes: u64,
    /// Client sessions whose own logs were compared.
    pub clients: u64,
    /// Regular configurations installed, all processes together.
    pub configurations: u64,
    /// Packets delivered, all processes together.
    pub packets: u64,
    /// Messages delivered, all processes together.
    pub deliveries: u64,
    /// Messages accepted.
    pub messages: u64,
    /// Messages accepted by processes that are alive at the end, and not delivered by them.
    pub undelivered: Vec<MessageId>,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new(options: Options) -> Self {
        let mut checker = Self::default();
        checker.identities.twins = options.twins;
        checker.history.lost_tails = options.lost_tails;
        checker.views.senders_are_members = options.senders_are_members;
        checker
    }

    /// Takes the next record. After a violation the checker is of no more use.
    pub fn observe(&mut self, record: &Record) -> Result<(), Violation> {
        let place = self.history.append(record);
        self.check(place, record).map_err(|finding| self.violation(finding))?;
        self.history.index(place, &record.entry);
        Ok(())
    }

    /// Judges the whole. `quiesced`: the run ended healed and at rest, so nothing may be
    /// outstanding.
    pub fn finish(self, quiesced: bool) -> Result<Summary, Violation> {
        (finish::check(&self.history, quiesced))
            .and_then(|()| group::check_finished(&self.history, quiesced))
            .map_err(|finding| self.violation(finding))?;
        Ok(self.summary())
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    fn check(&mut self, place: Place, record: &Record) -> Verdict {
        self.identities.check(&self.history, place, record)?;
        let node = record.process.node;
        if let Entry::Boot { stored: false } = record.entry {
            self.ring_ids.forget(node);
        }
        let Entry::Trace(trace) = &record.entry else { return Ok(()) };
        match trace {
            Trace::Regular { ring, .. } => {
                configurations::check(&self.history, place, trace)?;
                if !self.identities.twins.contains(&node) {
                    self.ring_ids.check(&self.history, place, *ring)?;
                }
            }
            Trace::Transitional { .. } => configurations::check(&self.history, place, trace)?,
            _ => {
                messages::check(&self.history, place, trace)?;
                services::check(&self.history, place, trace)?;
            }
        }
        self.views.check(&self.history, place, trace)
    }

    fn violation(&self, finding: Finding) -> Violation {
        let excerpts = (finding.places.iter())
            .map(|place| self.history.process(*place).excerpt(place.position))
            .collect();
        Violation { axiom: finding.axiom, sentence: finding.sentence, excerpts }
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for process in &self.history.processes {
            summary.processes += 1;
            summary.messages += process.sent.len() as u64;
            summary.deliveries += process.delivered.len() as u64;
            for segment in &process.segments {
                summary.packets += segment.packets.len() as u64;
                summary.configurations +=
                    u64::from(matches!(segment.configuration, Configuration::Regular(_)));
            }
            if process.end.is_none() {
                let is_ordered = |m: &&MessageId| {
                    self.history.messages.get(m).is_some_and(|m| m.service.is_ordered())
                };
                let undelivered = (process.sent.iter().filter(is_ordered))
                    .filter(|m| !process.delivered.contains_key(m));
                summary.undelivered.extend(undelivered);
            }
        }
        summary
    }
}
