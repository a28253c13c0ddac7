//! The server side of sessions: from accepted sockets and hostile memory to protocol commands, and
//! back.
//!
//! ```text
//!   socket  --hello-->  Waiting  --checked, mapped-->  Connection  --end-->  (Disconnect)
//!   send ring     --poll-->   Command, Query   (`requests`, `send`)
//!   receive ring  <--message, view, join_refused, reply, flush--
//! ```
//!
//! A session has such a connection for each domain that it uses (`lanes`).
//!
//! Invariants:
//! * A lane costs bounded memory (its rings, a bounded backlog, a bounded number of handles) and
//!   four descriptors; connections that have not said hello are few and short-lived.
//! * What a client does to its memory, its socket or its descriptors ends its own session at worst;
//!   but for what all of them may have waiting together, which ends the one that has the most.
//!   Every record is copied before it is looked at.
//! * Nothing here blocks. A session that does not read costs the others nothing; when its backlog
//!   is full it is cut off, unless it chose to miss messages or to have its groups' senders wait.
//! * Every handle ends with exactly one LEFT, or with the CLOSED that ends its lane. CLOSED is the
//!   last record; room for it is kept free.
//!
//! A lane can be looked up in three ways: by slot (where it lies), by domain and [`SessionId`]
//! (what the protocol calls it), by the keys of its descriptors (its slot times two, plus one for
//! the wake-up).

mod access;
mod admission;
mod backlog;
mod claims;
mod connection;
mod deliver;
mod domains;
mod encode;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fake_core;
mod groups;
mod handshake;
mod holds;
mod lanes;
pub(crate) mod limits;
mod listener;
mod readiness;
mod removal;
mod requests;
mod send;
mod slow;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::RandomState;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anasazi_protocol::{Instant, Process, SessionId};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{ReplyRecord, event};
use anasazi_queue::status::Status;
use bytes::{Bytes, BytesMut};

use crate::chatter::Chatter;
use crate::domains::{DEFAULT_NAME, DomainId, DomainSet};
use crate::sys::nudge::Nudger;
use crate::sys::poll::now_ns;
use crate::sys::socket::{self, Way};
use access::Access;
use connection::{Connection, Ending};
use domains::OfDomain;
use groups::Groups;
use handshake::{Refusal, Waiting};
use holds::Holds;
pub use limits::SessionLimits;
use limits::{ARENA_LEN, REPLY_PART_LEN};
pub use listener::Listener;
pub use readiness::Readiness;
pub use removal::Sweep;
pub use requests::Request;

/// All sessions of one engine.
pub struct Sessions {
    limits: SessionLimits,
    identity: Process,
    /// Users who could stop this process anyway: root and its own.
    trusted_uids: [u32; 2],
    /// The engine's own group, whose members may connect; root's is not for that.
    own_gid: Option<u32>,
    /// Who may do what.
    access: Access,
    /// Wakes the clients of all others; made for the first of them.
    nudger: Option<Arc<Nudger>>,
    key_base: u64,
    next_id: SessionId,
    slots: Vec<Slot>,
    /// Sessions' own connections, which are their lanes of `default`.
    by_id: HashMap<SessionId, usize>,
    /// Their lanes of other domains.
    lanes: BTreeMap<(DomainId, SessionId), usize>,
    /// Lanes of sessions whose own connection has ended.
    orphans: usize,
    /// From which the keys of their lanes are made.
    lane_keys: RandomState,
    groups: Groups,
    /// Slots of connections that have not said hello, oldest first.
    waiting: VecDeque<usize>,
    /// Sessions with a turn coming.
    active: VecDeque<(usize, SessionId)>,
    /// What waits for the protocols, by domain.
    domains: Vec<OfDomain>,
    /// Those that are being removed.
    leaving: DomainSet,
    /// Who has to wait for whom.
    holds: Holds,
    /// Bytes that all backlogs cost.
    backlog_total: Arc<AtomicUsize>,
    /// Sessions to be looked at when flushing.
    dirty: Vec<(usize, SessionId)>,
    /// Ended sessions whose descriptors are still watched.
    #[allow(clippy::vec_box, reason = "they come in boxes")]
    dead: Vec<Box<Connection>>,
    /// Messages are copied into it, many to one allocation.
    arena: BytesMut,
    /// When claims that are kept open were last looked for.
    claims_seen_at: Instant,
    /// What is logged of clients that are refused, and of those that are cut.
    refusals: Chatter,
    cuts: Chatter,
    /// The engine leaves.
    is_stopping: bool,
}

