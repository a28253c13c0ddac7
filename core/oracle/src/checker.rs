//! The oracle's two doors: records go in one by one, and at the end the whole is judged.

use std::collections::{BTreeMap, BTreeSet};

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Configuration, MessageId, NodeId, Process};

use crate::finish;
use crate::group::{self, Views};
use crate::history::{History, ProcessHistory};
use crate::online::configurations::{self, RingIds};
use crate::online::identity::Identities;
use crate::online::{messages, services};
use crate::violation::{Axiom, Finding, Place, Verdict, Violation};
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
    /// How often each node lost what it had stored, as far as that is known of all: whoever starts
    /// again without it more often has lost it by himself. Without this, ID and C4 are not judged
    /// of nodes that say that they had nothing stored.
    pub state_losses: Option<BTreeMap<NodeId, u32>>,
    /// Its records are in the order in which things really happened, as only a simulator knows it:
    /// what has to be done before something has to be said before it, too (SA2).
    pub order_is_real: bool,
}

/// Checks event logs of any number of processes. Records come in the order in which things
/// happened, as a simulator has them: a message is sent before it is delivered.
#[derive(Debug, Default)]
pub struct Checker {
    history: History,
    identities: Identities,
    ring_ids: RingIds,
    views: Views,
    order_is_real: bool,
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
    /// What is still to be delivered at the end by processes that are alive (L3): what they
    /// accepted; and if all is at rest, what was ordered in the ring that they are in.
    pub undelivered: Vec<MessageId>,
    /// What could not be judged, in words.
    pub unchecked: Vec<String>,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new(options: Options) -> Self {
        let mut checker = Self::default();
        checker.identities.twins = options.twins;
        checker.identities.state_losses = options.state_losses;
        checker.history.lost_tails = options.lost_tails;
        checker.views.senders_are_members = options.senders_are_members;
        checker.order_is_real = options.order_is_real;
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
        Ok(self.summary(quiesced))
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
                if self.order_is_real {
                    messages::check_all_have_installed(&self.history, place, trace)?;
                }
            }
        }
        self.views.check(&self.history, place, trace)
    }

    /// The promises of which nothing, or not everything, can be said of this log.
    fn unchecked(&self, quiesced: bool) -> Vec<String> {
        let mut unchecked =
            vec!["L1, L2, L4 to L6 and L8: only the simulator sees them".to_owned()];
        if !quiesced {
            unchecked.push(
                "C6 and L3, and of the configurations that the log ends in what SD, VS, TO2, TO3, \
                 SA1, SA2, LV, G3 and CL say of their end: the nodes need not have been at rest"
                    .to_owned(),
            );
        }
        if !self.views.senders_are_members {
            unchecked.push("G6: senders need not have been members".to_owned());
        }
        let killed = self.history.lost_tails.len();
        if killed > 0 {
            unchecked.push(format!(
                "B1, B4 and CL of what processes without an end in their log, {killed} in all, \
                 did last: only others said so"
            ));
        }
        if !self.identities.twins.is_empty() {
            unchecked.push("ID and C4 of nodes that are started twice on purpose".to_owned());
        }
        let forgetful: Vec<String> =
            self.identities.forgetful.iter().map(NodeId::to_string).collect();
        if !forgetful.is_empty() {
            unchecked.push(format!(
                "ID and C4 across starts without stored state, of nodes {}",
                forgetful.join(", ")
            ));
        }
        unchecked
    }

    fn violation(&self, finding: Finding) -> Violation {
        let excerpts = (finding.places.iter())
            .map(|place| self.history.process(*place).excerpt(place.position))
            .collect();
        Violation { axiom: finding.axiom, sentence: finding.sentence, excerpts }
    }

    /// What a process that is alive has not delivered, and should have: of what it accepted, and if
    /// all is at rest, of what was ordered in its ring by somebody who is alive, or delivered by
    /// anybody.
    fn due<'a>(
        &'a self,
        process: &'a ProcessHistory,
        quiesced: bool,
    ) -> impl Iterator<Item = &'a MessageId> {
        let ring = process.current().map(|segment| segment.configuration.regular());
        let ring = ring.filter(|_| quiesced).and_then(|ring| self.history.rings.get(&ring));
        let lives = |m: &&MessageId| self.history.find(m.origin).is_some_and(|p| p.end.is_none());
        let is_known = |m: &MessageId| {
            self.history.processes.iter().any(|process| process.delivered.contains_key(m))
        };
        let ordered = ring.into_iter().flat_map(|ring| ring.messages.values());
        let ordered = ordered.filter(move |m| lives(m) || is_known(m));
        let is_ordered =
            |m: &&MessageId| self.history.messages.get(m).is_some_and(|m| m.service.is_ordered());
        let due = process.sent.iter().filter(is_ordered).chain(ordered);
        due.filter(|m| process.end.is_none() && !process.delivered.contains_key(m))
    }

    /// L3 of a run that ended healed and at rest: a message that somebody has not delivered, if
    /// there is one.
    pub fn undelivered(&self) -> Option<Violation> {
        let mut all = self.history.processes.iter().enumerate().flat_map(|(index, process)| {
            self.due(process, true).map(move |message| (index, process, message))
        });
        let (index, process, message) = all.next()?;
        let sentence = format!(
            "{}#{} was accepted, and {} has not delivered it although all is at rest",
            message.origin, message.counter, process.process
        );
        let last = Place { process: index, position: process.records.len().saturating_sub(1) };
        let sent = self.history.messages.get(message).map(|message| message.sent);
        let finding = Finding::new(Axiom::L3, sent.unwrap_or(last), sentence);
        Some(self.violation(if sent.is_some() { finding.and(last) } else { finding }))
    }

    fn summary(&self, quiesced: bool) -> Summary {
        let mut summary = Summary { unchecked: self.unchecked(quiesced), ..Summary::default() };
        let mut undelivered: BTreeSet<MessageId> = BTreeSet::new();
        for process in &self.history.processes {
            summary.processes += 1;
            summary.messages += process.sent.len() as u64;
            summary.deliveries += process.delivered.len() as u64;
            for segment in &process.segments {
                summary.packets += segment.packets.len() as u64;
                summary.configurations +=
                    u64::from(matches!(segment.configuration, Configuration::Regular(_)));
            }
            undelivered.extend(self.due(process, quiesced));
        }
        summary.undelivered.extend(undelivered);
        summary
    }
}
