//! What happened and how often: the one source for log, console, metrics and tests.

use core::fmt;
use core::net::SocketAddr;

use crate::id::{Incarnation, NodeId, Process, RingId};

/// Why a ring was left. It survives to the operator and, as the reason of a view, to every member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process started.
    Boot,
    /// No token arrived for this long.
    TokenLoss {
        /// Milliseconds without a token.
        after_ms: u64,
        /// Whom this node had passed the token to, if that hop was never confirmed.
        suspect: Option<NodeId>,
    },
    /// The transport reported that nobody listens at a member's address any more.
    Unreachable {
        /// The member.
        node: NodeId,
    },
    /// A member said that it leaves.
    Left {
        /// The member.
        node: NodeId,
    },
    /// A member was seen in a newer incarnation: it restarted.
    Restarted {
        /// The member.
        node: NodeId,
    },
    /// A member asked to re-form the ring.
    JoinFrom {
        /// The member.
        node: NodeId,
    },
    /// Another ring was found, or found us.
    Merge {
        /// The representative of the other ring.
        node: NodeId,
    },
    /// A commit did not complete in time.
    CommitTimeout,
    /// A recovery did not complete in time.
    RecoveryTimeout,
    /// A member cannot receive what everybody else holds.
    FailedToReceive {
        /// The member.
        node: NodeId,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot => write!(f, "this node started"),
            Self::TokenLoss { after_ms, suspect: Some(node) } => {
                write!(
                    f,
                    "no token for {after_ms} ms, last passed to node {node} which never confirmed it"
                )
            }
            Self::TokenLoss { after_ms, suspect: None } => write!(f, "no token for {after_ms} ms"),
            Self::Unreachable { node } => {
                write!(f, "node {node} is gone: its host says that nothing listens on its port")
            }
            Self::Left { node } => write!(f, "node {node} left cleanly"),
            Self::Restarted { node } => write!(f, "node {node} restarted"),
            Self::JoinFrom { node } => write!(f, "node {node} asked to re-form the ring"),
            Self::Merge { node } => write!(f, "merging with the ring of node {node}"),
            Self::CommitTimeout => write!(f, "forming the ring took too long"),
            Self::RecoveryTimeout => write!(f, "recovery took too long"),
            Self::FailedToReceive { node } => {
                write!(f, "node {node} does not receive what the others hold")
            }
        }
    }
}

/// Something that an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The state machine moved.
    State {
        /// From this state.
        from: &'static str,
        /// To this one.
        to: &'static str,
        /// Why.
        cause: Cause,
    },
    /// A regular configuration was installed.
    Installed {
        /// Its ring.
        ring: RingId,
        /// Its members, in token order.
        members: Vec<Process>,
        /// Why the ring before it was left.
        cause: Cause,
        /// From leaving the old ring to this, in microseconds.
        took_us: u64,
        /// Data travels by multicast; otherwise by unicast to each member.
        multicast: bool,
    },
    /// Another process uses this node's id.
    DuplicateNode {
        /// The id.
        node: NodeId,
        /// The other's address.
        address: SocketAddr,
        /// The other's incarnation.
        other: Incarnation,
    },
    /// Multicast does not reach everyone; said once per change. Data goes by unicast.
    MulticastUnusable {
        /// A node whose multicast is not heard by all.
        node: NodeId,
    },
    /// A peer speaks another version of the wire format.
    VersionMismatch {
        /// Its address.
        address: SocketAddr,
        /// Its version.
        theirs: u8,
        /// Ours.
        ours: u8,
    },
    /// The state file could not be written; this incarnation goes on without storage.
    StorageLost,
    /// A ring that could be reached cannot be merged with, and why.
    MergeRefused {
        /// Its representative.
        node: NodeId,
        /// Why.
        reason: &'static str,
    },
}

/// Counters since the core was made, and a few current values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each name says it; docs/OPERATIONS.md explains them to operators")]
pub struct Stats {
    pub datagrams_received: u64,
    pub datagrams_sent: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub dropped_not_ours: u64,
    pub dropped_checksum: u64,
    pub dropped_malformed: u64,
    pub dropped_stale: u64,
    pub dropped_other_cluster: u64,
    pub tokens_received: u64,
    pub tokens_repeated: u64,
    pub packets_ordered: u64,
    pub packets_repeated: u64,
    pub packets_duplicate: u64,
    pub repeats_requested: u64,
    pub messages_accepted: u64,
    pub messages_delivered: u64,
    pub messages_dropped: u64,
    pub views_delivered: u64,
    pub configurations_installed: u64,
    pub gathers: u64,
    pub joins_sent: u64,
    pub beacons_sent: u64,
    pub rotations: u64,
    pub store_packets: u64,
    pub send_queue_messages: u64,
    pub send_queue_bytes: u64,
    pub rotation_us: u64,
}
