//! What a session is to see, by what its node's core gave out for it: nothing else, nothing less,
//! in this order. And how each of its own messages is to end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{
    Audience, GroupId, MemberId, MessageId, Priority, Recipients, Service, SessionId, ViewId,
};
use anasazi_queue::status::Status;

use crate::cuts::Due;
use crate::session::priority_of;

/// One thing that a session is to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// A view, or the transitional signal.
    View { group: GroupId, id: ViewId, transitional: bool, members: usize },
    /// A message.
    Message(Letter),
    /// The end of an own message that it does not see.
    Receipt { tag: u64, status: Status },
    /// The end of a membership.
    Left { group: GroupId },
}

/// A message as its reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    /// Those of its groups that the session is in; none if it is for this session alone.
    pub(crate) groups: Vec<GroupId>,
    pub(crate) sender: MemberId,
    pub(crate) service: Service,
    /// In the first of the groups.
    pub(crate) sequence: u64,
    pub(crate) hash: u64,
    /// In bytes; none if nobody knows.
    pub(crate) len: Option<usize>,
    /// Of an own one.
    pub(crate) tag: u64,
}

/// What its reader's node does not say of every message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) sender: MemberId,
    /// In bytes; none if nobody knows.
    pub(crate) len: Option<usize>,
}

/// An own message.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) tag: u64,
    /// With the views that the session means.
    pub(crate) to: Audience,
    /// Same-view: the handles, and how many views had been shown under each.
    pub(crate) views: Vec<(u32, u32)>,
    pub(crate) service: Service,
    pub(crate) priority: Priority,
    pub(crate) no_self: bool,
    pub(crate) hash: u64,
    /// In bytes.
    pub(crate) len: usize,
    /// More than a message without order may have.
    pub(crate) too_long: bool,
}

/// What a session will still see.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Its groups, with their members.
    groups: BTreeMap<GroupId, BTreeSet<MemberId>>,
    waiting: VecDeque<Sight>,
    /// Own messages at their place in the order, of which its library is told only that.
    done: u64,
    /// Tags of messages that were taken, of which its library was not told yet.
    untold_taken: BTreeSet<u64>,
    /// Its engine is done with it: what comes now is not for it.
    is_closed: bool,
    /// Own messages that the engine has not judged yet, as far as is known.
    asked: VecDeque<Own>,
    /// Those that it must have refused, for it has taken a later one.
    refused: VecDeque<Own>,
    /// Those that it has taken.
    taken: BTreeMap<MessageId, Own>,
    /// The message that the core is about to give out.
    present: Option<Present>,
    /// By group, messages that it did not see and is still to be told of; under none, those for the
    /// session alone.
    missed: BTreeMap<Option<GroupId>, u64>,
    /// Of how many it was told.
    told: u64,
}

#[derive(Debug)]
struct Present {
    message: MessageId,
    letter: Letter,
    for_me: bool,
    /// It goes to one session of this node.
    alone: Option<SessionId>,
    refused: bool,
}

impl Ledger {
    /// The session asks to send.
    pub(crate) fn ask(&mut self, own: Own) {
        if !self.is_closed {
            self.asked.push_back(own);
        }
    }