/// A lane of a session, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub session: SessionId,
    /// Of which domain this is its lane; what follows is of this lane.
    pub domain: String,
    /// The process at the other end and its user, if the kernel knows them.
    pub who: Option<(i32, u32)>,
    /// How it comes here: `shared memory`, `unix stream`, or `tcp from ADDRESS`.
    pub way: String,
    /// The names of the groups that it has handles for, in the order of its handles.
    pub groups: Vec<String>,
    /// Bytes in the send ring.
    pub send_used: u64,
    /// Capacity of the send ring, in bytes.
    pub send_capacity: u64,
    /// Bytes in the receive ring.
    pub receive_used: u64,
    /// Capacity of the receive ring, in bytes.
    pub receive_capacity: u64,
    /// Bytes that wait for room in the receive ring.
    pub backlog_len: usize,
    /// What becomes of it if it does not read: `disconnect`, `throttle` or `gap`.
    pub slow_policy: &'static str,
    /// Messages that it has missed, as its policy is.
    pub skipped: u64,
    /// Since when the senders to its groups wait for it.
    pub holds_since: Option<Instant>,
    /// Since when it has kept a claim open, if it has one: nothing behind it is sent.
    pub claim_open_since: Option<Instant>,
    /// Messages taken from it.
    pub messages_sent: u64,
    /// Messages for it.
    pub messages_received: u64,
}

enum Slot {
    Free,
    Waiting(Box<Waiting>),
    Open(Box<Connection>),
}

impl Sessions {
    /// No sessions yet. Theirs are the keys from `key_base` on, two for each of
    /// `limits.sessions_max + 64`.
    pub fn new(limits: SessionLimits, identity: Process, key_base: u64) -> Self {
        Self {
            limits,
            identity,
            trusted_uids: [0, socket::own_uid()],
            own_gid: Some(socket::own_gid()).filter(|gid| *gid != 0),
            access: Access::default(),
            nudger: None,
            key_base,
            next_id: SessionId::first(identity.incarnation),
            slots: Vec::new(),
            by_id: HashMap::new(),
            lanes: BTreeMap::new(),
            orphans: 0,
            lane_keys: RandomState::new(),
            groups: Groups::default(),
            waiting: VecDeque::new(),
            active: VecDeque::new(),
            domains: vec![OfDomain::named(DEFAULT_NAME)],
            leaving: DomainSet::NONE,
            holds: Holds::default(),
            backlog_total: Arc::default(),
            dirty: Vec::new(),
            dead: Vec::new(),
            arena: BytesMut::with_capacity(ARENA_LEN),
            claims_seen_at: Instant::default(),
            refusals: Chatter::default(),
            cuts: Chatter::default(),
            is_stopping: false,
        }
    }

    /// The engine begins to leave. Memberships that end now end because of it: sessions are not
    /// told of each, since they keep their groups and join them again once they reach an engine.
    pub fn begin_to_stop(&mut self) {
        self.is_stopping = true;
    }

    /// A descriptor with one of the sessions' keys is ready.
    pub fn ready(&mut self, key: u64, readiness: &dyn Readiness) {
        self.bury(readiness);
        let Some(index) = key.checked_sub(self.key_base) else { return };
        let (slot, is_wake) = ((index / 2) as usize, index % 2 == 1);
        match self.slots.get_mut(slot) {
            Some(Slot::Waiting(_)) if !is_wake => self.greet(slot, readiness),
            Some(Slot::Open(connection)) if is_wake => {
                let at = (slot, connection.id);
                // What has come may go before what it waits with.
                if self.holds.forget(at) {
                    self.put_to_work(at);
                }
                self.activate(slot);
                self.mark_dirty(slot);
            }
            Some(Slot::Open(_)) => self.hear(slot, readiness),
            _ => {}
        }
    }

    /// After deliveries, once per batch: moves backlogs on, wakes clients, and lets go of ended
    /// sessions.
    pub fn flush(&mut self, readiness: &dyn Readiness) {
        for at in std::mem::take(&mut self.dirty) {
            let Some(mut connection) = self.take_out(at) else { continue };
            connection.is_dirty = false;
            match connection.flush() {
                Ok(()) => {
                    if !connection.wants_hold() {
                        connection.behind.since = None;
                    }
                    self.holds.mark(at, connection.wants_hold());
                    let owes_room = connection.owes_room();
                    self.put_back(connection, at.0);
                    if owes_room {
                        self.activate(at.0);
                    }
                }
                Err(ending) => self.end(connection, at.0, Some(&ending)),
            }
        }
        self.bound_backlogs();
        self.bury(readiness);
    }

