//! Control packets that are larger than a datagram travel in parts, and so do data packets that
//! must arrive though they are larger than the ring's datagrams. Few unfinished packets are kept
//! per sender: newer ones replace older ones, since whatever matters is sent again.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

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

/// Unfinished packets by sender, the one begun last at the end.
#[derive(Clone, Default, Hash)]
pub(crate) struct Parts {
    by_sender: BTreeMap<NodeId, VecDeque<Unfinished>>,
}

#[derive(Clone, Hash)]
struct Unfinished {
    boot: u32,
    id: u32,
    kind: u8,
    pieces: Vec<Option<Bytes>>,
}

impl Unfinished {
    fn len(&self) -> usize {
        self.pieces.iter().flatten().map(Bytes::len).sum()
    }
}

/// Unfinished packets of one sender.
const UNFINISHED_MAX: usize = 8;

/// A piece as it arrived.
pub(crate) struct Piece {
    pub(crate) id: u32,
    pub(crate) index: u16,
    pub(crate) count: u16,
    pub(crate) kind: u8,
    pub(crate) bytes: Bytes,
}

impl Parts {
    /// All that is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.by_sender.values().flatten().map(Unfinished::len).sum()
    }

    /// Adds a piece; the kind and body of the packet if it is complete now.
    pub(crate) fn add(&mut self, node: NodeId, boot: u32, piece: Piece) -> Option<(u8, Bytes)> {
        let count = usize::from(piece.count);
        if piece.index >= piece.count || count * limits::MTU_MIN / 2 > limits::CONTROL_LEN_MAX {
            return None;
        }
        if self.by_sender.len() >= limits::MEMBERS_MAX && !self.by_sender.contains_key(&node) {
            self.by_sender.pop_first();
        }
        let all = self.by_sender.entry(node).or_default();
        all.retain(|u| u.boot == boot);
        let same = |u: &Unfinished| (u.id, u.kind, u.pieces.len()) == (piece.id, piece.kind, count);
        let mut unfinished = match all.iter().position(same) {
            Some(index) => all.remove(index)?,
            None => Unfinished { boot, id: piece.id, kind: piece.kind, pieces: vec![None; count] },
        };
        // Copied: it may wait for long, and would pin down what else came with it.
        let bytes = Bytes::copy_from_slice(&piece.bytes);
        unfinished.pieces[usize::from(piece.index)] = Some(bytes);
        if unfinished.len() > limits::CONTROL_LEN_MAX {
            return None;
        }
        if unfinished.pieces.iter().all(Option::is_some) {
            let body: Vec<u8> = unfinished.pieces.into_iter().flatten().flatten().collect();
            return Some((unfinished.kind, Bytes::from(body)));
        }
        all.push_back(unfinished);
        while all.len() > UNFINISHED_MAX
            || all.iter().map(Unfinished::len).sum::<usize>() > limits::CONTROL_LEN_MAX
        {
            all.pop_front();
        }
        None
    }
}
