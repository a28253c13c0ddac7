//! A simulated client: it joins, leaves, sends and goes, and it checks what it gets against what it
//! was promised.

use std::collections::{BTreeMap, VecDeque};

use anasazi_protocol::{
    Audience, Command, Fate, GroupId, GroupView, MemberId, MessageDelivery, NodeId, Recipients,
    Service, SessionId, ViewId, ViewKind,
};
use bytes::{Bytes, BytesMut};

use crate::options::Traffic;
use crate::random::Random;

/// Commands that wait for room in the core; a session does nothing more while it has so many.
const BACKLOG_MAX: usize = 64;
/// A message of this length or more names its sender and its tag.
const SIGNED_LEN_MIN: usize = 24;

/// One client session of a node.
#[derive(Debug)]
pub struct Session {
    /// Who it is.
    pub member: MemberId,
    /// What it asked for and the core has not taken yet, in order.
    pub queue: VecDeque<Command>,
    /// It asked to end.
    pub ending: bool,
    /// Its groups as it wants them: asked to join, not asked to leave.
    pub wanted: Vec<GroupId>,
    groups: BTreeMap<GroupId, Membership>,
    tags_sent: u64,
    tags_seen: u64,
    /// What it got, for tests: senders and lengths in order.
    pub received: Vec<(MemberId, usize)>,
    /// What it got is kept in `received`.
    pub keep: bool,
}

/// What a session knows about one of its groups.
#[derive(Debug)]
struct Membership {
    view: ViewId,
    members: Vec<MemberId>,
    sequence: u64,
}

