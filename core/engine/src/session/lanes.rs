//! The lanes of a session: one for each domain that it uses. That of `default` is the session's own
//! connection, and each other one is a connection like it, so that nothing that waits in one domain
//! keeps anything of another one waiting.
//!
//! A lane is let in if it shows the key that the session's welcome gave out. It ends with its
//! session, and alone if its client leaves it or does not read; then the session is gone from its
//! domain, and from no other.

use anasazi_protocol::{Instant, SessionId};
use anasazi_queue::status::Status;

use super::connection::{Connection, Ending};
use super::handshake::{LaneOf, Refusal};
use super::removal::Sweep;
use super::{Sessions, Slot};
use crate::domains::DomainId;
use crate::sys::socket::Peer;

impl Sessions {
    /// Where the session's lane of a domain is.
    pub(super) fn slot_of(&self, session: SessionId, domain: DomainId) -> Option<usize> {
        match domain {
            DomainId::DEFAULT => self.by_id.get(&session).copied(),
            _ => self.lanes.get(&(domain, session)).copied(),
        }
    }

    /// Does something with a session's lane of a domain that may have ended meanwhile, and may end
    /// by it.
    pub(super) fn with(
        &mut self,
        (domain, session): (DomainId, SessionId),
        action: impl FnOnce(&mut Connection) -> Result<(), Ending>,
    ) {
        let Some(slot) = self.slot_of(session, domain) else { return };
        self.with_slot((slot, session), action);
    }

    /// What the lanes of a session have to show.
    pub(super) fn lane_key(&self, session: SessionId) -> u64 {
        use std::hash::BuildHasher;
        self.lane_keys.hash_one(session.0)
    }

    /// The domain of a new lane, if that session may have it.
    pub(super) fn check_lane(&self, lane: &LaneOf, peer: &Peer) -> Result<DomainId, Refusal> {
        let slot = self.by_id.get(&lane.session).and_then(|slot| self.slots.get(*slot));
        let is_its = match slot {
            Some(Slot::Open(main)) => {
                main.legacy.is_none() && is_of_same(&main.peer, peer) && {
                    lane.key == self.lane_key(lane.session)
                }
            }
            _ => false,
        };
        if !is_its {
            let text = format!(
                "a lane of session {}, which is not here, or is another client's: a lane shows \
                 the key that its session got",
                lane.session.number()
            );
            return Err(Refusal::new(Status::ESTATE, text));
        }
        let refused = |ending: Ending| Refusal::new(ending.status, ending.reason);
        let domain = self.domain_named(&lane.domain).map_err(refused)?;
        if self.slot_of(lane.session, domain).is_some() {
            let text = format!(
                "session {} has a lane of domain {} already",
                lane.session.number(),
                lane.domain
            );
            return Err(Refusal::new(Status::EEXIST, text));
        }
        Ok(domain)
    }

    /// As many sessions as count against the limit: those whose own connection has ended, too, as
    /// long as a lane of them has something to be carried out.
    pub(super) fn count(&self) -> usize {
        self.by_id.len() + self.orphans
    }

    /// A lane can be found from now on.
    pub(super) fn enter(&mut self, connection: &Connection, slot: usize) {
        if connection.domain == DomainId::DEFAULT {
            self.by_id.insert(connection.id, slot);
        } else {
            self.lanes.insert((connection.domain, connection.id), slot);
        }
    }

    /// A lane has ended, and with the session's own connection all of them do: what was sent over
    /// them is still carried out if the client is what ended it.
    pub(super) fn strike(&mut self, connection: &Connection, slot: usize, is_own_wish: bool) {
        let id = connection.id;
        if connection.domain != DomainId::DEFAULT {
            self.lanes.remove(&(connection.domain, id));
            self.forget_turns((slot, id));
            self.orphans -= usize::from(!self.by_id.contains_key(&id));
            return;
        }
        self.by_id.remove(&id);
        for domain in 0..self.domains.len() {
            let Some(slot) = self.lanes.get(&(DomainId::at(domain), id)).copied() else { continue };
            self.orphans += 1;
            if is_own_wish {
                self.outlive(slot);
            } else if let Some(lane) = self.take_out((slot, id)) {
                self.end(lane, slot, None);
            }
        }
    }

    /// The client is gone: what it had sent over a lane is still carried out; its end comes after
    /// that.
    pub(super) fn outlive(&mut self, slot: usize) {
        let Some(Slot::Open(connection)) = self.slots.get_mut(slot) else { return };
        let left = connection.lane.send_fill().1;
        connection.legacy.get_or_insert(left);
        connection.backlog.clear(); // nobody will read it
        let at = (slot, connection.id);
        self.holds.mark(at, false);
        if self.holds.forget(at) {
            self.put_to_work(at);
        }
        self.activate(slot);
        self.mark_dirty(slot);
    }

    /// Another lane of the same session may come to the same slot: it has none of the turns of this
    /// one.
    fn forget_turns(&mut self, at: (usize, SessionId)) {
        let is_another = |turn: &(usize, SessionId)| *turn != at;
        self.active.retain(is_another);
        self.dirty.retain(is_another);
        self.domains.iter_mut().for_each(|of| of.blocked.retain(is_another));
        self.holds.forget(at);
    }

    /// Ends the lanes of a domain that is removed and of which sessions have nothing any more, a
    /// few at a time: each when it has got everything, or has not read it by then.
    pub(super) fn end_lanes(
        &mut self,
        domain: DomainId,
        reason: &str,
        (now, until): (Instant, Instant),
    ) -> Sweep {
        let all = self.lanes.range((domain, SessionId(0))..=(domain, SessionId(u64::MAX)));
        let all: Vec<_> = all.map(|((_, session), slot)| (*slot, *session)).collect();
        let ending = Ending::new(Status::ECLOSED, reason);
        let (mut ended, mut waits) = (0, 0);
        for at in &all {
            let Some(connection) = self.connection_mut(*at) else { continue };
            if !connection.backlog.is_empty() && now < until {
                waits += 1;
                continue;
            }
            if ended == LANES_PER_STEP {
                return Sweep::GoesOn;
            }
            let has_client = connection.legacy.is_none();
            if let Some(connection) = self.take_out(*at) {
                self.end(connection, at.0, has_client.then_some(&ending));
                ended += 1;
            }
        }
        if waits > 0 { Sweep::Waits } else { Sweep::Done }
    }
}

/// Whether two connections come from the same user, and in the same way.
fn is_of_same(a: &Peer, b: &Peer) -> bool {
    std::mem::discriminant(&a.way) == std::mem::discriminant(&b.way) && a.uid == b.uid
}

/// Lanes that end in one step when their domain is removed.
const LANES_PER_STEP: usize = 64;
