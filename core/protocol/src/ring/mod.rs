//! One order on a ring of known members: ordinals given out by whoever holds the token, packets
//! held until everybody has them, lines that say how far. The same ring carries messages when
//! operational and old packets during recovery.
//!
//! | file | what |
//! |---|---|
//! | `store` | packets by ordinal |
//! | `token` | a visit of the token |
//! | `forecast` | who is likely to send next |
//! | `hop` | passing it on, repeating it, parking it |
//! | `mtu` | how large its datagrams are |
//! | `pace` | how long rotations take, and what a member's own link carries |
//! | `asked` | who wants to know when it comes here |
//! | `waiting` | a token that has arrived before the data that it covers |
//! | `window` | how much may be sent, and how much of it behind the token |

mod asked;
mod forecast;
mod hop;
mod mtu;
mod pace;
mod store;
mod token;
mod waiting;
mod window;

use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

use asked::Asked;
pub(crate) use hop::Hop;
use hop::Wake;
pub(crate) use store::{Held, Store};
pub(crate) use token::{Outgoing, Source};

use crate::id::{NodeId, Process, RingId};
use crate::limits;
use crate::node::Node;
use crate::output::Destination;
use crate::planted::planted;
use crate::time::Instant;
use crate::wire::packet::DATA_CONTENT_AT;
use crate::wire::{DATA_OVERHEAD_LEN, Data, Dialect, Packet, Token, seal};
use forecast::Forecast;
use mtu::Size;
use pace::{Outlet, Rotations};
use waiting::Arrived;
use window::{Acceleration, Tuner};

/// A ring as one member sees it.
#[derive(Clone, Hash)]
pub(crate) struct Ring {
    pub(crate) id: RingId,
    /// In token order; the first is the representative.
    pub(crate) members: Vec<Process>,
    /// This node's index in `members`.
    pub(crate) me: usize,
    /// Data goes by multicast, else by unicast to each member.
    pub(crate) multicast: bool,
    pub(crate) store: Store,
    /// This node holds everything up to here.
    pub(crate) aru: u64,
    /// Highest ordinal known to be given out.
    pub(crate) high: u64,
    /// Every member holds everything up to here.
    pub(crate) safe_line: u64,
    /// Handed on up to here.
    pub(crate) delivered: u64,
    forecast: Forecast,
    /// Number of the newest token accepted.
    accepted: u64,
    /// The token as this node last sent it.
    last_sent: Option<Token>,
    /// What this node added to the token at its last visit.
    contribution: Contribution,
    /// What all members speak; the ring uses its newest version.
    pub(crate) dialect: Dialect,
    /// Packets are also sent behind the token, and only what was given out a round ago is asked
    /// for (all members have that feature).
    pub(crate) accelerated: bool,
    acceleration: Acceleration,
    tuner: Tuner,
    rotations: Rotations,
    outlet: Outlet,
    size: Size,
    /// Sealed packets that go out behind the token.
    behind: Vec<Bytes>,
    /// The accepted token, while it waits for data.
    arrived: Option<Arrived>,
    /// The token is to be used before more data are read.
    token_first: bool,
    pub(crate) hop: Hop,
    /// When a token was last accepted.
    pub(crate) token_at: Instant,
    /// How long it was away before that.
    away: Duration,
    /// Somebody asked not to park the token.
    wake_wanted: bool,
    /// The token's aru, who holds it back, and since when it has been the same while there is more
    /// to receive.
    stall: Option<(u64, NodeId, Instant)>,
    /// Visits since this member's aru moved while it lacked something, and that aru.
    lacking: (u64, u32),
    /// When the token is overdue and the predecessor is asked for it: if its process is gone, its
    /// host will say so, long before the token counts as lost.
    probe_at: Option<Instant>,
    /// Who wants to know when a token comes here.
    asked: Asked,
    /// Asking for a token that is parked elsewhere.
    wake: Option<Wake>,
}

/// What a member added to the token: packets sent, packets sent again, packets waiting.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Contribution {
    sent: u32,
    repeated: u32,
    backlog: u32,
}

impl Ring {
    pub(crate) fn new(id: RingId, members: Vec<Process>, me: usize, multicast: bool) -> Self {
        Self {
            id,
            members,
            me,
            multicast,
            store: Store::default(),
            aru: 0,
            high: 0,
            safe_line: 0,
            delivered: 0,
            forecast: Forecast::default(),
            accepted: 0,
            last_sent: None,
            contribution: Contribution::default(),
            dialect: Dialect::default(),
            accelerated: false,
            acceleration: Acceleration::default(),
            tuner: Tuner::default(),
            rotations: Rotations::default(),
            outlet: Outlet::default(),
            size: Size::default(),
            behind: Vec::new(),
            arrived: None,
            token_first: false,
            hop: Hop::Elsewhere,
            token_at: Instant::default(),
            away: Duration::ZERO,
            wake_wanted: false,
            stall: None,
            lacking: (0, 0),
            probe_at: None,
            asked: Asked::default(),
            wake: None,
        }
    }