impl Session {
    /// A session that is in no group.
    pub fn new(node: NodeId, session: SessionId) -> Self {
        Self {
            member: MemberId { node, session },
            queue: VecDeque::new(),
            ending: false,
            wanted: Vec::new(),
            groups: BTreeMap::new(),
            tags_sent: 0,
            tags_seen: 0,
            received: Vec::new(),
            keep: false,
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
        self.send_to(Audience::Group(group, None), len, service, no_self);
    }

    /// Sends a message of this length in any way. One without order has no tag: it may not come
    /// back.
    pub fn send_to(&mut self, to: Audience, len: usize, service: Service, no_self: bool) {
        self.tags_sent += u64::from(service.is_ordered());
        let session = self.member.session;
        let tag = if service.is_ordered() { self.tags_sent } else { 0 };
        let payload = payload(session, tag, len);
        self.queue.push_back(Command::Send { session, to, service, no_self, tag, payload });
    }

    /// Does something by chance; `false` if it ended.
    pub fn act(&mut self, random: &mut Random, traffic: &Traffic, lens: (usize, usize)) -> bool {
        if self.ending || self.queue.len() >= BACKLOG_MAX {
            return !self.ending;
        }
        if random.permille(traffic.disconnect) {
            self.disconnect();
            return false;
        }
        if self.wanted.is_empty() || random.permille(traffic.churn) {
            let name = format!("group {}", random.index(traffic.groups));
            let group = GroupId::of(&name);
            if self.wanted.contains(&group) {
                self.leave(group);
            } else {
                self.join(&name);
            }
            return true;
        }
        let group = self.wanted[random.index(self.wanted.len())];
        for _ in 0..random.between(1, traffic.burst) {
            let len = message_len(random, traffic, lens);
            let (service, no_self) = (draw_service(random, traffic), random.permille(50));
            let to = self.draw_audience(random, traffic, (group, service));
            let max = if service.is_ordered() { len } else { to.unordered_len_max() };
            self.send_to(to, len.min(max), service, no_self);
        }
        true
    }

    fn draw_audience(
        &self,
        random: &mut Random,
        traffic: &Traffic,
        (group, service): (GroupId, Service),
    ) -> Audience {
        let known = self.groups.get(&group);
        if random.permille(traffic.unicast)
            && let Some(known) = known
        {
            return Audience::Member(known.members[random.index(known.members.len())]);
        }
        // Without order nobody could tell the sender of another view.
        let same_view = service.is_ordered() && random.permille(traffic.same_view);
        let view_of =
            |group: GroupId| self.groups.get(&group).map(|m| m.view).filter(|_| same_view);
        if self.wanted.len() > 1 && random.permille(traffic.multi) {
            return Audience::Groups(self.wanted.iter().map(|g| (*g, view_of(*g))).collect());
        }
        Audience::Group(group, view_of(group))
    }

    /// Everything that it sent to groups it is in has come back.
    pub fn is_served(&self) -> bool {
        self.queue.is_empty() && (self.ending || self.tags_seen == self.tags_sent)
    }

    /// How many of its messages it has seen in the order.
    pub fn progress(&self) -> String {
        format!("{} of {} messages came back", self.tags_seen, self.tags_sent)
    }

    /// The members of a group, as this session was told.
    pub fn members(&self, group: GroupId) -> Option<&[MemberId]> {
        self.groups.get(&group).map(|m| &m.members[..])
    }

    /// Takes a view that its node gives out. The error says what is wrong with it.
    pub fn view(&mut self, view: &GroupView) -> Result<(), String> {
        let me = self.member;
        let inside = view.members.contains(&me);
        if view.kind == ViewKind::Transitional {
            return Ok(());
        }
        if view.sets.len() != view.members.len() {
            return Err(format!("{} sets for {} members", view.sets.len(), view.members.len()));
        }
        let before = self.groups.get(&view.group).map(|m| &m.members[..]);
        match (before, inside) {
            (None, false) => return Ok(()),
            (None, true) if !view.joined.contains(&me) => {
                return Err(format!("{me} is a member without having joined"));
            }
            (Some(_), false) => {
                let told = view.left.contains(&me);
                self.groups.remove(&view.group);
                return if told { Ok(()) } else { Err(format!("{me} left without being told")) };
            }
            (Some(before), true) => check_difference(view, before)?,
            (None, true) => {}
        }
        let members = view.members.to_vec();
        self.groups.insert(view.group, Membership { view: view.id, members, sequence: 0 });
        Ok(())
    }

    /// Takes word of an own message that it does not see itself.
    pub fn receipt(&mut self, tag: u64, fate: Fate) -> Result<(), String> {
        match fate {
            Fate::Done | Fate::OtherView | Fate::NotMember => self.back(tag),
            Fate::NotSent | Fate::TooLong => Err(format!("message {tag} has {fate:?}")),
        }
    }

    /// Its messages come back in the order in which it sent them.
    fn back(&mut self, tag: u64) -> Result<(), String> {
        self.tags_seen += 1;
        if tag == self.tags_seen {
            return Ok(());
        }
        Err(format!("{} sees its message {tag} where {} should be", self.member, self.tags_seen))
    }

    /// Takes a message that its node gives out.
    pub fn message(&mut self, message: &MessageDelivery) -> Result<(), String> {
        let own = message.sender == self.member;
        let mut for_me = message.to == Recipients::Session(self.member.session);
        let ordered = message.service.is_ordered();
        for (group, sequence) in message.to.groups() {
            let Some(group) = self.groups.get_mut(&group) else { continue };
            for_me = true;
            group.sequence += u64::from(ordered);
            if sequence != if ordered { group.sequence } else { 0 } {
                return Err(format!(
                    "{} gets number {sequence} of its view where {} should be",
                    self.member, group.sequence
                ));
            }
        }
        if !for_me {
            return Ok(());
        }
        if own && ordered {
            self.back(message.tag)?;
        }
        if own && message.no_self {
            return Ok(());
        }
        if self.keep {
            let len = message.payload.iter().map(Bytes::len).sum();
            self.received.push((message.sender, len));
        }
        Ok(())
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

/// `joined` and `left` say how the view differs from the one before.
fn check_difference(view: &GroupView, before: &[MemberId]) -> Result<(), String> {
    let joined: Vec<_> = view.members.iter().filter(|m| !before.contains(m)).collect();
    let left: Vec<_> = before.iter().filter(|m| !view.members.contains(m)).collect();
    let says = (view.joined.iter().collect::<Vec<_>>(), view.left.iter().collect::<Vec<_>>());
    let same =
        |a: &[&MemberId], b: &[&MemberId]| a.len() == b.len() && a.iter().all(|m| b.contains(m));
    if same(&says.0, &joined) && same(&says.1, &left) {
        return Ok(());
    }
    Err(format!("a view says joined {says:?}, but it is {joined:?} joined and {left:?} left"))
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
pub fn check_payload(message: &MessageDelivery) -> Result<(), String> {
    let len = message.payload.iter().map(Bytes::len).sum();
    let mut whole = BytesMut::with_capacity(len);
    message.payload.iter().for_each(|piece| whole.extend_from_slice(piece));
    let tag = whole.get(8..16).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    if whole == payload(message.sender.session, tag, len) {
        return Ok(());
    }
    Err(format!("a message of {} bytes from {} is not what was sent", len, message.sender))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(payload: Vec<Bytes>, tag: u64) -> MessageDelivery {
        let sender = MemberId { node: NodeId(1), session: SessionId(77) };
        let (to, service) = (Recipients::Session(SessionId(77)), Service::Agreed);
        MessageDelivery { to, sender, service, no_self: false, tag, payload }
    }

    #[test]
    fn payloads_are_recognised_in_pieces_and_damage_is_seen() {
        for len in [1, 23, 24, 25, 4_000] {
            let whole = payload(SessionId(77), 5, len);
            let pieces = vec![whole.slice(..len / 2), whole.slice(len / 2..)];
            assert_eq!(check_payload(&delivery(pieces, 5)), Ok(()));
            let mut bad = whole.to_vec();
            bad[len - 1] ^= 1;
            assert!(check_payload(&delivery(vec![Bytes::from(bad)], 5)).is_err(), "{len}");
        }
    }

    #[test]
    fn a_session_notices_a_gap_in_its_own_messages() {
        let mut session = Session::new(NodeId(1), SessionId(77));
        assert!(session.message(&delivery(vec![], 1)).is_ok());
        assert!(session.message(&delivery(vec![], 3)).is_err());
    }
}