    /// Part of the answer to a query; all parts but the last with `more`. Long ones are divided.
    pub fn reply(&mut self, session: SessionId, tag: u64, status: Status, json: &str, more: bool) {
        self.with((DomainId::DEFAULT, session), |connection| {
            reply_parts(connection, tag, status, json, more)
        });
    }

    /// Ends all sessions and turns away who waits; each is told why, over its own connection.
    pub fn close_all(&mut self, status: Status, reason: &str, readiness: &dyn Readiness) {
        let ending = Ending::new(status, reason);
        for slot in 0..self.slots.len() {
            match std::mem::replace(&mut self.slots[slot], Slot::Free) {
                Slot::Open(connection) => {
                    let is_own = connection.domain == DomainId::DEFAULT;
                    self.end(connection, slot, is_own.then_some(&ending));
                }
                Slot::Waiting(waiting) => {
                    readiness.remove(waiting.socket.as_raw_fd());
                    Refusal::new(status, reason).send(&waiting.socket);
                }
                Slot::Free => {}
            }
        }
        self.waiting.clear();
        self.bury(readiness);
    }

    /// Ends all sessions without a word: their clients take it that the engine is gone, and look
    /// for it again.
    pub fn hang_up_on_all(&mut self, readiness: &dyn Readiness) {
        for slot in 0..self.slots.len() {
            match std::mem::replace(&mut self.slots[slot], Slot::Free) {
                Slot::Open(mut connection) => {
                    // What was delivered is still for it.
                    let _ = connection.flush();
                    self.end(connection, slot, None);
                }
                Slot::Waiting(waiting) => readiness.remove(waiting.socket.as_raw_fd()),
                Slot::Free => {}
            }
        }
        self.waiting.clear();
        self.bury(readiness);
    }

    /// All lanes of all sessions, oldest first, each session's own connection first.
    pub fn describe(&self) -> Vec<SessionInfo> {
        let mut all: Vec<_> = self
            .slots
            .iter()
            .filter_map(|slot| match slot {
                Slot::Open(connection) => Some(describe(connection)),
                _ => None,
            })
            .collect();
        all.sort_by_key(|info| (info.session, info.domain != DEFAULT_NAME));
        all
    }

    /// How many sessions are served.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// This one is.
    pub fn serves(&self, session: SessionId) -> bool {
        self.by_id.contains_key(&session)
    }

    /// No session is served.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The socket of a session says something: it should be the end.
    fn hear(&mut self, slot: usize, readiness: &dyn Readiness) {
        let Some(Slot::Open(connection)) = self.slots.get_mut(slot) else { return };
        match socket::receive(connection.socket.as_fd(), &mut [0; 1]) {
            Err(error) if is_nothing(&error) && !connection.peer.life.has_ended() => {}
            Ok(received) if received.len > 0 || !received.fds.is_empty() => {
                let text = "the client sent something over the session's socket after the hello";
                let ending = Ending::new(Status::EINVAL, text);
                if let Slot::Open(connection) = std::mem::replace(&mut self.slots[slot], Slot::Free)
                {
                    self.end(connection, slot, Some(&ending));
                }
            }
            _ => {
                connection.unwatch(readiness);
                self.outlive(slot);
            }
        }
    }

    /// Ends a lane: tells its client why, if there is anything to tell, and owes the domain's
    /// protocol a disconnect if the session has ever been, or wanted to be, in a group there.
    fn end(&mut self, mut connection: Box<Connection>, slot: usize, ending: Option<&Ending>) {
        let id = connection.id;
        let (pid, way, domain) =
            (connection.peer.pid, connection.peer.way, connection.domain_name());
        if let Some(ending) = ending {
            let (status, reason) = (ending.status, &ending.reason[..]);
            if status == Status::OK {
                tracing::debug!(session = id.0, pid, %way, domain, reason, "session closed");
            } else if let Some(withheld) = self.cuts.next(Instant(now_ns())) {
                let status = status.name();
                tracing::info!(
                    session = id.0,
                    pid,
                    %way,
                    domain,
                    status,
                    reason,
                    withheld,
                    "session cut"
                );
            }
            connection.say_last_word(ending);
        } else {
            tracing::debug!(session = id.0, pid, %way, domain, "session's client is gone");
        }
        connection.backlog.clear();
        for handle in connection.handles.values().filter(|handle| !handle.role.is_peer()) {
            self.groups.remove_first(handle.group, id, |_| true);
        }
        self.holds.mark((slot, id), false);
        if connection.has_joined {
            self.domains[connection.domain.index()].endings.push_back(id);
        }
        self.slots[slot] = Slot::Free;
        self.strike(&connection, slot, ending.is_none_or(|ending| ending.status == Status::OK));
        self.dead.push(connection);
    }

