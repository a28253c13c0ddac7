//! A simulated client: it joins, leaves, sends and goes, through the rings of a real session, and
//! it checks what it gets against what it was promised.

use std::collections::{BTreeMap, VecDeque};

use anasazi_client::SlowPolicy;
use anasazi_client::raw::RawSession;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{
    Audience, GroupId, MemberId, Priority, Service, SessionId, ViewId, content_hash, limits,
};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    GroupRecord, JOIN_SEND_ONLY, JoinRecord, LeaveRecord, Member, PRIO_BULK, PRIO_HIGH, PeerRecord,
    SendRecord, request,
};
use anasazi_queue::ring::PushError;
use anasazi_queue::status::Status;
use bytes::{Bytes, BytesMut};

use crate::cuts::Ended;
use crate::options::Traffic;
use crate::random::Random;
use crate::seen::{Ledger, Own, Sent};

/// Requests that wait for room in the ring; a session does nothing more while it has so many.
const BACKLOG_MAX: usize = 64;
/// Bytes of a request in the ring, at least.
const RECORD_LEN_MIN: u64 = 40;
/// A message of this length or more names its sender and its tag.
const SIGNED_LEN_MIN: usize = 24;
/// Sessions that one sends to by themselves, at most.
const PEERS_MAX: usize = 256;
/// Of a thousand messages without order, longer than those may be.
const TOO_LONG: u32 = 20;
/// The lowest bits of a tag say the priority.
const TAG_SHIFT: u32 = 2;
/// Flags of the C header.
const NO_SELF: u32 = 0x100;
const SAME_VIEW: u32 = 0x400;

/// What a session wants of its engine.
#[derive(Clone, Debug)]
pub enum Wish {
    /// To be in the group of this name.
    Join(String),
    /// To send to it without being in it.
    Address(String),
    /// To be in it no longer.
    Leave(GroupId),
    /// To end.
    Close,
    /// To send.
    Send {
        /// To whom.
        to: To,
        /// How.
        service: Service,
        /// Before or behind others.
        priority: Priority,
        /// Not to itself.
        no_self: bool,
        /// What.
        payload: Bytes,
        /// Its number among the session's messages.
        tag: u64,
    },
}

/// To whom a session sends.
#[derive(Clone, Debug)]
pub enum To {
    /// The members of one group or several; `true`: in the views that the session sees when the
    /// message goes, or not at all.
    Groups(Vec<GroupId>, bool),
    /// One session.
    Member(MemberId),
}