    /// The core did something. `sent`: the message of which the record tells.
    pub(crate) fn trace(&mut self, me: MemberId, trace: &Trace, sent: Sent) {
        if self.is_closed {
            return;
        }
        if self.adds_to_present(me, trace, sent) {
            return;
        }
        self.settle(me);
        match trace {
            Trace::Send { message, session, to, service, priority, hash }
                if *session == me.session =>
            {
                self.take(*message, |own| {
                    let how = (own.service, Some(own.priority));
                    own.to == *to && how == (*service, *priority) && own.hash == *hash
                });
            }
            Trace::GroupView { group, id, transitional, members, local, local_left, .. } => {
                if local_left.contains(&me.session) && self.groups.remove(group).is_some() {
                    self.waiting.push_back(Sight::Left { group: *group });
                }
                if local.contains(&me.session) {
                    let count = members.len();
                    if !transitional {
                        self.groups.insert(*group, members.iter().copied().collect());
                    }
                    let (group, id, transitional) = (*group, *id, *transitional);
                    let sight = Sight::View { group, id, transitional, members: count };
                    self.waiting.push_back(sight);
                }
            }
            Trace::Deliver { message, service, hash, refused, .. } => {
                let letter = Letter {
                    groups: Vec::new(),
                    sender: sent.sender,
                    service: *service,
                    sequence: 0,
                    hash: *hash,
                    len: sent.len,
                    tag: 0,
                };
                let (message, refused) = (*message, *refused);
                let present = Present { message, letter, for_me: false, alone: None, refused };
                self.present = Some(present);
            }
            Trace::Unordered { message, hash, to, .. } => {
                self.unordered(me, (*message, sent), *hash, to.as_ref());
            }
            _ => {}
        }
    }

    /// The record says for whom the message is that the core is about to give out.
    fn adds_to_present(&mut self, me: MemberId, trace: &Trace, sent: Sent) -> bool {
        match (trace, &mut self.present) {
            (Trace::GroupMessage { group, sender, sequence, .. }, Some(present))
                if self.groups.contains_key(group) =>
            {
                let letter = &mut present.letter;
                if letter.groups.is_empty() {
                    letter.sequence = *sequence;
                }
                letter.groups.push(*group);
                letter.sender = *sender;
                present.for_me = true;
            }
            (Trace::Unicast { session, .. }, Some(present)) => {
                present.letter.sender = sent.sender;
                present.alone = Some(*session);
                present.for_me = *session == me.session;
            }
            _ => {}
        }
        matches!(trace, Trace::GroupMessage { .. } | Trace::Unicast { .. })
    }

    fn unordered(
        &mut self,
        me: MemberId,
        (message, sent): (MessageId, Sent),
        hash: u64,
        to: Option<&Recipients>,
    ) {
        let alone = match to {
            Some(Recipients::Session(session)) => Some(*session),
            _ => None,
        };
        let all = to.into_iter().flat_map(Recipients::groups).map(|(group, _)| group);
        let groups: Vec<_> = all.filter(|group| self.groups.contains_key(group)).collect();
        let for_me = !groups.is_empty() || alone == Some(me.session);
        let service = Service::Unreliable;
        let Sent { sender, len } = sent;
        let letter = Letter { groups, sender, service, sequence: 0, hash, len, tag: 0 };
        self.present = Some(Present { message, letter, for_me, alone, refused: false });
        self.settle(me);
    }

    /// The engine took a message: those of its priority that were asked for before it, and not
    /// taken, it has refused. What it takes by itself, a join for one, is none of them.
    fn take(&mut self, message: MessageId, is_it: impl Fn(&Own) -> bool) {
        let Some(at) = self.asked.iter().position(is_it) else { return };
        let Some(own) = self.asked.remove(at) else { return };
        let mut kept = VecDeque::new();
        for other in self.asked.drain(..at) {
            let is_refused = other.priority == own.priority;
            if is_refused { &mut self.refused } else { &mut kept }.push_back(other);
        }
        kept.append(&mut self.asked);
        self.asked = kept;
        self.untold_taken.insert(own.tag);
        self.taken.insert(message, own);
    }

    /// All is told of the message that the core gives out.
    pub(crate) fn settle(&mut self, me: MemberId) {
        let Some(mut present) = self.present.take() else { return };
        let own = self.taken.remove(&present.message);
        if let Some(own) = &own {
            present.letter.tag = own.tag;
        }
        let receipt = own.as_ref().and_then(|own| self.receipt(me, own, &present));
        if let (Some(status), Some(own)) = (receipt, &own) {
            self.waiting.push_back(Sight::Receipt { tag: own.tag, status });
        }
        let is_unseen = own.is_some_and(|own| own.no_self);
        self.done += u64::from(is_unseen && present.for_me);
        if present.for_me && !is_unseen {
            self.waiting.push_back(Sight::Message(present.letter));
        }
    }

