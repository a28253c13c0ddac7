//! From the clients' send rings to commands: each session in turn, each session's records in order.

use std::ops::ControlFlow;

use anasazi_protocol::limits::GROUP_NAME_LEN_MAX;
use anasazi_protocol::{Command, GroupId, MemberId, NodeId, SessionId};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    GROUPS_PER_MESSAGE_MAX, GroupRecord, JOIN_SEND_ONLY, JoinRecord, LeaveRecord, PeerRecord,
    QueryRecord, SendRecord, request,
};
use anasazi_queue::status::Status;
use bytes::Bytes;

use super::connection::{Connection, Ending, Handle, Role};
use super::groups::LocalMember;
use super::holds::ADDRESS_LEN_MAX;
use super::limits::{
    CHARGE_LEN, HANDLES_MAX, QUERIES_PER_POLL, QUERY_LEN_MAX, TURN_LEN_MAX, TURN_RECORDS_MAX,
};
use super::removal::refuse_send;
use super::send::send;
use super::{Sessions, reply_parts};
use crate::access::Operation;
use crate::domains::{DomainGroup, DomainId, DomainSet};
use crate::sys::memory::Taken;

/// What a session wants.
#[derive(Clone, Debug)]
pub enum Request {
    /// For the protocol of a domain.
    Command(DomainId, Command),
    /// For the administration door; to be answered by [`Sessions::reply`].
    Query {
        /// Who asks.
        session: SessionId,
        /// To be given back.
        tag: u64,
        /// Of a user who could stop this process anyway: root or its own.
        trusted: bool,
        /// The question: to be a JSON object.
        json: String,
    },
}

/// Takes requests; false: no more commands for this domain for now, the last one was still taken.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Request) -> bool;

/// What a record leads to: go on, or stop the session's turn.
pub(super) type Step = Result<ControlFlow<Pause>, Ending>;

/// Why a turn is over before the ring is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// The sink takes no more commands for this domain.
    Full(DomainId),
    /// The next record is a command for this domain, and they are not taken now.
    Blocked(DomainId),
    /// The next record is a message to a group whose senders wait.
    Held,
    /// The next record is a query, and enough of them were taken, or there is too much to skip.
    Later,
    /// The session has had its share.
    Share,
}

/// What may be taken during one poll.
struct Gate {
    /// Requests, long ones counted for several.
    budget: usize,
    /// Domains whose protocols take no commands now.
    full: DomainSet,
    queries: usize,
}

impl Gate {
    fn is_open(&self) -> bool {
        self.full.is_empty() && self.queries > 0
    }

    /// `domain`: whom a command of this kind is for.
    fn stops(&self, kind: u16, domain: DomainId) -> Option<Pause> {
        match kind {
            request::CLOSE => None,
            request::QUERY => (self.queries == 0).then_some(Pause::Later),
            _ => self.full.contains(domain).then_some(Pause::Blocked(domain)),
        }
    }

    /// Charges for a record that was taken.
    fn charge(&mut self, taken: Taken) {
        self.budget = self.budget.saturating_sub(1 + taken.cost / CHARGE_LEN);
        if taken.kind == request::QUERY {
            self.queries = self.queries.saturating_sub(1);
        }
    }
}

impl Sessions {
    /// Hands requests to `sink`, at most `budget`, in turns between the sessions. Commands for
    /// domains that are not `full`, and until the sink returns false (that one still counts as
    /// taken): sessions whose next record is a command for such a domain then wait, all others
    /// still have their queries answered, a few at most. True: more can be taken by another call
    /// right now.
    pub fn poll(
        &mut self,
        budget: usize,
        full: DomainSet,
        sink: &mut dyn FnMut(Request) -> bool,
    ) -> bool {
        let mut gate = Gate { budget, full, queries: QUERIES_PER_POLL };
        let mut later = Vec::new();
        while gate.budget > 0 {
            if let Some((domain, session)) = self.next_ending(gate.full) {
                gate.budget -= 1;
                if !sink(Request::Command(domain, Command::Disconnect { session })) {
                    gate.full.insert(domain);
                }
                continue;
            }
            // Those who had to wait come first.
            let Some(at) = self.next_blocked(gate.full).or_else(|| self.active.pop_front()) else {
                break;
            };
            match self.take_turn(at, &mut gate, sink) {
                None => {}
                Some(Pause::Share) => self.active.push_back(at),
                Some(Pause::Full(domain)) => {
                    gate.full.insert(domain);
                    self.active.push_back(at);
                }
                Some(Pause::Blocked(domain)) => {
                    self.domains[domain.index()].blocked.push_back(at);
                }
                Some(Pause::Held) => self.holds.wait(at),
                Some(Pause::Later) => later.push(at),
            }
        }
        self.active.extend(later);
        !self.active.is_empty() || self.taking(gate.full).any(|(_, of)| of.has_waiting())
    }

