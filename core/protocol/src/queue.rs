//! Messages of local sessions that wait to be ordered, and how they are cut and packed into
//! packets.
//!
//! One queue keeps the order of acceptance, but that a session's messages of a higher priority take
//! the places of its lower ones, and what is in it is sent in the next ring if not in this one
//! (axiom L3). A message that was cut and of which the last fragment is not yet ordered
//! when the ring changes starts again from its first byte in the new ring.

use bytes::Bytes;
use std::collections::VecDeque;

use crate::config::CoreConfig;
use crate::id::{GroupId, SessionId};
use crate::planted::planted;
use crate::service::{Priority, Service};
use crate::wire::frame::{FRAGMENT_FRAME_LEN, FRAME_LEN, Fragment, Frame, FrameKind};
use crate::wire::{Arena, Writer};

/// A message that waits.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Waiting {
    pub(crate) kind: FrameKind,
    pub(crate) session: SessionId,
    pub(crate) group: GroupId,
    pub(crate) service: Service,
    /// None: it is no message.
    pub(crate) priority: Option<Priority>,
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
    /// Messages of the lowest priority.
    bulk: usize,
    /// Bytes of the first message that are ordered already.
    offset: usize,
}

impl SendQueue {
    pub(crate) fn push(&mut self, message: Waiting) {
        self.len += message.payload.len();
        self.bulk += usize::from(message.priority == Some(Priority::Bulk));
        self.waiting.push_back(message);
        self.bring_forward();
    }

    /// The last message takes the place of the first one of its session that it goes before; that
    /// one takes the place of the next one, and so on. So other sessions wait for no more messages
    /// than they would otherwise, however many more come.
    fn bring_forward(&mut self) {
        let mut at = self.waiting.len() - 1;
        let Waiting { session, priority: Some(priority), .. } = self.waiting[at] else { return };
        if priority == Priority::Bulk || priority == Priority::Normal && self.bulk == 0 {
            return;
        }
        // Nothing comes between the pieces of one.
        let first = usize::from(self.offset > 0 && !planted!("priority_between_pieces"));
        for earlier in (first..at).rev() {
            let other = &self.waiting[earlier];
            if other.session != session {
                continue;
            }
            let past_all = planted!("priority_past_leaving");
            if other.priority.map_or(!past_all, |other| other <= priority) {
                break;
            }
            self.waiting.swap(earlier, at);
            at = earlier;
        }
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
                self.bulk -= usize::from(first.priority == Some(Priority::Bulk));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::audience::Scope;

    const HIGH: Option<Priority> = Some(Priority::High);
    const NORMAL: Option<Priority> = Some(Priority::Normal);
    const BULK: Option<Priority> = Some(Priority::Bulk);

    fn waiting(session: u64, priority: Option<Priority>, counter: u64, len: usize) -> Waiting {
        let kind = match priority {
            Some(_) => FrameKind::Message(Scope::Group),
            None => FrameKind::Leave,
        };
        Waiting {
            kind,
            session: SessionId(session),
            group: GroupId(1),
            service: Service::Agreed,
            priority,
            no_self: false,
            counter,
            payload: Bytes::from(vec![0; len]),
        }
    }

    /// Counters of what waits when these have come, in order.
    fn order(messages: &[(u64, Option<Priority>)]) -> Vec<u64> {
        let mut queue = SendQueue::default();
        for ((session, priority), counter) in messages.iter().zip(1..) {
            queue.push(waiting(*session, *priority, counter, 1));
        }
        let bulk = messages.iter().filter(|(_, priority)| *priority == BULK).count();
        assert_eq!((queue.bulk, queue.len), (bulk, messages.len()));
        queue.waiting.iter().map(|waiting| waiting.counter).collect()
    }

    #[test]
    fn a_higher_priority_takes_the_places_of_lower_ones_of_its_session() {
        assert_eq!(order(&[(1, NORMAL), (1, NORMAL), (1, HIGH), (1, HIGH)]), [3, 4, 1, 2]);
        assert_eq!(order(&[(1, BULK), (1, NORMAL), (1, BULK), (1, HIGH)]), [4, 2, 1, 3]);
        assert_eq!(order(&[(1, NORMAL), (1, BULK), (1, NORMAL)]), [1, 3, 2]);
    }

    #[test]
    fn other_sessions_keep_their_places() {
        let mixed = [(1, BULK), (2, NORMAL), (1, NORMAL), (2, NORMAL), (1, HIGH), (1, HIGH)];
        assert_eq!(order(&mixed), [5, 2, 6, 4, 3, 1]);
    }

    #[test]
    fn what_is_no_message_is_not_overtaken() {
        assert_eq!(order(&[(1, NORMAL), (1, None), (1, BULK), (1, HIGH)]), [1, 2, 4, 3]);
        assert_eq!(order(&[(1, BULK), (1, None), (1, NORMAL)]), [1, 2, 3]);
    }

    #[test]
    fn nothing_comes_between_the_pieces_of_a_message() {
        let (mut queue, mut arena) = (SendQueue::default(), Arena::default());
        queue.push(waiting(1, BULK, 1, 3_000));
        queue.push(waiting(1, BULK, 2, 10));
        assert!(queue.pack(1_000, &mut arena).is_some_and(|packed| packed.completed.is_empty()));
        queue.push(waiting(1, HIGH, 3, 10));
        let mut completed = Vec::new();
        while let Some(packed) = queue.pack(1_000, &mut arena) {
            completed.extend(packed.completed.iter().map(|(counter, _)| *counter));
        }
        assert_eq!(completed, [1, 3, 2]);
        assert_eq!((queue.bulk, queue.len), (0, 0));
    }
}
