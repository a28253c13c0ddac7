//! Messages of local sessions that wait to be ordered, and how they are cut and packed into
//! packets.
//!
//! One queue keeps the order of acceptance, and what is in it is sent in the next ring if not in
//! this one (axiom L3). A message that was cut and of which the last fragment is not yet ordered
//! when the ring changes starts again from its first byte in the new ring.

use bytes::Bytes;
use std::collections::VecDeque;

use crate::config::CoreConfig;
use crate::id::{GroupId, SessionId};
use crate::service::Service;
use crate::wire::frame::{FRAGMENT_FRAME_LEN, FRAME_LEN, Fragment, Frame, FrameKind};
use crate::wire::{Arena, Writer};

/// A message that waits.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Waiting {
    pub(crate) kind: FrameKind,
    pub(crate) session: SessionId,
    pub(crate) group: GroupId,
    pub(crate) service: Service,
    pub(crate) no_self: bool,
    pub(crate) counter: u64,
    /// With the head that the kind has.
    pub(crate) payload: Bytes,
}

/// Content for one packet, and the messages that it completes.
pub(crate) struct Packed {
    pub(crate) content: Bytes,
    pub(crate) safe: bool,
    /// Counter of each completed message, with its frame's number in the packet, from 1.
    pub(crate) completed: Vec<(u64, u32)>,
}

#[derive(Clone, Default, Hash)]
pub(crate) struct SendQueue {
    waiting: VecDeque<Waiting>,
    len: usize,
    /// Bytes of the first message that are ordered already.
    offset: usize,
}

impl SendQueue {
    pub(crate) fn push(&mut self, message: Waiting) {
        self.len += message.payload.len();
        self.waiting.push_back(message);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn has_room(&self, config: &CoreConfig) -> bool {
        self.waiting.len() < config.send_queue_messages_max && self.len < config.send_queue_len_max
    }

    pub(crate) fn messages(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.len
    }

    /// About how many packets are waiting.
    pub(crate) fn backlog_packets(&self, content_len_max: usize) -> u32 {
        let len = self.len + self.waiting.len() * FRAME_LEN;
        u32::try_from(len.div_ceil(content_len_max)).unwrap_or(u32::MAX)
    }

    /// The ring changed: an unfinished message starts again.
    pub(crate) fn restart_unfinished(&mut self) {
        self.offset = 0;
    }

    /// The content of the next packet, at most `content_len_max` bytes.
    pub(crate) fn pack(&mut self, content_len_max: usize, arena: &mut Arena) -> Option<Packed> {
        let safe = self.waiting.front()?.service.is_safe();
        let fill = |content: &mut Writer| self.fill(content, content_len_max, safe);
        let (content, completed) = arena.write(content_len_max, fill);
        (!content.is_empty()).then_some(Packed { content, safe, completed })
    }

    /// Completed messages, as in `Packed`.
    fn fill(
        &mut self,
        content: &mut Writer,
        content_len_max: usize,
        safe: bool,
    ) -> Vec<(u64, u32)> {
        let mut completed = Vec::new();
        let mut frame_number = 0;
        while let Some(first) = self.waiting.front() {
            let room = content_len_max - content.bytes.len();
            let Some(take) = fragment_len(first, self.offset, room) else { break };
            if first.service.is_safe() != safe {
                break;
            }
            frame_number += 1;
            let whole = self.offset == 0 && take == first.payload.len();
            let frame = Frame {
                kind: first.kind,
                no_self: first.no_self,
                service: first.service,
                session: first.session,
                group: first.group,
                counter: first.counter,
                fragment: (!whole).then_some(Fragment {
                    offset: self.offset as u32,
                    total: first.payload.len() as u32,
                }),
                payload: first.payload.slice(self.offset..self.offset + take),
            };
            frame.encode(content);
            self.offset += take;
            if self.offset == first.payload.len() {
                completed.push((first.counter, frame_number));
                self.len -= first.payload.len();
                self.offset = 0;
                self.waiting.pop_front();
            }
        }
        completed
    }
}

/// How many bytes of the message fit into `room`; `None` if it is better to begin a new packet.
fn fragment_len(message: &Waiting, offset: usize, room: usize) -> Option<usize> {
    let remaining = message.payload.len() - offset;
    if offset == 0 && FRAME_LEN + remaining <= room {
        return Some(remaining);
    }
    // Cut only what a packet of its own could not hold, or what fills this one usefully.
    let fits = room.checked_sub(FRAGMENT_FRAME_LEN)?;
    let take = remaining.min(fits);
    (take == remaining || take >= 256).then_some(take)
}
