//! Domains that are removed while the engine runs: each leaves its ring in order, as if the engine
//! stopped; then sessions lose what they hold of it, its files are given back, and whoever drives
//! the turn takes it out.

use anasazi_protocol::{Incarnation, Instant, SessionId};
use anasazi_queue::status::Status;
use anasazi_transport::Transport;
use serde_json::Value;

use super::{Place, Turn};
use crate::admin::Admin;
use crate::domains::DomainId;
use crate::session::Sweep;
use crate::storage::Storage;

/// Who asked for something that takes its time: the session, and the tag of its request.
pub(crate) type Asker = (SessionId, u64);

/// A domain is being removed.
pub(crate) struct Removal {
    asked: Vec<Asker>,
    /// No session holds anything of it any more.
    is_swept: bool,
    /// Its files are given back, too: it can be taken out.
    is_over: bool,
}

impl<T: Transport, S: Storage> Turn<T, S> {
    /// A session removes a domain.
    pub(super) fn remove_for(&mut self, id: DomainId, asker: Asker, now: Instant) {
        if let Some(removal) = &mut self.domains[id].removal {
            removal.asked.push(asker);
            return;
        }
        let by = self.sessions.name_of(asker.0);
        let reason = format!("domain {} was removed by {by}", self.domains[id].name);
        self.remove(id, &reason, now);
        if let Some(removal) = &mut self.domains[id].removal {
            removal.asked.push(asker);
        }
    }

    /// A domain goes; `reason`: a sentence about it.
    pub(super) fn remove(&mut self, id: DomainId, reason: &str, now: Instant) {
        let domain = &mut self.domains[id];
        if domain.removal.is_some() {
            return;
        }
        domain.removal = Some(Removal { asked: Vec::new(), is_swept: false, is_over: false });
        self.sessions.retire_domain(id, reason);
        self.bridges.look_again();
        self.admin.journal.of_domain(now.0, reason.to_owned());
        let place = &mut self.domains[id];
        if !place.is_stopped {
            let mut domain = place.work();
            domain.tell_removal(reason, now);
            domain.shutdown(now);
        }
    }

    /// One that was added while the engine runs cannot be, whatever the engine's others can: it
    /// goes alone. False if it was there from the start, or is the reason to end for all.
    pub(super) fn drop_added(&mut self, id: DomainId, why: &str, now: Instant) -> bool {
        let domain = &mut self.domains[id];
        if !domain.is_added {
            return false;
        }
        // Its core is over.
        domain.is_stopped = true;
        let reason = format!("domain {} was removed: {why}", domain.name);
        self.admin.journal.warn(reason.clone());
        self.remove(id, &reason, now);
        true
    }

    /// The same for one that others know in a later incarnation: it may be added again.
    pub(super) fn drop_outdated(&mut self, id: DomainId, known: Incarnation, now: Instant) -> bool {
        self.newest = self.newest.max(known);
        let why = "others know a start of this node there that is newer, for this machine's clock \
                   was set back; add it again";
        self.drop_added(id, why, now)
    }

    /// Goes on with removals; true if more can be done right now.
    pub(super) fn remove_some(&mut self, now: Instant) -> bool {
        let mut more = false;
        for id in self.domains.ids() {
            let domain = &mut self.domains[id];
            let (true, Some(removal)) = (domain.is_stopped, &mut domain.removal) else { continue };
            if !removal.is_swept {
                let sweep = self.sessions.sweep_domain(id, now);
                removal.is_swept = sweep == Sweep::Done;
                more |= sweep == Sweep::GoesOn;
            }
            if removal.is_swept {
                let is_over = domain.work().storage.close();
                more |= is_over;
                domain.removal.iter_mut().for_each(|removal| removal.is_over = is_over);
            }
        }
        more
    }

    /// Takes out the domains of which nobody holds anything any more; whose descriptors are still
    /// watched. Those that have a thread lose it when they are dropped.
    pub(crate) fn take_removed(&mut self) -> Vec<Place<T, S>> {
        let is_over = |id: &DomainId| matches!(&self.domains[*id].removal, Some(r) if r.is_over);
        let over: Vec<_> = self.domains.ids().filter(is_over).collect();
        let mut taken = Vec::new();
        for id in over {
            let Some(mut domain) = self.domains.take(id) else { continue };
            let ended = self.sessions.vacate_domain(id);
            self.bridges.forget(id);
            self.admin.journal.forget(&domain.name);
            self.admin.config = self.admin.config.without_domain(&domain.name);
            let asked = domain.removal.take().map_or(Vec::new(), |removal| removal.asked);
            let answer = Admin::removed(&domain.name, ended);
            asked.into_iter().for_each(|asker| self.tell(asker, Status::OK, &answer));
            taken.push(domain);
        }
        taken
    }

    pub(super) fn tell(&mut self, (session, tag): Asker, status: Status, answer: &Value) {
        self.sessions.reply(session, tag, status, &answer.to_string(), false);
    }
}
