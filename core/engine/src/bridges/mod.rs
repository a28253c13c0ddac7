//! The bridges of an engine. It is itself a member of the groups at both ends, by a session of its
//! own in each domain, whose number there is 0: no client has that, and what it sends has the
//! header of a forward, which every engine takes off, gateway or not. Which engines are gateways,
//! and which of them is the first, says a group of the target that has nobody else in it; no client
//! can name it.

mod far;
mod membership;
mod show;

use std::collections::{BTreeMap, VecDeque};

use anasazi_bridge::{FAR_MEMBERS_MAX, Far, Gateway, Header, Options, Receiver, Source, Verdict};
use anasazi_protocol::{
    Audience, Command, GroupId, GroupView, Instant, MemberId, MessageDelivery, Pieces, Priority,
    Process, Recipients, SessionId, hash64,
};
use anasazi_transport::Transport;
use bytes::Bytes;

use crate::config::{BridgeConfig, BridgeEnd, ValidConfig};
use crate::domains::{DomainGroup, DomainId, DomainSet};
use crate::storage::Storage;
use crate::turn::Table;
use far::{FarViews, Telling};
use membership::Memberships;

/// Forwards of a bridge in one turn.
const FORWARDS_PER_TURN: usize = 64;
/// Bridges to groups of this node that are remembered; of the first ones what was missing is not
/// known any more then.
const RECEIVERS_MAX: usize = 4_096;

/// What is to become of a message for local sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// They get it.
    On,
    /// They get it, and are told first that something is missing in this group.
    OnAfterGap(GroupId),
    /// It is not for them.
    Nobody,
}

/// All bridges that this engine is a gateway of, and what it knows of others.
pub(crate) struct Bridges {
    bridges: Vec<Bridge>,
    memberships: Memberships,
    receivers: BTreeMap<(DomainGroup, u64), Receiver>,
    far: FarViews,
    /// Domains or memberships have changed since that was last looked at.
    is_stale: bool,
    /// Domains that had no room for a join or a leave; each says itself when it has.
    waits_for: DomainSet,
    /// For the operator.
    words: VecDeque<String>,
}

/// One bridge.
struct Bridge {
    config: BridgeConfig,
    id: u64,
    gateway: Gateway,
    /// Where both ends are, while it runs.
    ends: Option<Ends>,
    /// The source, while this engine is a member of it.
    hears: Option<DomainGroup>,
    telling: Telling,
    /// Why it does not run, or does not get further.
    trouble: Option<String>,
}

#[derive(Clone, Copy)]
struct Ends {
    source: DomainGroup,
    target: DomainGroup,
    /// In the target's domain: the gateways.
    gateways: DomainGroup,
}

/// The session by which an engine is a member of groups.
fn own_session(process: Process) -> SessionId {
    SessionId(SessionId::first(process.incarnation).0 - 1)
}

fn own_member(process: Process) -> MemberId {
    MemberId { node: process.node, session: own_session(process) }
}

/// It is such a session.
pub(crate) fn is_engine(session: SessionId) -> bool {
    session.number() == 0
}

impl Bridges {
    pub(crate) fn new(config: &ValidConfig) -> Self {
        let bridge = |of: &BridgeConfig| Bridge::new(of.clone(), config);
        Self {
            bridges: config.bridges.iter().map(bridge).collect(),
            memberships: Memberships::default(),
            receivers: BTreeMap::new(),
            far: FarViews::default(),
            is_stale: true,
            waits_for: DomainSet::NONE,
            words: VecDeque::new(),
        }
    }

    /// Domains have come or gone.
    pub(crate) fn look_again(&mut self) {
        self.is_stale = true;
    }

    /// Nothing of this domain is left.
    pub(crate) fn forget(&mut self, domain: DomainId) {
        self.memberships.forget(domain);
        self.receivers.retain(|(group, _), _| group.domain != domain);
        self.far.forget(domain);
        let is_its = |ends: Ends| [ends.source.domain, ends.target.domain].contains(&domain);
        let its = self.bridges.iter_mut().filter(|bridge| bridge.ends.is_some_and(is_its));
        its.for_each(Bridge::stop);
        self.is_stale = true;
    }

    /// For the operator, since this was last asked.
    pub(crate) fn words(&mut self) -> impl Iterator<Item = String> {
        self.words.drain(..)
    }

