//! A simulated client: it joins, leaves, sends and goes, through the rings of a real session, and
//! it checks what it gets against what it was promised.

use std::collections::{BTreeMap, VecDeque};

use anasazi_client::raw::RawSession;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Audience, Command, GroupId, MemberId, Service, SessionId};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{JoinRecord, LeaveRecord, SendRecord, request};
use anasazi_queue::ring::PushError;
use anasazi_queue::status::Status;
use bytes::{Bytes, BytesMut};

use crate::options::Traffic;
use crate::random::Random;
use crate::seen::Ledger;

/// Requests that wait for room in the ring; a session does nothing more while it has so many.
const BACKLOG_MAX: usize = 64;
/// A message of this length or more names its sender and its tag.
const SIGNED_LEN_MIN: usize = 24;
/// A flag of the C header.
const NO_SELF: u32 = 0x100;

/// One client session of a node.
pub struct Session {
    /// Who it is.
    pub member: MemberId,
    /// What it wants and has no room for in its ring, in order.
    pub queue: VecDeque<Command>,
    /// It asked to end.
    pub ending: bool,
    /// Its groups as it wants them: asked to join, not asked to leave.
    pub wanted: Vec<GroupId>,
    /// What it got, for tests: senders and lengths in order.
    pub received: Vec<(MemberId, usize)>,
    /// What it got is kept in `received`.
    pub keep: bool,
    pub(crate) raw: RawSession,
    /// Under which its node watches its socket, and its wake-up.
    pub(crate) keys: (u64, u64),
    pub(crate) handles: BTreeMap<u32, GroupId>,
    pub(crate) groups: BTreeMap<GroupId, Membership>,
    pub(crate) ledger: Ledger,
    /// How the engine ended it.
    pub(crate) closed: Option<(Status, String)>,
    pub(crate) reading: Reading,
    /// It did not always read, so that its engine may have cut it off.
    pub(crate) lagged: bool,
    handles_made: u32,
    tags_sent: u64,
    pub(crate) tags_seen: u64,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Everything, at once.
    Eager,
    /// At most one record each time that it acts.
    Slow,
    /// Nothing.
    Stopped,
}

/// What a session knows about one of its groups.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) handle: u32,
    pub(crate) members: Vec<MemberId>,
    pub(crate) sequence: u64,
}

impl Session {
    /// A session that is in no group.
    pub(crate) fn new(member: MemberId, raw: RawSession, keys: (u64, u64)) -> Self {
        Self {
            member,
            queue: VecDeque::new(),
            ending: false,
            wanted: Vec::new(),
            received: Vec::new(),
            keep: false,
            raw,
            keys,
            handles: BTreeMap::new(),
            groups: BTreeMap::new(),
            ledger: Ledger::default(),
            closed: None,
            reading: Reading::Eager,
            lagged: false,
            handles_made: 0,
            tags_sent: 0,
            tags_seen: 0,
        }
    }

    /// Asks to join.
    pub fn join(&mut self, name: &str) {
        let group = GroupId::of(name);
        self.wanted.push(group);
        self.queue.push_back(Command::Join { session: self.member.session, name: name.to_owned() });
    }

    /// Asks to leave.
    pub fn leave(&mut self, group: GroupId) {
        self.wanted.retain(|g| *g != group);
        self.queue.push_back(Command::Leave { session: self.member.session, group });
    }

    /// Goes.
    pub fn disconnect(&mut self) {
        self.ending = true;
        self.wanted.clear();
        self.queue.push_back(Command::Disconnect { session: self.member.session });
    }

    /// Sends a message of this length.
    pub fn send(&mut self, group: GroupId, len: usize, safe: bool, no_self: bool) {
        let service = if safe { Service::Safe } else { Service::Agreed };
        self.send_as(group, len, service, no_self);
    }

    /// Sends a message of this length with an ordered service.
    pub fn send_as(&mut self, group: GroupId, len: usize, service: Service, no_self: bool) {
        self.tags_sent += 1;
        self.ledger.sent(no_self);
        let (session, tag) = (self.member.session, self.tags_sent);
        let payload = payload(session, tag, len);
        let to = Audience::Group(group, None);
        self.queue.push_back(Command::Send { session, to, service, no_self, tag, payload });
    }

    /// How it reads from now on.
    pub fn read(&mut self, reading: Reading) {
        self.reading = reading;
        self.lagged |= reading != Reading::Eager;
    }

    /// Writes a word somewhere into its memory.
    pub(crate) fn scribble(&mut self, place: u64, word: u64) {
        // A client that cannot is a good one.
        let _ = self.raw.scribble(place, &word.to_ne_bytes());
    }

    /// Does something by chance. `may_end`: also goes.
    pub(crate) fn act(
        &mut self,
        random: &mut Random,
        traffic: &Traffic,
        lens: (usize, usize),
        may_end: bool,
    ) {
        if self.ending || self.queue.len() >= BACKLOG_MAX {
            return;
        }
        if random.permille(traffic.disconnect) && may_end {
            return self.disconnect();
        }
        if self.wanted.is_empty() || random.permille(traffic.churn) {
            let name = format!("group {}", random.index(traffic.groups));
            let group = GroupId::of(&name);
            return if self.wanted.contains(&group) { self.leave(group) } else { self.join(&name) };
        }
        let group = self.wanted[random.index(self.wanted.len())];
        for _ in 0..random.between(1, traffic.burst) {
            let len = message_len(random, traffic, lens);
            let (service, no_self) = (draw_service(random, traffic), random.permille(50));
            self.send_as(group, len, service, no_self);
        }
    }