/// One client session of a node.
pub struct Session {
    /// Who it is.
    pub member: MemberId,
    /// What it wants and has no room for in its ring, in order.
    pub queue: VecDeque<Wish>,
    /// It asked to end.
    pub ending: bool,
    /// Its groups as it wants them: asked to join, not asked to leave.
    pub wanted: Vec<GroupId>,
    /// It is in no group, and only sends to some.
    pub(crate) is_outsider: bool,
    /// Those.
    addressed: Vec<GroupId>,
    /// What it got, for tests: senders and lengths in order.
    pub received: Vec<(MemberId, usize)>,
    /// What it got is kept in `received`.
    pub keep: bool,
    pub(crate) raw: RawSession,
    /// Under which its node watches its socket, and its wake-up.
    pub(crate) keys: (u64, u64),
    pub(crate) handles: BTreeMap<u32, GroupId>,
    pub(crate) groups: BTreeMap<GroupId, Membership>,
    peers: BTreeMap<MemberId, u32>,
    pub(crate) ledger: Ledger,
    /// How the engine ended it.
    pub(crate) closed: Option<(Status, String)>,
    pub(crate) reading: Reading,
    /// It did not always read, or little is kept for it: its engine may cut it off.
    pub(crate) lagged: bool,
    /// What it wants to become of it then.
    pub(crate) policy: SlowPolicy,
    /// When it last read anything, or there was nothing to be read; in nanoseconds.
    pub(crate) idle_since: u64,
    /// Its engine serves it no longer, since then.
    pub(crate) ended: Option<Ended>,
    /// It looks at its rings only when it is woken.
    pub(crate) sleeps: bool,
    /// It does so now.
    pub(crate) asleep: bool,
    handles_made: u32,
    tags_sent: u64,
    /// Of each priority, the last tag that it saw.
    pub(crate) tags_seen: [u64; 1 << TAG_SHIFT],
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
    /// Of the present view.
    pub(crate) view: ViewId,
    /// How many were shown under the handle.
    pub(crate) views: u32,
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
            is_outsider: false,
            addressed: Vec::new(),
            received: Vec::new(),
            keep: false,
            raw,
            keys,
            handles: BTreeMap::new(),
            groups: BTreeMap::new(),
            peers: BTreeMap::new(),
            ledger: Ledger::default(),
            closed: None,
            reading: Reading::Eager,
            lagged: false,
            policy: SlowPolicy::Disconnect,
            idle_since: 0,
            ended: None,
            sleeps: false,
            asleep: false,
            handles_made: 0,
            tags_sent: 0,
            tags_seen: [0; 1 << TAG_SHIFT],
        }
    }

    /// Asks to join.
    pub fn join(&mut self, name: &str) {
        let group = GroupId::of(name);
        self.wanted.push(group);
        self.queue.push_back(Wish::Join(name.to_owned()));
    }

    /// Asks to send to a group without being in it.
    fn address_group(&mut self, name: &str) {
        self.addressed.push(GroupId::of(name));
        self.queue.push_back(Wish::Address(name.to_owned()));
    }

    /// Groups that it sends to.
    fn targets(&self) -> &Vec<GroupId> {
        if self.is_outsider { &self.addressed } else { &self.wanted }
    }

    /// Asks to leave.
    pub fn leave(&mut self, group: GroupId) {
        self.wanted.retain(|g| *g != group);
        self.queue.push_back(Wish::Leave(group));
    }

    /// Goes.
    pub fn disconnect(&mut self) {
        self.ending = true;
        self.wanted.clear();
        self.queue.push_back(Wish::Close);
    }

    /// Sends a message of this length.
    pub fn send(&mut self, group: GroupId, len: usize, safe: bool, no_self: bool) {
        let service = if safe { Service::Safe } else { Service::Agreed };
        self.send_to(To::Groups(vec![group], false), len, service, no_self);
    }

    /// Sends a message of this length in any way.
    pub fn send_to(&mut self, to: To, len: usize, service: Service, no_self: bool) {
        self.send_first(to, len, (service, Priority::Normal), no_self);
    }

    /// The same, before or behind others.
    fn send_first(
        &mut self,
        to: To,
        len: usize,
        (service, priority): (Service, Priority),
        no_self: bool,
    ) {
        self.tags_sent += 1;
        let tag = self.tags_sent << TAG_SHIFT | priority as u64;
        let payload = payload(self.member.session, tag, len);
        self.queue.push_back(Wish::Send { to, service, priority, no_self, payload, tag });
    }

    /// How it reads from now on.
    pub fn read(&mut self, reading: Reading) {
        self.reading = reading;
        self.lagged |= reading != Reading::Eager;
        self.wake_up();
    }

    /// Looks at its rings for a reason of its own.
    pub(crate) fn wake_up(&mut self) {
        if std::mem::take(&mut self.asleep) {
            self.raw.stay_awake();
        }
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
        if self.targets().is_empty() || random.permille(traffic.churn) {
            let name = format!("group {}", random.index(traffic.groups));
            let group = GroupId::of(&name);
            return match (self.is_outsider, self.targets().contains(&group)) {
                (false, true) => self.leave(group),
                (false, false) => self.join(&name),
                (true, true) => {}
                (true, false) => self.address_group(&name),
            };
        }
        let group = self.targets()[random.index(self.targets().len())];
        for _ in 0..random.between(1, traffic.burst) {
            let len = message_len(random, traffic, lens);
            let (service, no_self) = (draw_service(random, traffic), random.permille(50));
            let to = self.draw_audience(random, traffic, (group, service));
            let cut = !service.is_ordered() && !random.permille(TOO_LONG);
            let max = if cut { unordered_len_max(&to) } else { len };
            let ordered = service.is_ordered();
            let priority = if ordered { draw_priority(random, traffic) } else { Priority::Normal };
            self.send_first(to, len.min(max), (service, priority), no_self);
        }
    }

    fn draw_audience(
        &self,
        random: &mut Random,
        traffic: &Traffic,
        (group, service): (GroupId, Service),
    ) -> To {
        let known = self.groups.get(&group);
        if random.permille(traffic.unicast)
            && let Some(known) = known
        {
            let to = known.members[random.index(known.members.len())];
            if self.peers.len() < PEERS_MAX || self.peers.contains_key(&to) {
                return To::Member(to);
            }
        }
        // Without order nobody could tell the sender of another view.
        let same_view = service.is_ordered() && random.permille(traffic.same_view);
        // Nor is an outsider shown any view.
        let same_view = same_view && !self.is_outsider;
        if self.targets().len() > 1 && random.permille(traffic.multi) {
            return To::Groups(self.targets().clone(), same_view);
        }
        To::Groups(vec![group], same_view)
    }

    /// Puts into its ring what there is room for; whether its engine has to be told.
    pub(crate) fn flush(&mut self) -> bool {
        let mut pushed = false;
        while let Some(wish) = self.queue.pop_front() {
            match self.push(&wish) {
                Ok(()) => pushed = true,
                Err(error) => {
                    let len = wish.len();
                    self.queue.push_front(wish);
                    // Who sleeps has to be told of room; whoever has it now tries again.
                    let sleeps = self.sleeps && error == PushError::Full;
                    if !(sleeps && self.raw.want_room(len)) {
                        break;
                    }
                }
            }
        }
        pushed && self.raw.has_woken_engine()
    }

    fn push(&mut self, wish: &Wish) -> Result<(), PushError> {
        match wish {
            Wish::Join(name) | Wish::Address(name) => {
                let handle = self.handles_made + 1;
                let flags = if let Wish::Address(_) = wish { JOIN_SEND_ONLY } else { 0 };
                let record = JoinRecord { handle, flags };
                self.raw.request(request::JOIN, &[record.as_bytes(), name.as_bytes()])?;
                self.handles_made = handle;
                self.handles.insert(handle, GroupId::of(name));
                Ok(())
            }
            Wish::Leave(group) => {
                let record = LeaveRecord { handle: self.handle(*group), reserved: 0 };
                self.raw.request(request::LEAVE, &[record.as_bytes()])
            }
            Wish::Close => self.raw.request(request::CLOSE, &[]),
            Wish::Send { to, service, priority, no_self, payload, tag } => {
                let (head, further, mut own) = self.address(to, *service)?;
                let flags = if *no_self { NO_SELF } else { 0 } | priority_flag(*priority);
                let head = SendRecord { service: head.service | flags, tag: *tag, ..head };
                let groups = further.iter().map(Plain::as_bytes);
                let parts: Vec<&[u8]> = std::iter::once(head.as_bytes())
                    .chain(groups)
                    .chain(std::iter::once(&payload[..]))
                    .collect();
                self.raw.request(request::SEND, &parts)?;
                // Only now: a long message is tried many times at a full ring.
                (own.tag, own.no_self, own.hash) = (*tag, *no_self, content_hash(payload));
                (own.len, own.priority) = (payload.len(), *priority);
                own.too_long = !service.is_ordered() && payload.len() > unordered_len_max(to);
                self.ledger.ask(own);
                Ok(())
            }
        }
    }

    /// What stands before a message, and what is to become of it.
    fn address(
        &mut self,
        to: &To,
        service: Service,
    ) -> Result<(SendRecord, Vec<GroupRecord>, Own), PushError> {
        let own = |to, views| Own {
            tag: 0,
            to,
            views,
            service,
            no_self: false,
            hash: 0,
            len: 0,
            priority: Priority::Normal,
            too_long: false,
        };
        let number = service.number();
        let (groups, same_view) = match to {
            To::Groups(groups, same_view) => (groups, *same_view),
            To::Member(member) => {
                let handle = self.peer(*member)?;
                let head = SendRecord { handle, service: number, ..SendRecord::default() };
                return Ok((head, Vec::new(), own(Audience::Member(*member), Vec::new())));
            }
        };
        let shown = |group: &GroupId| {
            let handle = self.handle(*group);
            let known = self.groups.get(group).filter(|known| known.handle == handle);
            let (view, views) = known.map_or_else(Default::default, |k| (k.view, k.views));
            (GroupRecord { handle, views }, (*group, same_view.then_some(view)))
        };
        let (records, list): (Vec<_>, Vec<_>) = groups.iter().map(shown).unzip();
        let (Some(first), Some(one)) = (records.first().copied(), list.first().copied()) else {
            return Err(PushError::Corrupt); // nobody sends to nobody
        };
        let further = records[1..].to_vec();
        let head = SendRecord {
            handle: first.handle,
            service: number | if same_view { SAME_VIEW } else { 0 },
            tag: 0,
            views: first.views,
            groups: further.len() as u32,
        };
        let to =
            if further.is_empty() { Audience::Group(one.0, one.1) } else { Audience::Groups(list) };
        let views = records.iter().filter(|_| same_view).map(|r| (r.handle, r.views)).collect();
        Ok((head, further, own(to, views)))
    }

    /// The address of a session.
    fn peer(&mut self, member: MemberId) -> Result<u32, PushError> {
        if let Some(handle) = self.peers.get(&member) {
            return Ok(*handle);
        }
        let handle = self.handles_made + 1;
        let to = Member { node: u64::from(member.node.0), session: member.session.0 };
        let record = PeerRecord { handle, reserved: 0, to };
        self.raw.request(request::PEER, &[record.as_bytes()])?;
        self.handles_made = handle;
        self.peers.insert(member, handle);
        Ok(handle)
    }

    /// Whether a message to this audience is under this handle.
    pub(crate) fn is_under(&self, handle: u32, to: &Audience) -> bool {
        if let Audience::Member(member) = to {
            return self.peers.get(member) == Some(&handle);
        }
        to.groups().any(|(group, _)| self.handles.get(&handle) == Some(&group))
    }

    /// The newest handle of a group; 0 is nobody's.
    fn handle(&self, group: GroupId) -> u32 {
        let mut of_group = self.handles.iter().rev().filter(|(_, g)| **g == group);
        of_group.next().map_or(0, |(handle, _)| *handle)
    }

    /// Its node's core did something. `sent`: see [`Ledger::trace`].
    pub(crate) fn trace(&mut self, trace: &Trace, sent: Sent) {
        self.ledger.trace(self.member, trace, sent);
    }

    /// Its node's core has nothing more to say for now.
    pub(crate) fn settle(&mut self) {
        self.ledger.settle(self.member);
    }

    /// Everything that it asked for is done, and it has seen all that there is for it: of each of
    /// its messages the one delivery or the one receipt in which it ends.
    pub fn is_served(&self) -> bool {
        let (ledger, reads) = (&self.ledger, self.reading == Reading::Eager);
        self.waiting() == (0, 0)
            && (!self.ending || self.closed.is_some())
            && (self.ending || ledger.taken() == 0)
            && (self.ending || !reads || ledger.unjudged() == 0 && ledger.is_told())
    }

    /// What its engine has not taken yet: requests that wait for room in the ring, and bytes in it.
    pub fn waiting(&self) -> (usize, u64) {
        (self.queue.len(), self.raw.requests_waiting())
    }

    /// Bytes that its engine has not taken yet.
    pub(crate) fn bytes_waiting(&self) -> u64 {
        let wishes: u64 = self.queue.iter().map(|wish| wish.len() as u64).sum();
        wishes + self.raw.requests_waiting()
    }

    /// Messages that its engine has not taken yet, or a few more.
    pub(crate) fn messages_waiting(&self) -> u64 {
        self.queue.len() as u64 + self.raw.requests_waiting() / RECORD_LEN_MIN
    }

    /// How many of its messages have not ended, and what it still has to see.
    pub fn progress(&self) -> String {
        let due = self.ledger.next().map(|due| format!(", and it has not seen {due}"));
        format!(
            "of {} messages {} are taken and have not ended, of {} nothing is known{}",
            self.tags_sent,
            self.ledger.taken(),
            self.ledger.unjudged(),
            due.unwrap_or_default()
        )
    }

    /// The members of a group, as this session was told.
    pub fn members(&self, group: GroupId) -> Option<&[MemberId]> {
        self.groups.get(&group).map(|m| &m.members[..])
    }
}

