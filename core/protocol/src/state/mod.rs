//! Who is in the ring: one file per state, one table of all changes of state (`transitions`).
//!
//! ```text
//!         boot         no other process has this node's id
//!  start ------> Probation -------------------------> Operational <------------------+
//!                    |                                  |    |  merge agreed         |
//!                    | id in use    token lost, evidence|    +----+ while it turns   |
//!                    v                        or a join v         v   everybody holds|
//!                 Stopped <--- left (from any)       Gather --> Commit --> Recovery -+ all
//!                                                       ^ agreed   |  plan    |
//!                                                       +----------+----------+
//!                                                    timeout, newer join, evidence
//! ```
//! Messages are delivered in `Operational`, and at the end of `Recovery`, in one step with the new
//! configuration.

mod agreement;
pub(crate) mod candidates;
mod clique;
mod commit;
mod component;
mod deliver;
mod gather;
mod history;
pub(crate) mod hold;
mod operational;
mod pause;
mod probation;
mod recovery;
pub mod transitions;
pub(crate) mod unordered;

use core::net::SocketAddr;

use crate::event::Cause;
use crate::id::{Process, RingId};
use crate::node::Node;
use crate::planted::planted;
use crate::ring::Ring;
use crate::time::Instant;
use crate::wire::{Beacon, Data, Gone, Header, Join, Packet, Propose};

use transitions::{At, In, takes};

pub(crate) use commit::Commit;
pub(crate) use gather::Gather;
pub(crate) use history::History;
pub(crate) use operational::Operational;
pub(crate) use probation::Probation;
pub(crate) use recovery::Recovery;
#[cfg(feature = "fuzzing")]
pub(crate) use recovery::fuzz;

/// Where a core is. Each variant holds what is valid in it and nothing else.
#[derive(Clone, Hash)]
pub(crate) enum State {
    Probation(Probation),
    Operational(Box<Operational>),
    Gather(Box<Gather>),
    Commit(Box<Commit>),
    Recovery(Box<Recovery>),
    Stopped,
}

/// Where a packet came from.
#[derive(Clone, Copy)]
pub(crate) struct Sender {
    pub(crate) header: Header,
    pub(crate) address: SocketAddr,
}

impl State {
    pub(crate) fn at(&self) -> At {
        match self {
            Self::Probation(_) => At::Probation,
            Self::Operational(_) => At::Operational,
            Self::Gather(_) => At::Gather,
            Self::Commit(_) => At::Commit,
            Self::Recovery(_) => At::Recovery,
            Self::Stopped => At::Stopped,
        }
    }

    /// The ring of the last regular configuration.
    pub(crate) fn ring(&self) -> Option<&Ring> {
        match self {
            Self::Probation(_) | Self::Stopped => None,
            Self::Operational(s) => Some(&s.ring),
            Self::Gather(s) => Some(&s.history.ring),
            Self::Commit(s) => Some(&s.history.ring),
            Self::Recovery(s) => Some(&s.history.ring),
        }
    }

    /// Most of what comes: by the shortest way to the ring that turns.
    pub(crate) fn on_data(self, node: &mut Node, from: Sender, data: Data) -> Self {
        match self {
            Self::Operational(s) => s.on_data(node, from, data),
            other => other.on_packet(node, from, Packet::Data(data)),
        }
    }

    pub(crate) fn on_packet(self, node: &mut Node, from: Sender, packet: Packet) -> Self {
        if !takes(self.at(), In::of(&packet)) && !planted!("answer_not_kept") {
            node.out.stats.dropped_stale += 1;
            return self;
        }
        if let Packet::Join(Join { ring_sequence_max: sequence, .. })
        | Packet::Propose(Propose { ring: RingId { sequence, .. }, .. }) = &packet
            && !node.storage.is_possible(*sequence)
        {
            node.out.stats.dropped_malformed += 1;
            return self;
        }
        if let Packet::Join(Join { process, .. }) | Packet::Beacon(Beacon { process, .. }) = &packet
            && let Some(older) = self.older_of(*process)
        {
            return self.on_gone(node, older, Gone::Restarted);
        }
        match self {
            Self::Probation(s) => s.on_packet(node, from, &packet),
            Self::Operational(s) => s.on_packet(node, from, packet),
            Self::Gather(s) => s.on_packet(node, from, packet),
            Self::Commit(s) => s.on_packet(node, from, packet),
            Self::Recovery(s) => s.on_packet(node, from, packet),
            Self::Stopped => self,
        }
    }