    /// A message of a domain for members at this node; a forward loses its header.
    pub(crate) fn message(
        &mut self,
        domain: DomainId,
        own: Process,
        message: &mut MessageDelivery,
    ) -> Hand {
        if is_engine(message.sender.session) {
            return self.forward(domain, own, message);
        }
        if !self.bridges.is_empty() {
            let (visited, gap) = (&[][..], false);
            for (group, _) in message.to.groups() {
                self.feed(domain.group(group), message, (visited, gap));
            }
        }
        Hand::On
    }

    /// A message of another engine, or of this one.
    fn forward(&mut self, domain: DomainId, own: Process, message: &mut MessageDelivery) -> Hand {
        let Recipients::Group(group, _) = message.to else { return Hand::Nobody };
        let Some(header) = split(&mut message.payload) else { return Hand::Nobody };
        let to = domain.group(group);
        if self.receivers.len() >= RECEIVERS_MAX
            && !self.receivers.contains_key(&(to, header.bridge))
        {
            self.receivers.pop_first();
        }
        let receiver = self.receivers.entry((to, header.bridge)).or_default();
        let (verdict, mark) = (receiver.take(&header), receiver.mark());
        let is_own = message.sender == own_member(own);
        let these = self.bridges.iter_mut().filter(|bridge| bridge.id == header.bridge);
        for bridge in these.filter(|bridge| bridge.ends.is_some_and(|ends| ends.target == to)) {
            bridge.gateway.reached(mark, is_own);
        }
        let Verdict::New { gap } = verdict else { return Hand::Nobody };
        self.feed(to, message, (&header.visited, gap));
        if gap { Hand::OnAfterGap(group) } else { Hand::On }
    }

    /// A message for the bridges that begin here; without order it goes over none.
    fn feed(
        &mut self,
        group: DomainGroup,
        message: &MessageDelivery,
        (visited, gap): (&[u64], bool),
    ) {
        let Some(place) = message.place.as_deref().copied() else { return };
        for bridge in self.bridges.iter_mut().filter(|bridge| bridge.hears == Some(group)) {
            let (service, pieces) = (message.service, &message.payload[..]);
            bridge.gateway.source_message(&Source { place, service, pieces, visited, gap });
        }
    }

    /// A view, of any group with members at this node.
    pub(crate) fn view(&mut self, domain: DomainId, own: Process, view: &GroupView) {
        let (group, me) = (domain.group(view.group), own_member(own));
        if view.members.iter().all(|member| member.node != own.node) {
            self.receivers.retain(|(to, _), _| *to != group);
        }
        if !self.memberships.view(group, me, view) {
            return;
        }
        self.is_stale = true;
        let here = |bridge: &&mut Bridge| bridge.ends.is_some_and(|ends| ends.source == group);
        for bridge in self.bridges.iter_mut().filter(here) {
            bridge.set_hears(self.memberships.of(group).map(|_| group));
            bridge.telling.set_due();
        }
    }

    /// A gateway tells of the source of its bridge.
    pub(crate) fn far(&mut self, domain: DomainId, by: Process, part: &[u8]) {
        self.far.heard(domain, by, part);
    }

    /// A ring begins: who is new in it has been told nothing.
    pub(crate) fn installed(&mut self, domain: DomainId, members: &[Process]) {
        self.far.installed(domain, members);
        let ends_here = |of: &&mut Bridge| of.ends.is_some_and(|ends| ends.target.domain == domain);
        let its = self.bridges.iter_mut().filter(ends_here);
        its.for_each(|bridge| bridge.telling.set_due());
    }

    /// The engine's own join was refused.
    pub(crate) fn refused(&mut self, group: DomainGroup, reason: &str) {
        self.memberships.refuse(group);
        let is_it = |ends: Ends| [ends.source, ends.target, ends.gateways].contains(&group);
        for bridge in self.bridges.iter_mut().filter(|bridge| bridge.ends.is_some_and(is_it)) {
            let text = format!("cannot join a group of it: {reason}");
            self.words.push_back(format!("bridge {}: {text}", bridge.config.name));
            bridge.trouble = Some(text);
        }
    }

