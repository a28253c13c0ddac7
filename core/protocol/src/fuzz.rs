//! Doors for the fuzz targets in `tests/fuzz`: the parsers as they are, without a datagram around
//! them; and for the benchmarks in `tests/micro`. Not for anybody else.

use bytes::Bytes;

use crate::group::{Fragments, Snapshot};
use crate::id::{GroupId, NodeId};
use crate::limits;
use crate::state::unordered;
use crate::wire::audience::{HEAD_LEN_MAX, Scope, split_head, with_head};
use crate::wire::frame::Frame;
use crate::wire::{Arena, Header, Packet, Parts, Piece, Reader, Writer, open, seal, split};

/// The number of the last kind of packet.
pub const KIND_MAX: u8 = crate::wire::packet::KIND_MAX;

/// Reads a datagram as a core of that cluster and domain does; whether it is one.
pub fn datagram(bytes: &Bytes, cluster: u64, domain: u16) -> bool {
    let opened = open(bytes, (cluster, domain), true);
    opened.is_ok_and(|(header, body)| Packet::decode(header.kind, body).is_ok())
}

/// A datagram that was read, to be written again and again.
pub struct Reread {
    arena: Arena,
    header: Header,
    packet: Packet,
    len: usize,
}

impl Reread {
    /// What [`datagram`] reads, if it is one.
    pub fn of(bytes: &Bytes, cluster: u64, domain: u16) -> Option<Self> {
        let (header, body) = open(bytes, (cluster, domain), true).ok()?;
        let packet = Packet::decode(header.kind, body).ok()?;
        Some(Self { arena: Arena::default(), header, packet, len: bytes.len() })
    }

    /// The same datagram.
    pub fn write(&mut self) -> Bytes {
        seal(&mut self.arena, &self.header, self.len, |w| self.packet.encode(w))
    }
}

/// Reads the body of a packet. What can be read can be written, and is read back the same; the
/// answer is what was written.
pub fn packet(kind: u8, body: &Bytes) -> Option<Bytes> {
    let packet = Packet::decode(kind, Reader::new(body)).ok()?;
    let written = write(|w| packet.encode(w));
    assert!(written.len() <= body.len() + 8, "writing adds something to {packet:?}");
    let again = Packet::decode(packet.kind(), Reader::new(&written));
    assert_eq!(again.as_ref(), Ok(&packet), "not read as it was written");
    Some(written)
}

/// Reads frames, and puts fragments together as a group table does: whole messages that came out.
pub fn content(origins: &[NodeId], content: &Bytes) -> usize {
    let mut fragments = Fragments::default();
    let mut messages = 0;
    let mut r = Reader::new(content);
    for origin in origins.iter().cycle() {
        let Ok(frame) = Frame::decode(&mut r) else { break };
        let written = write(|w| frame.encode(w));
        let again = Frame::decode(&mut Reader::new(&written));
        assert_eq!(again.as_ref(), Ok(&frame), "not read as it was written");
        let Some(fragment) = frame.fragment else {
            messages += 1;
            continue;
        };
        let added = fragments.add(*origin, frame.counter, fragment, frame.payload);
        if let Ok(Some(pieces)) = added {
            let (len, total): (usize, _) = (pieces.iter().map(Bytes::len).sum(), fragment.total);
            assert_eq!(len, total as usize, "a whole message of another length than it said");
            assert!(len <= limits::MESSAGE_LEN_MAX + HEAD_LEN_MAX);
            messages += 1;
        }
    }
    messages
}

/// Reads a group table as it travels during recovery; what can be read is written the same way.
pub fn snapshot(bytes: &Bytes) -> bool {
    let Ok(snapshot) = Snapshot::decode(bytes) else { return false };
    let again = Snapshot::decode(&snapshot.encode());
    assert_eq!(again.as_ref(), Ok(&snapshot), "not read as it was written");
    true
}

/// Takes the head off a message that is in two pieces: it does not matter where it is cut, and the
/// head is written as it was. Whether there is one.
pub fn head(scope: u8, message: &Bytes, cut: usize) -> bool {
    let all = [Scope::Group, Scope::GroupInView, Scope::Groups, Scope::Member];
    let (scope, cut) = (all[usize::from(scope) % all.len()], cut.min(message.len()));
    let mut pieces = vec![message.slice(..cut), message.slice(cut..)];
    let split = split_head(scope, GroupId(7), &mut pieces);
    let whole = split_head(scope, GroupId(7), &mut [message.clone()]);
    assert_eq!(split, whole, "where the message is cut decides what it says");
    let Ok(audience) = split else { return false };
    assert_eq!(Scope::of(&audience), scope);
    assert_eq!(with_head(&audience, pieces.concat().into()), message, "not written as it was");
    true
}

/// Reads a message without order; whether it is one.
pub fn letter(content: &Bytes) -> bool {
    unordered::reopen(content)
}

/// What a node takes in while a ring recovers.
pub struct Recovering(crate::state::fuzz::Intake);

impl Default for Recovering {
    fn default() -> Self {
        Self(crate::state::fuzz::Intake::new())
    }
}

impl Recovering {
    /// The content of a recovery packet of node 1, 2 or any other; whether it could be read.
    pub fn take(&mut self, origin: NodeId, content: Bytes) -> bool {
        self.0.take(origin, content)
    }

    /// Both tables have come: they are sent and taken in the same. False if they have not.
    pub fn has_tables(&self) -> bool {
        self.0.has_tables()
    }
}

/// Puts parts of packets together.
#[derive(Default)]
pub struct Reassembly(Parts);

impl Reassembly {
    /// One part, of which anything may be wrong. The whole, if it is complete.
    pub fn add(
        &mut self,
        sender: (NodeId, u32),
        id: u32,
        place: (u16, u16),
        kind: u8,
        bytes: Bytes,
    ) -> Option<(u8, Bytes)> {
        let piece = Piece { id, index: place.0, count: place.1, kind, bytes };
        let whole = self.0.add(sender.0, sender.1, piece);
        let fits = |body: &Bytes| body.len() <= limits::CONTROL_LEN_MAX;
        assert!(whole.as_ref().is_none_or(|(_, body)| fits(body)), "longer than anything may be");
        whole
    }

    /// Cuts a body and puts it together again, in that order.
    pub fn cut_and_join(&mut self, body: &Bytes, piece_len_max: usize, backwards: bool) {
        let mut parts = split(7, 5, body.clone(), piece_len_max);
        if backwards {
            parts.reverse();
        }
        let mut whole = None;
        for part in parts {
            assert!(whole.is_none(), "complete before the last part");
            let Packet::Part { id, index, count, kind, piece } = part else { continue };
            whole = self.add((NodeId(9), 1), id, (index, count), kind, piece);
        }
        assert_eq!(whole.map(|w| w.1).as_ref(), Some(body), "not put together as it was cut");
    }
}

fn write(what: impl FnOnce(&mut Writer)) -> Bytes {
    let mut w = Writer::default();
    what(&mut w);
    w.bytes.freeze()
}
