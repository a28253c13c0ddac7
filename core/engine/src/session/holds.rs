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
use super::limits::{HELD_MAX, HOLD_EVERY, HOLD_FOR_MS, HOLD_LOOK_EVERY, HOLD_TOLD_EVERY};
use super::send::further_groups;
use super::{Sessions, Slot};
use crate::domains::{DomainGroup, DomainId};

/// All holds that this engine knows of.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// By who asked in which domain: until when senders to a group wait.
    held: BTreeMap<(DomainId, NodeId), BTreeMap<GroupId, Instant>>,
    /// When the operator was last told of that, by who asked.
    told_at: BTreeMap<(DomainId, NodeId), Instant>,
    /// Sessions whose next message is to a held group.
    waiting: VecDeque<(usize, SessionId)>,
    /// Own sessions that others are to wait for.
    slow: BTreeSet<(usize, SessionId)>,
    /// The groups that were said to be held last, and when all of them were.
    said: BTreeSet<DomainGroup>,
    said_at: Instant,
    /// When it was last looked at what is to be said, if anything is.
    looked_at: Option<Instant>,
}

impl Holds {
    /// Nobody has to wait for anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn by(&self, group: DomainGroup) -> impl Iterator<Item = NodeId> {
        let DomainGroup { domain, group } = group;
        let of_domain = self.held.range((domain, NodeId(0))..=(domain, NodeId(u32::MAX)));
        let asked = of_domain.filter(move |(_, groups)| groups.contains_key(&group));
        asked.map(|((_, node), _)| *node)
    }

    /// A session waits; it has its turn when any hold ends.
    pub(super) fn wait(&mut self, at: (usize, SessionId)) {
        self.waiting.push_back(at);
    }

    /// It waits no longer. True if it did.
    pub(super) fn forget(&mut self, at: (usize, SessionId)) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| *waiting != at);
        self.waiting.len() < before
    }

    /// Nobody in this domain asks for anything any more.
    pub(super) fn forget_domain(&mut self, domain: DomainId) {
        self.held.retain(|(of, _), _| *of != domain);
        self.told_at.retain(|(of, _), _| *of != domain);
        self.said.retain(|group| group.domain != domain);
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
        let ends = self.held.values().flat_map(BTreeMap::values).min();
        let ends = ends.filter(|_| !self.waiting.is_empty()).copied();
        let is_new = self.said.is_empty() != self.slow.is_empty();
        let again = match self.looked_at {
            Some(at) if is_new => at + HOLD_LOOK_EVERY,
            Some(_) => self.said_at + HOLD_EVERY,
            None => Instant::default(),
        };
        let says = !self.slow.is_empty() || !self.said.is_empty();
        ends.into_iter().chain(says.then_some(again)).min()
    }

    /// What is to be said now that these groups are to be held: what is new at once, all of it
    /// again in time.
    fn say(&mut self, groups: BTreeSet<DomainGroup>, now: Instant) -> Vec<(DomainId, Command)> {
        let is_due = self.said.is_empty() || now.since(self.said_at) >= HOLD_EVERY;
        let over: Vec<_> = self.said.difference(&groups).copied().collect();
        let held: Vec<_> = match is_due {
            true => groups.iter().copied().collect(),
            false => groups.difference(&self.said).copied().collect(),
        };
        if is_due {
            self.said_at = now;
        }
        self.said = groups;
        let mut commands = commands(&over, 0);
        commands.extend(self::commands(&held, HOLD_FOR_MS));
        commands
    }
}