    /// Some session has a turn coming; or a protocol takes commands, and has not heard of an end.
    pub fn has_turns(&self, full: DomainSet) -> bool {
        !self.active.is_empty() || self.taking(full).any(|(_, of)| !of.endings.is_empty())
    }

    /// One session's turn, and why there is to be another one.
    fn take_turn(
        &mut self,
        at: (usize, SessionId),
        gate: &mut Gate,
        sink: Sink<'_>,
    ) -> Option<Pause> {
        let mut connection = self.take_out(at)?;
        connection.lane.begin_turn();
        let result = self.carry_out_some(&mut connection, at.0, gate, sink);
        let result = result.and_then(|pause| connection.tell_taken().map(|()| pause));
        if result.is_ok() {
            connection.release_taken();
        }
        let pause = match result {
            // What it was not told of still lies in the ring: its library finds it there.
            Err(ending) => {
                self.end(connection, at.0, Some(&ending));
                return None;
            }
            // Nothing is left of what a client had sent before it was gone.
            Ok(None) if connection.is_settled() => {
                self.end(connection, at.0, None);
                return None;
            }
            Ok(None) => {
                (connection.owes_room() || !connection.lane.sleep()).then_some(Pause::Later)
            }
            // What comes now may be for another group, and go before what waits.
            Ok(Some(Pause::Held)) if !connection.lane.sleep_before_next() => Some(Pause::Later),
            Ok(pause) => pause,
        };
        connection.is_active = pause.is_some();
        self.put_back(connection, at.0);
        self.mark_dirty(at.0); // it may have been answered
        pause
    }

