//! Control packets that are larger than a datagram travel in parts. One unfinished packet per
//! sender: a newer one replaces an older one, since whatever matters is sent again.

use bytes::Bytes;
use std::collections::BTreeMap;

use super::packet::Packet;
use crate::id::NodeId;
use crate::limits;

/// Cuts a body into part packets of at most `piece_len_max` bytes each.
pub(crate) fn split(id: u32, kind: u8, body: Bytes, piece_len_max: usize) -> Vec<Packet> {
    let count = body.len().div_ceil(piece_len_max) as u16;
    (0..count)
        .map(|index| {
            let from = usize::from(index) * piece_len_max;
            let piece = body.slice(from..body.len().min(from + piece_len_max));
            Packet::Part { id, index, count, kind, piece }
        })
        .collect()
}

/// Unfinished packets by sender.
#[derive(Clone, Default, Hash)]
pub(crate) struct Parts {
    by_sender: BTreeMap<NodeId, Unfinished>,
}

#[derive(Clone, Hash)]
struct Unfinished {
    boot: u32,
    id: u32,
    kind: u8,
    pieces: Vec<Option<Bytes>>,
}

/// A piece as it arrived.
pub(crate) struct Piece {
    pub(crate) id: u32,
    pub(crate) index: u16,
    pub(crate) count: u16,
    pub(crate) kind: u8,
    pub(crate) bytes: Bytes,
}

impl Parts {
    /// Adds a piece; the kind and body of the packet if it is complete now.
    pub(crate) fn add(&mut self, node: NodeId, boot: u32, piece: Piece) -> Option<(u8, Bytes)> {
        let count = usize::from(piece.count);
        if piece.index >= piece.count || count * limits::MTU_MIN / 2 > limits::CONTROL_LEN_MAX {
            return None;
        }
        if self.by_sender.len() >= limits::MEMBERS_MAX && !self.by_sender.contains_key(&node) {
            self.by_sender.pop_first();
        }
        let fresh =
            || Unfinished { boot, id: piece.id, kind: piece.kind, pieces: vec![None; count] };
        let unfinished = self.by_sender.entry(node).or_insert_with(fresh);
        let same = (unfinished.boot, unfinished.id) == (boot, piece.id)
            && unfinished.kind == piece.kind
            && unfinished.pieces.len() == count;
        if !same {
            *unfinished = fresh();
        }
        unfinished.pieces[usize::from(piece.index)] = Some(piece.bytes);
        let len: usize = unfinished.pieces.iter().flatten().map(Bytes::len).sum();
        if len > limits::CONTROL_LEN_MAX {
            self.by_sender.remove(&node);
            return None;
        }
        if unfinished.pieces.iter().any(Option::is_none) {
            return None;
        }
        let unfinished = self.by_sender.remove(&node)?;
        let body: Vec<u8> = unfinished.pieces.into_iter().flatten().flatten().collect();
        Some((unfinished.kind, Bytes::from(body)))
    }
}
