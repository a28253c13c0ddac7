//! Messages without order: a packet each, sent at once, delivered at most once, and only while this
//! node and the sender turn the same ring. What does not come is not missed.
//!
//! They must not get in the way of the ring: their number per time is bounded, and sessions wait
//! when it is reached.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::Sender;
use crate::id::{GroupId, MemberId, MessageId, NodeId, Process, RingId, SessionId, content_hash};
use crate::limits;
use crate::node::Node;
use crate::output::{Fate, MessageDelivery, Output, Pieces};
use crate::planted::planted;
use crate::ring::Ring;
use crate::service::{Audience, Priority, Service};
use crate::time::Instant;
use crate::trace::Trace;
use crate::wire::audience::{Scope, split_head, with_head};
use crate::wire::frame::{Frame, FrameKind};
use crate::wire::{Packet, Reader, Writer};

/// A message without order, as a session sends it.
pub(crate) struct Letter {
    pub(crate) session: SessionId,
    pub(crate) to: Audience,
    pub(crate) no_self: bool,
    pub(crate) tag: u64,
    pub(crate) payload: Bytes,
}

/// How many packets may still be sent now.
#[derive(Clone, Hash)]
pub(crate) struct Pace {
    left: u32,
    since: Instant,
}

const PACE: Duration = Duration::from_millis(1);

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: limits::UNORDERED_PER_MS_MAX, since: now }
    }

    pub(crate) fn refill(&mut self, now: Instant) {
        if self.since + PACE <= now {
            *self = Self::new(now);
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.left > 0
    }

    /// When there is room again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.has_room()).then(|| self.since + PACE)
    }

    fn take(&mut self) -> bool {
        let room = self.has_room();
        self.left = self.left.saturating_sub(1);
        room
    }
}

/// Which packets of each member of the present ring have come.
#[derive(Clone, Default, Hash)]
pub(super) struct Seen(BTreeMap<NodeId, Window>);

/// The highest number, and which of those below it.
#[derive(Clone, Default, Hash)]
struct Window {
    high: u64,
    seen: u128,
}

impl Window {
    /// True for each number at most once; false for those too far below the highest.
    fn take(&mut self, number: u64) -> bool {
        if number > self.high {
            let by = number - self.high;
            self.seen = if by < 128 { self.seen << by | 1 } else { 1 };
            self.high = number;
            return true;
        }
        let bit = match self.high - number {
            back @ 0..128 => 1 << back,
            _ => return false,
        };
        let fresh = self.seen & bit == 0;
        self.seen |= bit;
        fresh || planted!("unordered_twice")
    }
}

/// Sends a letter in the ring, if there is one that turns.
pub(crate) fn send(node: &mut Node, ring: Option<&Ring>, letter: Letter) {
    let Letter { session, to, no_self, tag, payload } = letter;
    node.send_rate.take(payload.len(), node.now);
    let message =
        node.accepted(session, &to, (Service::Unreliable, Some(Priority::Normal)), &payload);
    node.out.stats.unordered_accepted += 1;
    let ring = match ring {
        _ if payload.len() > to.unordered_len_max() => Err(Fate::TooLong),
        Some(ring) if node.pace.take() => Ok(ring),
        _ => Err(Fate::NotSent),
    };
    let fate = match ring {
        Ok(ring) => {
            let group = to.groups().next().map_or_else(GroupId::default, |(group, _)| group);
            let frame = Frame {
                kind: FrameKind::Message(Scope::of(&to)),
                no_self,
                service: Service::Unreliable,
                session,
                group,
                counter: message.counter,
                fragment: None,
                payload: with_head(&to, payload.clone()),
            };
            transmit(node, ring, &to, &frame);
            let letter = Letter { session, to: to.clone(), no_self, tag, payload };
            give(node, ring.id, message, letter)
        }
        Err(fate) => {
            node.out.stats.unordered_dropped += 1;
            Some(fate)
        }
    };
    if let Some(fate) = fate.filter(|_| tag != 0) {
        node.out.push(Output::Receipt { session, to, tag, fate });
    }
}

fn transmit(node: &mut Node, ring: &Ring, to: &Audience, frame: &Frame) {
    let mut w = Writer::default();
    frame.encode(&mut w);
    node.unordered_counter += 1;
    let (number, content) = (node.unordered_counter, w.bytes.freeze());
    let packet = Packet::Unordered { ring: ring.id, number, content };
    if let Audience::Member(member) = to {
        let process = ring.members.iter().find(|p| p.node == member.node).copied();
        if let Some(process) = process.filter(|p| *p != node.me) {
            node.send_to(process, &packet);
        }
    } else if !ring.is_alone() {
        for bytes in node.datagrams(&packet) {
            ring.transmit(node, bytes);
        }
    }
}

