//! One gateway of a bridge: a member of the source group in one domain and of the target group in
//! another. All gateways keep what they see of the source; the active one, the first among them by
//! the order of the target, forwards it; each lets go of what it sees forwarded.

use std::collections::VecDeque;

use anasazi_protocol::planted::planted;
use anasazi_protocol::{Instant, Place, Service};
use bytes::Bytes;

use crate::header::{HOPS_MAX, Header};
use crate::key::Key;
use crate::queue::{Item, Queue};
use crate::rate::Rate;

/// Forwards on their way at the same time: messages, and bytes.
const IN_FLIGHT_MAX: usize = 64;
const IN_FLIGHT_LEN_MAX: usize = 1 << 20;

/// What a bridge does with what it sees.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the bridge: the same at all its gateways.
    pub bridge: u64,
    /// The numbers of the domains from and to which it goes, the same at all nodes.
    pub domains: (u64, u64),
    /// Messages that begin with this are forwarded, no others.
    pub prefix: Bytes,
    /// Of them only those that were sent as safe: no member that stays with the gateway lacks one.
    pub safe_only: bool,
    /// Of messages that wait and have as many first bytes in common only the latest is forwarded;
    /// 0: all are.
    pub latest_key_len: usize,
    /// Messages in a second; 0: as many as there are.
    pub messages_per_s: u64,
    /// Bytes of messages in a second; 0: as many as there are.
    pub bytes_per_s: u64,
    /// Messages that wait; then the oldest one is dropped.
    pub queue_messages_max: usize,
    /// Bytes of messages that wait.
    pub queue_len_max: usize,
    /// Bridges that a message may cross, with this one.
    pub hops_max: usize,
}

/// A message of the source group.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Where it is in the source's order.
    pub place: Place,
    /// How it was sent.
    pub service: Service,
    /// The message.
    pub pieces: &'a [Bytes],
    /// The domains that it has come through, if it came over a bridge.
    pub visited: &'a [u64],
    /// Before it something is missing in the source group.
    pub gap: bool,
}

/// A message for the target group.
#[derive(Clone, Debug)]
pub struct Forward {
    /// With its header.
    pub payload: Bytes,
    /// As it was sent in the source.
    pub service: Service,
}

/// What a gateway has done with what it saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Forwarded by this gateway.
    pub forwarded: u64,
    /// Left out since they do not begin as they should.
    pub filtered: u64,
    /// Left out since a later one has taken their place.
    pub replaced: u64,
    /// Left out since too many wait.
    pub dropped: u64,
    /// Not forwarded since they have come from the target, or through too many bridges.
    pub looped: u64,
}

/// A gateway.
#[derive(Debug)]
pub struct Gateway {
    options: Options,
    /// The last one of the source that is to be forwarded.
    last: Option<Key>,
    queue: Queue,
    rate: Rate,
    /// What the target has got, as far as this node has seen.
    mark: Option<Key>,
    /// What it has sent since it is the active one.
    sent: Option<Key>,
    is_active: bool,
    /// Lengths of what is on its way.
    in_flight: VecDeque<usize>,
    in_flight_len: usize,
    counters: Counters,
}