impl Sessions {
    /// A node asks the senders to some groups of a domain to wait. Some: one of those for which
    /// that is new, and how many these are, if the operator should know.
    pub fn hold(
        &mut self,
        (domain, by): (DomainId, NodeId),
        groups: &[GroupId],
        for_ms: u16,
        now: Instant,
    ) -> Option<(GroupId, usize)> {
        let Holds { held, told_at, .. } = &mut self.holds;
        if for_ms == 0 {
            if let Some(held) = held.get_mut(&(domain, by)) {
                groups.iter().for_each(|group| _ = held.remove(group));
            }
            held.retain(|_, groups| !groups.is_empty());
            self.let_go();
            return None;
        }
        let held = held.entry((domain, by)).or_default();
        let until = now + Duration::from_millis(for_ms.into());
        let mut fresh = Vec::new();
        for group in groups {
            if held.contains_key(group) || held.len() < HELD_MAX {
                fresh.extend(held.insert(*group, until).is_none().then_some(*group));
            }
        }
        let told = told_at.get(&(domain, by)).is_some_and(|at| now.since(*at) < HOLD_TOLD_EVERY);
        let first = fresh.first().filter(|_| !told)?;
        told_at.insert((domain, by), now);
        Some((*first, fresh.len()))
    }

    /// Holds that nobody said again are over.
    pub fn expire_holds(&mut self, now: Instant) {
        let mut ended = false;
        for groups in self.holds.held.values_mut() {
            let before = groups.len();
            groups.retain(|_, until| *until > now);
            ended |= groups.len() < before;
        }
        if ended {
            self.holds.held.retain(|_, groups| !groups.is_empty());
            self.let_go();
        }
    }

    /// Those who wait look again.
    pub(super) fn let_go(&mut self) {
        for at in std::mem::take(&mut self.holds.waiting) {
            self.put_to_work(at);
        }
    }

    /// A session that has waited has its turn.
    pub(super) fn put_to_work(&mut self, at: (usize, SessionId)) {
        if let Some(connection) = self.connection_mut(at) {
            connection.is_active = false;
            self.activate(at.0);
        }
    }

    /// What is to be said of own sessions that others are to wait for: to be given to the protocols
    /// of these domains. Ends those that let others wait for too long.
    pub fn say_holds(&mut self, now: Instant) -> Vec<(DomainId, Command)> {
        if self.holds.slow.is_empty() && self.holds.said.is_empty() {
            self.holds.looked_at = None;
            return Vec::new();
        }
        if self.holds.looked_at.is_some_and(|at| now.since(at) < HOLD_LOOK_EVERY) {
            return Vec::new();
        }
        self.holds.looked_at = Some(now);
        let mut groups = BTreeSet::new();
        for at in self.holds.slow.clone() {
            let held_max = self.limits.hold_max;
            let Some(connection) = self.connection_mut(at) else {
                self.holds.mark(at, false);
                continue;
            };
            if connection.has_stood_still(now) <= held_max {
                groups.extend(connection.behind.groups.iter().copied());
                continue;
            }
            let ending = connection.held_too_long(held_max);
            if let Some(connection) = self.take_out(at) {
                self.end(connection, at.0, Some(&ending));
            }
        }
        self.holds.say(groups.into_iter().take(HELD_MAX).collect(), now)
    }

    /// The nodes for which the senders to a group wait.
    pub fn held_by(&self, group: DomainGroup) -> impl Iterator<Item = NodeId> {
        self.holds.by(group)
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
    fn is_held(&self, group: DomainGroup, by: &Connection) -> bool {
        let own = self.identity.node;
        let of_others = || self.holds.by(group).any(|node| node != own);
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
            "the session let the senders to its groups{} wait and has read nothing for {} ms, \
             which is all that client.hold_max_ms allows; {} bytes wait for it",
            self.place(),
            held_max.as_millis(),
            self.backlog.len()
        );
        Ending::new(Status::ESLOW, text)
    }
}

/// `groups` are in order, so that those of a domain are beside each other.
fn commands(groups: &[DomainGroup], for_ms: u16) -> Vec<(DomainId, Command)> {
    let of_domains = groups.chunk_by(|a, b| a.domain == b.domain);
    let chunks = of_domains.flat_map(|groups| groups.chunks(HOLD_GROUPS_MAX));
    let command = |groups: &[DomainGroup]| {
        let ids = groups.iter().map(|group| group.group).collect();
        (groups[0].domain, Command::Hold { groups: ids, for_ms })
    };
    chunks.map(command).collect()
}

/// How much of a send says whom it is for.
pub(super) const ADDRESS_LEN_MAX: usize =
    size_of::<SendRecord>() + GROUPS_PER_MESSAGE_MAX * size_of::<GroupRecord>();