    /// Fixes what all members speak.
    pub(crate) fn speak(&mut self, dialect: Dialect) {
        self.dialect = dialect;
        self.accelerated = dialect.has(limits::FEATURE_ACCELERATED);
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.members.len() == 1
    }

    /// How long the token was away when it last came.
    pub(crate) fn rotation(&self) -> Duration {
        self.away
    }

    pub(crate) fn is_representative(&self) -> bool {
        self.me == 0
    }

    pub(crate) fn has_member(&self, process: Process) -> bool {
        self.members.contains(&process)
    }

    /// This node has passed the token on at least once.
    pub(crate) fn has_sent(&self) -> bool {
        self.last_sent.is_some()
    }

    /// How often a packet for all crosses this member's link.
    fn copies(&self) -> u64 {
        if self.multicast { 1 } else { self.members.len().max(2) as u64 - 1 }
    }

    fn successor(&self) -> Process {
        *self.members.get(self.me + 1).unwrap_or(&self.members[0])
    }

    fn predecessor(&self) -> Process {
        self.members[self.me.checked_sub(1).unwrap_or(self.members.len() - 1)]
    }

    /// A data packet of this ring arrived.
    pub(crate) fn on_data(&mut self, node: &mut Node, transmitter: NodeId, data: Data) {
        let Some(origin) = self.members.iter().position(|p| p.node == data.origin) else {
            node.out.stats.dropped_malformed += 1;
            return;
        };
        if self.store.is_beyond(data.ordinal) {
            node.out.stats.dropped_malformed += 1;
            return;
        }
        if self.last_sent.as_ref().is_some_and(|t| data.token_sequence > t.token_sequence) {
            self.hop.confirmed();
        }
        let from_predecessor = transmitter == self.predecessor().node;
        self.watch_for_token(&data, from_predecessor);
        // A safe line ahead of what this node holds cannot be true: it is one of those who must
        // hold it.
        if data.safe_line <= self.aru {
            self.safe_line = self.safe_line.max(data.safe_line);
            self.drop_held_by_all();
        } else {
            node.out.stats.dropped_malformed += 1;
        }
        let arrival = (data.origin, data.content.len(), data.repeated);
        let held = Held {
            origin: data.origin,
            safe: data.safe,
            recovery: data.recovery,
            content: data.content,
        };
        let fresh = self.store.insert(data.ordinal, held);
        self.watch_size(node, arrival, fresh);
        if fresh {
            self.forecast.other_sent(origin, data.ordinal);
            if let (true, Some(keeper)) = (data.repeated, &mut node.contract) {
                keeper.lost(data.origin);
            }
        } else {
            node.out.stats.packets_duplicate += 1;
        }
        self.advance_aru();
    }

    /// The next packet to hand on, if its service allows it now: in the order of ordinals (TO1),
    /// without holes (TO2), each once (B2), a safe one once every member holds it (SA1).
    pub(crate) fn next_deliverable(&self) -> Option<(u64, &Held)> {
        let mut ordinal = self.delivered + 1;
        if planted!("hole_skipped") && !self.store.has(ordinal) && self.store.has(ordinal + 1) {
            ordinal += 1;
        }
        let held = self.store.get(ordinal)?;
        let safe = held.safe && !planted!("safe_as_agreed");
        let reached = ordinal <= self.aru || planted!("hole_skipped");
        let ready = reached && (!safe || ordinal <= self.safe_line);
        ready.then_some((ordinal, held))
    }

    /// Drops what was handed on here and is held by everybody.
    pub(crate) fn collect(&mut self, node: &mut Node) {
        if planted!("store_dropped_early") {
            self.store.drop_up_to(self.delivered);
        }
        self.drop_held_by_all();
        node.out.stats.store_packets = self.store.held();
    }

    fn drop_held_by_all(&mut self) {
        if !planted!("store_never_forgets") {
            self.store.drop_up_to(self.safe_line.min(self.delivered));
        }
    }

    /// Which packets above the aru are held, for a MemberState.
    pub(crate) fn held_bitmap(&self) -> Vec<u8> {
        let mut bitmap = Vec::new();
        for ordinal in self.aru + 1..=self.store.high() {
            let shift = u64::from(planted!("held_shifted"));
            let bit = (ordinal - self.aru - 1 + shift) as usize;
            if bit / 8 >= limits::HELD_BITMAP_LEN_MAX {
                break;
            }
            if bit / 8 >= bitmap.len() {
                bitmap.push(0);
            }
            if self.store.has(ordinal) {
                bitmap[bit / 8] |= 1 << (bit % 8);
            }
        }
        bitmap
    }

