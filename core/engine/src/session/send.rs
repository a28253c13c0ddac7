//! A message out of a client's send ring: what it asks for is checked, and what cannot be done is
//! answered with a receipt.

use anasazi_protocol::limits;
use anasazi_protocol::{Audience, Command, Priority, Service, ViewId};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    GROUPS_PER_MESSAGE_MAX, GroupRecord, PRIO_BULK, PRIO_HIGH, SendRecord, TakenEntry,
    UNRELIABLE_GROUP_LEN, UNRELIABLE_LEN_MAX,
};
use anasazi_queue::status::Status;
use bytes::{Buf, Bytes};

use super::Sessions;
use super::connection::{Connection, Ending, Handle, Role};
use super::requests::{Sink, Step, cut_short, go_on, offer};
use crate::domains::{DomainGroup, DomainId};
use crate::sys::memory::Taken;

/// Carries a send out. `payload` may be only the start of the record.
pub(super) fn send(
    sessions: &Sessions,
    connection: &mut Connection,
    taken: Taken,
    mut payload: Bytes,
    sink: Sink<'_>,
) -> Step {
    let Some((record, rest)) = SendRecord::split_from(&payload) else { return cut_short() };
    let Some((further, _)) = further_groups(record, rest) else { return cut_short() };
    let head_len = size_of::<SendRecord>() + further.len() * size_of::<GroupRecord>();
    let (len, position) = (taken.len, taken.position);
    let message_len = len.saturating_sub(head_len);
    let checked = service(record.service).and_then(|(service, priority)| {
        let (domain, to) = audience(sessions, connection, record, &further)?;
        let ordered = service.is_ordered();
        // Nobody could tell the sender of one without order what became of it.
        let impossible = !ordered && record.service & SAME_VIEW != 0;
        let too_long = message_len > sessions.limits.message_len_max
            || payload.len() < len
            || !ordered && message_len > to.unordered_len_max();
        match () {
            () if impossible => Err(Status::EINVAL),
            () if too_long => Err(Status::EMSGSIZE),
            () => Ok((service, priority, domain, to)),
        }
    });
    let (service, priority, domain, to) = match checked {
        Ok(checked) => checked,
        Err(status) => {
            refuse(connection, record, position, status)?;
            return go_on();
        }
    };
    payload.advance(head_len);
    connection.messages_sent += 1;
    note(connection, record, position);
    let (session, no_self, tag) = (connection.id, record.service & NO_SELF != 0, record.tag);
    let command = Command::Send { session, to, service, priority, no_self, tag, payload };
    offer(domain, command, sink)
}

/// Nothing comes of it, and its sender is told why.
pub(super) fn refuse(
    connection: &mut Connection,
    record: SendRecord,
    position: u64,
    status: Status,
) -> Result<(), Ending> {
    // The receipt is its end: then it must not be found in the ring any more.
    note(connection, record, position);
    connection.tell_taken()?;
    connection.receipt(record.handle, status, record.tag)
}

/// Its sender is to know that it was taken.
fn note(connection: &mut Connection, record: SendRecord, position: u64) {
    if record.tag != 0 {
        let (tag, handle) = (record.tag, record.handle);
        connection.taken.push((TakenEntry { tag, handle, ahead: 0 }, position));
    }
}

/// The list between a send's head and its message, as far as there may be one.
pub(super) fn further_groups(
    record: SendRecord,
    bytes: &[u8],
) -> Option<(Vec<GroupRecord>, &[u8])> {
    let count = record.groups as usize;
    if count >= GROUPS_PER_MESSAGE_MAX {
        return None;
    }
    let mut rest = bytes;
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        let (group, after) = GroupRecord::split_from(rest)?;
        groups.push(group);
        rest = after;
    }
    Some((groups, rest))
}

fn service(word: u32) -> Result<(Service, Priority), Status> {
    if word & !(LEVEL | NO_SELF | SAME_VIEW | PRIO_HIGH | PRIO_BULK) != 0 {
        return Err(Status::ENOTSUP);
    }
    let priority = match word & (PRIO_HIGH | PRIO_BULK) {
        0 => Priority::Normal,
        PRIO_HIGH => Priority::High,
        PRIO_BULK => Priority::Bulk,
        _ => return Err(Status::EINVAL),
    };
    Ok((Service::of(word & LEVEL).ok_or(Status::EINVAL)?, priority))
}

/// To whom the handles of a send lead, and in which domain: nothing is ordered across domains.
fn audience(
    sessions: &Sessions,
    connection: &Connection,
    record: SendRecord,
    further: &[GroupRecord],
) -> Result<(DomainId, Audience), Status> {
    let same_view = record.service & SAME_VIEW != 0;
    let first = GroupRecord { handle: record.handle, views: record.views };
    let handle = connection.handles.get(&first.handle).ok_or(Status::ENOTMEMBER)?;
    sessions.may_send(connection, handle)?;
    if let Role::Peer(member) = handle.role {
        let alone = further.is_empty() && !same_view;
        let to = (handle.group.domain, Audience::Member(member));
        return if alone { Ok(to) } else { Err(Status::EINVAL) };
    }
    let (DomainGroup { domain, group }, view) = addressed(handle, first, same_view)?;
    if further.is_empty() {
        return Ok((domain, Audience::Group(group, view)));
    }
    let mut groups = Vec::with_capacity(1 + further.len());
    groups.push((group, view));
    for record in further {
        let handle = connection.handles.get(&record.handle).ok_or(Status::ENOTMEMBER)?;
        sessions.may_send(connection, handle)?;
        let (further, view) = addressed(handle, *record, same_view)?;
        let is_known = groups.iter().any(|(known, _)| *known == further.group);
        if further.domain != domain || is_known {
            return Err(Status::EINVAL);
        }
        groups.push((further.group, view));
    }
    Ok((domain, Audience::Groups(groups)))
}

/// The group under a handle, and the view that it must be in. That is the one that the session was
/// shown last: if a later one is on its way to it, the message is too late.
fn addressed(
    handle: &Handle,
    record: GroupRecord,
    same_view: bool,
) -> Result<(DomainGroup, Option<ViewId>), Status> {
    match handle.role {
        Role::Leaver => Err(Status::ENOTMEMBER),
        Role::Peer(_) => Err(Status::EINVAL),
        Role::Sender if same_view => Err(Status::EINVAL),
        Role::Sender | Role::Member if !same_view => Ok((handle.group, None)),
        _ if handle.views == 0 || handle.views != record.views => Err(Status::EVIEW),
        _ => Ok((handle.group, Some(handle.view))),
    }
}

/// Of a send's service word, as in the C header.
const LEVEL: u32 = 0xFF;
const NO_SELF: u32 = 0x100;
const SAME_VIEW: u32 = 0x400;

// What clients are told is what the protocol can do.
const _: () = assert!(GROUPS_PER_MESSAGE_MAX == limits::GROUPS_PER_MESSAGE_MAX);
const _: () = assert!(UNRELIABLE_LEN_MAX == limits::UNORDERED_LEN_MAX);
const _: () = assert!(UNRELIABLE_GROUP_LEN == limits::UNORDERED_GROUP_LEN);
