//! What sessions have to do with several domains: whom they mean by a name, and who waits for which
//! protocol.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anasazi_protocol::{Instant, SessionId};
use anasazi_queue::status::Status;

use super::Sessions;
use super::connection::Ending;
use super::removal::Presence;
use crate::domains::{DOMAINS_MAX, DomainId, DomainSet};

/// What waits for one domain's protocol.
pub(super) struct OfDomain {
    pub(super) name: Arc<str>,
    pub(super) presence: Presence,
    /// As active, but their next record is a command for it, and it took none when that was looked
    /// at.
    pub(super) blocked: VecDeque<(usize, SessionId)>,
    /// Sessions that ended and that it has not heard of yet.
    pub(super) endings: VecDeque<SessionId>,
    /// What its backlogs cost, and may.
    pub(super) kept: Arc<AtomicUsize>,
    pub(super) kept_max: Option<usize>,
    /// It is removed: when the last of its lanes end.
    pub(super) lanes_until: Option<Instant>,
    /// The same: how many memberships have ended so far.
    pub(super) ended: usize,
}

impl OfDomain {
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            presence: Presence::There,
            blocked: VecDeque::new(),
            endings: VecDeque::new(),
            kept: Arc::default(),
            kept_max: None,
            lanes_until: None,
            ended: 0,
        }
    }

    /// Somebody has something for it.
    pub(super) fn has_waiting(&self) -> bool {
        !(self.blocked.is_empty() && self.endings.is_empty())
    }
}

impl Sessions {
    /// There is one more domain: sessions may name it from now on. It gets the first place that is
    /// free. `backlog_len_max`: bytes that are kept for all that do not read there.
    ///
    /// # Panics
    /// There are [`DOMAINS_MAX`] already.
    pub fn add_domain(&mut self, name: &str, backlog_len_max: Option<usize>) -> DomainId {
        let of = OfDomain { kept_max: backlog_len_max, ..OfDomain::named(name) };
        match self.domains.iter_mut().position(|of| of.presence == Presence::Vacant) {
            Some(place) => {
                self.domains[place] = of;
                DomainId::at(place)
            }
            None => {
                assert!(self.domains.len() < DOMAINS_MAX, "more domains than an engine may have");
                self.domains.push(of);
                DomainId::at(self.domains.len() - 1)
            }
        }
    }

    /// How many bytes are kept for all that do not read in a domain.
    pub fn set_budget(&mut self, domain: DomainId, backlog_len_max: Option<usize>) {
        self.domains[domain.index()].kept_max = backlog_len_max;
    }

    /// The domain of a group, and what the group is called there.
    pub(super) fn resolve<'a>(&self, name: &'a str) -> Result<(DomainId, &'a str), Ending> {
        let Some((domain, group)) = name.split_once('/') else {
            return Ok((DomainId::DEFAULT, name));
        };
        match self.domain_named(domain)? {
            _ if group.is_empty() => {
                let text = format!("{name:?} names a domain, and no group in it");
                Err(Ending::new(Status::EINVAL, text))
            }
            domain => Ok((domain, group)),
        }
    }

    /// One that a session may have something of.
    pub(super) fn domain_named(&self, name: &str) -> Result<DomainId, Ending> {
        let domain = self.find_domain(name).ok_or_else(|| self.unknown_domain(name))?;
        self.refusal(domain).map_or(Ok(domain), Err)
    }

    fn find_domain(&self, name: &str) -> Option<DomainId> {
        let is_it = |of: &OfDomain| *of.name == *name && of.presence != Presence::Vacant;
        self.domains.iter().position(is_it).map(DomainId::at)
    }

    fn unknown_domain(&self, name: &str) -> Ending {
        let there = self.domains.iter().filter(|of| of.presence == Presence::There);
        let known: Vec<_> = there.map(|of| &*of.name).collect();
        let text = format!(
            "this engine has no domain {name:?}; it has: {}. Name one of these, or add that one \
             to the engine",
            known.join(", ")
        );
        Ending::new(Status::EINVAL, text)
    }

    /// The domains whose protocols take commands.
    pub(super) fn taking(&self, full: DomainSet) -> impl Iterator<Item = (DomainId, &OfDomain)> {
        let all = self.domains.iter().enumerate().map(|(at, of)| (DomainId::at(at), of));
        all.filter(move |(domain, _)| !full.contains(*domain))
    }

    pub(super) fn next_ending(&mut self, full: DomainSet) -> Option<(DomainId, SessionId)> {
        let (domain, _) = self.taking(full).find(|(_, of)| !of.endings.is_empty())?;
        let session = self.domains[domain.index()].endings.pop_front()?;
        Some((domain, session))
    }

    pub(super) fn next_blocked(&mut self, full: DomainSet) -> Option<(usize, SessionId)> {
        let (domain, _) = self.taking(full).find(|(_, of)| !of.blocked.is_empty())?;
        self.domains[domain.index()].blocked.pop_front()
    }
}
