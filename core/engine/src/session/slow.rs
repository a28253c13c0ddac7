//! What becomes of a session that does not read as fast as it is sent to, if it does not want to be
//! ended for that: it misses messages and is told how many (gap), or the senders to its groups wait
//! for it (throttle, see `holds`). And whatever they want, all of them together are kept only so
//! much for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anasazi_protocol::Instant;
use anasazi_protocol::planted::planted;
use anasazi_queue::hello::slow;
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{GapRecord, event};
use anasazi_queue::status::Status;
use bytes::Bytes;

use super::connection::{Connection, Ending};
use super::limits::{GAP_BEGINS, GAP_ENDS, HOLD_BEGINS};
use super::{Sessions, Slot};
use crate::domains::{DomainGroup, DomainId};

/// What a session wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Disconnect,
    Throttle,
    Gap,
}

/// Messages that a session misses.
#[derive(Debug, Default)]
pub(super) struct Gap {
    /// They are skipped at the moment.
    pub(super) is_open: bool,
    /// By handle, those that it was not told of.
    untold: BTreeMap<u32, u64>,
    /// All, ever.
    pub(super) total: u64,
    /// What the operator knows of.
    seen: bool,
}

/// What a session lets others wait for.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Groups of which something waits for it.
    pub(super) groups: BTreeSet<DomainGroup>,
    /// Since when their senders wait.
    pub(super) since: Option<Instant>,
    /// How far it had read when it was last seen to have read anything, and when that was.
    read: (u64, Instant),
}

/// A message for one session.
pub(super) struct Delivery<'a> {
    pub(super) kind: u16,
    pub(super) head: &'a [u8],
    pub(super) pieces: &'a [Bytes],
    /// The handles that it is for; none if it is for the session alone.
    pub(super) handles: &'a [u32],
    /// Of an own message, if it has one.
    pub(super) tag: u64,
    /// The handle that it is told under what became of an own message; none if that has ended.
    pub(super) under: Option<u32>,
}

impl Sessions {
    /// Where too much is kept for all sessions of a domain together, or for all there are, those
    /// with the most of it are ended.
    pub(super) fn bound_backlogs(&mut self) {
        for at in 0..self.domains.len() {
            if let Some(max) = self.domains[at].kept_max {
                let kept = Arc::clone(&self.domains[at].kept);
                self.bound(&kept, max, Some(DomainId::at(at)));
            }
        }
        let kept = Arc::clone(&self.backlog_total);
        self.bound(&kept, self.limits.backlog_total_max, None);
    }

    fn bound(&mut self, kept: &AtomicUsize, max: usize, of: Option<DomainId>) {
        if kept.load(Ordering::Relaxed) <= max {
            return;
        }
        let open = self.slots.iter().enumerate().filter_map(|(at, slot)| match slot {
            Slot::Open(connection) if of.is_none_or(|of| connection.domain == of) => {
                Some((connection.backlog.len(), at, connection.id))
            }
            _ => None,
        });
        let mut open: Vec<_> = open.collect();
        open.sort_unstable();
        let (whose, key) = match of {
            None => ("all sessions together", "client.backlog_total".to_owned()),
            Some(DomainId::DEFAULT) => ("all sessions together", "budget.backlog_len".to_owned()),
            Some(of) => {
                let name = &self.domains[of.index()].name;
                ("all sessions of this domain", format!("domain.{name}.budget.backlog_len"))
            }
        };
        while let Some((len, at, id)) = open.pop() {
            let total = kept.load(Ordering::Relaxed);
            if total <= max {
                return;
            }
            let Some(connection) = self.take_out((at, id)) else { continue };
            let text = format!(
                "{whose} have {total} bytes waiting, more than {key} = {max} allows, and this one \
                 has the most, {len}{}: read faster, or raise {key}",
                connection.place()
            );
            self.end(connection, at, Some(&Ending::new(Status::ESLOW, text)));
        }
    }
}

impl Policy {
    /// The one with this number in a hello.
    pub(super) fn of(number: u32) -> Option<Self> {
        match number {
            slow::DISCONNECT => Some(Self::Disconnect),
            slow::THROTTLE => Some(Self::Throttle),
            slow::GAP => Some(Self::Gap),
            _ => None,
        }
    }