    /// Puts into its ring what there is room for; whether its engine has to be told.
    pub(crate) fn flush(&mut self) -> bool {
        let mut pushed = false;
        while let Some(command) = self.queue.pop_front() {
            if self.push(&command).is_err() {
                self.queue.push_front(command);
                break;
            }
            pushed = true;
        }
        pushed && self.raw.has_woken_engine()
    }

    fn push(&mut self, command: &Command) -> Result<(), PushError> {
        match command {
            Command::Join { name, .. } => {
                let handle = self.handles_made + 1;
                let record = JoinRecord { handle, flags: 0 };
                self.raw.request(request::JOIN, &[record.as_bytes(), name.as_bytes()])?;
                self.handles_made = handle;
                self.handles.insert(handle, GroupId::of(name));
                Ok(())
            }
            Command::Leave { group, .. } => {
                let record = LeaveRecord { handle: self.handle(*group), reserved: 0 };
                self.raw.request(request::LEAVE, &[record.as_bytes()])
            }
            Command::Disconnect { .. } => self.raw.request(request::CLOSE, &[]),
            Command::Send { to, service, no_self, tag, payload, .. } => {
                let flags = if *no_self { NO_SELF } else { 0 };
                let service = service.number() | flags;
                let handle = to.groups().next().map_or(0, |(group, _)| self.handle(group));
                let record = SendRecord { handle, service, tag: *tag, views: 0, groups: 0 };
                self.raw.request(request::SEND, &[record.as_bytes(), payload])
            }
        }
    }

    /// The newest handle of a group; 0 is nobody's.
    fn handle(&self, group: GroupId) -> u32 {
        let mut of_group = self.handles.iter().rev().filter(|(_, g)| **g == group);
        of_group.next().map_or(0, |(handle, _)| *handle)
    }

    /// Its node's core did something.
    pub(crate) fn trace(&mut self, trace: &Trace) {
        self.ledger.trace(self.member, trace);
    }

    /// Everything that it asked for is done, and it has seen all that there is for it.
    pub fn is_served(&self) -> bool {
        let reads = self.reading == Reading::Eager;
        self.waiting() == (0, 0)
            && (!self.ending || self.closed.is_some())
            && (self.ending || self.ledger.ordered == self.tags_sent)
            && (self.ending || !reads || self.ledger.next().is_none())
    }

    /// What its engine has not taken yet: requests that wait for room in the ring, and bytes in it.
    pub fn waiting(&self) -> (usize, u64) {
        (self.queue.len(), self.raw.requests_waiting())
    }

    /// How many of its messages are in the order, and what it still has to see.
    pub fn progress(&self) -> String {
        let due = self.ledger.next().map(|due| format!(", and it has not seen {due}"));
        format!(
            "{} of {} messages ordered{}",
            self.ledger.ordered,
            self.tags_sent,
            due.unwrap_or_default()
        )
    }

    /// The members of a group, as this session was told.
    pub fn members(&self, group: GroupId) -> Option<&[MemberId]> {
        self.groups.get(&group).map(|m| &m.members[..])
    }
}

fn draw_service(random: &mut Random, traffic: &Traffic) -> Service {
    if random.permille(traffic.safe) {
        return Service::Safe;
    }
    random.pick(&[Service::Reliable, Service::Fifo, Service::Causal, Service::Agreed])
}

fn message_len(random: &mut Random, traffic: &Traffic, (mtu, max): (usize, usize)) -> usize {
    if random.permille(traffic.huge) {
        return random.pick(&[max, max - 1, max / 2]);
    }
    let long = random.permille(traffic.long);
    let high = if long { 5 * mtu } else { random.pick(&[1, 40, 200, mtu]) };
    random.between(1, high.min(max) as u64) as usize
}

/// What a message contains: its sender and tag, if there is room, and a pattern that depends on
/// both.
pub fn payload(session: SessionId, tag: u64, len: usize) -> Bytes {
    if len < SIGNED_LEN_MIN {
        return Bytes::from(vec![session.0 as u8 ^ len as u8; len]);
    }
    let mut bytes = BytesMut::with_capacity(len + 8);
    bytes.extend_from_slice(&session.0.to_le_bytes());
    bytes.extend_from_slice(&tag.to_le_bytes());
    let mut word = session.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ tag;
    while bytes.len() < len {
        word = word.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(23);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.freeze()
}

/// The message is whole and is what its sender made.
pub(crate) fn check_payload(sender: MemberId, whole: &[u8]) -> Result<(), String> {
    let tag = whole.get(8..16).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    if whole == payload(sender.session, tag, whole.len()) {
        return Ok(());
    }
    Err(format!("a message of {} bytes from {sender} is not what was sent", whole.len()))
}

#[cfg(test)]
mod tests {
    use anasazi_protocol::NodeId;

    use super::*;

    #[test]
    fn payloads_are_recognised_and_damage_is_seen() {
        let sender = MemberId { node: NodeId(1), session: SessionId(77) };
        for len in [1, 23, 24, 25, 4_000] {
            let whole = payload(SessionId(77), 5, len);
            assert_eq!(check_payload(sender, &whole), Ok(()));
            let mut bad = whole.to_vec();
            bad[len - 1] ^= 1;
            assert!(check_payload(sender, &bad).is_err(), "{len}");
        }
    }
}
