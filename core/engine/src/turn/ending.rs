//! How a turn ends: stopped by somebody, or with a fault.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anasazi_queue::status::Status;
use anasazi_transport::Transport;

use super::{Place, Turn};
use crate::domains::DomainId;
use crate::error::EngineError;
use crate::session::Readiness;
use crate::storage::Storage;

impl<T: Transport, S: Storage> Turn<T, S> {
    /// The host caught a panic outside the core: of sessions, say. As with the core's, whatever
    /// comes next could be wrong. Writes the flight record, tells all sessions, and ends.
    pub fn broke(&mut self, panic: &(dyn Any + Send), readiness: &dyn Readiness) {
        if self.ended.is_none() {
            let fault = self.domains[DomainId::DEFAULT].work().recorder.broke(panic);
            // What panicked may do so again; then the end of their sockets tells the sessions.
            let end = || self.end(Some(EngineError::Broken(fault)), readiness);
            _ = catch_unwind(AssertUnwindSafe(end));
        }
    }

    /// A clean stop is over when every domain has been left; `default` never is before one.
    pub(super) fn end_if_all_left(&mut self, readiness: &dyn Readiness) {
        if self.domains.iter().all(|(_, domain)| domain.is_stopped) {
            self.end(None, readiness);
        }
    }

    /// What breaks, is outdated or may not have its number in one domain ends all of them: they
    /// have one process, and are one node in one incarnation.
    pub(super) fn end(&mut self, fault: Option<EngineError>, readiness: &dyn Readiness) {
        if self.ended.is_some() {
            return;
        }
        let reason =
            fault.as_ref().map_or_else(|| "the engine was stopped".to_owned(), ToString::to_string);
        let returns = self.clients_return && matches!(fault, None | Some(EngineError::Outdated(_)));
        let status = match &fault {
            None => Status::ECLOSED,
            // An engine of this process does not come back; a daemon does.
            Some(EngineError::Broken(_)) if !self.clients_return => Status::EINTERNAL,
            Some(_) => Status::ESTATE,
        };
        if let Some(fault) = fault.as_ref().filter(|f| !matches!(f, EngineError::Outdated(_))) {
            // Who is outdated begins again.
            _ = self.fault.set(fault.clone());
        }
        // None of them says anything after that.
        self.domains.iter_mut().for_each(Place::take_back);
        self.ended = Some(fault.map_or(Ok(()), Err));
        // A daemon that stops cleanly is likely to come back, one that is outdated does so at once:
        // its clients' connections just end, and they try again.
        if returns {
            self.sessions.hang_up_on_all(readiness);
        } else {
            self.sessions.close_all(status, &reason, readiness);
        }
    }
}