    /// Joins what is needed and forwards what may be, a bounded number.
    pub(crate) fn run<T: Transport, S: Storage>(
        &mut self,
        domains: &mut Table<T, S>,
        now: Instant,
    ) {
        if self.has_to_settle(domains) {
            self.is_stale = false;
            self.settle(domains, now);
        }
        for bridge in &mut self.bridges {
            bridge.tell(&self.memberships, domains, now);
            bridge.forward_some(domains, now);
        }
    }

    /// Finds out which bridges can run, and of which groups this engine must be a member for them.
    fn settle<T: Transport, S: Storage>(&mut self, domains: &mut Table<T, S>, now: Instant) {
        let mut needed = BTreeMap::new();
        for bridge in &mut self.bridges {
            if let Some(text) = bridge.find_ends(domains) {
                self.words.push_back(text);
            }
            let Some(ends) = bridge.ends else { continue };
            needed.insert(ends.source, bridge.config.from.group.clone());
            if self.memberships.of(ends.source).is_none() {
                continue;
            }
            // It may have been a member before the bridge could run.
            bridge.set_hears(Some(ends.source));
            // In this order: who is among the gateways gets what is forwarded.
            needed.insert(ends.target, bridge.config.to.group.clone());
            let me = own_member(domains[ends.target.domain].process);
            let gateways = self.memberships.of(ends.gateways).unwrap_or_default();
            let is_first = gateways.first() == Some(&me);
            // Who comes to others from a ring of its own has seen less than they have: it leaves,
            // and joins again behind them.
            let is_ahead = is_first && gateways.len() > 1 && bridge.gateway.is_new();
            let goes_back = is_ahead && self.memberships.has_merged(ends.gateways);
            if self.memberships.of(ends.target).is_some() && !goes_back {
                needed.insert(ends.gateways, bridge.gateways_name());
            }
            bridge.set_active(is_first && !goes_back);
        }
        self.waits_for = self.memberships.settle(&needed, domains, now);
    }

    fn has_to_settle<T, S>(&self, domains: &Table<T, S>) -> bool {
        self.is_stale || self.waits_for.iter().any(|of| domains.takes_commands(of))
    }

    /// More can be done right now.
    pub(crate) fn has_more<T, S>(&self, domains: &Table<T, S>, now: Instant) -> bool {
        self.has_to_settle(domains) && !self.bridges.is_empty()
            || self.waits(domains).any(|deadline| deadline <= now)
    }

    /// When the next forward may be sent.
    pub(crate) fn deadline<T, S>(&self, domains: &Table<T, S>) -> Option<Instant> {
        self.waits(domains).min()
    }

    /// When bridges may send, of those that have something. A target that takes nothing now says
    /// itself when it goes on.
    fn waits<T, S>(&self, domains: &Table<T, S>) -> impl Iterator<Item = Instant> {
        self.bridges.iter().filter_map(|bridge| {
            let target = bridge.ends?.target.domain;
            let takes = domains[target].takes_commands();
            let telling = bridge.telling.deadline().filter(|_| bridge.gateway.is_active());
            let deadlines = [bridge.gateway.deadline(), telling].into_iter().flatten();
            deadlines.min().filter(|_| takes)
        })
    }
}

impl Bridge {
    fn new(config: BridgeConfig, all: &ValidConfig) -> Self {
        let number = |end: &BridgeEnd| all.domain_number(&end.domain);
        let (from, to) = (number(&config.from), number(&config.to));
        let of = |number: u64, end: &BridgeEnd| format!("{number:x}/{}", end.group);
        let ends = [of(from, &config.from), of(to, &config.to)];
        let id = hash64(format!("{}\0{}\0{}", config.name, ends[0], ends[1]).as_bytes());
        let options = Options {
            bridge: id,
            domains: (from, to),
            prefix: Bytes::from(config.prefix.clone()),
            safe_only: config.safe,
            latest_key_len: config.latest_key_len,
            messages_per_s: config.rate_per_s,
            bytes_per_s: config.bytes_per_s,
            queue_messages_max: config.queue_messages,
            queue_len_max: config.queue_len,
            hops_max: config.hops_max,
        };
        Self {
            gateway: Gateway::new(options),
            config,
            id,
            ends: None,
            hears: None,
            telling: Telling::default(),
            trouble: None,
        }
    }

    /// No client can name it: their names have no NUL.
    fn gateways_name(&self) -> String {
        format!("\0bridge/{}/{:016x}", self.config.name, self.id)
    }