    /// As in the configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Throttle => "throttle",
            Self::Gap => "gap",
        }
    }
}

impl Connection {
    /// Gives the client a message; or not, if it is far behind and would rather miss some.
    pub(super) fn deliver_message(&mut self, message: &Delivery<'_>) -> Result<(), Ending> {
        self.messages_received += 1;
        if self.legacy.is_some() {
            return Ok(()); // nobody reads it
        }
        if self.policy == Policy::Gap && self.misses(message) {
            return self.skip(message);
        }
        self.tell_gaps()?;
        self.deliver(message.kind, message.head, message.pieces)?;
        if self.policy == Policy::Throttle && !self.backlog.is_empty() {
            let groups = message.handles.iter().filter_map(|number| self.handles.get(number));
            self.behind.groups.extend(groups.map(|handle| handle.group));
        }
        Ok(())
    }

    fn misses(&mut self, message: &Delivery<'_>) -> bool {
        let cost = self.backlog.cost(message.head, message.pieces);
        // Some room is left for what is never skipped.
        let is_much = self.backlog.len_behind() + cost > self.backlog.share(GAP_BEGINS);
        self.gap.is_open |= is_much && !self.backlog.is_empty();
        self.gap.is_open
    }

    fn skip(&mut self, message: &Delivery<'_>) -> Result<(), Ending> {
        let handles = if message.handles.is_empty() { &[0][..] } else { message.handles };
        let is_told = !(planted!("gap_told_short") && self.gap.total.is_multiple_of(5));
        let told = handles.iter().filter(|_| is_told);
        told.for_each(|handle| *self.gap.untold.entry(*handle).or_default() += 1);
        self.gap.total += 1;
        if message.tag == 0 {
            return Ok(());
        }
        match message.under {
            Some(handle) => self.receipt(handle, Status::ESLOW, message.tag),
            None => self.done(message.tag),
        }
    }

    /// Tells of what was skipped, at its place: before anything later of these groups.
    pub(super) fn tell_gaps(&mut self) -> Result<(), Ending> {
        for (handle, count) in std::mem::take(&mut self.gap.untold) {
            let record = GapRecord { handle, reserved: 0, count };
            self.deliver(event::GAP, record.as_bytes(), &[])?;
        }
        Ok(())
    }

    /// The client has read: what begins and ends with that.
    pub(super) fn catch_up(&mut self) -> Result<(), Ending> {
        if self.gap.is_open && self.backlog.len_behind() <= self.backlog.share(GAP_ENDS) {
            self.gap.is_open = false;
            self.tell_gaps()?;
        }
        if self.backlog.is_empty() {
            self.behind.groups.clear();
        }
        Ok(())
    }

    /// The senders to its groups are to wait for it; once they do, until nothing waits for it.
    pub(super) fn wants_hold(&self) -> bool {
        let begins = self.backlog.len_behind() > self.backlog.share(HOLD_BEGINS);
        self.policy == Policy::Throttle
            && self.legacy.is_none()
            && !self.behind.groups.is_empty()
            && (begins || self.behind.since.is_some())
    }

    /// How long it has let others wait without reading anything, at least.
    pub(super) fn has_stood_still(&mut self, now: Instant) -> Duration {
        // Not what went from the backlog into the ring: a long message waits there for many reads.
        let read_to = self.lane.read_to();
        let has_read = read_to > self.behind.read.0 && !planted!("reading_unnoticed");
        if self.behind.since.is_none() || has_read {
            self.behind.since.get_or_insert(now);
            self.behind.read = (read_to, now);
        }
        now.since(self.behind.read.1)
    }

    /// What the operator should know of messages that are skipped, when that begins and ends.
    pub(super) fn watch_gap(&mut self) -> Option<String> {
        let before = std::mem::replace(&mut self.gap.seen, self.gap.is_open);
        let total = self.gap.total;
        match (before, self.gap.is_open) {
            (false, true) => Some(format!(
                "{} does not read, and chose to miss messages then: {total} were skipped so far \
                 (session.slow_policy = gap)",
                self.name()
            )),
            (true, false) => {
                Some(format!("{} reads again: it has missed {total} messages", self.name()))
            }
            _ => None,
        }
    }
}
