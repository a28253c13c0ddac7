//! What a simulated client reads from its ring, and whether it is what it was promised.

use std::collections::BTreeSet;

use anasazi_client::raw::RawRecord;
use anasazi_client::{SlowPolicy, View};
use anasazi_protocol::content_hash;
use anasazi_protocol::{
    GroupId, Incarnation, MemberId, NodeId, Process, RingId, Service, SessionId, ViewId,
};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    self, ClosedRecord, GapRecord, LeftRecord, Member, MessageRecord, MultiRecord, ReceiptRecord,
    TakenEntry, TakenRecord, ViewRecord, event,
};
use anasazi_queue::status::Status;

use crate::seen::{Letter, Own, Sight};
use crate::session::{Membership, Reading, Session, check_payload, priority_of};

/// What a client got out of its ring.
pub(crate) struct Read {
    /// It was awake, or was woken.
    pub(crate) looked: bool,
    /// Records.
    pub(crate) records: u64,
    /// Messages that it was told it has missed.
    pub(crate) missed: u64,
    /// Its engine has to be told that there is room.
    pub(crate) woke_engine: bool,
    /// What was wrong.
    pub(crate) result: Result<(), String>,
}

impl Session {
    /// Reads as much as it does in one go.
    pub(crate) fn take_in(&mut self, acting: bool, wild: &BTreeSet<MemberId>) -> Read {
        if self.asleep {
            if !self.raw.is_woken() {
                return Read {
                    looked: false,
                    records: 0,
                    missed: 0,
                    woke_engine: false,
                    result: Ok(()),
                };
            }
            self.wake_up();
        }
        let most = match self.reading {
            Reading::Eager => u64::MAX,
            Reading::Slow => u64::from(acting),
            Reading::Stopped => 0,
        };
        let (mut records, mut result) = (0, Ok(()));
        while records < most && result.is_ok() {
            match self.take_one(wild) {
                Ok(None) if self.sleeps && self.reading == Reading::Eager => {
                    // False if something has come meanwhile.
                    self.asleep = self.raw.may_sleep();
                    if self.asleep {
                        break;
                    }
                }
                Ok(None) => break,
                Ok(Some(())) => records += 1,
                Err(what) => result = Err(format!("{} {what}", self.member)),
            }
        }
        let woke_engine = records > 0 && self.raw.has_woken_engine();
        let missed = self.ledger.told();
        Read { looked: true, records, missed, woke_engine, result }
    }

    fn take_one(&mut self, wild: &BTreeSet<MemberId>) -> Result<Option<()>, String> {
        let Self { raw, .. } = self;
        // The record is looked at while it is in the ring, and judged when it is given back.
        let found = raw.take(decode).map_err(|_| "has a broken ring".to_owned())?;
        found.map(|found| self.judge(found?, wild)).transpose()
    }

    fn judge(&mut self, found: Found, wild: &BTreeSet<MemberId>) -> Result<(), String> {
        if let Some((status, _)) = &self.closed {
            return Err(format!("gets something after its end with {}", status.name()));
        }
        match found {
            Found::Message { head, handles, hash, len, good } => {
                // Who raves may have sent anything.
                let good = if wild.contains(&member(head.sender)) { Ok(()) } else { good };
                good.and_then(|()| self.message(&head, &handles, (hash, len)))
            }
            Found::Taken(tags) => {
                self.ledger.told_taken(&tags);
                Ok(())
            }
            Found::Done => {
                self.ledger.done();
                Ok(())
            }
            Found::Receipt(head) => self.receipt(head),
            Found::View { head, view } => self.view(&head, &view),
            Found::Left { head, reason } => self.left(head, &reason),
            Found::Gap(head) => self.gap(head),
            Found::Closed { status, reason } => {
                self.closed = Some((status, reason));
                Ok(())
            }
        }
    }

    /// Its engine may skip messages for it, and tells it how many.
    fn may_miss(&self) -> bool {
        self.policy == SlowPolicy::Gap && self.lagged
    }

    fn sees(&mut self, seen: &Sight) -> Result<(), String> {
        self.ledger.check(seen, self.may_miss()).map_err(saw)
    }