    /// What the sender is told of a message at its place, if it is told.
    fn receipt(&self, me: MemberId, own: &Own, present: &Present) -> Option<Status> {
        if present.refused {
            return Some(Status::EVIEW);
        }
        match own.to {
            Audience::Member(member) if member.node == me.node => match present.alone {
                None => Some(Status::ENOTMEMBER),
                Some(session) => (session != me.session).then_some(Status::OK),
            },
            // What is known of other nodes depends on what they did in the meantime.
            Audience::Member(member) => {
                let known = self.groups.values().any(|members| members.contains(&member));
                Some(if known { Status::OK } else { UNKNOWN })
            }
            _ => (!present.for_me).then_some(Status::OK),
        }
    }

    /// The session sees something. `may_miss`: it may have missed messages before. The error says
    /// what it should have been.
    pub(crate) fn check(&mut self, seen: &Sight, may_miss: bool) -> Result<(), String> {
        while may_miss && self.waiting.front().is_some_and(|due| !due.allows(seen)) {
            if !self.miss() {
                break;
            }
        }
        // Receipts are of no group.
        let is_late = !matches!(seen, Sight::Receipt { .. }) && !self.missed.is_empty();
        if is_late {
            return Err(format!("{seen} and was not told of {}", self.untold()));
        }
        match self.waiting.pop_front() {
            Some(due) if due.allows(seen) => Ok(()),
            Some(due) => Err(format!("{seen} where {due} should be")),
            None => Err(format!("{seen}, which nobody gave it")),
        }
    }

    /// The next message may be one that it does not see; of an own one it is told so, at its place.
    fn miss(&mut self) -> bool {
        let Some(Sight::Message(_)) = self.waiting.front() else { return false };
        let Some(Sight::Message(letter)) = self.waiting.pop_front() else { return false };
        let alone = letter.groups.is_empty().then_some(None);
        for group in letter.groups.into_iter().map(Some).chain(alone) {
            *self.missed.entry(group).or_default() += 1;
        }
        if letter.tag != 0 {
            let (tag, status) = (letter.tag, Status::ESLOW);
            self.waiting.push_front(Sight::Receipt { tag, status });
        }
        true
    }

    /// It is told how many messages it has missed: all that it did not see so far.
    pub(crate) fn gap(&mut self, group: Option<GroupId>, count: u64) -> Result<(), String> {
        while self.missed.get(&group).is_none_or(|missed| *missed < count) && self.miss() {}
        // No message ends in this but a missed one.
        if let Some(Sight::Receipt { tag, status: Status::ESLOW }) = self.waiting.front() {
            return Err(format!("what it missed, and not that its own {tag} is among that"));
        }
        match self.missed.remove(&group) {
            Some(missed) if missed == count => {
                self.told += count;
                Ok(())
            }
            missed => {
                let (missed, group) = (missed.unwrap_or_default(), group.map(|group| group.0));
                Err(format!("that it missed {count} in {group:x?}, where {missed} are missing"))
            }
        }
    }