    fn carry_out_some(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        gate: &mut Gate,
        sink: Sink<'_>,
    ) -> Result<Option<Pause>, Ending> {
        let groups_len = GROUPS_PER_MESSAGE_MAX * size_of::<GroupRecord>();
        let len_max = self.limits.message_len_max + size_of::<SendRecord>() + groups_len;
        let no_record = |_| Ending::malformed("no record where one should be");
        let (mut records, mut len) = (0, 0);
        let mut peeked = Vec::new();
        while records < TURN_RECORDS_MAX && len < TURN_LEN_MAX && gate.budget > 0 {
            if connection.legacy == Some(0) {
                return Ok(None);
            }
            if !gate.is_open() {
                let next = connection.lane.next_kind().map_err(no_record)?;
                let Some(kind) = next else { return Ok(None) };
                if let Some(pause) = gate.stops(kind, connection.domain) {
                    return Ok(Some(pause));
                }
            }
            // Whose client is gone goes as well: others wait to see it leave.
            if !self.holds.is_empty() && connection.legacy.is_none() {
                let kind = connection.lane.peek(&mut peeked, ADDRESS_LEN_MAX).map_err(no_record)?;
                if kind == Some(request::SEND) && self.must_wait(connection, &peeked) {
                    return Ok(Some(Pause::Held));
                }
            }
            let taken = connection.lane.take(&mut self.arena, len_max).map_err(no_record)?;
            let Some(taken) = taken else { return Ok(None) };
            let payload = self.arena.split().freeze();
            if gate.stops(taken.kind, connection.domain).is_some() {
                return Err(Ending::malformed("a record that changed while it was looked at"));
            }
            gate.charge(taken);
            records += 1;
            len += taken.cost;
            if let Some(left) = &mut connection.legacy {
                *left = left.saturating_sub(taken.len as u64 + 8);
            }
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
            request::SEND if self.leaving.contains(connection.domain) => {
                refuse_send(connection, &taken, &payload)
            }
            request::SEND => send(self, connection, taken, payload, sink),
            request::PEER => self.peer(connection, &payload),
            request::JOIN => self.join(connection, slot, &payload, sink),
            request::LEAVE => leave(connection, &payload, sink),
            request::QUERY => {
                let trusted = self.trusted_uids.contains(&connection.peer.uid);
                query(connection, trusted, taken.len, &payload, sink)
            }
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
            Ok((group, name, short)) => {
                let is_sender = record.flags == JOIN_SEND_ONLY;
                let role = if is_sender { Role::Sender } else { Role::Member };
                connection.handles.insert(record.handle, Handle::new(group, name, role));
                if is_sender {
                    return go_on();
                }
                connection.has_joined = true;
                let session = connection.id;
                let handle = record.handle;
                self.groups.add(group, LocalMember { slot, session, handle, admitted: false });
                let join = Command::Join { session, name: short.to_owned() };
                return offer(group.domain, join, sink);
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
    ) -> Result<(DomainGroup, &'a str, &'a str), Ending> {
        let name = check_name(name)?;
        let (domain, short) = self.resolve(name)?;
        check_domain(connection, domain, name)?;
        if record.flags & !JOIN_SEND_ONLY != 0 {
            let text = format!("join flags {:#x} are not known to this engine", record.flags);
            return Err(Ending::new(Status::ENOTSUP, text));
        }
        check_room(connection)?;
        let is_sender = record.flags & JOIN_SEND_ONLY != 0;
        let operation = if is_sender { Operation::Send } else { Operation::Join };
        self.check_access(connection, operation, (domain, short))?;
        let group = domain.group(GroupId::of(short));
        // Through the group, not through all handles: a session may join thousands of groups.
        let is_there = |member: &LocalMember| {
            let handle = connection.handles.get(&member.handle);
            member.session == connection.id && handle.is_some_and(|h| h.role == Role::Member)
        };
        if !is_sender && self.groups.of(group).iter().any(is_there) {
            let text = format!("this session is a member of {name:?} already, by another handle");
            return Err(Ending::new(Status::EEXIST, text));
        }
        Ok((group, name, short))
    }

    /// A session wants an address for another, in a domain.
    fn peer(&self, connection: &mut Connection, payload: &[u8]) -> Step {
        let Some((record, domain)) = PeerRecord::split_from(payload) else { return cut_short() };
        if connection.handles.contains_key(&record.handle) {
            let text = format!("a second join with the handle {}", record.handle);
            return Err(Ending::malformed(&text));
        }
        match self.check_peer(connection, record, domain) {
            Ok((domain, member)) => {
                let group = domain.group(GroupId::default());
                let handle = Handle::new(group, "", Role::Peer(member));
                connection.handles.insert(record.handle, handle);
            }
            Err(refused) => connection.left(record.handle, refused.status, &refused.reason)?,
        }
        go_on()
    }

    fn check_peer(
        &self,
        connection: &Connection,
        record: PeerRecord,
        domain: &[u8],
    ) -> Result<(DomainId, MemberId), Ending> {
        let node = u32::try_from(record.to.node).unwrap_or(0);
        if node == 0 || record.to.session == 0 {
            return Err(Ending::new(Status::EINVAL, "no session has this name"));
        }
        check_room(connection)?;
        let domain = match domain {
            [] => DomainId::DEFAULT,
            name => {
                let name = String::from_utf8_lossy(name);
                self.domain_named(&name)?
            }
        };
        check_domain(connection, domain, "an address")?;
        self.check_access(connection, Operation::Send, (domain, "*"))?;
        Ok((domain, MemberId { node: NodeId(node), session: SessionId(record.to.session) }))
    }
}

/// What is of a domain goes over its lane.
fn check_domain(connection: &Connection, domain: DomainId, what: &str) -> Result<(), Ending> {
    if domain == connection.domain {
        return Ok(());
    }
    let text = format!(
        "{what:?} is not in domain {}, whose lane this is: each domain has a lane of its own",
        connection.domain_name()
    );
    Err(Ending::new(Status::EINVAL, text))
}

fn check_room(connection: &Connection) -> Result<(), Ending> {
    if connection.handles.len() < HANDLES_MAX {
        return Ok(());
    }
    let text = format!("a session can hold {HANDLES_MAX} groups; leave some");
    Err(Ending::new(Status::ENOMEM, text))
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
            let DomainGroup { domain, group } = handle.group;
            offer(domain, Command::Leave { session: connection.id, group }, sink)
        }
        Role::Sender | Role::Peer(_) => {
            connection.handles.remove(&record.handle);
            connection.left(record.handle, Status::OK, "left")?;
            go_on()
        }
    }
}

fn query(
    connection: &mut Connection,
    trusted: bool,
    len: usize,
    payload: &[u8],
    sink: Sink<'_>,
) -> Step {
    let Some((record, json)) = QueryRecord::split_from(payload) else { return cut_short() };
    let too_long = len - size_of::<QueryRecord>() > QUERY_LEN_MAX;
    let (status, error) = match std::str::from_utf8(json) {
        Ok(json) if !too_long => {
            let (session, tag) = (connection.id, record.tag);
            sink(Request::Query { session, tag, trusted, json: json.to_owned() });
            return go_on();
        }
        _ if too_long => (Status::EMSGSIZE, format!("a query has at most {QUERY_LEN_MAX} bytes")),
        _ => (Status::EINVAL, "the query is not UTF-8".to_owned()),
    };
    let error = format!("{{\"error\":\"{error}\"}}");
    reply_parts(connection, record.tag, status, &error, false)?;
    go_on()
}

pub(super) fn offer(domain: DomainId, command: Command, sink: Sink<'_>) -> Step {
    Ok(match sink(Request::Command(domain, command)) {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(Pause::Full(domain)),
    })
}

#[allow(clippy::unnecessary_wraps, reason = "an outcome among others")]
pub(super) fn go_on() -> Step {
    Ok(ControlFlow::Continue(()))
}

pub(super) fn cut_short() -> Step {
    Err(Ending::malformed("a record that is too short for its kind"))
}
