//! What a process said about one group: its views and messages, as its local members got them.

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Configuration, MemberId, SessionId, ViewId};

use crate::history::History;
use crate::violation::Verdict;

mod changes;
mod chapters;
pub(crate) mod clients;
mod stays;
mod together;
mod views;

pub(crate) use views::Views;

/// Judges what members saw in the end, each beside the others.
pub(crate) fn check_finished(history: &History, quiesced: bool) -> Verdict {
    for key in 0..history.processes.len() {
        views::check_end(history, key)?;
    }
    chapters::check(history, quiesced)?;
    stays::check(history, quiesced)
}

/// One group at one process.
#[derive(Debug, Default)]
pub(crate) struct GroupHistory {
    pub events: Vec<GroupEvent>,
    /// As long as the process has members in the group.
    pub tenure: Option<Tenure>,
}

/// The last regular view, and what came in it.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub id: ViewId,
    pub members: Vec<MemberId>,
    pub local: Vec<SessionId>,
    /// Of the last message.
    pub sequence: u64,
    pub position: usize,
}

#[derive(Debug)]
pub(crate) struct GroupEvent {
    pub position: usize,
    /// In which the process was then.
    pub configuration: Configuration,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    View { id: ViewId, members: Vec<MemberId>, together: Vec<MemberId>, local: Vec<SessionId> },
    Signal { id: ViewId },
    Message { sender: MemberId, sequence: u64, hash: u64 },
}

impl GroupHistory {
    pub(crate) fn index(&mut self, position: usize, configuration: Configuration, trace: &Trace) {
        let what = match trace {
            Trace::GroupView { id, transitional: true, .. } => What::Signal { id: *id },
            Trace::GroupView { id, members, together, local, .. } => {
                self.enter(position, *id, members, local);
                let (members, together) = (members.clone(), together.clone());
                What::View { id: *id, members, together, local: local.clone() }
            }
            Trace::GroupMessage { sender, sequence, hash, .. } => {
                if let Some(tenure) = &mut self.tenure {
                    tenure.sequence = *sequence;
                }
                What::Message { sender: *sender, sequence: *sequence, hash: *hash }
            }
            _ => return,
        };
        self.events.push(GroupEvent { position, configuration, what });
    }

    fn enter(&mut self, position: usize, id: ViewId, members: &[MemberId], local: &[SessionId]) {
        let (members, local) = (members.to_vec(), local.to_vec());
        self.tenure =
            (!local.is_empty()).then_some(Tenure { id, members, local, sequence: 0, position });
    }
}