    /// It runs while this engine has both domains. What the operator is to know of a change.
    fn find_ends<T, S>(&mut self, domains: &Table<T, S>) -> Option<String> {
        let found = find(domains, &self.config.from);
        let found = found.and_then(|from| Ok((from, find(domains, &self.config.to)?)));
        let name = &self.config.name;
        match found {
            Ok((from, to)) if self.ends.is_none() => {
                let group = |name: &str| GroupId::of(name);
                self.ends = Some(Ends {
                    source: from.group(group(&self.config.from.group)),
                    target: to.group(group(&self.config.to.group)),
                    gateways: to.group(group(&self.gateways_name())),
                });
                self.trouble = None;
                Some(format!(
                    "bridge {name} begins, from {} to {}",
                    self.config.from, self.config.to
                ))
            }
            Ok(_) => None,
            Err(missing) => {
                let text = format!("this engine has no domain {missing:?} now");
                let is_news = self.trouble.as_ref() != Some(&text);
                let words = is_news.then(|| format!("bridge {name} does not run: {text}"));
                self.trouble = Some(text);
                self.stop();
                words
            }
        }
    }

    fn set_hears(&mut self, hears: Option<DomainGroup>) {
        self.hears = hears;
        if hears.is_none() {
            self.gateway.source_end();
        }
    }

    fn set_active(&mut self, is_active: bool) {
        if is_active && !self.gateway.is_active() {
            self.telling.set_due();
        }
        self.gateway.set_active(is_active);
    }

    fn stop(&mut self) {
        self.ends = None;
        self.set_hears(None);
        self.gateway.target_end();
    }

    /// Tells the engines of the target's domain who is in the source, if that is due.
    fn tell<T: Transport, S: Storage>(
        &mut self,
        memberships: &Memberships,
        domains: &mut Table<T, S>,
        now: Instant,
    ) {
        let Some(ends) = self.ends.filter(|_| self.gateway.is_active()) else { return };
        let domain = &mut domains[ends.target.domain];
        if !domain.takes_commands() || !self.telling.take(now) {
            return;
        }
        let source = memberships.view_of(ends.source).zip(memberships.of(ends.source));
        let Some((view, members)) = source else { return };
        let members = clients(members).copied();
        let far = Far {
            name: self.config.name.clone(),
            from: self.config.from.to_string(),
            to: ends.target.group,
            view,
            count: members.clone().count() as u32,
            members: members.take(FAR_MEMBERS_MAX).collect(),
        };
        let mut domain = domain.work();
        for part in far.parts(self.id) {
            domain.tell_far(&part, now);
        }
    }

    fn forward_some<T: Transport, S: Storage>(&mut self, domains: &mut Table<T, S>, now: Instant) {
        let Some(ends) = self.ends else { return };
        let domain = &mut domains[ends.target.domain];
        if !domain.takes_commands() {
            return;
        }
        let session = own_session(domain.process);
        let mut domain = domain.work();
        for _ in 0..FORWARDS_PER_TURN {
            if !domain.core.accepts_sends() {
                break;
            }
            let Some(forward) = self.gateway.next(now) else { break };
            let command = Command::Send {
                session,
                to: Audience::Group(ends.target.group, None),
                service: forward.service,
                priority: Priority::Normal,
                no_self: false,
                tag: 0,
                payload: forward.payload,
            };
            domain.command(now, command);
        }
    }
}

/// Those that are no engines.
fn clients(members: &[MemberId]) -> impl Iterator<Item = &MemberId> + Clone {
    members.iter().filter(|member| !is_engine(member.session))
}

/// The domain of an end, or the name of one that is not there.
fn find<'a, T, S>(domains: &Table<T, S>, end: &'a BridgeEnd) -> Result<DomainId, &'a str> {
    let domain = domains.find(&end.domain).filter(|id| domains[*id].removal.is_none());
    domain.ok_or(&end.domain)
}

/// Takes the header off a message, which may be in pieces.
fn split(payload: &mut Pieces) -> Option<Header> {
    if let Some(header) = payload.first_mut().and_then(Header::split) {
        return Some(header);
    }
    let mut whole = Bytes::from(payload.concat());
    let header = Header::split(&mut whole)?;
    *payload = Pieces::One(whole);
    Some(header)
}

#[cfg(test)]
mod tests;