    /// Lets go of ended sessions: descriptors closed, memory unmapped.
    fn bury(&mut self, readiness: &dyn Readiness) {
        for connection in self.dead.drain(..) {
            connection.unwatch(readiness);
            readiness.remove(connection.wake_engine.as_raw_fd());
        }
    }

    fn with_slot(
        &mut self,
        at: (usize, SessionId),
        action: impl FnOnce(&mut Connection) -> Result<(), Ending>,
    ) {
        let Some(connection) = self.connection_mut(at) else { return };
        let result = action(connection);
        self.mark_dirty(at.0);
        if let Err(ending) = result
            && let Some(connection) = self.take_out(at)
        {
            self.end(connection, at.0, Some(&ending));
        }
    }

    fn connection_mut(&mut self, at: (usize, SessionId)) -> Option<&mut Connection> {
        match self.slots.get_mut(at.0) {
            Some(Slot::Open(connection)) if connection.id == at.1 => Some(connection),
            _ => None,
        }
    }

    fn take_out(&mut self, at: (usize, SessionId)) -> Option<Box<Connection>> {
        self.connection_mut(at)?;
        match std::mem::replace(&mut self.slots[at.0], Slot::Free) {
            Slot::Open(connection) => Some(connection),
            _ => None,
        }
    }

    fn put_back(&mut self, connection: Box<Connection>, slot: usize) {
        self.slots[slot] = Slot::Open(connection);
    }

    fn activate(&mut self, slot: usize) {
        if let Some(Slot::Open(connection)) = self.slots.get_mut(slot)
            && !connection.is_active
        {
            connection.is_active = true;
            self.active.push_back((slot, connection.id));
        }
    }

    fn mark_dirty(&mut self, slot: usize) {
        if let Some(Slot::Open(connection)) = self.slots.get_mut(slot)
            && !connection.is_dirty
        {
            connection.is_dirty = true;
            self.dirty.push((slot, connection.id));
        }
    }

    fn vacant_slot(&mut self) -> usize {
        if let Some(slot) = self.slots.iter().position(|slot| matches!(slot, Slot::Free)) {
            return slot;
        }
        self.slots.push(Slot::Free);
        self.slots.len() - 1
    }

    fn key(&self, slot: usize) -> u64 {
        self.key_base + 2 * slot as u64
    }
}

fn reply_parts(
    connection: &mut Connection,
    tag: u64,
    status: Status,
    json: &str,
    more: bool,
) -> Result<(), Ending> {
    let mut rest = json;
    loop {
        let (part, after) = rest.split_at(rest.floor_char_boundary(REPLY_PART_LEN));
        let more = u32::from(more || !after.is_empty());
        let head = ReplyRecord { tag, status: status.0, more };
        let part = Bytes::copy_from_slice(part.as_bytes());
        connection.deliver(event::REPLY, head.as_bytes(), &[part])?;
        if after.is_empty() {
            return Ok(());
        }
        rest = after;
    }
}

fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted)
}

fn describe(connection: &Connection) -> SessionInfo {
    let (send_used, send_capacity) = connection.lane.send_fill();
    let (receive_used, receive_capacity) = connection.lane.receive_fill();
    SessionInfo {
        session: connection.id,
        domain: connection.domain_name().to_owned(),
        who: (!matches!(connection.peer.way, Way::Tcp(_)))
            .then_some((connection.peer.pid, connection.peer.uid)),
        way: connection.peer.way.to_string(),
        groups: (connection.handles.values().filter(|handle| !handle.role.is_peer()))
            .map(|handle| handle.name.to_string())
            .collect(),
        send_used,
        send_capacity,
        receive_used,
        receive_capacity,
        backlog_len: connection.backlog.len(),
        slow_policy: connection.policy.name(),
        skipped: connection.gap.total,
        holds_since: connection.behind.since,
        claim_open_since: connection.open_claim.map(|claim| claim.since),
        messages_sent: connection.messages_sent,
        messages_received: connection.messages_received,
    }
}
