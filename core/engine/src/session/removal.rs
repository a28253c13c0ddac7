//! A domain that is removed while sessions use it. What its protocol still delivers reaches them in
//! order; what they ask of it meanwhile is refused. Then they lose what they hold of it, a bounded
//! number of sessions at a time, and their lanes end; and only when nobody has anything of it, its
//! place is free for another one.

use std::sync::Arc;
use std::time::Duration;

use anasazi_protocol::{Instant, SessionId};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::SendRecord;
use anasazi_queue::status::Status;
use bytes::Bytes;

use super::connection::{Connection, Ending, Role};
use super::requests::{Step, cut_short, go_on};
use super::send::refuse;
use super::{Sessions, Slot};
use crate::domains::{DomainGroup, DomainId};
use crate::sys::memory::Taken;

/// Sessions that are looked at in one step, and handles that end in it: those of one session more
/// at most.
const SESSIONS_PER_STEP: usize = 64;
const HANDLES_PER_STEP: usize = 256;
/// How long a client may take to read the last of what there is for it in a domain.
const READING_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether sessions have a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    /// It is being removed: why, in words, and how many slots have been looked at since it is out
    /// of its ring.
    Leaving(Arc<str>, usize),
    /// Its place is free.
    Vacant,
}

/// How far the sessions of a domain that has left are rid of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// There is more to do right now.
    GoesOn,
    /// Clients are still to read the last of it.
    Waits,
    /// They have nothing of it.
    Done,
}

impl Sessions {
    /// A domain begins to leave its ring, because of `reason`: sessions get what it still has for
    /// them, and nothing more from it.
    pub fn retire_domain(&mut self, domain: DomainId, reason: &str) {
        let of = &mut self.domains[domain.index()];
        of.presence = Presence::Leaving(Arc::from(reason), 0);
        self.leaving.insert(domain);
        // What they ask of it is refused from now on, which needs no room.
        self.active.extend(of.blocked.drain(..));
    }

    /// Ends what some sessions still hold of a domain that has left, then their lanes.
    pub fn sweep_domain(&mut self, domain: DomainId, now: Instant) -> Sweep {
        let Presence::Leaving(reason, from) = self.domains[domain.index()].presence.clone() else {
            return Sweep::Done;
        };
        let (mut next, mut ended) = (from, 0);
        let to = self.slots.len().min(from + SESSIONS_PER_STEP);
        while next < to && ended < HANDLES_PER_STEP {
            let slot = next;
            next += 1;
            let Some(Slot::Open(connection)) = self.slots.get(slot) else { continue };
            let at = (slot, connection.id);
            let Some(mut connection) = self.take_out(at) else { continue };
            let result = self.take_from(&mut connection, domain, &reason);
            match result {
                Ok(count) => {
                    ended += count;
                    self.put_back(connection, slot);
                    self.mark_dirty(slot);
                }
                Err(ending) => self.end(connection, slot, Some(&ending)),
            }
        }
        let of = &mut self.domains[domain.index()];
        of.presence = Presence::Leaving(Arc::clone(&reason), next);
        if next < self.slots.len() {
            return Sweep::GoesOn;
        }
        let until = *of.lanes_until.get_or_insert(now + READING_TIMEOUT);
        let sweep = self.end_lanes(domain, &reason, (now, until));
        if sweep == Sweep::Done {
            self.domains[domain.index()].lanes_until = None;
        }
        sweep
    }

    /// The lanes of a domain end alone from now on: when their clients have read what is in them,
    /// or at that time.
    pub(super) fn lanes_deadline(&self) -> Option<Instant> {
        self.domains.iter().filter_map(|of| of.lanes_until).min()
    }

    /// The place of a domain of which nobody holds anything is free. How many memberships have
    /// ended because of that.
    pub fn vacate_domain(&mut self, domain: DomainId) -> usize {
        self.holds.forget_domain(domain);
        self.let_go();
        self.leaving.remove(domain);
        let of = &mut self.domains[domain.index()];
        of.presence = Presence::Vacant;
        of.name = Arc::from("");
        of.endings.clear();
        of.lanes_until = None;
        self.active.extend(of.blocked.drain(..));
        std::mem::take(&mut of.ended)
    }

    /// Who asked for something, for people.
    pub fn name_of(&self, session: SessionId) -> String {
        let slot = self.by_id.get(&session).and_then(|slot| self.slots.get(*slot));
        match slot {
            Some(Slot::Open(connection)) => connection.name(),
            _ => "a session that is gone".to_owned(),
        }
    }

    /// Why nobody may have anything of a domain any more.
    pub(super) fn refusal(&self, domain: DomainId) -> Option<Ending> {
        match &self.domains[domain.index()].presence {
            Presence::Leaving(reason, _) => Some(Ending::new(Status::ECLOSED, &**reason)),
            Presence::There | Presence::Vacant => None,
        }
    }

    fn take_from(
        &mut self,
        connection: &mut Connection,
        domain: DomainId,
        reason: &str,
    ) -> Result<usize, Ending> {
        let is_its = |group: DomainGroup| group.domain == domain;
        let handles = connection.handles.iter().filter(|(_, handle)| is_its(handle.group));
        let handles: Vec<_> = handles.map(|(number, handle)| (*number, handle.group)).collect();
        let is_member = |role: &Role| *role == Role::Member;
        let members =
            connection.handles.values().filter(|of| is_its(of.group) && is_member(&of.role));
        self.domains[domain.index()].ended += members.count();
        connection.has_joined &= connection.domain != domain;
        connection.behind.groups.retain(|group| !is_its(*group));
        for (number, group) in &handles {
            connection.handles.remove(number);
            self.groups.remove_first(*group, connection.id, |member| member.handle == *number);
            connection.left(*number, Status::ECLOSED, reason)?;
        }
        Ok(handles.len())
    }
}

/// A message to a domain that is being removed reaches nobody.
pub(super) fn refuse_send(connection: &mut Connection, taken: &Taken, payload: &Bytes) -> Step {
    let Some((record, _)) = SendRecord::split_from(payload) else { return cut_short() };
    refuse(connection, record, taken.position, Status::ENOTMEMBER)?;
    go_on()
}