    fn message(
        &mut self,
        head: &MessageRecord,
        handles: &[u32],
        (hash, bytes): (u64, usize),
    ) -> Result<(), String> {
        let groups = handles.iter().map(|handle| self.group(*handle));
        let groups = groups.collect::<Result<Vec<_>, _>>()?;
        let (sender, sequence, tag) = (member(head.sender), head.sequence, head.tag);
        let service = Service::of(head.service).ok_or("gets a message of no service")?;
        let first = groups.first().copied();
        let len = Some(bytes);
        let letter = Letter { groups, sender, service, sequence, hash, len, tag };
        self.sees(&Sight::Message(letter))?;
        if sender == self.member && service.is_ordered() {
            let last = &mut self.tags_seen[priority_of(tag)];
            if tag <= *last {
                return Err(format!("sees its message {tag} after {last}"));
            }
            *last = tag;
        }
        if let Some(group) = first {
            let known =
                self.groups.get_mut(&group).ok_or("gets a message before its first view")?;
            // One that it did not want to see itself has its number, too.
            if service.is_ordered() && sequence <= known.sequence {
                return Err(format!("gets number {sequence} of its view after {}", known.sequence));
            }
            known.sequence = known.sequence.max(sequence);
        }
        if self.keep {
            self.received.push((sender, bytes));
        }
        Ok(())
    }

    fn receipt(&mut self, head: ReceiptRecord) -> Result<(), String> {
        let (tag, status) = (head.tag, Status(head.status));
        let Some(own) = self.ledger.turned_away(tag, status) else {
            return self.sees(&Sight::Receipt { tag, status });
        };
        if !self.is_under(head.handle, &own.to) {
            return Err(format!("has a receipt for {tag} under the handle {}", head.handle));
        }
        if self.deserves(&own, status) {
            return Ok(());
        }
        Err(format!("is told {} of {own:?}, which is not so", status.name()))
    }

    /// Whether a message could be turned away for this reason.
    fn deserves(&self, own: &Own, status: Status) -> bool {
        // The later view came before the word that the message is of an earlier one.
        let is_late = |(handle, views): &(u32, u32)| {
            let known = self.groups.values().find(|known| known.handle == *handle);
            *views == 0 || known.is_none_or(|known| known.views != *views)
        };
        match status {
            Status::EMSGSIZE => own.too_long,
            Status::EVIEW => own.views.iter().any(is_late),
            // The ring is being formed anew.
            Status::ESTATE => !own.service.is_ordered() && !own.too_long,
            _ => false,
        }
    }

    fn view(&mut self, head: &ViewRecord, view: &Seen) -> Result<(), String> {
        let (group, me) = (self.group(head.handle)?, self.member);
        let transitional = head.transitional != 0;
        let id = view_id(head.id);
        let members = view.members.len();
        self.sees(&Sight::View { group, id, transitional, members })?;
        if transitional {
            return Ok(());
        }
        if !view.members.contains(&me) {
            return Err("gets a view without itself".to_owned());
        }
        match self.groups.get(&group).filter(|known| known.handle == head.handle) {
            None if !view.joined.contains(&me) => {
                return Err("is a member without having joined".to_owned());
            }
            Some(before) => check_difference(view, &before.members)?,
            None => {}
        }
        let (members, handle) = (view.members.clone(), head.handle);
        let before = self.groups.get(&group).filter(|known| known.handle == handle);
        let views = before.map_or(0, |known| known.views) + 1;
        self.groups.insert(group, Membership { handle, view: id, views, members, sequence: 0 });
        Ok(())
    }

    fn left(&mut self, head: LeftRecord, reason: &str) -> Result<(), String> {
        let group = self.group(head.handle)?;
        if head.status != Status::OK.0 {
            let status = Status(head.status).name();
            return Err(format!("was put out of group {:x}: {status}, {reason}", group.0));
        }
        self.sees(&Sight::Left { group })?;
        self.handles.remove(&head.handle);
        if self.groups.get(&group).is_some_and(|known| known.handle == head.handle) {
            self.groups.remove(&group);
        }
        Ok(())
    }

    /// It is told of what it missed, which it asked for, and which it could miss.
    fn gap(&mut self, head: GapRecord) -> Result<(), String> {
        if !self.may_miss() {
            return Err(format!("reads, and is told that it missed {}", head.count));
        }
        let group = (head.handle != 0).then(|| self.group(head.handle)).transpose()?;
        self.ledger.gap(group, head.count).map_err(saw)
    }

    fn group(&self, handle: u32) -> Result<GroupId, String> {
        let group = self.handles.get(&handle).copied();
        group.ok_or_else(|| format!("gets something for its handle {handle}, which has ended"))
    }
}

/// A record, out of the ring.
enum Found {
    /// For its library, should the engine go away: the tags of messages that it has taken.
    Taken(Vec<u64>),
    /// For its library, too: an own message that it does not want to see has its place.
    Done,
    /// Under which handles: none if it is for this session alone.
    Message {
        head: MessageRecord,
        handles: Vec<u32>,
        hash: u64,
        len: usize,
        good: Result<(), String>,
    },
    Receipt(ReceiptRecord),
    View {
        head: ViewRecord,
        view: Seen,
    },
    Left {
        head: LeftRecord,
        reason: String,
    },
    Gap(GapRecord),
    Closed {
        status: Status,
        reason: String,
    },
}