    fn untold(&self) -> String {
        let words = self.missed.iter().map(|(group, missed)| match group {
            Some(group) => format!("{missed} missed in group {:x}", group.0),
            None => format!("{missed} missed for it alone"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Of how many missed messages it was told since this was last asked.
    pub(crate) fn told(&mut self) -> u64 {
        std::mem::take(&mut self.told)
    }

    /// It has seen all that there was for it, or was told that it did not.
    pub(crate) fn is_told(&self) -> bool {
        self.waiting.is_empty() && self.missed.is_empty()
    }

    /// If the receipt is for the next message that its engine, or a core without a ring, has turned
    /// away: that message. Those never were in the order, so that their place in the stream is
    /// free.
    pub(crate) fn turned_away(&mut self, tag: u64, status: Status) -> Option<Own> {
        // The first of its priority.
        let is_it = |own: &Own| priority_of(own.tag) == priority_of(tag);
        for list in [&mut self.refused, &mut self.asked] {
            if let Some(first) = list.iter().position(is_it) {
                if list[first].tag == tag {
                    return list.remove(first);
                }
                break;
            }
        }
        if status != Status::ESTATE {
            return None;
        }
        let letter = |own: &Own| own.tag == tag && !own.service.is_ordered();
        let (message, _) = self.taken.iter().find(|(_, own)| letter(own))?;
        let message = *message;
        self.taken.remove(&message)
    }

    /// Its library was told of an own message at its place.
    pub(crate) fn done(&mut self) {
        self.done = self.done.saturating_sub(1);
    }

    /// Its library was told that these messages were taken.
    pub(crate) fn told_taken(&mut self, tags: &[u64]) {
        tags.iter().for_each(|tag| _ = self.untold_taken.remove(tag));
    }

    /// Its engine is done with it.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    /// The length of a message that it has asked to send.
    pub(crate) fn len_of(&self, hash: u64) -> Option<usize> {
        self.asked.iter().find(|own| own.hash == hash).map(|own| own.len)
    }

    /// What is still to come, as it counts for its engine.
    pub(crate) fn due(&self) -> Due {
        let mut due = Due::default();
        self.waiting.iter().for_each(|sight| due.add(sight));
        let refusable = |own: &&Own| !own.views.is_empty() || !own.service.is_ordered();
        let refused = self.refused.len() + self.asked.iter().filter(refusable).count();
        due.others += self.done * PER_DONE
            + self.untold_taken.len() as u64 * PER_TAKEN
            + refused as u64 * (PER_TAKEN + PER_REFUSAL);
        due
    }

    /// What is still to come.
    pub(crate) fn next(&self) -> Option<&Sight> {
        self.waiting.front()
    }

    /// Own messages that the core has taken, and that have not ended.
    pub(crate) fn taken(&self) -> usize {
        self.taken.len()
    }

    /// Own messages of which nothing is known yet.
    pub(crate) fn unjudged(&self) -> usize {
        self.asked.len() + self.refused.len()
    }
}

impl Sight {
    fn allows(&self, seen: &Self) -> bool {
        if let (Self::Receipt { tag, status: UNKNOWN }, Self::Receipt { tag: other, status }) =
            (self, seen)
        {
            return tag == other && [Status::OK, Status::ENOTMEMBER].contains(status);
        }
        if let (Self::Message(due), Self::Message(letter)) = (self, seen)
            && due.len.is_none()
        {
            return *letter == Letter { len: letter.len, ..due.clone() };
        }
        self == seen
    }
}

/// Either `OK` or `ENOTMEMBER`: whether a session of another node is a member of anything, this
/// session need not know.
const UNKNOWN: Status = Status(i32::MIN);
/// What words about own messages cost in a backlog, at most, in bytes: that one has its place, that
/// one was taken, and that one was refused.
const PER_DONE: u64 = 150;
const PER_TAKEN: u64 = 170;
const PER_REFUSAL: u64 = 170;

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View { group, id, transitional, .. } => {
                let what = if *transitional { "the transitional signal" } else { "the view" };
                write!(f, "{what} {}:{}.{} of group {:x}", id.ring, id.ordinal, id.sub, group.0)
            }
            Self::Message(letter) => {
                let Letter { sender, service, sequence, hash, tag, .. } = letter;
                let groups: Vec<_> = letter.groups.iter().map(|g| format!("{:x}", g.0)).collect();
                let (service, groups) = (service.name(), groups.join(" "));
                write!(
                    f,
                    "{service} message {sequence} [{hash:x}] to [{groups}] from {sender}, tag {tag}"
                )
            }
            Self::Receipt { tag, status: UNKNOWN } => write!(f, "any receipt for {tag}"),
            Self::Receipt { tag, status } => write!(f, "the receipt {} for {tag}", status.name()),
            Self::Left { group } => write!(f, "the end of its membership in group {:x}", group.0),
        }
    }
}

#[cfg(test)]
#[path = "seen/tests.rs"]
mod tests;
