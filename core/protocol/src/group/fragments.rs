//! Puts large messages together. A node's fragments come in order, one message at a time; whatever
//! does not fit that is the rest of a message of which a part fell into a hole, and is dropped by
//! every member alike.

use bytes::Bytes;
use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::limits;
use crate::wire::WireError;
use crate::wire::audience::HEAD_LEN_MAX;
use crate::wire::frame::Fragment;

/// Bytes of the largest message, with what stands before it.
const TOTAL_MAX: usize = limits::MESSAGE_LEN_MAX + HEAD_LEN_MAX;
/// Pieces for which there is room at once, at most.
const EXPECTED_MAX: usize = 64;

#[derive(Clone, Default, Hash)]
pub(crate) struct Fragments {
    by_origin: BTreeMap<NodeId, Unfinished>,
}

#[derive(Clone, Hash)]
struct Unfinished {
    counter: u64,
    len: usize,
    total: usize,
    pieces: Vec<Bytes>,
}

impl Fragments {
    /// The whole message, once its last piece is here. An error if no member cuts such a piece.
    pub(crate) fn add(
        &mut self,
        origin: NodeId,
        counter: u64,
        fragment: Fragment,
        piece: Bytes,
    ) -> Result<Option<Vec<Bytes>>, WireError> {
        let (offset, total) = (fragment.offset as usize, fragment.total as usize);
        let end = offset + piece.len();
        // Pieces of nothing could be without end.
        if piece.is_empty() || end > total || total > TOTAL_MAX {
            self.by_origin.remove(&origin);
            return Err(WireError::Invalid("a piece that no message has"));
        }
        if offset == 0 {
            let expected = total.div_ceil(piece.len()).min(EXPECTED_MAX);
            let pieces = Vec::with_capacity(expected);
            self.by_origin.insert(origin, Unfinished { counter, len: 0, total, pieces });
        }
        let Some(unfinished) = self.by_origin.get_mut(&origin) else { return Ok(None) };
        let is_next = (counter, offset, total);
        if is_next != (unfinished.counter, unfinished.len, unfinished.total) {
            self.by_origin.remove(&origin);
            return Ok(None);
        }
        unfinished.len = end;
        unfinished.pieces.push(piece);
        let whole = (end == total).then(|| self.by_origin.remove(&origin)).flatten();
        Ok(whole.map(|unfinished| unfinished.pieces))
    }

    /// All that is kept.
    pub(super) fn bytes(&self) -> usize {
        self.by_origin.values().map(|u| u.len).sum()
    }

    /// The configuration ends: unfinished messages start again in the next one.
    pub(super) fn clear(&mut self) {
        self.by_origin.clear();
    }
}
