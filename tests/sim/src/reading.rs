//! What a simulated client reads from its ring, and whether it is what it was promised.

use std::collections::BTreeSet;

use anasazi_client::View;
use anasazi_client::raw::RawRecord;
use anasazi_protocol::hash64;
use anasazi_protocol::{
    GroupId, Incarnation, MemberId, NodeId, Process, RingId, SessionId, ViewId,
};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    self, ClosedRecord, LeftRecord, Member, MessageRecord, ViewRecord, event,
};
use anasazi_queue::status::Status;

use crate::seen::Sight;
use crate::session::{Membership, Reading, Session, check_payload};

/// What a client got out of its ring.
pub(crate) struct Read {
    /// Records.
    pub(crate) records: u64,
    /// Its engine has to be told that there is room.
    pub(crate) woke_engine: bool,
    /// What was wrong.
    pub(crate) result: Result<(), String>,
}

impl Session {
    /// Reads as much as it does in one go.
    pub(crate) fn take_in(&mut self, acting: bool, wild: &BTreeSet<MemberId>) -> Read {
        let most = match self.reading {
            Reading::Eager => u64::MAX,
            Reading::Slow => u64::from(acting),
            Reading::Stopped => 0,
        };
        let (mut records, mut result) = (0, Ok(()));
        while records < most && result.is_ok() {
            match self.take_one(wild) {
                Ok(None) => break,
                Ok(Some(())) => records += 1,
                Err(what) => result = Err(format!("{} {what}", self.member)),
            }
        }
        let woke_engine = records > 0 && self.raw.has_woken_engine();
        Read { records, woke_engine, result }
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
            Found::Message { head, hash, len, good } => {
                // Who raves may have sent anything.
                let good = if wild.contains(&member(head.sender)) { Ok(()) } else { good };
                good.and_then(|()| self.message(&head, hash, len))
            }
            Found::View { head, view } => self.view(&head, &view),
            Found::Left { head, reason } => self.left(head, &reason),
            Found::Closed { status, reason } => {
                self.closed = Some((status, reason));
                Ok(())
            }
        }
    }

    fn message(&mut self, head: &MessageRecord, hash: u64, len: usize) -> Result<(), String> {
        let (group, sender) = (self.group(head.handle)?, member(head.sender));
        let sequence = head.sequence;
        self.ledger.check(&Sight::Message { group, sender, sequence, hash }).map_err(saw)?;
        if sender == self.member {
            if head.tag <= self.tags_seen {
                return Err(format!("sees its message {} after {}", head.tag, self.tags_seen));
            }
            self.tags_seen = head.tag;
        }
        let known = self.groups.get_mut(&group).ok_or("gets a message before its first view")?;
        // One that it did not want to see itself has its number, too.
        if sequence <= known.sequence {
            return Err(format!("gets number {sequence} of its view after {}", known.sequence));
        }
        known.sequence = sequence;
        if self.keep {
            self.received.push((sender, len));
        }
        Ok(())
    }

    fn view(&mut self, head: &ViewRecord, view: &Seen) -> Result<(), String> {
        let (group, me) = (self.group(head.handle)?, self.member);
        let transitional = head.transitional != 0;
        let id = view_id(head.id);
        self.ledger.check(&Sight::View { group, id, transitional }).map_err(saw)?;
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
        let members = view.members.clone();
        self.groups.insert(group, Membership { handle: head.handle, members, sequence: 0 });
        Ok(())
    }

    fn left(&mut self, head: LeftRecord, reason: &str) -> Result<(), String> {
        let group = self.group(head.handle)?;
        if head.status != Status::OK.0 {
            let status = Status(head.status).name();
            return Err(format!("was put out of group {:x}: {status}, {reason}", group.0));
        }
        self.ledger.check(&Sight::Left { group }).map_err(saw)?;
        self.handles.remove(&head.handle);
        if self.groups.get(&group).is_some_and(|known| known.handle == head.handle) {
            self.groups.remove(&group);
        }
        Ok(())
    }

    fn group(&self, handle: u32) -> Result<GroupId, String> {
        let group = self.handles.get(&handle).copied();
        group.ok_or_else(|| format!("gets something for its handle {handle}, which has ended"))
    }
}

/// A record, out of the ring.
enum Found {
    Message { head: MessageRecord, hash: u64, len: usize, good: Result<(), String> },
    View { head: ViewRecord, view: Seen },
    Left { head: LeftRecord, reason: String },
    Closed { status: Status, reason: String },
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
            let good = check_payload(member(head.sender), data);
            Ok(Found::Message { head, hash: hash64(data), len: data.len(), good })
        }
        event::VIEW => {
            raw.view(|head, view| Found::View { head: *head, view: seen(view) }).ok_or_else(short)
        }
        event::LEFT => {
            let (head, reason) = LeftRecord::split_from(raw.bytes).ok_or_else(short)?;
            Ok(Found::Left { head, reason: String::from_utf8_lossy(reason).into_owned() })
        }
        event::CLOSED => {
            let (head, reason) = ClosedRecord::split_from(raw.bytes).ok_or_else(short)?;
            let reason = String::from_utf8_lossy(reason).into_owned();
            Ok(Found::Closed { status: Status(head.status), reason })
        }
        kind => Err(format!("gets a record of kind {kind}: {:?}", raw.bytes)),
    }
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