impl Wish {
    /// About how long its record is, in bytes.
    fn len(&self) -> usize {
        match self {
            Self::Join(name) | Self::Address(name) => name.len(),
            Self::Leave(_) | Self::Close => 0,
            Self::Send { to: To::Groups(groups, _), payload, .. } => {
                payload.len() + groups.len() * size_of::<GroupRecord>()
            }
            Self::Send { payload, .. } => payload.len(),
        }
    }
}

/// Longest message without order.
fn unordered_len_max(to: &To) -> usize {
    let listed = match to {
        To::Groups(groups, _) if groups.len() > 1 => groups.len(),
        _ => 0,
    };
    limits::UNORDERED_LEN_MAX - listed * limits::UNORDERED_GROUP_LEN
}

fn draw_priority(random: &mut Random, traffic: &Traffic) -> Priority {
    // Nothing is drawn where all are alike: older seeds stay what they were.
    if traffic.priorities == 0 || !random.permille(traffic.priorities) {
        return Priority::Normal;
    }
    random.pick(&[Priority::High, Priority::Bulk])
}

/// The number of the priority that a tag names.
pub(crate) fn priority_of(tag: u64) -> usize {
    (tag & ((1 << TAG_SHIFT) - 1)) as usize
}

fn priority_flag(priority: Priority) -> u32 {
    match priority {
        Priority::High => PRIO_HIGH,
        Priority::Normal => 0,
        Priority::Bulk => PRIO_BULK,
    }
}

fn draw_service(random: &mut Random, traffic: &Traffic) -> Service {
    if random.permille(traffic.unreliable) {
        return Service::Unreliable;
    }
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
