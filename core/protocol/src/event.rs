//! What happened and how often: the one source for log, console, metrics and tests.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::contract::{Breach, Stays};
use crate::id::{Incarnation, NodeId, Process, RingId};

/// Why a ring was left. It survives to the operator and, as the reason of a view, to every member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// What members said while forming a ring cannot all be true.
    Contradiction,
    /// A member cannot receive what everybody else holds.
    FailedToReceive {
        /// The member.
        node: NodeId,
    },
    /// A member is put out: it breaks the domain's contract.
    Demoted {
        /// The member.
        node: NodeId,
        /// How.
        breach: Breach,
    },
    /// This node was asked to leave.
    Shutdown,
    /// A newer process with this node's id is in the cluster.
    Superseded,
    /// At the start: another process has this node's id.
    IdInUse,
    /// At the start: others know an earlier process of this node that is newer than this one.
    Outdated,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot => write!(f, "this node started"),
            Self::TokenLoss { after_ms, suspect: Some(node) } => {
                write!(
                    f,
                    "no token for {after_ms} ms, last passed to node {node} which never confirmed \
                     it"
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
            Self::Contradiction => write!(f, "what the members say contradicts itself"),
            Self::Demoted { node, breach } => {
                write!(f, "node {node} is demoted, it breaks the domain's contract: {breach}")
            }
            Self::Shutdown => write!(f, "this node was asked to leave"),
            Self::Superseded => write!(f, "a newer process has this node's id"),
            Self::IdInUse => write!(f, "another process has this node's id"),
            Self::Outdated => write!(f, "an earlier start of this node was newer than this one"),
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
        /// The row of the transition table (`transitions`).
        row: &'static str,
        /// From this state.
        from: &'static str,
        /// To this one.
        to: &'static str,
        /// On what came in.
        on: &'static str,
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
    /// A node has other times, or another contract; no ring is formed with it where all must have
    /// the same. Said again every minute.
    SettingsDiffer {
        /// The node.
        node: NodeId,
        /// Its address.
        address: SocketAddr,
        /// What is set differently there.
        differing: Vec<Differing>,
    },
    /// This process did not run for a while. Nobody else is blamed for what it missed.
    OwnPause {
        /// How much later than it had asked for it was called, in milliseconds.
        late_ms: u64,
    },
    /// The members agree that one of them breaks the domain's contract.
    ContractBroken {
        /// Which.
        node: NodeId,
        /// How.
        breach: Breach,
    },
    /// More than half of the members break it: it is not one that this network can meet, and nobody
    /// is demoted for it.
    ContractVoid {
        /// How many do.
        broken: usize,
        /// Of so many.
        members: usize,
        /// How one of them does.
        breach: Breach,
    },
    /// A member has broken it for the patience and is not put out.
    ContractStays {
        /// Which.
        node: NodeId,
        /// How it breaks the contract.
        breach: Breach,
        /// Why it is not.
        stays: Stays,
    },
    /// A member is put out of the ring for it.
    Demoted {
        /// Which; it may be this node.
        node: NodeId,
        /// How it broke the contract.
        breach: Breach,
        /// Who said so.
        stated_by: Vec<NodeId>,
        /// How many of all members are found to break it.
        broken: usize,
        /// The members, in token order.
        members: Vec<NodeId>,
        /// For how long it is not taken back.
        out_for: Duration,
    },
    /// A node is not let in: it would break the contract.
    NotAdmitted {
        /// Which.
        node: NodeId,
        /// How.
        breach: Breach,
    },
    /// This node is not let in.
    Refused {
        /// The representative of the ring that refuses it.
        by: NodeId,
        /// How it would break the contract.
        breach: Breach,
    },
    /// The state file could not be written; this incarnation goes on without storage.
    StorageLost,
    /// A ring that could be reached cannot be merged with, and why.
    MergeRefused {
        /// Its representative.
        node: NodeId,
        /// Why, as the end of a sentence.
        reason: String,
    },
}

/// A setting that is not the same at two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differing {
    /// Its key within a domain, as it is configured.
    pub key: &'static str,
    /// At the other node, in the key's unit.
    pub theirs: u32,
    /// Here.
    pub ours: u32,
}

/// Makes the struct and the list of its fields from one table, so that no counter can be missing
/// where they are shown.
macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the core was made, and a few current values. Counts only grow.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Every value with its name, in a fixed order.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

stats! {
    /// Datagrams given to the core, own multicast copies among them.
    datagrams_received,
    /// Datagrams that the core made.
    datagrams_sent,
    /// Bytes of the received ones.
    bytes_received,
    /// Bytes of the sent ones, once per destination.
    bytes_sent,
    /// Dropped: of another wire version.
    dropped_not_ours,
    /// Dropped: damaged on the way.
    dropped_checksum,
    /// Dropped, or not believed in part: truncated, or not what it claims to be.
    dropped_malformed,
    /// Dropped: of another ring, or of no use in the present state.
    dropped_stale,
    /// Dropped: of another cluster or domain.
    dropped_other_cluster,
    /// Tokens accepted.
    tokens_received,
    /// Tokens sent again because nothing was heard of them.
    tokens_repeated,
    /// Packets that this node gave an ordinal.
    packets_ordered,
    /// Packets that it sent again on request.
    packets_repeated,
    /// Times that it found that large datagrams do not arrive here, though they should.
    sizes_distrusted,
    /// Packets that it got more than once.
    packets_duplicate,
    /// Ordinals that it asked for.
    repeats_requested,
    /// Messages taken from local sessions, joins and leaves among them.
    messages_accepted,
    /// Messages reached in the order, those for groups without local members among them.
    messages_delivered,
    /// Messages without order taken from local sessions.
    unordered_accepted,
    /// Messages without order received, or looped back to this node.
    unordered_delivered,
    /// Messages without order dropped: sent or received between rings, in another ring, of nobody
    /// in it, too long, or again.
    unordered_dropped,
    /// Same-view messages reached in another view, and so given to nobody.
    messages_refused,
    /// Views given to local members.
    views_delivered,
    /// Regular configurations installed.
    configurations_installed,
    /// Entries of the gather state.
    gathers,
    /// Times that this process did not run for more than half of the token loss time.
    own_pauses,
    /// Joins sent.
    joins_sent,
    /// Beacons sent.
    beacons_sent,
    /// Rotations of the token, counted by the representative.
    rotations,
    /// Now: packets held for others.
    store_packets,
    /// Now: messages waiting to be ordered.
    send_queue_messages,
    /// Now: their bytes.
    send_queue_bytes,
    /// Now: bytes of control packets of which parts are missing.
    part_bytes,
    /// Now: bytes of large messages of which pieces are missing.
    fragment_bytes,
    /// Now: other rings that may be merged with.
    candidates,
    /// Now: processes of which the address is remembered, and nodes of which the newest start is.
    book_entries,
    /// Now: what is remembered of links, the own ones and those that others told of.
    link_entries,
    /// Now: bytes of UDP payload per datagram of the ring, at most.
    ring_mtu,
    /// Now: packets that all members together may order in a rotation of the token, as it was last
    /// seen; 0 without a ring.
    ring_window,
}
