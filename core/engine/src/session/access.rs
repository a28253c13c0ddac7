//! What the rules say of sessions: asked when somebody connects, joins or asks, and once of each
//! handle that is sent to, until there are other rules.

use std::cell::{Cell, RefCell};

use anasazi_protocol::{Instant, SessionId};
use anasazi_queue::status::Status;

use super::connection::{Connection, Ending, Handle};
use super::handshake::Refusal;
use super::{Sessions, Slot};
use crate::access::{self, Asked, Operation, Rules, Standing, Subject, Verdict};
use crate::chatter::Chatter;
use crate::domains::DomainId;
use crate::sys::poll::now_ns;
use crate::sys::socket::{Peer, Way};

/// The rules in force.
#[derive(Debug)]
pub(super) struct Access {
    rules: Option<Rules>,
    /// What stands in a handle that may be sent to under these rules; one less: that may not.
    /// Before there are any, each may.
    sendable: u32,
    /// What is logged of messages that are refused.
    refused: RefCell<Chatter>,
}

/// What was found of sending to a handle, and under which rules.
#[derive(Clone, Debug)]
pub(super) struct Grant(Cell<u32>);

const SENDABLE_FIRST: u32 = 1;

impl Default for Access {
    fn default() -> Self {
        Self { rules: None, sendable: SENDABLE_FIRST, refused: RefCell::default() }
    }
}

impl Default for Grant {
    fn default() -> Self {
        Self(Cell::new(SENDABLE_FIRST))
    }
}

impl Sessions {
    /// These rules are in force from now on, for whatever is asked for. Nobody loses what it has.
    pub(crate) fn put_rules(&mut self, rules: Rules) {
        self.access.rules = Some(rules);
        // It comes round after two thousand million readings.
        self.access.sendable = self.access.sendable.wrapping_add(2);
    }

    /// The rules in force, if there are any.
    pub(crate) fn rules(&self) -> Option<&Rules> {
        self.access.rules.as_ref()
    }

    /// Whether somebody may do something.
    pub(crate) fn decide(
        &self,
        subject: &Subject<'_>,
        operation: Operation,
        name: &str,
    ) -> Verdict<'_> {
        access::decide(self.access.rules.as_ref(), subject, operation, name)
    }

    /// Whose a session is; `None` if it is gone.
    pub(crate) fn subject_of(&self, session: SessionId) -> Option<Subject<'_>> {
        let slot = self.by_id.get(&session)?;
        match self.slots.get(*slot) {
            Some(Slot::Open(connection)) => Some(self.subject(&connection.peer)),
            _ => None,
        }
    }

    /// What somebody is by the configuration who came to this engine from this host.
    fn standing(&self, uid: u32, gid: u32, groups: &[u32]) -> Standing {
        let limits = &self.limits;
        let is_known = |gid: &u32| self.own_gid == Some(*gid) || limits.allow_gids.contains(gid);
        if self.trusted_uids.contains(&uid) {
            Standing::Trusted
        } else if limits.allow_uids.contains(&uid) || is_known(&gid) || groups.iter().any(is_known)
        {
            Standing::Listed
        } else {
            Standing::Stranger
        }
    }

    /// The same of somebody of whom no more is known than the socket, for those over TCP.
    pub(crate) fn standing_at(&self, socket: &str, uid: u32, gid: u32, groups: &[u32]) -> Standing {
        match socket.starts_with("tcp:") {
            true => Standing::Remote,
            false => self.standing(uid, gid, groups),
        }
    }

    fn subject<'a>(&self, peer: &'a Peer) -> Subject<'a> {
        let Peer { uid, gid, groups, socket, way, .. } = peer;
        let standing = match way {
            Way::Tcp(_) => Standing::Remote,
            Way::Memory | Way::Unix => self.standing(*uid, *gid, groups),
        };
        Subject { uid: *uid, gid: *gid, groups, socket, standing }
    }

    /// Why nothing comes of a connection, if the rules refuse it.
    pub(super) fn refuse_stranger(&self, peer: &Peer) -> Option<Refusal> {
        let refused = self.refused(peer, Operation::Connect, "*")?;
        Some(Refusal::new(Status::EACCES, refused))
    }

    /// A session may do this with a group of a domain, or with all of them (`*`).
    pub(super) fn check_access(
        &self,
        connection: &Connection,
        operation: Operation,
        (domain, group): (DomainId, &str),
    ) -> Result<(), Ending> {
        if self.access.rules.is_none() {
            return Ok(());
        }
        let name = self.full_name(domain, group);
        match self.refused(&connection.peer, operation, &name) {
            None => Ok(()),
            Some(text) => Err(Ending::new(Status::EACCES, text)),
        }
    }

    /// A session may send to what is under one of its handles.
    #[inline]
    pub(super) fn may_send(&self, connection: &Connection, handle: &Handle) -> Result<(), Status> {
        if handle.grant.0.get() == self.access.sendable {
            return Ok(());
        }
        self.may_send_now(connection, handle)
    }

    /// The same, where that was not found to be so under these rules.
    #[cold]
    fn may_send_now(&self, connection: &Connection, handle: &Handle) -> Result<(), Status> {
        let refused = self.access.sendable.wrapping_sub(1);
        if handle.grant.0.get() != refused {
            let group = match handle.role.is_peer() {
                true => "*",
                false => handle.name.split_once('/').map_or(&*handle.name, |(_, group)| group),
            };
            let name = self.full_name(handle.group.domain, group);
            let Some(reason) = self.refused(&connection.peer, Operation::Send, &name) else {
                handle.grant.0.set(self.access.sendable);
                return Ok(());
            };
            handle.grant.0.set(refused);
            if let Some(withheld) = self.access.refused.borrow_mut().next(Instant(now_ns())) {
                let (session, pid) = (connection.id.0, connection.peer.pid);
                tracing::info!(session, pid, reason, withheld, "messages refused");
            }
        }
        Err(Status::EACCES)
    }

    fn full_name(&self, domain: DomainId, group: &str) -> String {
        format!("{}/{group}", self.domains[domain.index()].name)
    }

    /// Why, in a sentence, if it is.
    fn refused(&self, peer: &Peer, operation: Operation, name: &str) -> Option<String> {
        let subject = self.subject(peer);
        let verdict = self.decide(&subject, operation, name);
        let asked = Asked { subject: &subject, operation, name };
        (!verdict.allowed).then(|| asked.explain(&verdict))
    }
}