    /// A process of the same node with whom a ring is shared or being formed: it is gone, if there
    /// is a newer one.
    pub(crate) fn older_of(&self, process: Process) -> Option<Process> {
        let is_older = |p: &Process| p.node == process.node && p.incarnation < process.incarnation;
        match self {
            Self::Operational(s) => s.processes().find(is_older),
            Self::Gather(s) => s.proposed().find(is_older),
            Self::Commit(s) => s.members().into_iter().find(is_older),
            Self::Recovery(s) => s.ring.members.iter().copied().find(is_older),
            Self::Probation(_) | Self::Stopped => None,
        }
    }

    pub(crate) fn on_timeout(self, node: &mut Node) -> Self {
        match self {
            Self::Probation(s) => s.on_timeout(node),
            Self::Operational(s) => s.on_timeout(node),
            Self::Gather(s) => s.on_timeout(node),
            Self::Commit(s) => s.on_timeout(node),
            Self::Recovery(s) => s.on_timeout(node),
            Self::Stopped => self,
        }
    }

    /// A ring number is reserved: what waited for that goes on.
    pub(crate) fn on_persisted(self, node: &mut Node) -> Self {
        match self {
            Self::Probation(s) => s.on_timeout(node),
            Self::Operational(s) => s.go_on_merging(node),
            Self::Gather(s) => s.check(node),
            other => other,
        }
    }

    /// The transport has nothing more to read at the moment.
    pub(crate) fn on_drained(self, node: &mut Node) -> Self {
        match self {
            Self::Operational(s) => s.on_drained(node),
            other => other,
        }
    }

    /// The queue has something new, or leaving was asked for.
    pub(crate) fn on_work(self, node: &mut Node) -> Self {
        match self {
            Self::Operational(s) => s.on_work(node),
            other => other,
        }
    }

    /// A process is known to be gone.
    pub(crate) fn on_gone(self, node: &mut Node, process: Process, gone: Gone) -> Self {
        node.candidates.gone(process);
        node.book.gone(process, gone);
        node.links.gone(process);
        match self {
            Self::Operational(s) if s.ring.has_member(process) => {
                let cause = gone_cause(process, gone);
                let mut history = s.leave(node, cause);
                history.dead.insert(process, gone);
                Gather::enter(node, history, &[])
            }
            Self::Operational(s) => s.on_stranger_gone(node, process, gone),
            Self::Gather(s) => s.on_gone(node, process, gone),
            Self::Commit(s) if s.has_member(process) => {
                s.abort(node, gather::Failure::gone(process, gone))
            }
            Self::Recovery(s) if s.ring.has_member(process) => {
                s.abort(node, gather::Failure::gone(process, gone))
            }
            other => other,
        }
    }

    pub(crate) fn is_about_to_install(&self) -> bool {
        matches!(self, Self::Recovery(s) if s.is_about_to_install())
    }

    pub(crate) fn install_due(self, node: &mut Node) -> Self {
        match self {
            Self::Recovery(s) => s.install_due(node),
            other => other,
        }
    }

    pub(crate) fn deadline(&self, node: &Node) -> Option<Instant> {
        match self {
            Self::Probation(s) => Some(s.deadline()),
            Self::Operational(s) => s.deadline(node),
            Self::Gather(s) => Some(s.deadline()),
            Self::Commit(s) => Some(s.deadline()),
            Self::Recovery(s) => s.deadline(node),
            Self::Stopped => None,
        }
    }
}

fn gone_cause(process: Process, gone: Gone) -> Cause {
    let node = process.node;
    match gone {
        Gone::Unreachable => Cause::Unreachable { node },
        Gone::Left => Cause::Left { node },
        Gone::Restarted => Cause::Restarted { node },
        Gone::Demoted(breach) => Cause::Demoted { node, breach },
    }
}