impl Gateway {
    /// One that is a member of nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            rate: Rate::new(options.messages_per_s, options.bytes_per_s),
            options,
            last: None,
            queue: Queue::default(),
            mark: None,
            sent: None,
            is_active: false,
            in_flight: VecDeque::new(),
            in_flight_len: 0,
            counters: Counters::default(),
        }
    }

    /// What it has done.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Messages that wait, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        (self.queue.count(), self.queue.len())
    }

    /// It has not seen anything forwarded.
    pub fn is_new(&self) -> bool {
        self.base().is_none()
    }

    /// It is the one that forwards.
    pub fn is_active(&self) -> bool {
        self.is_active
    }

    /// It is no member of the source group any more.
    pub fn source_end(&mut self) {
        self.last = None;
        self.queue.clear();
    }

    /// A message of the source group, of which it is a member, in its order.
    pub fn source_message(&mut self, message: &Source<'_>) {
        let (from, to) = self.options.domains;
        let key = Key::from(message.place);
        // All that is missing came from the domain from which this one came here.
        if message.gap && message.visited.last() != Some(&to) {
            self.last = None;
        }
        let is_left_out = self.options.safe_only && message.service != Service::Safe;
        if is_left_out || !begins_with(message.pieces, &self.options.prefix) {
            self.counters.filtered += 1;
            return;
        }
        let is_back = message.visited.contains(&to) && !planted!("bridge_loops");
        if is_back || message.visited.len() >= self.options.hops_max.min(HOPS_MAX) {
            self.counters.looped += 1;
            return;
        }
        let after = self.last.replace(key);
        if self.mark.is_some_and(|mark| key <= mark) {
            return;
        }
        let visited = message.visited.iter().copied().chain([from]).collect();
        // A copy: as it is, it may pin down a buffer many times its size.
        let payload = Bytes::from(message.pieces.concat());
        self.keep(Item { key, after, service: message.service, visited, payload });
    }

    fn keep(&mut self, item: Item) {
        let base = self.base();
        let subject = match self.options.latest_key_len {
            0 => None,
            // A copy: it may be remembered for longer than the message.
            len => Some(Bytes::copy_from_slice(&item.payload[..len.min(item.payload.len())])),
        };
        self.counters.replaced += u64::from(self.queue.push(item, subject, base));
        let Options { queue_messages_max, queue_len_max, .. } = self.options;
        while self.queue.count() > queue_messages_max || self.queue.len() > queue_len_max {
            let Some(dropped) = self.queue.pop() else { break };
            // What was sent is not lost by that.
            self.counters.dropped += u64::from(base < Some(dropped.key));
        }
    }

    /// The last one of which the target has got, or will get, all that comes before.
    fn base(&self) -> Option<Key> {
        self.sent.max(self.mark)
    }

    /// By the order of the target, it is the first gateway; or is not.
    pub fn set_active(&mut self, is_active: bool) {
        if is_active != self.is_active {
            // What another one has on its way meanwhile is not known.
            self.sent = None;
        }
        self.is_active = is_active && !planted!("bridge_no_takeover");
    }

    /// It is no member of the target group any more.
    pub fn target_end(&mut self) {
        self.set_active(false);
        self.mark = None;
        self.in_flight.clear();
        self.in_flight_len = 0;
    }

    /// A forward of this bridge was reached in the target's order; from then on its members have
    /// got what was up to `mark`. `own`: this gateway has sent it.
    pub fn reached(&mut self, mark: Option<Key>, own: bool) {
        if own && let Some(len) = self.in_flight.pop_front() {
            self.in_flight_len -= len;
        }
        self.mark = self.mark.max(mark);
        if let Some(mark) = self.mark {
            self.queue.trim(mark);
        }
    }

    /// The next one to be sent to the target, if one may be sent now.
    pub fn next(&mut self, now: Instant) -> Option<Forward> {
        let base = self.base();
        let item = self.sendable(base)?;
        if now < self.rate.next_at() {
            return None;
        }
        let (key, service, len) = (item.key, item.service, item.payload.len());
        let after = if planted!("bridge_overflow_hidden") { base } else { self.queue.before(item) };
        let header =
            Header { bridge: self.options.bridge, key, after, visited: item.visited.clone() };
        let payload = header.with(&item.payload);
        self.rate.spend(now, len);
        self.sent = Some(key);
        self.in_flight.push_back(len);
        self.in_flight_len += len;
        self.counters.forwarded += 1;
        Some(Forward { payload, service })
    }

    /// When the next one may be sent, if one waits only for that.
    pub fn deadline(&self) -> Option<Instant> {
        self.sendable(self.base()).map(|_| self.rate.next_at())
    }

    fn sendable(&self, base: Option<Key>) -> Option<&Item> {
        let has_room =
            self.in_flight.len() < IN_FLIGHT_MAX && self.in_flight_len < IN_FLIGHT_LEN_MAX;
        if !self.is_active || !has_room {
            return None;
        }
        self.queue.after(base)
    }
}

fn begins_with(pieces: &[Bytes], prefix: &[u8]) -> bool {
    let begin = pieces.iter().flat_map(|piece| piece.iter()).take(prefix.len());
    begin.eq(prefix)
}

#[cfg(test)]
mod tests;
