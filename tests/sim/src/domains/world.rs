//! All nodes and domains in virtual time, with an oracle for each domain.

use std::net::SocketAddr;
use std::time::Duration;

use anasazi_engine::session::SessionLimits;
use anasazi_engine::turn::{DomainParts, Parts};
use anasazi_oracle::{Checker, Entry, Options as OracleOptions, Record};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Boot, CoreConfig, Incarnation, Instant, NodeId, Process, Timers};
use anasazi_transport::{Received, Target};
use bytes::Bytes;

use super::Plan;
use super::bridges::BridgeJudge;
use super::machine::{DomainsTurn, Machine};
use super::network::Network;
use super::shared::Shared;
use crate::engine::{Disk, Log, Seen, Wire};
use crate::random::Random;
use crate::schedule::Schedule;

const MS: u64 = 1_000_000;
/// In the order in which engines have them.
pub(super) const NAMES: [&str; 3] = ["default", "fast", "slow"];
pub(super) const FAST: usize = 1;
pub(super) const SLOW: usize = 2;
/// What a machine's wall clock shows at the beginning, in milliseconds.
const EPOCH_MS: u64 = 190_000_000_000;
/// Traffic goes on for so long after all is well.
const TRAFFIC_AFTER_MS: u64 = 1_000;
/// Then all come together within this, and stay so.
const WHOLE_WITHIN_MS: u64 = 20_000;
/// What a message takes that waits for a bridge into a slow domain with a short queue: eight in a
/// rotation of 200 ms.
const WAITING_MESSAGE_MS: u64 = 25;
const WHOLE_FOR_MS: u64 = 2_000;
const LOOK_EVERY_MS: u64 = 250;
/// Ring numbers that a start reserves.
const RESERVE: u64 = 64;
const PERSIST: u64 = MS / 2;
const MAILBOX_LEN_MAX: usize = 4_096;
/// Turns of one node at one moment that are a storm.
const SPINS_MAX: u32 = 10_000;

/// Something planned.
pub(super) enum Happening {
    Boot {
        node: usize,
    },
    Resume {
        node: usize,
    },
    Arrive {
        domain: usize,
        to: usize,
        from: SocketAddr,
        multicast: bool,
        bytes: Bytes,
    },
    Unreachable {
        domain: usize,
        to: usize,
        address: SocketAddr,
    },
    Persisted {
        domain: usize,
        node: usize,
        life: u64,
        ticket: u64,
        max: u64,
    },
    Timer {
        node: usize,
        life: u64,
        at: u64,
    },
    Turn {
        node: usize,
        life: u64,
    },
    Act {
        domain: usize,
        node: usize,
        life: u64,
    },
    /// Of a domain's network.
    NetworkFault {
        domain: usize,
    },
    /// Of a process: any, or one that is in `slow` only.
    ProcessFault {
        slow_only: bool,
    },
}

/// What a run has come to.
pub(super) struct Lived {
    pub(super) deliveries: u64,
    pub(super) faults: u64,
    /// What programs got over bridges.
    pub(super) forwards: u64,
    /// Everything that was done in `fast`, in order.
    pub(super) fast: Vec<Deed>,
}

/// What was done in a domain.
#[derive(Debug, PartialEq)]
pub(super) enum Deed {
    /// By a core.
    Core(Record),
    /// A client read a record of this kind and content.
    Read { time: u64, node: usize, kind: u16, content: u64 },
}

impl Deed {
    pub(super) fn time(&self) -> u64 {
        match self {
            Self::Core(record) => record.time,
            Self::Read { time, .. } => *time,
        }
    }

    pub(super) fn node(&self) -> NodeId {
        match self {
            Self::Core(record) => record.process.node,
            Self::Read { node, .. } => NodeId(*node as u32 + 1),
        }
    }
}

pub(super) struct World {
    pub(super) plan: Plan,
    /// Things go wrong in `slow`.
    sick: bool,
    pub(super) now: u64,
    pub(super) schedule: Schedule<Happening>,
    pub(super) machines: Vec<Machine>,
    networks: Vec<Network>,
    /// What clients of a domain do.
    pub(super) deeds: Vec<Random>,
    /// When what fails, of all processes and of those in `slow` only.
    processes: [Random; 2],
    checkers: Vec<Checker>,
    pub(super) judge: BridgeJudge,
    pub(super) fast: Vec<Deed>,
    faults_on: bool,
    pub(super) traffic_on: bool,
    /// By clients.
    pub(super) records_read: u64,
    /// Domains are not compared with each other any more.
    pub(super) is_over: bool,
    /// Something was sent or delivered then.
    pub(super) busy_at: u64,
    pub(super) failure: Option<String>,
}

