//! LOG, ID and the ends of processes: who may say something at all.

use std::collections::{BTreeMap, BTreeSet};

use anasazi_protocol::{Incarnation, NodeId, Process};

use crate::history::History;
use crate::violation::{Axiom, Finding, Place, Verdict};
use anasazi_protocol::record::{Entry, Record, list};

/// The last start of every node.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    last: BTreeMap<NodeId, Incarnation>,
    /// Nodes of which two processes run at once on purpose.
    pub twins: BTreeSet<NodeId>,
    /// How often each may still start without what it had stored; `None`: nobody knows.
    pub state_losses: Option<BTreeMap<NodeId, u32>>,
    /// Those that did.
    pub forgetful: BTreeSet<NodeId>,
}

impl Identities {
    /// `place` is the record's own, already appended.
    pub(crate) fn check(&mut self, history: &History, place: Place, record: &Record) -> Verdict {
        check_log(history, place, record)?;
        let (node, incarnation) = (record.process.node, record.process.incarnation);
        if self.twins.contains(&node) {
            return Ok(());
        }
        let known = self.last.contains_key(&node);
        let last = *self.last.entry(node).or_insert(incarnation);
        let other = Process { node, incarnation: last };
        let sentence = match record.entry {
            Entry::Boot { stored: false } if known && !self.may_forget(node) => {
                format!("{} starts without the state of {other}, which nobody took", record.process)
            }
            // Without its state it cannot know, and its clock may have been set back.
            Entry::Boot { stored } if !stored || incarnation >= last => {
                self.last.insert(node, incarnation);
                return Ok(());
            }
            Entry::Boot { .. } => format!("{} starts with the state of {other}", record.process),
            _ if incarnation != last => {
                format!("{} acts although {other} has started", record.process)
            }
            _ => return Ok(()),
        };
        Err(Finding::new(Axiom::Id, place, sentence))
    }

    fn may_forget(&mut self, node: NodeId) -> bool {
        self.forgetful.insert(node);
        let Some(losses) = &mut self.state_losses else { return true };
        let left = losses.get_mut(&node).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

fn check_log(history: &History, place: Place, record: &Record) -> Verdict {
    let process = history.process(place);
    let wrong = |sentence: String| Err(Finding::new(Axiom::Log, place, sentence));
    let boot = matches!(record.entry, Entry::Boot { .. });
    let Some(before) = place.position.checked_sub(1).map(|p| &process.records[p]) else {
        return if boot {
            Ok(())
        } else {
            wrong(format!("the log of {} does not begin with its boot", record.process))
        };
    };
    if boot {
        return wrong(format!("{} boots a second time", record.process));
    }
    if record.index <= before.index || record.time < before.time {
        return wrong(format!("the log of {} runs backwards", record.process));
    }
    if process.end.is_some() && record.entry != Entry::Crash {
        let sentence = format!("{} acts after its end", record.process);
        return Err(Finding::new(Axiom::B3, place, sentence));
    }
    Ok(())
}

/// ID within one configuration: one incarnation per node.
pub(crate) fn check_members(place: Place, members: &[Process]) -> Verdict {
    let mut nodes = BTreeSet::new();
    for member in members {
        if !nodes.insert(member.node) {
            let sentence = format!("node {} is twice in {}", member.node, list(members));
            return Err(Finding::new(Axiom::Id, place, sentence));
        }
    }
    Ok(())
}
