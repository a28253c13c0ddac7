//! What domains say to sessions and to the operator.

use anasazi_protocol::{Event, Instant, MessageDelivery, NodeId};
use anasazi_transport::Transport;

use super::Turn;
use crate::bridges::{Hand, is_engine};
use crate::domain::Upward;
use crate::domains::{DomainGroup, DomainId};
use crate::error::EngineError;
use crate::session::Readiness;
use crate::storage::Storage;

impl<T: Transport, S: Storage> Turn<T, S> {
    /// What the domains have for sessions and for the operator, in order.
    pub(super) fn hand_up(&mut self, now: Instant, readiness: &dyn Readiness) {
        self.domains.ids().for_each(|domain| self.hand_up_of(domain, now, readiness));
    }

    pub(super) fn hand_up_of(&mut self, domain: DomainId, now: Instant, readiness: &dyn Readiness) {
        let mut up = self.domains.take_up(domain);
        for item in up.drain(..) {
            match item {
                Upward::Message(message) => self.hand_message(domain, message),
                Upward::View(view) => {
                    self.bridges.view(domain, self.domains[domain].process, &view);
                    self.sessions.view(domain, &view);
                }
                Upward::Receipt { session, to, tag, fate } => {
                    self.sessions.receipt(domain, session, &to, tag, fate);
                }
                Upward::JoinRefused { session, group, reason } if is_engine(session) => {
                    self.bridges.refused(domain.group(group), reason);
                }
                Upward::JoinRefused { session, group, reason } => {
                    self.sessions.join_refused(session, domain.group(group), reason);
                }
                Upward::Held { by, groups, for_ms } => {
                    let told = self.sessions.hold((domain, by), &groups, for_ms, now);
                    if let Some((group, count)) = told {
                        self.tell_hold(now, by, domain.group(group), count);
                    }
                }
                Upward::Far { by, part } => self.bridges.far(domain, by, &part),
                Upward::Event(event) => {
                    if let Event::Installed { members, .. } = &event {
                        self.bridges.installed(domain, members);
                    }
                    self.admin.journal.record(now.0, &self.domains[domain].name, &event);
                }
                Upward::Told(text) => {
                    let text = format!("{}{text}", self.domains[domain].words());
                    self.admin.journal.of_domain(now.0, text);
                }
                Upward::Warned(text) => {
                    let text = format!("{}{text}", self.domains[domain].words());
                    self.admin.journal.warn(text);
                }
                Upward::Mismatch { kind, text } => {
                    let name = &self.domains[domain].name;
                    self.admin.journal.of_mismatch(now.0, name, kind, &text);
                }
                Upward::Stopped { fault: Some(fault) } => {
                    if self.drop_added(domain, &fault, now) {
                        self.end_if_all_left(readiness);
                    } else {
                        let fault = format!("{}{fault}", self.domains[domain].words());
                        self.end(Some(EngineError::Protocol(fault)), readiness);
                    }
                }
                Upward::Stopped { fault: None } => {
                    self.domains[domain].is_stopped = true;
                    self.end_if_all_left(readiness);
                }
                Upward::Outdated { known } => {
                    if self.drop_outdated(domain, known, now) {
                        self.end_if_all_left(readiness);
                    } else {
                        self.end(Some(EngineError::Outdated(known)), readiness);
                    }
                }
                Upward::Broken { fault } => {
                    let fault = format!("{}{fault}", self.domains[domain].words());
                    self.end(Some(EngineError::Broken(fault)), readiness);
                }
            }
        }
        self.domains[domain].give_back(up);
    }

    fn hand_message(&mut self, domain: DomainId, mut message: MessageDelivery) {
        match self.bridges.message(domain, self.domains[domain].process, &mut message) {
            Hand::On => {}
            Hand::OnAfterGap(group) => self.sessions.gap(domain.group(group)),
            Hand::Nobody => return,
        }
        self.sessions.message(domain, &message);
    }

    fn tell_hold(&mut self, now: Instant, by: NodeId, group: DomainGroup, count: usize) {
        let DomainGroup { domain, group } = group;
        let name = self.domains[domain].full_name(group);
        let name = name.map_or_else(|| format!("{:016x}", group.0), |name| format!("{name:?}"));
        let others = match count {
            1 => String::new(),
            _ => format!(" and {} others", count - 1),
        };
        self.admin.journal.of_session(
            now.0,
            format!(
                "the senders to group {name}{others} wait: a session at node {by} does not read \
                 as fast, and chose this (session.slow_policy = throttle)"
            ),
        );
    }
}
