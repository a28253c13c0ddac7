//! The event log that the oracle reads. It is written by the core as it acts and says nothing about
//! how it works inside.

use crate::id::{
    Configuration, GroupId, MemberId, MessageId, NodeId, Process, RingId, SessionId, ViewId,
};
use crate::output::{Recipients, ViewCause};
use crate::service::{Audience, Priority, Service};

/// One entry of a process's log. Axioms are cited by their ids in docs/PROTOCOL.md.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Trace {
    /// A message of a local session was accepted.
    Send {
        /// Its id.
        message: MessageId,
        /// The sending session.
        session: SessionId,
        /// To whom.
        to: Audience,
        /// How.
        service: Service,
        /// None: it is no message, but a session that joins or leaves.
        #[cfg_attr(feature = "serde", serde(default))]
        priority: Option<Priority>,
        /// Of its content.
        hash: u64,
    },
    /// This process bound a packet to an ordinal (every packet, also those that carry only parts of
    /// messages).
    Slot {
        /// In this ring.
        ring: RingId,
        /// At this place.
        ordinal: u64,
        /// Of its content.
        hash: u64,
        /// The packet is delivered only when safe.
        safe: bool,
    },
    /// This process bound the last fragment of one of its messages to a place in the order.
    Ordered {
        /// The message.
        message: MessageId,
        /// In this ring.
        ring: RingId,
        /// At this ordinal.
        ordinal: u64,
        /// At this frame of the packet, from 1.
        frame: u32,
    },
    /// A packet was handed to the group layer, in a configuration.
    Packet {
        /// The configuration of the delivery.
        configuration: Configuration,
        /// Its ordinal in the configuration's (old) ring.
        ordinal: u64,
        /// The node that ordered it.
        origin: NodeId,
        /// Of its content.
        hash: u64,
        /// The packet is a safe one.
        safe: bool,
    },
    /// A whole message was delivered, whether or not this node has members of its group.
    Deliver {
        /// The message.
        message: MessageId,
        /// In this configuration.
        configuration: Configuration,
        /// At this ordinal.
        ordinal: u64,
        /// At this frame of the packet, from 1.
        frame: u32,
        /// As asked for by the sender.
        service: Service,
        /// Of its content.
        hash: u64,
        /// Same-view: a group was in another view, so nobody gets it (axiom G7).
        refused: bool,
    },
    /// A message without order was handed to local sessions, or would have been if there were any.
    Unordered {
        /// The message.
        message: MessageId,
        /// The ring in which it was sent and received.
        ring: RingId,
        /// Of its content.
        hash: u64,
        /// Which local sessions got it.
        to: Option<Recipients>,
    },
    /// The message just delivered was given to the one session that it was for.
    Unicast {
        /// The message.
        message: MessageId,
        /// Who got it.
        session: SessionId,
    },
    /// A regular configuration was installed.
    Regular {
        /// Its id.
        ring: RingId,
        /// Its members.
        members: Vec<Process>,
    },
    /// A transitional configuration was installed.
    Transitional {
        /// The ring left.
        old: RingId,
        /// The ring to come.
        new: RingId,
        /// Those who move together.
        members: Vec<Process>,
        /// Whose packets behind a hole are delivered all the same.
        obligation: Vec<NodeId>,
        /// Up to here they know that every member of the old ring holds everything.
        safe_line: u64,
    },
    /// A view was given to the local members of a group.
    GroupView {
        /// The group.
        group: GroupId,
        /// Its id.
        id: ViewId,
        /// It is the transitional signal.
        transitional: bool,
        /// Why.
        cause: ViewCause,
        /// The members, in order.
        members: Vec<MemberId>,
        /// Per member: the set it came with; 0 is the set of this node's members.
        sets: Vec<u32>,
        /// Those who came together with this node's members.
        together: Vec<MemberId>,
        /// Members of this node among `members`.
        local: Vec<SessionId>,
        /// Members of this node that were in the view before and are not in this one.
        local_left: Vec<SessionId>,
    },
    /// A message was given to the local members of a group.
    GroupMessage {
        /// The group.
        group: GroupId,
        /// The sender.
        sender: MemberId,
        /// Its number within the view.
        sequence: u64,
        /// Of its content.
        hash: u64,
    },
    /// A token was accepted (liveness).
    TokenVisit {
        /// Of this ring.
        ring: RingId,
        /// Its number.
        token_sequence: u64,
    },
    /// The core left cleanly; counts as a crash for what it promised to others, but for axiom LV.
    Stopped {
        /// How long after it was asked to, by its own clock; `None`: it was not asked, it had to.
        waited_ms: Option<u64>,
    },
}
