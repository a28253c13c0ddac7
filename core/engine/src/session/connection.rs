//! One session: its rings, its handles, and what waits for it.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use anasazi_protocol::{MemberId, SessionId, ViewId};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    ClosedRecord, DoneRecord, LeftRecord, ReceiptRecord, TakenEntry, TakenRecord, event,
};
use anasazi_queue::ring::PushError;
use anasazi_queue::status::Status;
use bytes::Bytes;

use super::Readiness;
use super::access::Grant;
use super::backlog::Backlog;
use super::claims::OpenClaim;
use super::handshake::Waiting;
use super::limits::{LAST_WORD_LEN, REASON_LEN_MAX};
use super::slow::{Behind, Gap, Policy};
use crate::domains::{DomainGroup, DomainId};
use crate::sys::memory::{ClientWaker, Lane};
use crate::sys::socket::Peer;

/// A lane of a session as the engine holds it.
pub(super) struct Connection {
    /// The session that it is of.
    pub(super) id: SessionId,
    /// The domain that it is the lane of, and its name.
    pub(super) domain: DomainId,
    domain_name: Arc<str>,
    pub(super) peer: Peer,
    pub(super) socket: OwnedFd,
    pub(super) wake_engine: OwnedFd,
    wake_client: ClientWaker,
    pub(super) lane: Lane,
    pub(super) backlog: Backlog,
    /// What it wants to become of it if it does not read.
    pub(super) policy: Policy,
    pub(super) gap: Gap,
    pub(super) behind: Behind,
    pub(super) handles: BTreeMap<u32, Handle>,
    /// It has asked the domain's protocol for a membership.
    pub(super) has_joined: bool,
    /// It has a turn coming.
    pub(super) is_active: bool,
    /// It is to be looked at when flushing.
    pub(super) is_dirty: bool,
    /// The client is gone: what it had sent is carried out, as much as a ring holds; this many
    /// bytes are left.
    pub(super) legacy: Option<u64>,
    /// What it had claimed and not committed when that was last looked for.
    pub(super) open_claim: Option<OpenClaim>,
    /// Messages with tags that were taken in the present turn, and that it was not told of, with
    /// their places in the ring.
    pub(super) taken: Vec<(TakenEntry, u64)>,
    /// Messages taken from it.
    pub(super) messages_sent: u64,
    /// Messages for it.
    pub(super) messages_received: u64,
}

/// What a session calls a group.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) group: DomainGroup,
    /// As it was asked for.
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    /// The last regular view that was given out under it, and how many were.
    pub(super) view: ViewId,
    pub(super) views: u32,
    /// Whether it may be sent to.
    pub(super) grant: Grant,
}

impl Handle {
    pub(super) fn new(group: DomainGroup, name: &str, role: Role) -> Self {
        let (view, grant) = (ViewId::default(), Grant::default());
        Self { group, name: Arc::from(name), role, view, views: 0, grant }
    }
}

/// What a handle is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An address to send to.
    Sender,
    /// An address of one session in a domain; the handle has no group there.
    Peer(MemberId),
    /// A membership, asked for or there.
    Member,
    /// A membership that ends when the group's order says so.
    Leaver,
}

/// Why the engine ends a session, in words for its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) status: Status,
    pub(super) reason: String,
}

impl Role {
    pub(super) fn is_peer(self) -> bool {
        matches!(self, Self::Peer(_))
    }
}

impl Ending {
    pub(super) fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// The client wrote what no client of this version writes.
    pub(super) fn malformed(what: &str) -> Self {
        let reason = format!(
            "the send ring holds {what}: the client's memory is damaged, or its library does not \
             fit this engine"
        );
        Self::new(Status::EINVAL, reason)
    }
}

impl Connection {
    /// A session's lane of a domain, of the connection `from`, with what its hello brought.
    pub(super) fn new(
        id: SessionId,
        (domain, domain_name): (DomainId, Arc<str>),
        from: Waiting,
        (lane, policy): (Lane, Policy),
        wakers: (OwnedFd, ClientWaker),
        backlog: Backlog,
    ) -> Self {
        Self {
            id,
            domain,
            domain_name,
            peer: from.peer,
            socket: from.socket,
            wake_engine: wakers.0,
            wake_client: wakers.1,
            lane,
            backlog,
            policy,
            gap: Gap::default(),
            behind: Behind::default(),
            handles: BTreeMap::new(),
            has_joined: false,
            is_active: false,
            is_dirty: false,
            legacy: None,
            open_claim: None,
            taken: Vec::new(),
            messages_sent: 0,
            messages_received: 0,
        }
    }

    pub(super) fn domain_name(&self) -> &str {
        &self.domain_name
    }

    /// Where it is, for sentences: nothing of `default`.
    pub(super) fn place(&self) -> String {
        match self.domain {
            DomainId::DEFAULT => String::new(),
            _ => format!(" in domain {}", self.domain_name),
        }
    }

    /// What shows that the client has gone is not watched any more.
    pub(super) fn unwatch(&self, readiness: &dyn Readiness) {
        readiness.remove(self.socket.as_raw_fd());
        self.peer.life.fd().into_iter().for_each(|life| readiness.remove(life));
    }

