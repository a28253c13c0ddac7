//! Other rings that were heard, as candidates for a merge. A ring is merged with only if one
//! of its members hears this node too, and after a merge that did not work only with back-off: a
//! node that cannot be joined must not disturb others.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::id::{NodeId, Process, RingId};
use crate::limits;
use crate::time::Instant;
use crate::wire::{Beacon, Dialect};

/// A quarter of a beacon interval at first, and so many whole ones in the end.
const BACKOFF_MAX: u32 = 5;
/// After a silence of so many beacon intervals it is as if somebody new were heard.
const SILENCE: u32 = 3;
/// Whoever has been heard for half as many beacon intervals is there to stay.
const SETTLED_AFTER_HALVES: u32 = 5;
/// Beacon intervals after which a ring that is not heard any more is forgotten.
const FORGET_AFTER: u32 = 60;

#[derive(Clone, Hash)]
pub(crate) struct Candidate {
    pub(crate) process: Process,
    pub(crate) ring: RingId,
    pub(crate) members: Vec<Process>,
    /// What all its members speak.
    pub(crate) dialect: Dialect,
    /// The process hears this node.
    mutual: bool,
    heard_at: Instant,
    /// Since when it has been heard without a longer silence.
    since: Instant,
    pub(crate) answered_at: Instant,
    not_before: Instant,
    backoff: Duration,
}

/// Candidates by representative.
#[derive(Clone, Hash)]
pub(crate) struct Candidates {
    /// Time between beacons: the pace of things.
    beacon: Duration,
    by_node: BTreeMap<NodeId, Candidate>,
}

impl Candidates {
    /// `beacon`: time between beacons.
    pub(crate) fn new(beacon: Duration) -> Self {
        Self { beacon, by_node: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_node.len()
    }

    /// Remembers a beacon. True if this representative should be answered at once.
    pub(crate) fn heard(&mut self, beacon: &Beacon, me: Process, now: Instant) -> bool {
        if self.by_node.len() >= limits::CANDIDATES_MAX
            && !self.by_node.contains_key(&beacon.process.node)
        {
            self.forget_oldest();
        }
        // Members of a newer ring are not any more in the one that was heard of before.
        let moved = |c: &Candidate| c.members.iter().any(|m| beacon.members.contains(m));
        self.by_node.retain(|n, c| {
            *n == beacon.process.node || c.ring.sequence >= beacon.ring.sequence || !moved(c)
        });
        let (backoff_min, silence) = (self.beacon / 4, self.beacon * SILENCE);
        let entry = self.by_node.entry(beacon.process.node);
        let known = matches!(entry, std::collections::btree_map::Entry::Occupied(_));
        let candidate = entry.or_insert_with(|| Candidate {
            process: beacon.process,
            ring: beacon.ring,
            members: Vec::new(),
            dialect: beacon.dialect,
            mutual: false,
            heard_at: now,
            since: now,
            answered_at: now,
            not_before: now,
            backoff: backoff_min,
        });
        if candidate.process != beacon.process {
            (candidate.not_before, candidate.backoff) = (now, backoff_min);
        }
        let gap = now.since(candidate.heard_at) > silence;
        if gap || candidate.process != beacon.process {
            candidate.since = now;
        }
        candidate.process = beacon.process;
        candidate.ring = beacon.ring;
        candidate.dialect = beacon.dialect;
        candidate.members.clone_from(&beacon.members);
        candidate.mutual = beacon.heard.contains(&me);
        candidate.heard_at = now;
        let answer = !known || now.since(candidate.answered_at) >= Duration::from_millis(50);
        if answer {
            candidate.answered_at = now;
        }
        answer
    }

    /// All that were heard within `fresh`.
    pub(crate) fn heard_lately(
        &self,
        now: Instant,
        fresh: Duration,
    ) -> impl Iterator<Item = &Candidate> {
        self.by_node.values().filter(move |c| now.since(c.heard_at) <= fresh)
    }

    /// How many members the ring of this process has, as far as it is known.
    pub(crate) fn ring_len_of(&self, process: Process) -> Option<usize> {
        let of = |c: &&Candidate| c.members.contains(&process);
        self.by_node.values().find(of).map(|c| c.members.len())
    }

    /// This process has been heard for a while.
    pub(crate) fn is_settled(&self, process: Process, now: Instant) -> bool {
        let known = self.by_node.get(&process.node).filter(|c| c.process == process);
        known.is_some_and(|c| now.since(c.since) >= self.beacon * SETTLED_AFTER_HALVES / 2)
    }

    /// Representatives heard within `fresh`, for the beacon.
    pub(crate) fn processes(&self, now: Instant, fresh: Duration) -> Vec<Process> {
        let is_fresh = |c: &&Candidate| now.since(c.heard_at) <= fresh;
        self.by_node.values().filter(is_fresh).map(|c| c.process).collect()
    }

    /// Those that can be merged with now, the smallest ring first. Any member of a ring may speak
    /// for it: its representative may be out of reach.
    pub(crate) fn ready(&self, now: Instant, fresh: Duration) -> Vec<&Candidate> {
        let is_ready =
            |c: &&Candidate| c.mutual && now.since(c.heard_at) <= fresh && c.not_before <= now;
        let mut ready: Vec<_> = self.by_node.values().filter(is_ready).collect();
        ready.sort_by_key(|c| c.rank());
        ready.dedup_by_key(|c| c.ring);
        ready
    }

    /// A merge with this ring was started: the next one waits longer, and until it is
    /// heard again, unless this one succeeds.
    pub(crate) fn tried(&mut self, ring: RingId, now: Instant) {
        let backoff_max = self.beacon * BACKOFF_MAX;
        for candidate in self.by_node.values_mut().filter(|c| c.ring == ring) {
            candidate.mutual = false;
            candidate.not_before = now + candidate.backoff;
            candidate.backoff = (candidate.backoff * 2).min(backoff_max);
        }
    }

    /// A member of that ring has invited this one.
    pub(crate) fn tried_with(&mut self, process: Process, now: Instant) {
        let of = |c: &&Candidate| c.members.contains(&process);
        if let Some(ring) = self.by_node.values().find(of).map(|c| c.ring) {
            self.tried(ring, now);
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.by_node.iter().min_by_key(|(_, c)| c.heard_at).map(|(n, _)| *n);
        oldest.map(|n| self.by_node.remove(&n));
    }

    /// A process is gone.
    pub(crate) fn gone(&mut self, process: Process) {
        self.by_node.retain(|_, c| c.process != process);
    }

    /// A configuration was installed: its members are no candidates, and those not heard for long
    /// are forgotten.
    pub(crate) fn installed(&mut self, members: &[Process], now: Instant) {
        let kept_for = self.beacon * FORGET_AFTER;
        self.by_node
            .retain(|_, c| !members.contains(&c.process) && now.since(c.heard_at) < kept_for);
        // Whoever is still there will say so again: what was heard before proves nothing now.
        self.by_node.values_mut().for_each(|c| c.mutual = false);
    }
}

impl Candidate {
    /// Smaller rings merge first, older ones among equals.
    pub(crate) fn rank(&self) -> (usize, RingId) {
        (self.members.len(), self.ring)
    }
}
