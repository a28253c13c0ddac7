//! Everything that a [`Core`](crate::Core) asks of its caller.

use bytes::Bytes;
use core::net::SocketAddr;
use core::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::event::Event;
use crate::id::{GroupId, Incarnation, MemberId, NodeId, Process, RingId, SessionId, ViewId};
use crate::service::{Audience, Service};
use crate::trace::Trace;

/// One thing to do, in order. What is large and rare is boxed: all are moved about.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a datagram; a failure to send is loss, and needs no report.
    Transmit {
        /// Where to.
        to: Destination,
        /// The whole datagram, sealed.
        bytes: Bytes,
    },
    /// Make the ring number durable, then answer with `Input::Persisted`.
    Persist {
        /// To be given back.
        ticket: u64,
        /// No ring number up to this one may be used by a later incarnation.
        ring_sequence_max: u64,
    },
    /// A message for local sessions.
    Message(MessageDelivery),
    /// What became of an own tagged message that its sender does not see delivered.
    Receipt {
        /// Who sent it.
        session: SessionId,
        /// To whom.
        to: Audience,
        /// Its tag.
        tag: u64,
        /// What became of it.
        fate: Fate,
    },
    /// A view for the local members of a group.
    View(Box<GroupView>),
    /// A join that was refused: the name's hash is taken, or a limit is reached.
    JoinRefused {
        /// Who asked.
        session: SessionId,
        /// For which group.
        group: GroupId,
        /// What to tell.
        reason: &'static str,
    },
    /// A node of the ring asks the senders of these groups to wait. A wish, not a promise: nothing
    /// depends on whether it is heard.
    Held {
        /// Which node.
        by: NodeId,
        /// The groups.
        groups: Vec<GroupId>,
        /// For how long from now; 0: no longer.
        for_ms: u16,
    },
    /// An engine of the ring tells all of them this, this one too, at its place in the order.
    Notice {
        /// Which.
        by: Process,
        /// As it was given to [`Command::Notice`](crate::Command::Notice).
        content: Bytes,
    },
    /// Something worth counting or telling.
    Event(Event),
    /// For the oracle; only with `CoreConfig::trace`.
    Trace(Box<Trace>),
    /// Others know an earlier start of this node that has a newer incarnation, or the same: this
    /// one, which has not said anything yet, is over; the last output. To be started again above
    /// it ([`Incarnation::above`]).
    Outdated {
        /// The one that they know.
        known: Incarnation,
    },
    /// The core has left its ring and does nothing any more; the last output.
    Stopped {
        /// `None` after `Input::Shutdown`; otherwise what to tell the operator.
        fault: Option<String>,
    },
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// The domain's multicast group.
    Multicast,
    /// One address.
    Unicast(SocketAddr),
    /// One address, and it must not be fragmented on its way: lost where it does not fit.
    Probe(SocketAddr),
}

/// The end of a message for its sender, other than by delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was ordered, or sent if it has no order; the sender is not among those whom it is for.
    Done,
    /// Same-view: a group was in another view where it was reached. Nobody got it.
    OtherView,
    /// To one session, and that was a member of no group where it was reached. Nobody got it.
    NotMember,
    /// Without order, and it could not go out: the ring is being formed anew. Nobody got it.
    NotSent,
    /// Without order, and longer than a packet. Nobody got it.
    TooLong,
    /// This node left before it was delivered here: it may have been ordered all the same.
    Lost,
}

/// Which local sessions get a message. Positions count in each group's order within the view: 1, 2,
/// 3 ..., the same at every member; 0 for messages without order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Recipients {
    /// The local members of a group, with the message's position.
    Group(GroupId, u64),
    /// The local members of these of the message's groups, each session once, with the position in
    /// each group.
    Groups(Vec<(GroupId, u64)>),
    /// One session.
    Session(SessionId),
}

impl Recipients {
    /// The groups, with the message's position in each.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, u64)> + '_ {
        let (one, several) = match self {
            Self::Group(group, sequence) => (Some((*group, *sequence)), &[][..]),
            Self::Groups(groups) => (None, &groups[..]),
            Self::Session(_) => (None, &[][..]),
        };
        one.into_iter().chain(several.iter().copied())
    }
}

/// A message at its place in the order, for those local sessions that are members of its groups at
/// this point; or without order, for those that are members now.
#[derive(Clone, Debug)]
pub struct MessageDelivery {
    /// To whom.
    pub to: Recipients,
    /// The sender.
    pub sender: MemberId,
    /// As asked for by the sender.
    pub service: Service,
    /// Not to be given to the sending session.
    pub no_self: bool,
    /// The tag given by the sender, if it is a session of this node; else 0.
    pub tag: u64,
    /// Where it is in the order, if [`CoreConfig::places`](crate::CoreConfig::places) asks for it
    /// and it has an order. Boxed, since few do.
    pub place: Option<Box<Place>>,
    /// The message.
    pub payload: Pieces,
}

/// A message's place in the order: the same at every process, of no other message, and behind that
/// of everything that the process got before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The ring that ordered it.
    pub ring: RingId,
    /// Its packet there.
    pub ordinal: u64,
    /// The frame of the packet, from 1, with which it was complete.
    pub frame: u32,
}

/// A message in pieces, in order. Most are in one, and cost no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// All of it.
    One(Bytes),
    /// As it was cut.
    Several(Vec<Bytes>),
}

impl Deref for Pieces {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        match self {
            Self::One(whole) => core::slice::from_ref(whole),
            Self::Several(pieces) => pieces,
        }
    }
}

impl DerefMut for Pieces {
    fn deref_mut(&mut self) -> &mut [Bytes] {
        match self {
            Self::One(whole) => core::slice::from_mut(whole),
            Self::Several(pieces) => pieces,
        }
    }
}

/// A view of a group, for its local members.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// The group.
    pub group: GroupId,
    /// Its name.
    pub name: Arc<str>,
    /// Regular view or transitional signal.
    pub kind: ViewKind,
    /// Equal ids, equal members.
    pub id: ViewId,
    /// Why.
    pub cause: ViewCause,
    /// In one sentence: who, why, on what evidence.
    pub reason: String,
    /// In the same order at every member.
    pub members: Arc<[MemberId]>,
    /// Per member: the set it came with; 0 is the set of this node's members.
    pub sets: Arc<[u32]>,
    /// In `members`, not in the view before.
    pub joined: Vec<MemberId>,
    /// In the view before, not in `members`. A local session in here gets no view but the end of
    /// its membership.
    pub left: Vec<MemberId>,
    /// Those who came here together with this node's members from their previous view.
    pub together: Vec<MemberId>,
}

/// Which kind of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// A regular configuration of the group.
    Regular,
    /// The transitional signal: until the next regular view, guarantees hold among `together` only.
    Transitional,
}

/// Why a view was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum ViewCause {
    /// A session joined.
    Join,
    /// A session left.
    Leave,
    /// A session ended without leaving.
    Disconnect,
    /// Nodes were lost, or the network was divided.
    Network,
    /// Rings merged.
    Merge,
    /// A node was put out of the ring because it broke the domain's contract.
    Demoted,
    /// Nodes have removed the domain. The protocol sees that their sessions ended, or that they are
    /// gone, and says that; this is for whoever knows more.
    Removed,
}