    /// Gives the client a record, now or when there is room.
    pub(super) fn deliver(
        &mut self,
        kind: u16,
        head: &[u8],
        pieces: &[Bytes],
    ) -> Result<(), Ending> {
        if self.legacy.is_some() {
            return Ok(()); // nobody reads it
        }
        if self.backlog.is_empty() {
            match self.lane.push(LAST_WORD_LEN, kind, head, pieces) {
                Ok(()) => return Ok(()),
                Err(PushError::Full) => {}
                Err(error) => return Err(self.undeliverable(error, head, pieces)),
            }
        }
        self.backlog.push(kind, head, pieces).map_err(|_| self.slow())
    }

    pub(super) fn left(&mut self, handle: u32, status: Status, why: &str) -> Result<(), Ending> {
        self.tell_gaps()?;
        let head = LeftRecord { handle, status: status.0 };
        self.deliver(event::LEFT, head.as_bytes(), &[Bytes::copy_from_slice(why.as_bytes())])
    }

    pub(super) fn receipt(&mut self, handle: u32, status: Status, tag: u64) -> Result<(), Ending> {
        let head = ReceiptRecord { handle, status: status.0, tag };
        self.deliver(event::RECEIPT, head.as_bytes(), &[])
    }

    /// An own message that it does not want to get has its place in the order.
    pub(super) fn done(&mut self, tag: u64) -> Result<(), Ending> {
        if tag == 0 {
            return Ok(());
        }
        self.deliver(event::DONE, DoneRecord { tag }.as_bytes(), &[])
    }

    /// Tells it what was taken in this turn, so that it knows what is lost if this engine is:
    /// before anything becomes of it, and before the ring forgets it.
    pub(super) fn tell_taken(&mut self) -> Result<(), Ending> {
        if self.taken.is_empty() {
            return Ok(());
        }
        let up_to = self.lane.taken_to();
        let entry = |(entry, position): &(TakenEntry, u64)| {
            let ahead = position.checked_sub(up_to).map_or(0, |behind| behind as u32 / 8 + 1);
            TakenEntry { ahead, ..*entry }.as_bytes().to_vec()
        };
        let bytes: Vec<u8> = self.taken.iter().flat_map(entry).collect();
        self.taken.clear();
        let head = TakenRecord { up_to };
        self.deliver(event::TAKEN, head.as_bytes(), &[bytes.into()])
    }

    /// Moves what fits from the backlog into the ring, and wakes the client if it sleeps.
    pub(super) fn flush(&mut self) -> Result<(), Ending> {
        let mut result = self.flush_backlog().and_then(|()| self.catch_up());
        // What was said then may have had no room either: somebody has to wait for it.
        if result.is_ok() {
            result = self.flush_backlog();
        }
        self.release_taken();
        if self.lane.wake_needed() {
            self.wake_client.wake();
        }
        result
    }

    /// Gives what was taken from the send ring back, once the client knows of it.
    pub(super) fn release_taken(&mut self) {
        if !self.backlog.has_taken() && self.lane.release_taken() {
            self.wake_client.wake();
        }
    }

    /// Its client is gone, and all that it had sent is carried out, or as much as a ring holds.
    pub(super) fn is_settled(&self) -> bool {
        self.legacy.is_some_and(|left| left == 0 || !self.lane.has_waiting())
    }

    /// It has room to give back, and may.
    pub(super) fn owes_room(&self) -> bool {
        !self.backlog.has_taken() && self.lane.owes_room()
    }

    /// The last record; there is always room for it in a ring that its client has not broken.
    pub(super) fn say_last_word(&mut self, ending: &Ending) {
        self.backlog.clear();
        let head = ClosedRecord { status: ending.status.0, reserved: 0 };
        let reason = &ending.reason[..ending.reason.floor_char_boundary(REASON_LEN_MAX)];
        let reason = Bytes::copy_from_slice(reason.as_bytes());
        let _ = self.lane.push(0, event::CLOSED, head.as_bytes(), &[reason]);
        if self.lane.wake_needed() {
            self.wake_client.wake();
        }
    }

    fn flush_backlog(&mut self) -> Result<(), Ending> {
        while let Some(entry) = self.backlog.front() {
            let pushed = self.lane.push(LAST_WORD_LEN, entry.kind, &entry.head, &entry.pieces);
            match pushed {
                Ok(()) => self.backlog.pop(),
                Err(PushError::Full) => {
                    if !self.lane.want_room(entry.payload_len(), LAST_WORD_LEN) {
                        break;
                    }
                }
                Err(error) => return Err(self.undeliverable(error, &entry.head, &entry.pieces)),
            }
        }
        Ok(())
    }

    fn undeliverable(&self, error: PushError, head: &[u8], pieces: &[Bytes]) -> Ending {
        if error == PushError::TooLong {
            let len = pieces.iter().fold(head.len(), |sum, piece| sum + piece.len());
            let text = format!(
                "a message or view of {len} bytes does not fit into the receive ring of {} bytes: \
                 set session.receive_ring_len to four times the longest",
                self.lane.receive_fill().1
            );
            return Ending::new(Status::EMSGSIZE, text);
        }
        let text = "the positions in the receive ring are nonsense: the client's memory is damaged";
        Ending::new(Status::EINVAL, text)
    }

    fn slow(&self) -> Ending {
        let text = format!(
            "the session did not read fast enough{}: its receive ring of {} bytes is full, and \
             behind what comes next {} bytes more are waiting, which is all that \
             client.backlog_len allows",
            self.place(),
            self.lane.receive_fill().1,
            self.backlog.len_behind()
        );
        Ending::new(Status::ESLOW, text)
    }
}
