//! From the clients' send rings to commands: each session in turn, each session's records in order.

use std::ops::ControlFlow;
use std::sync::Arc;

use anasazi_protocol::limits::GROUP_NAME_LEN_MAX;
use anasazi_protocol::{Command, GroupId, SessionId};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    JOIN_SEND_ONLY, JoinRecord, LeaveRecord, QueryRecord, SendRecord, request,
};
use anasazi_queue::status::Status;
use bytes::{Buf, Bytes};

use super::connection::{Connection, Ending, Handle, Role};
use super::groups::LocalMember;
use super::limits::{HANDLES_MAX, QUERY_LEN_MAX, TURN_LEN_MAX, TURN_RECORDS_MAX};
use super::{Sessions, reply_parts};
use crate::sys::memory::Taken;

/// What a session wants.
#[derive(Clone, Debug)]
pub enum Request {
    /// For the protocol.
    Command(Command),
    /// For the administration door; to be answered by [`Sessions::reply`].
    Query {
        /// Who asks.
        session: SessionId,
        /// To be given back.
        tag: u64,
        /// The question: to be a JSON object.
        json: String,
    },
}

/// Takes requests; false: no more for now, the last one was still taken.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Request) -> bool;

/// What a record leads to: go on, or stop the session's turn.
type Step = Result<ControlFlow<Pause>, Ending>;

/// Why a turn is over before the ring is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// The sink takes no more.
    Full,
    /// The session has had its share.
    Share,
}

impl Sessions {
    /// Hands requests to `sink`, at most `budget`, in turns between the sessions, until it returns
    /// false (that request still counts as taken). True: more is waiting, call again, once the sink
    /// takes more.
    pub fn poll(&mut self, budget: usize, sink: &mut dyn FnMut(Request) -> bool) -> bool {
        let mut left = budget;
        while left > 0 {
            let goes_on = if let Some(session) = self.endings.pop_front() {
                left -= 1;
                sink(Request::Command(Command::Disconnect { session }))
            } else if let Some((slot, id)) = self.active.pop_front() {
                self.take_turn((slot, id), &mut left, sink)
            } else {
                return false;
            };
            if !goes_on {
                break;
            }
        }
        !self.endings.is_empty() || !self.active.is_empty()
    }

    /// One session's turn. False: the sink takes no more.
    fn take_turn(&mut self, at: (usize, SessionId), budget: &mut usize, sink: Sink<'_>) -> bool {
        let Some(mut connection) = self.take_out(at) else { return true };
        connection.is_active = false;
        let result = self.carry_out_some(&mut connection, at.0, budget, sink);
        connection.release_taken();
        let is_full = result == Ok(Some(Pause::Full));
        match result {
            Err(ending) => self.end(connection, at.0, Some(&ending)),
            // Nothing is left of what a client had sent before it was gone.
            Ok(None) if connection.legacy.is_some() => self.end(connection, at.0, None),
            Ok(outcome) => {
                let goes_on = outcome.is_some() || !connection.lane.sleep();
                self.put_back(connection, at.0);
                self.mark_dirty(at.0); // it may have been answered
                if goes_on {
                    self.activate(at.0);
                }
            }
        }
        !is_full
    }

    fn carry_out_some(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        budget: &mut usize,
        sink: Sink<'_>,
    ) -> Result<Option<Pause>, Ending> {
        let len_max = self.limits.message_len_max + size_of::<SendRecord>();
        let (mut records, mut len) = (0, 0);
        while records < TURN_RECORDS_MAX && len < TURN_LEN_MAX && *budget > 0 {
            if connection.legacy == Some(0) {
                return Ok(None);
            }
            let taken = connection.lane.take(&mut self.arena, len_max);
            let taken = taken.map_err(|_| Ending::malformed("no record where one should be"))?;
            let Some(taken) = taken else { return Ok(None) };
            records += 1;
            len += taken.len;
            *budget -= 1;
            if let Some(left) = &mut connection.legacy {
                *left = left.saturating_sub(taken.len as u64 + 8);
            }
            let payload = self.arena.split().freeze();
            let step = self.carry_out(connection, slot, taken, payload, sink)?;
            if let ControlFlow::Break(pause) = step {
                return Ok(Some(pause));
            }
        }
        Ok(Some(Pause::Share))
    }

    fn carry_out(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        taken: Taken,
        payload: Bytes,
        sink: Sink<'_>,
    ) -> Step {
        match taken.kind {
            request::SEND => send(connection, taken.len, payload, sink),
            request::JOIN => self.join(connection, slot, &payload, sink),
            request::LEAVE => leave(connection, &payload, sink),
            request::QUERY => query(connection, taken.len, &payload, sink),
            request::CLOSE => Err(Ending::new(Status::OK, "closed by its owner")),
            kind => Err(Ending::malformed(&format!("a record of the unknown kind {kind}"))),
        }
    }

    fn join(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        payload: &[u8],
        sink: Sink<'_>,
    ) -> Step {
        let Some((record, name)) = JoinRecord::split_from(payload) else { return cut_short() };
        if connection.handles.contains_key(&record.handle) {
            let text = format!("a second join with the handle {}", record.handle);
            return Err(Ending::malformed(&text));
        }
        let refused = match self.check_join(connection, record, name) {
            Ok((group, name)) => {
                let is_sender = record.flags == JOIN_SEND_ONLY;
                let role = if is_sender { Role::Sender } else { Role::Member };
                let handle = Handle { group, name: Arc::from(name), role };
                connection.handles.insert(record.handle, handle);
                if is_sender {
                    return go_on();
                }
                let session = connection.id;
                let handle = record.handle;
                self.groups.add(group, LocalMember { slot, session, handle, admitted: false });
                let join = Command::Join { session, name: name.to_owned() };
                return offer(Request::Command(join), sink);
            }
            Err(refused) => refused,
        };
        connection.left(record.handle, refused.status, &refused.reason)?;
        go_on()
    }

