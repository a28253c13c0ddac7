//! Puts large messages together. A node's fragments come in order, one message at a time; whatever
//! does not fit that is the rest of a message of which a part fell into a hole, and is dropped by
//! every member alike.

use bytes::Bytes;
use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::limits;
use crate::wire::audience::HEAD_LEN_MAX;
use crate::wire::frame::Frame;

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
    /// The whole message, once its last piece is here.
    pub(crate) fn add(&mut self, origin: NodeId, frame: &Frame) -> Option<Vec<Bytes>> {
        let Some(fragment) = frame.fragment else {
            return Some(vec![frame.payload.clone()]);
        };
        let (offset, total) = (fragment.offset as usize, fragment.total as usize);
        if offset == 0 && total <= limits::MESSAGE_LEN_MAX + HEAD_LEN_MAX {
            let fresh = Unfinished { counter: frame.counter, len: 0, total, pieces: Vec::new() };
            self.by_origin.insert(origin, fresh);
        }
        let unfinished = self.by_origin.get_mut(&origin)?;
        let fits = unfinished.counter == frame.counter
            && unfinished.len == offset
            && unfinished.total == total
            && !frame.payload.is_empty()
            && offset + frame.payload.len() <= total;
        if !fits {
            self.by_origin.remove(&origin);
            return None;
        }
        unfinished.len += frame.payload.len();
        unfinished.pieces.push(frame.payload.clone());
        if frame.is_last() { self.by_origin.remove(&origin).map(|u| u.pieces) } else { None }
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