    pub(crate) fn advance_aru(&mut self) {
        while self.store.has(self.aru + 1) {
            self.aru += 1;
        }
        self.high = self.high.max(self.store.high());
    }

    /// Gives the next ordinal to a packet of this node, and sends it. Returns the ordinal. Only who
    /// holds the token does so: nobody else can give it out (axiom B4).
    fn order(
        &mut self,
        node: &mut Node,
        token_sequence: u64,
        outgoing: Outgoing,
        post: bool,
    ) -> u64 {
        let ordinal = self.high + 1;
        let data = Data {
            ring: self.id,
            ordinal,
            origin: node.me.node,
            safe: outgoing.safe,
            recovery: outgoing.recovery,
            post,
            repeated: false,
            token_sequence,
            safe_line: self.safe_line,
            content: outgoing.content,
        };
        let content = if self.is_alone() { data.content } else { self.transmit_new(node, data) };
        let held = Held {
            origin: node.me.node,
            safe: outgoing.safe,
            recovery: outgoing.recovery,
            content,
        };
        let kept = self.store.insert(ordinal, held);
        assert!(kept, "flow control lets nothing be ordered that the store cannot keep");
        self.high = ordinal;
        node.out.stats.packets_ordered += 1;
        ordinal
    }

    /// Sends a new packet to all members, or keeps it to be sent behind the token; returns its
    /// content as a slice of the datagram.
    fn transmit_new(&mut self, node: &mut Node, data: Data) -> Bytes {
        if DATA_OVERHEAD_LEN + data.content.len() > node.ring_mtu {
            // A wrapped packet of an old ring that had larger ones.
            let content = data.content.clone();
            self.transmit_in_parts(node, Data { post: false, ..data }, None);
            return content;
        }
        let post = data.post;
        let bytes = seal_data(node, data);
        let content = bytes.slice(DATA_CONTENT_AT..bytes.len() - 4);
        if post {
            self.behind.push(bytes);
        } else {
            self.transmit(node, bytes);
        }
        content
    }

    /// Sends what was kept to go behind the token.
    pub(crate) fn send_behind(&mut self, node: &mut Node) {
        for bytes in core::mem::take(&mut self.behind) {
            self.transmit(node, bytes);
        }
    }

    /// Sends a datagram to all other members.
    pub(crate) fn transmit(&self, node: &mut Node, bytes: Bytes) {
        if self.multicast {
            node.transmit(Destination::Multicast, bytes);
            return;
        }
        let me = node.me;
        for member in self.members.iter().filter(|p| **p != me) {
            if let Some(address) = node.book.address(*member) {
                node.transmit(Destination::Unicast(address), bytes.clone());
            }
        }
    }

    /// Sends a held packet again: to the one that lacks it, or to all.
    fn repeat(&mut self, node: &mut Node, token_sequence: u64, ordinal: u64, by: Option<NodeId>) {
        let Some(held) = self.store.get(ordinal) else { return };
        let is_wrong = planted!("safe_line_of_repeats");
        let safe_line = if is_wrong { ordinal } else { self.safe_line };
        let data = Data {
            ring: self.id,
            ordinal,
            origin: held.origin,
            safe: held.safe,
            recovery: held.recovery,
            post: false,
            repeated: true,
            token_sequence,
            safe_line,
            content: held.content.clone(),
        };
        node.out.stats.packets_repeated += 1;
        let len = (DATA_OVERHEAD_LEN + data.content.len()) as u64;
        self.outlet.sent(if by.is_some() { len } else { len * self.copies() });
        let one = by.and_then(|by| self.members.iter().find(|p| p.node == by));
        let one = one.and_then(|p| node.book.address(*p));
        if mtu::is_large(node, data.content.len()) {
            // Perhaps it did not arrive because it is so large.
            return self.transmit_in_parts(node, data, one);
        }
        let bytes = seal_data(node, data);
        self.transmit_to(node, one, bytes);
    }

    /// Sends a packet in datagrams of the base size.
    fn transmit_in_parts(&self, node: &mut Node, data: Data, to: Option<SocketAddr>) {
        for bytes in node.datagrams(&Packet::Data(data)) {
            self.transmit_to(node, to, bytes);
        }
    }

    /// Sends a datagram to one address, or to all other members.
    fn transmit_to(&self, node: &mut Node, to: Option<SocketAddr>, bytes: Bytes) {
        match to {
            Some(address) => node.transmit(Destination::Unicast(address), bytes),
            None => self.transmit(node, bytes),
        }
    }
}

fn seal_data(node: &mut Node, data: Data) -> Bytes {
    let len = DATA_OVERHEAD_LEN + data.content.len();
    let packet = Packet::Data(data);
    let header = node.header(packet.kind());
    seal(&mut node.arena, &header, len, |w| packet.encode(w))
}