    fn check_join<'a>(
        &self,
        connection: &Connection,
        record: JoinRecord,
        name: &'a [u8],
    ) -> Result<(GroupId, &'a str), Ending> {
        let name = check_name(name)?;
        if record.flags & !JOIN_SEND_ONLY != 0 {
            let text = format!("join flags {:#x} are not known to this engine", record.flags);
            return Err(Ending::new(Status::ENOTSUP, text));
        }
        if connection.handles.len() >= HANDLES_MAX {
            let text = format!("a session can hold {HANDLES_MAX} groups; leave some");
            return Err(Ending::new(Status::ENOMEM, text));
        }
        let group = GroupId::of(name);
        let is_there = |handle: &Handle| handle.group == group && handle.role == Role::Member;
        if record.flags & JOIN_SEND_ONLY == 0 && connection.handles.values().any(is_there) {
            let text = format!("this session is a member of {name:?} already, by another handle");
            return Err(Ending::new(Status::EEXIST, text));
        }
        Ok((group, name))
    }
}

fn check_name(name: &[u8]) -> Result<&str, Ending> {
    let invalid = |text: String| Ending::new(Status::EINVAL, text);
    if name.is_empty() {
        return Err(invalid("a group's name is empty".to_owned()));
    }
    if name.len() > GROUP_NAME_LEN_MAX {
        let text =
            format!("a group's name has {} bytes; {GROUP_NAME_LEN_MAX} are allowed", name.len());
        return Err(invalid(text));
    }
    let text = std::str::from_utf8(name).map_err(|error| {
        invalid(format!("a group's name is not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    if text.contains('\0') {
        return Err(invalid("a group's name has a NUL in it".to_owned()));
    }
    Ok(text)
}

fn leave(connection: &mut Connection, payload: &[u8], sink: Sink<'_>) -> Step {
    let Some((record, _)) = LeaveRecord::split_from(payload) else { return cut_short() };
    // An unknown handle was ended while the leave was on its way.
    let Some(handle) = connection.handles.get_mut(&record.handle) else { return go_on() };
    match handle.role {
        Role::Leaver => go_on(),
        Role::Member => {
            handle.role = Role::Leaver;
            let leave = Command::Leave { session: connection.id, group: handle.group };
            offer(Request::Command(leave), sink)
        }
        Role::Sender => {
            connection.handles.remove(&record.handle);
            connection.left(record.handle, Status::OK, "left")?;
            go_on()
        }
    }
}

fn send(connection: &mut Connection, len: usize, mut payload: Bytes, sink: Sink<'_>) -> Step {
                connection.has_joined = true;
    let Some((record, message)) = SendRecord::split_from(&payload) else { return cut_short() };
    let is_whole = payload.len() == len;
    let fate = match connection.handles.get(&record.handle) {
        None => Status::ENOTMEMBER,
        Some(handle) if handle.role == Role::Leaver => Status::ENOTMEMBER,
        Some(_) if record.service & !KNOWN != 0 => Status::ENOTSUP,
        Some(_) if record.service & LEVEL > SAFE => Status::EINVAL,
        Some(_) if !is_whole => Status::EMSGSIZE,
        Some(handle) => {
            let command = Command::Send {
                session: connection.id,
                group: handle.group,
                safe: record.service & LEVEL == SAFE,
                no_self: record.service & NO_SELF != 0,
                tag: record.tag,
                payload: {
                    let head_len = payload.len() - message.len();
                    payload.advance(head_len);
                    payload
                },
            };
            connection.messages_sent += 1;
            return offer(Request::Command(command), sink);
        }
    };
    connection.receipt(record.handle, fate, record.tag)?;
    go_on()
}

fn query(connection: &mut Connection, len: usize, payload: &[u8], sink: Sink<'_>) -> Step {
    let Some((record, json)) = QueryRecord::split_from(payload) else { return cut_short() };
    let too_long = len - size_of::<QueryRecord>() > QUERY_LEN_MAX;
    let (status, error) = match std::str::from_utf8(json) {
        Ok(json) if !too_long => {
            let (session, tag) = (connection.id, record.tag);
            return offer(Request::Query { session, tag, json: json.to_owned() }, sink);
        }
        _ if too_long => (Status::EMSGSIZE, format!("a query has at most {QUERY_LEN_MAX} bytes")),
        _ => (Status::EINVAL, "the query is not UTF-8".to_owned()),
    };
    let error = format!("{{\"error\":\"{error}\"}}");
    reply_parts(connection, record.tag, status, &error, false)?;
    go_on()
}

fn offer(request: Request, sink: Sink<'_>) -> Step {
    Ok(if sink(request) { ControlFlow::Continue(()) } else { ControlFlow::Break(Pause::Full) })
}

#[allow(clippy::unnecessary_wraps, reason = "an outcome among others")]
fn go_on() -> Step {
    Ok(ControlFlow::Continue(()))
}

fn cut_short() -> Step {
    Err(Ending::malformed("a record that is too short for its kind"))
}

/// Of a send's service word, as in the C header.
const LEVEL: u32 = 0xFF;
const SAFE: u32 = 5;
const NO_SELF: u32 = 0x100;
const KNOWN: u32 = LEVEL | NO_SELF;