impl World {
    /// Machines on which nothing runs yet.
    pub(super) fn new(plan: Plan, sick: bool) -> Self {
        let mut random = Random::new(plan.seed);
        let options = OracleOptions {
            senders_are_members: true,
            order_is_real: true,
            ..OracleOptions::default()
        };
        let is_in = |node: usize| move |domain: usize| domain != FAST || node < plan.fast_nodes;
        Self {
            sick,
            now: 0,
            schedule: Schedule::default(),
            machines: (0..plan.nodes)
                .map(|node| Machine::new(node, (0..NAMES.len()).map(is_in(node))))
                .collect(),
            networks: (0..NAMES.len())
                .map(|domain| Network::new(random.fork(), plan.nodes, domain == SLOW))
                .collect(),
            deeds: (0..NAMES.len()).map(|_| random.fork()).collect(),
            processes: [random.fork(), random.fork()],
            checkers: (0..NAMES.len()).map(|_| Checker::new(options.clone())).collect(),
            judge: BridgeJudge::default(),
            fast: Vec::new(),
            faults_on: true,
            traffic_on: true,
            records_read: 0,
            is_over: false,
            busy_at: 0,
            failure: None,
            plan,
        }
    }

    /// From the start to the end of all faults, and to rest.
    pub(super) fn live(mut self) -> Result<Lived, String> {
        for node in 0..self.plan.nodes {
            let wait = self.processes[0].below(500 * MS);
            self.schedule.plan(wait, Happening::Boot { node });
        }
        (0..NAMES.len()).for_each(|domain| self.plan_network_fault(domain));
        [false, true].into_iter().for_each(|slow_only| self.plan_process_fault(slow_only));
        self.run_until(self.plan.fault_time_ms * MS)?;
        self.faults_on = false;
        self.networks.iter_mut().for_each(Network::heal);
        for node in 0..self.plan.nodes {
            self.resume(node);
            self.boot(node);
        }
        self.run_until(self.now + TRAFFIC_AFTER_MS * MS)?;
        self.traffic_on = false;
        self.rest()?;
        if self.plan.bridges.are_some() {
            self.say_last_words();
            self.busy_at = self.now;
            self.rest()?;
            self.read_to_the_end();
        }
        self.finish()
    }

    /// Until all are whole and at rest, and have been so for a while.
    fn rest(&mut self) -> Result<(), String> {
        let limit = self.now + WHOLE_WITHIN_MS * MS;
        let waiting_max = self.plan.bridges.queue_messages as u64;
        let rest_limit = limit + (WHOLE_WITHIN_MS + waiting_max * WAITING_MESSAGE_MS) * MS;
        let mut since = None;
        loop {
            self.run_until(self.now + LOOK_EVERY_MS * MS)?;
            match self.whole() {
                Ok(())
                    if self.now - *since.get_or_insert(self.now) >= WHOLE_FOR_MS * MS
                        && self.now - self.busy_at >= WHOLE_FOR_MS * MS =>
                {
                    return Ok(());
                }
                Ok(()) if self.now > rest_limit => {
                    return Err("it does not come to rest".to_owned());
                }
                Ok(()) => {}
                Err(missing) if self.now > limit => return Err(missing),
                Err(_) => since = None,
            }
        }
    }

