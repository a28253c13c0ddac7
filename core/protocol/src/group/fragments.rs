//! Puts large messages together. A node's fragments come in order, one message at a time; whatever
//! does not fit that is the rest of a message of which a part fell into a hole, and is dropped by
//! every member alike.

use bytes::Bytes;
use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::limits;
use crate::wire::WireError;
use crate::wire::audience::HEAD_LEN_MAX;
use crate::wire::frame::Frame;

/// Bytes of the largest message, with what stands before it.
const TOTAL_MAX: usize = limits::MESSAGE_LEN_MAX + HEAD_LEN_MAX;

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
        frame: &Frame,
    ) -> Result<Option<Vec<Bytes>>, WireError> {
        let Some(fragment) = frame.fragment else {
            return Ok(Some(vec![frame.payload.clone()]));
        };
        let (offset, total) = (fragment.offset as usize, fragment.total as usize);
        let is_within = offset + frame.payload.len() <= total;
        // Pieces of nothing could be without end.
        if frame.payload.is_empty() || !is_within || total > TOTAL_MAX {
            self.by_origin.remove(&origin);
            return Err(WireError::Invalid("a piece that no message has"));
        }
        if offset == 0 {
            let fresh = Unfinished { counter: frame.counter, len: 0, total, pieces: Vec::new() };
            self.by_origin.insert(origin, fresh);
        }
        let Some(unfinished) = self.by_origin.get_mut(&origin) else { return Ok(None) };
        let fits = unfinished.counter == frame.counter
            && unfinished.len == offset
            && unfinished.total == total;
        if !fits {
            self.by_origin.remove(&origin);
            return Ok(None);
        }
        unfinished.len += frame.payload.len();
        unfinished.pieces.push(frame.payload.clone());
        let whole = frame.is_last().then(|| self.by_origin.remove(&origin)).flatten();
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