/// A packet of this node's ring has come.
pub(super) fn receive(
    node: &mut Node,
    ring: &Ring,
    seen: &mut Seen,
    from: Sender,
    (number, content): (u64, Bytes),
) {
    let header = from.header;
    let is_sender = |p: &&Process| (p.node, p.incarnation.0 as u32) == (header.node, header.boot);
    let Some(origin) = ring.members.iter().find(is_sender).copied() else {
        node.out.stats.unordered_dropped += 1;
        return;
    };
    let Some((message, letter)) = open(origin, &content) else {
        node.out.stats.dropped_malformed += 1;
        return;
    };
    if !seen.0.entry(origin.node).or_default().take(number) {
        node.out.stats.unordered_dropped += 1;
        return;
    }
    give(node, ring.id, message, letter);
}

/// The one whole message that a packet must hold.
fn open(origin: Process, content: &Bytes) -> Option<(MessageId, Letter)> {
    let mut r = Reader::new(content);
    let frame = Frame::decode(&mut r).ok()?;
    r.end().ok()?;
    let Frame { kind: FrameKind::Message(scope), service: Service::Unreliable, .. } = frame else {
        return None;
    };
    if frame.fragment.is_some() || frame.encoded_len() != content.len() {
        return None;
    }
    let mut payload = frame.payload;
    let to = split_head(scope, frame.group, core::slice::from_mut(&mut payload)).ok()?;
    let message = MessageId { origin, counter: frame.counter };
    Some((message, Letter { session: frame.session, to, no_self: frame.no_self, tag: 0, payload }))
}

/// Reads a letter, and writes it again as its sender would: it is read back the same, and is as
/// long. Whether it is one.
#[cfg(feature = "fuzzing")]
pub(crate) fn reopen(content: &Bytes) -> bool {
    let origin = Process { node: NodeId(3), incarnation: crate::id::Incarnation(1) };
    let Some((message, letter)) = open(origin, content) else { return false };
    let frame = Frame {
        kind: FrameKind::Message(Scope::of(&letter.to)),
        no_self: letter.no_self,
        service: Service::Unreliable,
        session: letter.session,
        group: letter.to.groups().next().map_or_else(GroupId::default, |(group, _)| group),
        counter: message.counter,
        fragment: None,
        payload: with_head(&letter.to, letter.payload.clone()),
    };
    let mut w = Writer::default();
    frame.encode(&mut w);
    assert_eq!(w.bytes.len(), content.len(), "written longer or shorter than it was");
    let Some((same, again)) = open(origin, &w.bytes.freeze()) else {
        panic!("{frame:?} is not read as it was written");
    };
    let parts = |letter: &Letter| (letter.session, letter.to.clone(), letter.no_self, letter.tag);
    assert_eq!((same, parts(&again)), (message, parts(&letter)));
    assert_eq!(again.payload, letter.payload);
    true
}

/// Hands a message to those of this node whom it is for. What to tell its sender, unless that sees
/// it itself.
fn give(node: &mut Node, ring: RingId, message: MessageId, letter: Letter) -> Option<Fate> {
    let Letter { session, to, no_self, tag, payload } = letter;
    let sender = MemberId { node: message.origin.node, session };
    let (to, fate) = node.groups.unordered(sender, &to);
    node.out.stats.unordered_delivered += 1;
    let hash = || content_hash(&payload);
    node.out.trace(|| Trace::Unordered { message, ring, hash: hash(), to: to.clone() });
    if let Some(to) = to {
        let (service, payload) = (Service::Unreliable, Pieces::One(payload));
        let delivery = MessageDelivery { to, sender, service, no_self, tag, place: None, payload };
        node.out.push(Output::Message(delivery));
    }
    fate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_counts_once() {
        let mut window = Window::default();
        for number in [1, 3, 2, 130, 129, 4] {
            assert!(window.take(number), "{number}");
        }
        for number in [1, 2, 3, 4, 129, 130] {
            assert!(!window.take(number), "{number}");
        }
        // Too far back to know; far ahead forgets everything below.
        assert!(window.take(10_000));
        assert!(!window.take(10_000 - 128));
        assert!(window.take(10_000 - 127));
        assert!(window.take(u64::MAX));
        assert!(!window.take(u64::MAX) && !window.take(0));
    }

    #[test]
    fn the_pace_is_kept_and_the_room_comes_back() {
        let mut pace = Pace::new(Instant(5));
        for _ in 0..limits::UNORDERED_PER_MS_MAX {
            assert!(pace.has_room() && pace.deadline().is_none() && pace.take());
        }
        assert!(!pace.has_room() && !pace.take());
        assert_eq!(pace.deadline(), Some(Instant(1_000_005)));
        pace.refill(Instant(1_000_004));
        assert!(!pace.has_room());
        pace.refill(Instant(1_000_005));
        assert!(pace.has_room());
    }
}