    /// Every domain is one ring of all its nodes.
    fn whole(&self) -> Result<(), String> {
        for (domain, name) in NAMES.iter().enumerate() {
            let all = self.machines.iter().filter(|m| m.places[domain].is_some()).count();
            for machine in &self.machines {
                let Some(place) = &machine.places[domain] else { continue };
                let members = place.ring.as_ref().map(|(_, members)| members.len());
                if members != Some(all) {
                    let who = machine.process;
                    return Err(format!("{name}: {who} is in {:?}, not with all", place.ring));
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Lived, String> {
        let faults = self.networks.iter().map(|network| network.faults).sum();
        let last: Vec<_> = self.machines.iter().map(|machine| machine.process).collect();
        let forwards = self.judge.judge(&self.plan.bridges, &last)?;
        let mut deliveries = 0;
        for (checker, name) in self.checkers.into_iter().zip(NAMES) {
            let summary =
                checker.finish(true).map_err(|violation| format!("{name}: {violation}"))?;
            if let Some(first) = summary.undelivered.first() {
                return Err(format!("{name}: {first:?} was never delivered"));
            }
            deliveries += summary.deliveries;
        }
        Ok(Lived { deliveries, faults, forwards, fast: self.fast })
    }

    fn run_until(&mut self, end: u64) -> Result<(), String> {
        while self.failure.is_none() && self.schedule.next_time().is_some_and(|time| time <= end) {
            let Some((time, what)) = self.schedule.take() else { break };
            self.now = time;
            self.happen(what);
        }
        self.now = end;
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.machines[node].life == life && self.machines[node].turn.is_some()
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Boot { node } => self.boot(node),
            Happening::Resume { node } => self.resume(node),
            Happening::Arrive { domain, to, from, multicast, bytes } => {
                self.arrive(domain, to, Received { from, multicast, bytes });
            }
            Happening::Unreachable { domain, to, address } => {
                self.hear_of(domain, to, address);
            }
            Happening::Persisted { domain, node, life, ticket, max } if self.lives(node, life) => {
                let place = self.machines[node].place(domain);
                place.ring_sequence_max = place.ring_sequence_max.max(max);
                place.disk.lock().written.push((ticket, true));
                self.turn(node);
            }
            Happening::Timer { node, life, at }
                if self.lives(node, life) && self.machines[node].timer_at == Some(at) =>
            {
                self.machines[node].timer_at = None;
                self.turn(node);
            }
            Happening::Turn { node, life } if self.lives(node, life) => self.turn(node),
            Happening::Act { domain, node, life } if self.lives(node, life) => {
                self.act(domain, node);
            }
            Happening::NetworkFault { domain } if self.faults_on => {
                self.networks[domain].fail(self.now);
                self.plan_network_fault(domain);
            }
            Happening::ProcessFault { slow_only } if self.faults_on => {
                self.fail_process(slow_only);
                self.plan_process_fault(slow_only);
            }
            _ => {}
        }
    }

    // ---- processes

    fn boot(&mut self, node: usize) {
        if self.machines[node].turn.is_some() {
            return;
        }
        let machine = &mut self.machines[node];
        let wall = EPOCH_MS + self.now / MS;
        let incarnation = Incarnation(wall.max(machine.process.incarnation.0 + 1));
        let is_first = machine.process.incarnation == Incarnation::default();
        machine.process = Process { node: machine.id, incarnation };
        machine.life += 1;
        (machine.timer_at, machine.ready) = (None, Vec::new());
        for domain in 0..NAMES.len() {
            if let Some(place) = &mut self.machines[node].places[domain] {
                (place.index, place.ring) = (0, None);
                place.wire = Shared::new(Wire::new(place.address, true));
                (place.disk, place.log) = (Shared::new(Disk::default()), Log::default());
                self.record(domain, node, Entry::Boot { stored: !is_first });
            }
        }
        let now = Instant(self.now);
        let parts = self.parts(node);
        let mut turn = DomainsTurn::new(parts, now);
        for domain in 1..NAMES.len() {
            if self.machines[node].places[domain].is_some() {
                let parts = self.domain_parts(domain, node);
                self.machines[node].place(domain).id = turn.add_domain(parts, now);
            }
        }
        self.machines[node].turn = Some(turn);
        self.turn(node);
        for domain in [FAST, SLOW] {
            if self.machines[node].places[domain].is_some() {
                self.connect(domain, node);
                self.plan_deed(domain, node);
            }
        }
    }

    fn parts(&mut self, node: usize) -> Parts<Shared<Wire>, Shared<Disk>> {
        let limits = SessionLimits {
            sessions_max: 64,
            backlog_len_max: 64 << 20,
            backlog_total_max: 256 << 20,
            hold_max: Duration::from_secs(1),
            message_len_max: 64 << 10,
            allow_uids: Vec::new(),
            allow_gids: Vec::new(),
        };
        let (default, config) = (self.domain_parts(0, node), self.plan.bridges.config());
        Parts { config, warnings: Vec::new(), limits, temporary: None, default }
    }

    fn domain_parts(
        &mut self,
        domain: usize,
        node: usize,
    ) -> DomainParts<Shared<Wire>, Shared<Disk>> {
        let peers = self.machines.iter().filter_map(|m| Some(m.places[domain].as_ref()?.address));
        let peers = peers.collect();
        let machine = &mut self.machines[node];
        let (process, life) = (machine.process, machine.life);
        let place = machine.place(domain);
        let floor = place.ring_sequence_max;
        place.ring_sequence_max = floor + RESERVE;
        DomainParts {
            name: NAMES[domain].to_owned(),
            core: CoreConfig {
                cluster: 7 + domain as u64,
                peers,
                timers: timers(domain),
                send_queue_messages_max: if domain == SLOW { self.plan.slow_queue } else { 4_096 },
                seed: self.plan.seed ^ (node as u64) << 32 ^ life << 48 ^ (domain as u64) << 56,
                trace: true,
                places: true,
                measures: true,
                ..CoreConfig::default()
            },
            boot: Boot {
                process,
                ring_sequence_floor: floor,
                ring_sequence_reserved: place.ring_sequence_max,
            },
            transport: place.wire.clone(),
            seal: None,
            weight: 1,
            backlog_len_max: None,
            storage: place.disk.clone(),
            witness: Some(Box::new(place.log.clone())),
        }
    }

    fn crash(&mut self, node: usize) {
        if self.machines[node].turn.take().is_none() {
            return;
        }
        self.machines[node].paused = false;
        self.machines[node].session = None;
        for domain in 0..NAMES.len() {
            if let Some(place) = &mut self.machines[node].places[domain] {
                (place.client, place.ring) = (None, None);
                self.record(domain, node, Entry::Crash);
            }
        }
    }

    fn resume(&mut self, node: usize) {
        if std::mem::take(&mut self.machines[node].paused) {
            self.turn(node);
        }
    }

    fn fail_process(&mut self, slow_only: bool) {
        let (fast, all) = (self.plan.fast_nodes, self.plan.nodes);
        let from = if slow_only { fast } else { 0 };
        let random = &mut self.processes[usize::from(slow_only)];
        // As many numbers are drawn whatever becomes of it.
        let (place, crashes, time) = (random.next(), random.coin(), random.between(2, 900) * MS);
        if from == all {
            return;
        }
        let node = from + place as usize % (all - from);
        if crashes {
            self.crash(node);
            self.schedule.plan(self.now + time, Happening::Boot { node });
        } else if self.machines[node].turn.is_some() {
            self.machines[node].paused = true;
            self.schedule.plan(self.now + time, Happening::Resume { node });
        }
    }

    fn plan_process_fault(&mut self, slow_only: bool) {
        let mean =
            if slow_only { self.plan.slow_faults_ms * 4 } else { self.plan.process_faults_ms };
        if mean > 0 && (self.sick || !slow_only) {
            let wait = self.processes[usize::from(slow_only)].around(mean * MS) + MS;
            self.schedule.plan(self.now + wait, Happening::ProcessFault { slow_only });
        }
    }

    fn plan_network_fault(&mut self, domain: usize) {
        let mean = match domain {
            FAST => self.plan.fast_faults_ms,
            SLOW if self.sick => self.plan.slow_faults_ms,
            _ => 0,
        };
        if mean > 0 {
            let wait = self.networks[domain].random.around(mean * MS) + MS;
            self.schedule.plan(self.now + wait, Happening::NetworkFault { domain });
        }
    }

    // ---- turns

    pub(super) fn turn(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let Some(turn) = machine.turn.as_mut().filter(|_| !machine.paused) else { return };
        for key in machine.ready.drain(..) {
            turn.session_ready(key, &machine.watch);
        }
        for place in machine.places.iter().flatten() {
            if place.wire.lock().has_arrived() {
                turn.arrived_in(place.id);
            }
        }
        let result = turn.run(Instant(self.now), false, 0, &machine.watch);
        let process = machine.process;
        match result {
            Err(error) => return self.fail(format!("{process} ended: {error}")),
            Ok(true) => self.turn_again(node),
            Ok(false) => {}
        }
        self.follow(node);
        self.read(node);
        self.arm(node);
    }

    /// Now, and not for ever.
    fn turn_again(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let (at, turns) = machine.spins;
        machine.spins = (self.now, if at == self.now { turns + 1 } else { 0 });
        if machine.spins.1 > SPINS_MAX {
            return self.fail(format!("n{} has something to do for ever", node + 1));
        }
        let life = machine.life;
        self.schedule.plan(self.now, Happening::Turn { node, life });
    }

    fn arm(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let Some(deadline) = machine.turn.as_ref().and_then(|turn| turn.deadline()) else { return };
        if deadline.0 <= self.now {
            return self.turn_again(node);
        }
        if machine.timer_at.is_some_and(|planned| planned <= deadline.0) {
            return;
        }
        machine.timer_at = Some(deadline.0);
        let (life, at) = (machine.life, deadline.0);
        // Whose timer goes first in the same nanosecond is not for another domain to say, for the
        // sake of which it may have been set earlier.
        self.schedule.plan_behind(at, 1 + node, Happening::Timer { node, life, at });
    }

    /// Carries out what an engine wanted during its turn.
    fn follow(&mut self, node: usize) {
        for domain in 0..NAMES.len() {
            let Some(place) = &mut self.machines[node].places[domain] else { continue };
            let (mut seen, mut sent) = (Vec::new(), Vec::new());
            place.log.swap(&mut seen);
            place.wire.lock().swap_sent(&mut sent);
            let asked = std::mem::take(&mut place.disk.lock().asked);
            for what in seen {
                if let Seen::Trace(trace) = what {
                    self.trace(domain, node, trace);
                }
            }
            let life = self.machines[node].life;
            for (ticket, stored) in asked {
                let max = stored.ring_sequence_reserved;
                let what = Happening::Persisted { domain, node, life, ticket, max };
                self.schedule.plan(self.now + PERSIST, what);
            }
            for (to, bytes) in sent {
                self.transmit(domain, node, to, &bytes);
            }
        }
    }

    fn trace(&mut self, domain: usize, node: usize, trace: Trace) {
        self.judge.trace(domain, self.machines[node].process, &trace);
        let place = self.machines[node].place(domain);
        match &trace {
            Trace::Regular { ring, members } => place.ring = Some((*ring, members.clone())),
            Trace::Transitional { .. } => place.ring = None,
            Trace::Send { .. } | Trace::Slot { .. } | Trace::Deliver { .. } => {
                self.busy_at = self.now;
            }
            _ => {}
        }
        self.record(domain, node, Entry::Trace(trace));
    }

    fn record(&mut self, domain: usize, node: usize, entry: Entry) {
        let process = self.machines[node].process;
        let place = self.machines[node].place(domain);
        let record = Record { process, index: place.index, time: self.now, entry };
        place.index += 1;
        if let Err(violation) = self.checkers[domain].observe(&record) {
            self.fail(format!("{}: {violation}", NAMES[domain]));
        }
        if domain == FAST && !self.is_over {
            self.fast.push(Deed::Core(record));
        }
    }

    pub(super) fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    // ---- the network

    fn transmit(&mut self, domain: usize, from: usize, to: Target, bytes: &Bytes) {
        let (receivers, multicast): (Vec<usize>, bool) = match to {
            Target::Multicast => ((0..self.machines.len()).collect(), true),
            Target::Unicast(address) | Target::Probe(address) => {
                let is_it = |m: &Machine| {
                    m.places[domain].as_ref().is_some_and(|place| place.address == address)
                };
                (self.machines.iter().position(is_it).into_iter().collect(), false)
            }
        };
        let address = self.machines[from].place(domain).address;
        for to in receivers {
            if self.machines[to].places[domain].is_none() {
                continue;
            }
            if let Some(time) = self.networks[domain].carry(self.now, (from, to), bytes) {
                let bytes = bytes.clone();
                let what = Happening::Arrive { domain, to, from: address, multicast, bytes };
                self.schedule.plan(time, what);
            }
        }
    }

    fn arrive(&mut self, domain: usize, to: usize, datagram: Received) {
        if self.machines[to].turn.is_some() {
            self.machines[to].place(domain).wire.lock().put(datagram, MAILBOX_LEN_MAX);
            return self.turn(to);
        }
        if datagram.multicast {
            return;
        }
        // The host answers that nobody listens there.
        let address = self.machines[to].place(domain).address;
        let is_it =
            |m: &Machine| m.places[domain].as_ref().map(|p| p.address) == Some(datagram.from);
        let Some(sender) = self.machines.iter().position(is_it) else { return };
        if let Some(time) = self.networks[domain].carry(self.now, (to, sender), &Bytes::new()) {
            let what = Happening::Unreachable { domain, to: sender, address };
            self.schedule.plan(time, what);
        }
    }

    fn hear_of(&mut self, domain: usize, to: usize, address: SocketAddr) {
        if self.machines[to].turn.is_some() {
            self.machines[to].place(domain).wire.lock().put_unreachable(address);
            self.turn(to);
        }
    }
}

/// A slow domain has slow timers.
fn timers(domain: usize) -> Timers {
    let default = Timers::default();
    if domain != SLOW {
        return default;
    }
    Timers {
        token_loss: default.token_loss * 4,
        token_repeat: default.token_repeat * 4,
        idle_rotate: default.idle_rotate * 4,
        join_repeat: default.join_repeat * 4,
        consensus: default.consensus * 4,
        commit: default.commit * 4,
        recovery: default.recovery * 4,
        ..default
    }
}