/// What a client looks at in a view.
struct Seen {
    members: Vec<MemberId>,
    joined: Vec<MemberId>,
    left: Vec<MemberId>,
}

fn decode(raw: RawRecord<'_>) -> Result<Found, String> {
    let short = || format!("gets a record of kind {} that is too short", raw.kind);
    match raw.kind {
        event::MESSAGE => {
            let (head, data) = MessageRecord::split_from(raw.bytes).ok_or_else(short)?;
            Ok(message(head, vec![head.handle], data))
        }
        event::UNICAST => {
            let (head, data) = MessageRecord::split_from(raw.bytes).ok_or_else(short)?;
            let strange = || format!("gets a message alone under the handle {}", head.handle);
            (head.handle == 0).then(|| message(head, Vec::new(), data)).ok_or_else(strange)
        }
        event::MULTI => {
            let (multi, rest) = MultiRecord::split_from(raw.bytes).ok_or_else(short)?;
            let list_len = 4 * multi.handles as usize;
            let (list, data) = (rest.get(..list_len), rest.get(list_len.next_multiple_of(8)..));
            let (Some(list), Some(data)) = (list, data) else { return Err(short()) };
            let number = |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes);
            let handles: Vec<u32> = list.as_chunks().0.iter().map(number).collect();
            let MultiRecord { service, sender, sequence, tag, .. } = multi;
            let handle = *handles.first().ok_or("gets a message to none of its groups")?;
            Ok(message(MessageRecord { handle, service, sender, sequence, tag }, handles, data))
        }
        event::RECEIPT => {
            let (head, _) = ReceiptRecord::split_from(raw.bytes).ok_or_else(short)?;
            Ok(Found::Receipt(head))
        }
        event::VIEW => {
            raw.view(|head, view| Found::View { head: *head, view: seen(view) }).ok_or_else(short)
        }
        event::LEFT => {
            let (head, reason) = LeftRecord::split_from(raw.bytes).ok_or_else(short)?;
            Ok(Found::Left { head, reason: String::from_utf8_lossy(reason).into_owned() })
        }
        event::GAP => {
            let (head, _) = GapRecord::split_from(raw.bytes).ok_or_else(short)?;
            Ok(Found::Gap(head))
        }
        event::CLOSED => {
            let (head, reason) = ClosedRecord::split_from(raw.bytes).ok_or_else(short)?;
            let reason = String::from_utf8_lossy(reason).into_owned();
            Ok(Found::Closed { status: Status(head.status), reason })
        }
        event::TAKEN => {
            let (_, mut rest) = TakenRecord::split_from(raw.bytes).ok_or_else(short)?;
            let mut tags = Vec::new();
            while !rest.is_empty() {
                let (entry, after) = TakenEntry::split_from(rest).ok_or_else(short)?;
                tags.push(entry.tag);
                rest = after;
            }
            Ok(Found::Taken(tags))
        }
        event::DONE => Ok(Found::Done),
        kind => Err(format!("gets a record of kind {kind}: {:?}", raw.bytes)),
    }
}

fn message(head: MessageRecord, handles: Vec<u32>, data: &[u8]) -> Found {
    let good = check_payload(member(head.sender), data);
    Found::Message { head, handles, hash: content_hash(data), len: data.len(), good }
}

fn seen(view: &View) -> Seen {
    let all = |list: &[Member]| list.iter().map(|m| member(*m)).collect();
    Seen { members: all(view.members()), joined: all(view.joined()), left: all(view.left()) }
}

/// `joined` and `left` say how the view differs from the one before.
fn check_difference(view: &Seen, before: &[MemberId]) -> Result<(), String> {
    let joined: Vec<_> = view.members.iter().filter(|m| !before.contains(m)).collect();
    let left: Vec<_> = before.iter().filter(|m| !view.members.contains(m)).collect();
    let says = (view.joined.iter().collect::<Vec<_>>(), view.left.iter().collect::<Vec<_>>());
    let same =
        |a: &[&MemberId], b: &[&MemberId]| a.len() == b.len() && a.iter().all(|m| b.contains(m));
    if same(&says.0, &joined) && same(&says.1, &left) {
        return Ok(());
    }
    Err(format!("is told of joined and left {says:?}, but it is {joined:?} and {left:?}"))
}

fn saw(what: String) -> String {
    format!("sees {what}")
}

fn member(member: Member) -> MemberId {
    MemberId { node: NodeId(member.node as u32), session: SessionId(member.session) }
}

fn view_id(id: record::ViewId) -> ViewId {
    let node = NodeId(id.ring_rep as u32);
    let representative = Process { node, incarnation: Incarnation(id.ring_incarnation) };
    let ring = RingId { sequence: id.ring_seq, representative };
    ViewId { ring, ordinal: id.ordinal, sub: id.sub }
}
