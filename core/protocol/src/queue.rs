//! Messages of local sessions that wait to be ordered, and how they are cut and packed into
//! packets.
//!
//! One queue keeps the order of acceptance, but that a session's messages of a higher priority go
//! at the places of its lower ones, and what is in it is sent in the next ring if not in this one
//! (axiom L3). A message that was cut and of which the last fragment is not yet ordered
//! when the ring changes starts again from its first byte in the new ring.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

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

impl Waiting {
    /// Agreed, and no message.
    pub(crate) fn new(
        (kind, session, group): (FrameKind, SessionId, GroupId),
        counter: u64,
        payload: Bytes,
    ) -> Self {
        let (service, priority, no_self) = (Service::Agreed, None, false);
        Self { kind, session, group, service, priority, no_self, counter, payload }
    }
}

/// Content for one packet.
pub(crate) struct Packed {
    pub(crate) content: Bytes,
    pub(crate) safe: bool,
}

#[derive(Clone, Default, Hash)]
pub(crate) struct SendQueue {
    places: VecDeque<Place>,
    /// Of the sessions that have ever used priorities.
    lanes: BTreeMap<SessionId, Lanes>,
    /// Payloads of all that wait, in bytes.
    len: usize,
    /// The message of which pieces were sent: nothing comes between them.
    begun: Option<Waiting>,
    /// Bytes of the first message that are ordered already.
    offset: usize,
}

/// What has its turn at a place in the queue.
#[derive(Clone, Debug, Hash)]
enum Place {
    /// This.
    Message(Waiting),
    /// Whatever goes first of this session then. So its messages share its places, and other
    /// sessions wait for no more of them than they would otherwise.
    Of(SessionId),
}

/// What waits of one session, by priority.
#[derive(Clone, Debug, Default, Hash)]
struct Lanes {
    /// High, normal, bulk.
    messages: [VecDeque<Waiting>; 3],
    /// What is no message goes after all those, and before everything behind.
    control: Option<Waiting>,
    behind: VecDeque<Waiting>,
}

impl Lanes {
    fn push(&mut self, waiting: Waiting) {
        let past = planted!("priority_past_leaving") && waiting.priority == Some(Priority::High);
        match waiting.priority {
            _ if self.control.is_some() && !past => self.behind.push_back(waiting),
            Some(priority) => self.messages[priority as usize].push_back(waiting),
            None => self.control = Some(waiting),
        }
    }

    fn first(&self) -> Option<&Waiting> {
        let mut lanes = self.messages.iter();
        if planted!("priority_unordered") {
            return lanes.find_map(VecDeque::back).or(self.control.as_ref());
        }
        lanes.find_map(VecDeque::front).or(self.control.as_ref())
    }

    fn pop(&mut self) -> Option<Waiting> {
        let mut lanes = self.messages.iter_mut();
        let first = if planted!("priority_unordered") {
            lanes.find_map(VecDeque::pop_back)
        } else {
            lanes.find_map(VecDeque::pop_front)
        };
        if first.is_some() {
            return first;
        }
        let control = self.control.take();
        while self.control.is_none()
            && let Some(next) = self.behind.pop_front()
        {
            self.push(next);
        }
        control
    }
}

impl SendQueue {
    pub(crate) fn push(&mut self, message: Waiting) {
        self.len += message.payload.len();
        let (session, priority) = (message.session, message.priority);
        if priority.is_some_and(|priority| priority != Priority::Normal) {
            self.share_places_of(session);
        }
        let place = match self.lanes.get_mut(&session) {
            Some(lanes) => {
                lanes.push(message);
                Place::Of(session)
            }
            None => Place::Message(message),
        };
        self.places.push_back(place);
    }

    /// From now on, as long as it lasts, whatever goes first of the session goes at its places.
    fn share_places_of(&mut self, session: SessionId) {
        if self.lanes.contains_key(&session) {
            return;
        }
        let mut lanes = Lanes::default();
        for place in &mut self.places {
            let is_its = matches!(place, Place::Message(m) if m.session == session);
            if is_its && let Place::Message(m) = std::mem::replace(place, Place::Of(session)) {
                lanes.push(m);
            }
        }
        self.lanes.insert(session, lanes);
    }

    fn first(&self) -> Option<&Waiting> {
        self.begun.as_ref().or_else(|| match self.places.front()? {
            Place::Message(message) => Some(message),
            Place::Of(session) => self.lanes.get(session)?.first(),
        })
    }

