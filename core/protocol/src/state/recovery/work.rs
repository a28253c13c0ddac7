//! What this node has to send in a recovery, and what it collects.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;

use bytes::Bytes;
use std::collections::VecDeque;

use crate::group::Snapshot;
use crate::id::NodeId;
use crate::limits;
use crate::node::Node;
use crate::ring::{Held, Outgoing, Ring, Source};
use crate::state::component::Component;
use crate::wire::{Reader, WireError, Writer};

/// Bytes around a piece of a table.
const TABLE_HEADER_LEN: usize = 11;
const OLD_PACKET: u8 = 0;
const TABLE: u8 = 1;

#[derive(Clone, Hash)]
pub(super) struct Work {
    component: u16,
    /// Ordinals of the old ring that are this node's to send.
    ordinals: VecDeque<u64>,
    /// Their contents, and the table's pieces, ready to go.
    ready: VecDeque<(Bytes, Kind)>,
    /// Of each component the member that sends its table; and this node is one that still has to.
    speakers: Vec<Option<NodeId>>,
    speaks: bool,
    /// This node holds all that its component shares.
    complete: bool,
    sent: (u64, u16),
    tables: Vec<Table>,
}

#[derive(Clone, Copy, PartialEq, Hash)]
enum Kind {
    OldPacket,
    TablePiece { last: bool },
}

#[derive(Clone, Default, Hash)]
struct Table {
    bytes: Vec<u8>,
    next: u32,
    finished: bool,
}

impl Work {
    pub(super) fn new(me: NodeId, components: &[Component], mine: usize) -> Self {
        let own = &components[mine];
        let to_send = own.to_send.iter().filter(|(_, sender)| *sender == me);
        Self {
            component: mine as u16,
            ordinals: to_send.map(|(ordinal, _)| *ordinal).collect(),
            ready: VecDeque::new(),
            speakers: components.iter().map(|c| c.members.first().copied()).collect(),
            speaks: components.len() > 1 && own.members.first() == Some(&me),
            complete: false,
            sent: (0, 0),
            tables: vec![Table::default(); components.len()],
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// The node speaks for its component, holds everything, and has not yet prepared the table.
    pub(super) fn wants_table(&self) -> bool {
        self.speaks && self.complete
    }

    /// The table as it will be, to be sent.
    pub(super) fn set_table(&mut self, snapshot: &Snapshot, piece_len_max: usize) {
        self.speaks = false;
        let bytes = snapshot.encode();
        let step = piece_len_max - TABLE_HEADER_LEN;
        let count = bytes.len().div_ceil(step);
        for index in 0..count {
            let mut w = Writer::default();
            w.u8(TABLE);
            w.u16(self.component);
            w.u32(index as u32);
            w.u32(count as u32);
            w.slice(&bytes[index * step..bytes.len().min((index + 1) * step)]);
            let kind = Kind::TablePiece { last: index + 1 == count };
            self.ready.push_back((w.bytes.freeze(), kind));
        }
    }

    /// Wraps the packets that are this node's to send.
    pub(super) fn wrap(&mut self, old: &Ring) {
        for ordinal in core::mem::take(&mut self.ordinals) {
            // It said that it holds them, and nothing is dropped in between.
            let Some(held) = old.store.get(ordinal) else { continue };
            let mut w = Writer::with_capacity(held.content.len() + limits::ENCAPSULATION_LEN);
            w.u8(OLD_PACKET);
            w.u16(self.component);
            w.u64(ordinal);
            w.u32(held.origin.0);
            w.u8(u8::from(held.safe));
            w.slice(&held.content);
            self.ready.push_back((w.bytes.freeze(), Kind::OldPacket));
        }
    }

    /// How many old packets and whole tables were sent since the last call.
    pub(super) fn take_sent(&mut self) -> (u64, u16) {
        core::mem::take(&mut self.sent)
    }

    /// A recovery packet, in order.
    pub(super) fn take_in(&mut self, old: &mut Ring, mine: usize, held: &Held) {
        // A member's own encoding; if it cannot be read it is as good as lost, and nothing is
        // installed (`install`).
        let _ = self.parse(old, mine, held);
    }

    fn parse(&mut self, old: &mut Ring, mine: usize, held: &Held) -> Result<(), WireError> {
        let mut r = Reader::new(&held.content);
        let (kind, component) = (r.u8()?, usize::from(r.u16()?));
        if kind == OLD_PACKET {
            let (ordinal, origin, safe) = (r.u64()?, r.node()?, r.u8()? == 1);
            if component == mine {
                old.store
                    .insert(ordinal, Held { origin, safe, recovery: false, content: r.rest() });
            }
            return Ok(());
        }
        if self.speakers.get(component) != Some(&Some(held.origin)) {
            return Err(WireError::Invalid("a table of somebody else's component"));
        }
        let (index, count) = (r.u32()?, r.u32()?);
        let table = self.tables.get_mut(component).ok_or(WireError::Invalid("component"))?;
        if index != table.next {
            return Err(WireError::Invalid("table piece out of order"));
        }
        table.next += 1;
        table.bytes.extend_from_slice(&r.rest());
        table.finished = table.next == count;
        Ok(())
    }

    /// All tables, in the order of the components, if all are whole.
    pub(super) fn tables(&self) -> Option<Vec<Snapshot>> {
        let decode = |t: &Table| {
            let bytes = t.finished.then(|| Bytes::copy_from_slice(&t.bytes))?;
            Snapshot::decode(&bytes).ok()
        };
        self.tables.iter().map(decode).collect()
    }
}

impl Source for Work {
    fn next(&mut self, _: &mut Node) -> Option<Outgoing> {
        let (content, kind) = self.ready.pop_front()?;
        match kind {
            Kind::OldPacket => self.sent.0 += 1,
            Kind::TablePiece { last } => self.sent.1 += u16::from(last),
        }
        Some(Outgoing { content, safe: false, recovery: true })
    }

    fn backlog(&self, _: &Node) -> u32 {
        self.ready.len() as u32
    }
}
