//! Senders that wait for slow receivers which asked for that: at the receiver's engine, who is to
//! wait; at the sender's, whose sends are left in their rings.
//!
//! A hold is a lease: it is said again and again as long as it is needed, and ends by itself. So
//! neither a lost packet nor a lost engine leaves anybody waiting.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use anasazi_protocol::limits::HOLD_GROUPS_MAX;
use anasazi_protocol::{Command, GroupId, Instant, NodeId, SessionId};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{GROUPS_PER_MESSAGE_MAX, GroupRecord, SendRecord};
use anasazi_queue::status::Status;

use super::connection::{Connection, Ending};
use super::limits::{HELD_MAX, HOLD_EVERY, HOLD_FOR_MS};
use super::send::further_groups;
use super::{Sessions, Slot};

/// All holds that this engine knows of.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Until when senders to a group wait, by who asked.
    held: BTreeMap<(GroupId, NodeId), Instant>,
    /// Sessions whose next message is to a held group.
    waiting: VecDeque<(usize, SessionId)>,
    /// Own sessions that others are to wait for.
    slow: BTreeSet<(usize, SessionId)>,
    /// The groups that were said to be held last, and when.
    said: BTreeSet<GroupId>,
    said_at: Instant,
}

impl Holds {
    /// Nobody has to wait for anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn by(&self, group: GroupId) -> impl Iterator<Item = (&(GroupId, NodeId), &Instant)> {
        self.held.range((group, NodeId(0))..=(group, NodeId(u32::MAX)))
    }

    /// A session waits; it has its turn when any hold ends.
    pub(super) fn wait(&mut self, at: (usize, SessionId)) {
        self.waiting.push_back(at);
    }

    /// One session is slow, or no longer.
    pub(super) fn mark(&mut self, at: (usize, SessionId), is_slow: bool) {
        if is_slow {
            self.slow.insert(at);
        } else {
            self.slow.remove(&at);
        }
    }

    /// When there is something to say or something ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let ends = self.held.values().min().filter(|_| !self.waiting.is_empty()).copied();
        let again =
            (!self.slow.is_empty() || !self.said.is_empty()).then(|| self.said_at + HOLD_EVERY);
        ends.into_iter().chain(again).min()
    }
}

impl Sessions {
    /// A node asks the senders to some groups to wait. Those for which that is new.
    pub fn hold(
        &mut self,
        by: NodeId,
        groups: &[GroupId],
        for_ms: u16,
        now: Instant,
    ) -> Vec<GroupId> {
        let held = &mut self.holds.held;
        if for_ms == 0 {
            groups.iter().for_each(|group| _ = held.remove(&(*group, by)));
            self.let_go();
            return Vec::new();
        }
        let until = now + Duration::from_millis(for_ms.into());
        let mut fresh = Vec::new();
        for group in groups {
            let is_known = held.contains_key(&(*group, by));
            if is_known || held.len() < HELD_MAX {
                held.insert((*group, by), until);
                fresh.extend((!is_known).then_some(*group));
            }
        }
        fresh
    }

    /// Holds that nobody said again are over.
    pub fn expire_holds(&mut self, now: Instant) {
        let before = self.holds.held.len();
        self.holds.held.retain(|_, until| *until > now);
        if self.holds.held.len() < before {
            self.let_go();
        }
    }

    /// Those who wait look again.
    fn let_go(&mut self) {
        for at in std::mem::take(&mut self.holds.waiting) {
            if let Some(connection) = self.connection_mut(at) {
                connection.is_active = false;
                self.activate(at.0);
            }
        }
    }

    /// What is to be said of own sessions that others are to wait for: to be given to the protocol.
    /// Ends those that let others wait for too long.
    pub fn say_holds(&mut self, now: Instant) -> Vec<Command> {
        if self.holds.slow.is_empty() && self.holds.said.is_empty() {
            return Vec::new();
        }
        let mut groups = BTreeSet::new();
        for at in self.holds.slow.clone() {
            let held_max = self.limits.hold_max;
            let Some(connection) = self.connection_mut(at) else {
                self.holds.slow.remove(&at);
                continue;
            };
            if connection.has_stood_still(now) > held_max {
                let ending = connection.held_too_long(held_max);
                self.holds.slow.remove(&at);
                if let Some(connection) = self.take_out(at) {
                    self.end(connection, at.0, Some(&ending));
                }
                continue;
            }
            groups.extend(connection.behind.groups.iter().copied());
        }
        let is_due = now.since(self.holds.said_at) >= HOLD_EVERY;
        if !is_due && groups == self.holds.said {
            return Vec::new();
        }
        self.holds.said_at = now;
        let over: Vec<_> = self.holds.said.difference(&groups).copied().collect();
        let mut commands = commands(&over, 0);
        self.holds.said = groups;
        let held: Vec<_> = self.holds.said.iter().copied().collect();
        commands.extend(self::commands(&held, HOLD_FOR_MS));
        commands
    }

    /// The nodes for which the senders to a group wait.
    pub fn held_by(&self, group: GroupId) -> impl Iterator<Item = NodeId> {
        self.holds.by(group).map(|((_, by), _)| *by)
    }

    /// Whether the message at the start of the ring is to a group that is held. The client may
    /// change it before it is taken: that would only be its own loss of manners.
    pub(super) fn must_wait(&self, connection: &Connection, peeked: &[u8]) -> bool {
        let Some((record, rest)) = SendRecord::split_from(peeked) else { return false };
        let further = further_groups(record, rest).map(|(further, _)| further).unwrap_or_default();
        let handles = std::iter::once(record.handle).chain(further.iter().map(|g| g.handle));
        handles
            .filter_map(|number| connection.handles.get(&number))
            .any(|handle| !handle.role.is_peer() && self.is_held(handle.group, connection))
    }

    /// Nobody waits for itself: it might never read.
    fn is_held(&self, group: GroupId, by: &Connection) -> bool {
        let own = self.identity.node;
        let of_others = || self.holds.by(group).any(|((_, node), _)| *node != own);
        let for_another = || {
            let mut slow = self.holds.slow.iter().filter(|(_, session)| *session != by.id);
            slow.any(|(slot, _)| match self.slots.get(*slot) {
                Some(Slot::Open(other)) => other.behind.groups.contains(&group),
                _ => false,
            })
        };
        self.holds.by(group).next().is_some()
            && (!by.behind.groups.contains(&group) || of_others() || for_another())
    }
}

impl Connection {
    fn held_too_long(&self, held_max: Duration) -> Ending {
        let text = format!(
            "the session let the senders to its groups wait and has read nothing for {} ms, which \
             is all that client.hold_max_ms allows; {} bytes wait for it",
            held_max.as_millis(),
            self.backlog.len()
        );
        Ending::new(Status::ESLOW, text)
    }
}

fn commands(groups: &[GroupId], for_ms: u16) -> Vec<Command> {
    let chunks = groups.chunks(HOLD_GROUPS_MAX);
    chunks.map(|groups| Command::Hold { groups: groups.to_vec(), for_ms }).collect()
}

/// How much of a send says whom it is for.
pub(super) const ADDRESS_LEN_MAX: usize =
    size_of::<SendRecord>() + GROUPS_PER_MESSAGE_MAX * size_of::<GroupRecord>();
