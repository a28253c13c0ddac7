//! What a core is told when it is made.

use core::net::SocketAddr;
use core::time::Duration;

use crate::contract::Contract;
use crate::id::Process;
use crate::limits;

/// Settings of one domain's core; all already validated.
#[derive(Clone, Debug, Hash)]
pub struct CoreConfig {
    /// Hash of the cluster name (`hash64`): datagrams of other clusters are counted and dropped.
    pub cluster: u64,
    /// Number of the domain within the cluster.
    pub domain: u16,
    /// Explicit peers to look for by unicast; may be empty where multicast finds them.
    pub peers: Vec<SocketAddr>,
    /// The transport has a multicast group.
    pub multicast: bool,
    /// Bytes of UDP payload per datagram that every path carries, if need be in fragments.
    pub mtu: usize,
    /// Bytes of UDP payload per datagram to try for; `mtu` and less: none beyond that.
    pub mtu_max: usize,
    /// Packets per rotation of the token, all members together.
    pub window: u32,
    /// Messages waiting to be ordered before sessions are held back.
    pub send_queue_messages_max: usize,
    /// Bytes waiting to be ordered before sessions are held back; one message may exceed it.
    pub send_queue_len_max: usize,
    /// Bytes of messages that sessions here may send in a second; 0: no bound.
    pub send_len_per_s_max: u64,
    /// Wire versions spoken, lowest and highest. Rings without a common version stay apart.
    pub wire: (u8, u8),
    /// Features that a ring uses if all its members have them, one bit each
    /// (`limits::FEATURE_ACCELERATED`).
    pub features: u32,
    /// Datagrams carry a CRC32C, and it is checked; not needed where the transport authenticates
    /// them. The same at all nodes.
    pub checksum: bool,
    /// Messages say where they are in the order.
    pub places: bool,
    /// When to do what.
    pub timers: Timers,
    /// No ring is formed with who has other times, or another contract; else that is only said.
    pub same_terms: bool,
    /// What members may cost each other.
    pub contract: Contract,
    /// Members are measured even if no contract says what they may cost each other.
    pub measures: bool,
    /// Seed of every random choice.
    pub seed: u64,
    /// Emit `Output::Trace`.
    pub trace: bool,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            cluster: crate::id::hash64(b"anasazi"),
            domain: 0,
            peers: Vec::new(),
            multicast: true,
            mtu: limits::MTU_DEFAULT,
            mtu_max: limits::MTU_MAX,
            window: limits::WINDOW_DEFAULT,
            send_queue_messages_max: limits::SEND_QUEUE_MESSAGES_MAX,
            send_queue_len_max: limits::SEND_QUEUE_LEN_MAX,
            send_len_per_s_max: 0,
            wire: limits::WIRE_VERSIONS,
            features: limits::FEATURE_ACCELERATED,
            checksum: true,
            places: false,
            timers: Timers::default(),
            same_terms: false,
            contract: Contract::default(),
            measures: false,
            seed: 1,
            trace: false,
        }
    }
}

/// Who this is and what earlier incarnations have used up. Durable before the core is made.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// This node, in its new incarnation.
    pub process: Process,
    /// Ring numbers up to this one may have been used by earlier incarnations.
    pub ring_sequence_floor: u64,
    /// Ring numbers up to this one are durably reserved; `u64::MAX` without storage.
    pub ring_sequence_reserved: u64,
}

/// Times of the protocol.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Timers {
    /// Without a token for this long, the ring is re-formed. At least three times `idle_rotate`.
    pub token_loss: Duration,
    /// A token that was passed on and of which nothing was heard since is sent again after this.
    pub token_repeat: Duration,
    /// An idle ring passes its token round this often.
    pub idle_rotate: Duration,
    /// While gathering, Joins are repeated this often.
    pub join_repeat: Duration,
    /// While gathering, a member that was not heard for this long is left out. At least ten times
    /// `join_repeat`.
    pub consensus: Duration,
    /// A commit that takes longer is given up.
    pub commit: Duration,
    /// A recovery without progress for this long is given up.
    pub recovery: Duration,
    /// Beacons for other rings, when all is quiet; five times as often for five
    /// intervals after a change.
    pub beacon: Duration,
    /// At start: how long to listen for another process with this node's id.
    pub probation: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            token_loss: ms(250),
            token_repeat: ms(10),
            idle_rotate: ms(60),
            join_repeat: ms(15),
            consensus: ms(150),
            commit: ms(150),
            recovery: ms(1_000),
            beacon: ms(1_000),
            probation: ms(100),
        }
    }
}