    fn take_first(&mut self) -> Option<Waiting> {
        if let Some(begun) = self.begun.take() {
            return Some(begun);
        }
        let session = match self.places.pop_front()? {
            Place::Message(message) => return Some(message),
            Place::Of(session) => session,
        };
        let lanes = self.lanes.get_mut(&session)?;
        let taken = lanes.pop();
        let is_end = taken.as_ref().is_some_and(|taken| taken.kind == FrameKind::Disconnect);
        if is_end && lanes.first().is_none() {
            self.lanes.remove(&session);
        }
        taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages() == 0
    }

    pub(crate) fn has_room(&self, config: &CoreConfig) -> bool {
        self.messages() < config.send_queue_messages_max && self.len < config.send_queue_len_max
    }

    pub(crate) fn messages(&self) -> usize {
        self.places.len() + usize::from(self.begun.is_some())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.len
    }

    /// About how many packets are waiting.
    pub(crate) fn backlog_packets(&self, content_len_max: usize) -> u32 {
        let len = self.len + self.messages() * FRAME_LEN;
        u32::try_from(len.div_ceil(content_len_max)).unwrap_or(u32::MAX)
    }

    /// The ring changed: an unfinished message starts again.
    pub(crate) fn restart_unfinished(&mut self) {
        self.offset = 0;
    }

    /// The content of the next packet, at most `content_len_max` bytes.
    pub(crate) fn pack(&mut self, content_len_max: usize, arena: &mut Arena) -> Option<Packed> {
        let safe = self.first()?.service.is_safe();
        let fill = |content: &mut Writer| self.fill(content, content_len_max, safe);
        let content = arena.write(content_len_max, fill);
        (!content.is_empty()).then_some(Packed { content, safe })
    }

    fn fill(&mut self, content: &mut Writer, content_len_max: usize, safe: bool) {
        while let Some(first) = self.first() {
            let room = content_len_max - content.bytes.len();
            let Some(take) = fragment_len(first, self.offset, room) else { break };
            if first.service.is_safe() != safe {
                break;
            }
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
            let Some(sent) = self.take_first() else { break };
            if self.offset == sent.payload.len() {
                self.len -= sent.payload.len();
                self.offset = 0;
            } else {
                self.begun = Some(sent);
            }
        }
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
    use crate::wire::Reader;
    use crate::wire::audience::Scope;

    const HIGH: Option<Priority> = Some(Priority::High);
    const NORMAL: Option<Priority> = Some(Priority::Normal);
    const BULK: Option<Priority> = Some(Priority::Bulk);

    fn waiting(session: u64, priority: Option<Priority>, counter: u64, len: usize) -> Waiting {
        let kind = match priority {
            Some(_) => FrameKind::Message(Scope::Group),
            None => FrameKind::Leave,
        };
        let to = (kind, SessionId(session), GroupId(1));
        Waiting { priority, ..Waiting::new(to, counter, Bytes::from(vec![0; len])) }
    }

    /// Counters of what waits when these have come, in order.
    fn order(messages: &[(u64, Option<Priority>)]) -> Vec<u64> {
        let mut queue = SendQueue::default();
        for ((session, priority), counter) in messages.iter().zip(1..) {
            queue.push(waiting(*session, *priority, counter, 1));
        }
        assert_eq!((queue.messages(), queue.bytes()), (messages.len(), messages.len()));
        let order = std::iter::from_fn(|| {
            let first = queue.first()?.counter;
            queue.take_first().map(|taken| {
                assert_eq!(taken.counter, first);
                first
            })
        });
        order.collect()
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
        let twice = [(1, BULK), (1, None), (1, None), (1, BULK), (1, None), (1, NORMAL), (1, HIGH)];
        assert_eq!(order(&twice), [1, 2, 3, 4, 5, 7, 6]);
    }

    #[test]
    fn nothing_comes_between_the_pieces_of_a_message() {
        let (mut queue, mut arena) = (SendQueue::default(), Arena::default());
        queue.push(waiting(1, BULK, 1, 3_000));
        queue.push(waiting(1, BULK, 2, 10));
        let mut completed = Vec::new();
        let mut pack = |queue: &mut SendQueue| {
            let Some(packed) = queue.pack(1_000, &mut arena) else { return false };
            let mut r = Reader::new(&packed.content);
            while let Ok(frame) = Frame::decode(&mut r) {
                completed.extend(frame.is_last().then_some(frame.counter));
            }
            true
        };
        assert!(pack(&mut queue) && queue.messages() == 2, "the first is not complete");
        queue.push(waiting(1, HIGH, 3, 10));
        while pack(&mut queue) {}
        assert_eq!(completed, [1, 3, 2]);
        assert_eq!((queue.messages(), queue.bytes()), (0, 0));
    }
}
