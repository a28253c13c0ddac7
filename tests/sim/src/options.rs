//! What a seed decides: the size of the cluster, how bad its world is, and what its clients do.
//! Every kind of fault is absent in about half of the seeds, because a fault can hide a bug as well
//! as show it.

mod display;

use std::collections::BTreeSet;
use std::time::Duration;

use anasazi_protocol::{Timers, limits};

use crate::faults::Kind;
use crate::network::Lasting;
use crate::random::Random;
use crate::upgrades::Software;

const QUEUE_DEFAULT: (usize, usize) = (limits::SEND_QUEUE_MESSAGES_MAX, limits::SEND_QUEUE_LEN_MAX);

/// Everything that is decided before a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of all of it.
    pub seed: u64,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// What the network does.
    pub network: NetworkOptions,
    /// What the machines do.
    pub machine: MachineOptions,
    /// What the sessions do.
    pub traffic: Traffic,
    /// Kinds of faults that come and go.
    pub faults: Vec<Kind>,
    /// Faults come so fast that most of them hit the repair of the one before.
    pub restless: bool,
    /// Of a thousand changes of state, so many are the moment for a fault, where ambushes are among
    /// them.
    pub ambush: u32,
    /// Mean time between two of them, in milliseconds.
    pub fault_interval_ms: u64,
    /// How long faults go on, in milliseconds.
    pub fault_time_ms: u64,
    /// All nodes start within this time, in milliseconds.
    pub start_within_ms: u64,
    /// What stays cut when all else is healed.
    pub lasting: Lasting,
    /// The protocol's timers are this many times the default.
    pub timer_scale: u32,
    /// Datagram size.
    pub mtu: usize,
    /// Datagrams up to this size are probed for, and larger ones than this are not carried by so
    /// many of a thousand connections.
    pub mtu_max: usize,
    /// See there.
    pub narrow: (u32, usize),
    /// Every other node takes only the smallest datagrams.
    pub mixed_mtu: bool,
    /// Packets per rotation.
    pub window: u32,
    /// Versions of daemons, the older first; empty: all are of this one.
    pub software: Vec<Software>,
    /// Largest message, in bytes.
    pub message_len_max: usize,
    /// What is left out of it.
    pub without: Without,
}

/// What is left out of a run, to find out what a failure needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// These faults, counted from 1, do not happen.
    pub faults: BTreeSet<u64>,
    /// The sessions of these nodes, by index, do nothing.
    pub traffic: BTreeSet<usize>,
}

impl Without {
    /// This fault does not happen.
    pub fn skips(&self, fault: u64) -> bool {
        self.faults.contains(&fault)
    }

    /// The sessions of this node do nothing.
    pub fn mutes(&self, node: usize) -> bool {
        self.traffic.contains(&node)
    }
}

/// How datagrams travel.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Whether multicast exists and works.
    pub multicast: Multicast,
    /// Where multicast does not work: nodes are told of the first one's address only, not of
    /// everybody's.
    pub sparse_peers: bool,
    /// A sender gets its own multicasts.
    pub loopback: bool,
    /// Least time under way, in microseconds.
    pub delay_us: u64,
    /// Mean of what is added to it, in microseconds.
    pub jitter_us: u64,
    /// So many of a thousand are late by up to this many microseconds.
    pub late: (u32, u64),
    /// Of a thousand, lost.
    pub loss: u32,
    /// Of a thousand, lost even when all else is healed.
    pub residual_loss: u32,
    /// Of a thousand, arriving twice.
    pub duplicate: u32,
    /// Of a thousand, free to overtake others.
    pub reorder: u32,
    /// Of a thousand, damaged.
    pub corrupt: u32,
    /// Of a thousand, coming again seconds later.
    pub replay: u32,
    /// A sender's link carries so many bytes per millisecond; 0 is without limit.
    pub bytes_per_ms: u64,
    /// A host answers for a port on which nobody listens.
    pub unreachable: bool,
    /// A cut loses what is under way as well.
    pub cuts_lose: bool,
}

/// Whether multicast exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multicast {
    /// It works.
    On,
    /// The transport knows that there is none; nodes know each other's addresses.
    Off,
    /// Sending it succeeds, but nothing arrives; nodes know each other's addresses.
    Silent,
    /// As silent, for some receivers only.
    Partial,
}

/// What a machine is like.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// Mean time of a durable write, in microseconds.
    pub persist_us: u64,
    /// Of a thousand writes, failing.
    pub persist_failure: u32,
    /// Ring numbers that a boot reserves.
    pub reserve: u64,
    /// Ring numbers begin above this one.
    pub ring_floor: u64,
    /// Timers are late by up to this, in microseconds.
    pub timer_late_us: u64,
    /// Clocks drift by up to this, in parts per million.
    pub drift_ppm: u64,
    /// Nodes have no disks at all.
    pub diskless: bool,
    /// Datagrams that wait for a paused process before the kernel drops more.
    pub mailbox_len_max: usize,
    /// Bytes that an engine keeps for a client that does not read.
    pub backlog_len_max: usize,
    /// Mean time that a turn of a slow node's engine takes, in microseconds.
    pub turn_us: u64,
    /// Of a thousand starts, those of a slow node.
    pub slow_nodes: u32,
    /// Messages and bytes that wait for their place in the order, at most.
    pub queue: (usize, usize),
}

/// What sessions do.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Sessions of each node.
    pub sessions: usize,
    /// Groups in all.
    pub groups: usize,
    /// Mean time between two actions of a session, in microseconds; 0 is never.
    pub interval_us: u64,
    /// At most so many messages at once.
    pub burst: u64,
    /// Of a thousand messages, safe ones.
    pub safe: u32,
    /// Of a thousand messages, ones without order.
    pub unreliable: u32,
    /// Of a thousand messages, to one session.
    pub unicast: u32,
    /// Of a thousand messages, to all groups of the session at once.
    pub multi: u32,
    /// Of a thousand ordered messages to groups, to be delivered in the sender's view only.
    pub same_view: u32,
    /// Of a thousand sessions, those that look at their rings only when they are woken.
    pub sleepers: u32,
    /// Of a thousand messages, longer than a packet.
    pub long: u32,
    /// Of a thousand messages, as long as is allowed.
    pub huge: u32,
    /// Of a thousand actions, a join or a leave.
    pub churn: u32,
    /// Of a thousand actions, the end of the session.
    pub disconnect: u32,
    /// After the last message everything is delivered within this time.
    pub drain_limit: Duration,
}

impl Options {
    /// Everything from the seed, but the number of nodes if it is given.
    pub fn new(seed: u64, nodes: Option<usize>) -> Self {
        let mut random = Random::new(seed ^ 0x00a5_a100_0000);
        let drawn = if random.permille(50) { random.between(10, 16) } else { random.between(1, 9) };
        let nodes_given = nodes.is_some();
        let nodes = nodes.unwrap_or(drawn as usize).max(1);
        let wide = random.permille(100);
        let timer_scale = if wide { 12 } else { 1 };
        let fault_interval_ms = [50, 200, 700, 2_000][random.index(4)] * u64::from(timer_scale);
        let faults = (Kind::ALL.iter().copied().filter(|kind| !kind.is_mischief()))
            .filter(|_| random.coin())
            .collect();
        let network = NetworkOptions::new(&mut random, wide);
        let mut options = Self {
            seed,
            nodes,
            network,
            machine: MachineOptions::new(&mut random),
            traffic: Traffic::none(),
            faults,
            restless: false,
            ambush: 150,
            fault_interval_ms,
            fault_time_ms: random.between(4_000, 15_000),
            start_within_ms: if random.coin() { 0 } else { random.between(1, 3_000) },
            lasting: Lasting::None,
            timer_scale,
            mtu: random.pick(&[limits::MTU_MIN, 1_400, 1_400, 1_400, limits::MTU_MAX]),
            mtu_max: 0,
            narrow: (0, 0),
            mixed_mtu: false,
            software: Vec::new(),
            window: random.pick(&[8, 64, 512, 512, limits::WINDOW_MAX]),
            message_len_max: random.pick(&[4_000, 64 << 10, 1 << 20]),
            without: Without::default(),
        };
        // What came later draws from numbers of its own: the older seeds stay what they were.
        let mut later = Random::new(!seed);
        options.network.sparse_peers = later.permille(300);
        if later.permille(200) {
            options.make_restless(&mut later);
        }
        options.mixed_mtu = later.permille(200);
        options.network.residual_loss = later.pick(&[0, 0, 2, 10]);
        options.traffic = Traffic::new(&mut random, &options);
        if later.permille(100) {
            options.besiege(&mut later);
        }
        options.add_swarm(&mut Random::new(seed.rotate_left(17)), nodes_given);
        options.add_sizes(&mut Random::new(seed.rotate_left(29)));
        options.add_clocks(&mut Random::new(seed.rotate_left(37)));
        options.add_software(&mut Random::new(seed.rotate_left(41)));
        let mut traps = Random::new(seed.rotate_left(43));
        if traps.permille(50) {
            options.lay_traps(&mut traps, nodes_given);
        }
        options
    }

    /// What the swarm learned last.
    fn add_swarm(&mut self, random: &mut Random, nodes_given: bool) {
        if random.permille(20) && !nodes_given {
            self.nodes = random.between(17, 32) as usize;
            self.traffic.sessions = 1;
            self.traffic.interval_us = self.traffic.interval_us.max(200_000 * self.nodes as u64);
        }
        let kinds = Kind::ALL.iter().filter(|kind| kind.is_mischief());
        self.faults.extend(kinds.filter(|_| random.coin()));
        if random.coin() {
            self.machine.turn_us = random.pick(&[20, 200, 2_000]) * u64::from(self.timer_scale);
            self.machine.slow_nodes = random.pick(&[100, 300, 1_000]);
        }
        if random.permille(300) {
            self.machine.backlog_len_max = random.pick(&[64 << 10, 1 << 20]);
        }
        if random.permille(100) && !self.network.sparse_peers {
            self.lasting = Lasting::Sets;
        }
        if random.permille(250) && !self.restless {
            self.make_long(random);
            let rare = 500_000 * self.traffic.sessions as u64 * self.nodes as u64;
            self.traffic.interval_us = self.traffic.interval_us.max(rare);
        }
        if random.coin() {
            self.traffic.sleepers = random.pick(&[300, 1_000]);
        }
        if random.permille(150) {
            self.narrow_queue(random);
        }
    }

    /// A queue that is full all the time, with no more traffic than what passes through it.
    fn narrow_queue(&mut self, random: &mut Random) {
        self.machine.queue = (random.pick(&[4, 4, 32]), random.pick(&[4_000, 64 << 10]));
        let rotation_us = self.rotation_us();
        let traffic = &mut self.traffic;
        let burst_us = rotation_us + self.machine.turn_us * self.nodes as u64;
        let least = burst_us * traffic.sessions as u64 * traffic.burst;
        traffic.interval_us = traffic.interval_us.max(least);
    }

    /// Engines keep so little for a client that one which reads as it can may be too slow.
    pub(crate) fn tiny_backlog(&self) -> bool {
        self.machine.backlog_len_max < 8 << 20
    }

    /// A long life with rare faults: everything that goes wrong by and by.
    fn make_long(&mut self, random: &mut Random) {
        self.fault_time_ms = random.between(240_000, 540_000);
        // What follows upon itself is not rare.
        self.faults.retain(|kind| *kind != Kind::Ambush);
        self.fault_interval_ms = random.pick(&[5_000, 20_000, 60_000]);
    }

    /// A few nodes under load, much loss, and faults just when a repair is at its most delicate:
    /// where holes in the order and attempts that fail half-way meet.
    fn besiege(&mut self, random: &mut Random) {
        self.make_restless(random);
        self.faults.push(Kind::Ambush);
        self.ambush = random.between(200, 700) as u32;
        self.faults.push(Kind::Hole);
        self.network.cuts_lose = true;
        self.network.loss = random.pick(&[0, 50, 300]);
        self.traffic.safe = random.between(300, 1_000) as u32;
        self.traffic.burst = random.between(4, 20);
        if self.timer_scale == 1 {
            self.traffic.interval_us = self.traffic.interval_us.clamp(1, 20_000);
        }
        // It may well be more than a slow ring can carry.
        self.traffic.drain_limit = Duration::from_secs(600);
        self.fault_time_ms *= 2;
    }

    /// Safe messages all the time, and faults one at a time, each with a second one that waits for
    /// a step of the first one's repair.
    fn lay_traps(&mut self, random: &mut Random, nodes_given: bool) {
        if !nodes_given {
            self.nodes = random.between(3, 6) as usize;
        }
        (self.restless, self.faults) = (false, vec![Kind::Trap]);
        let scale = u64::from(self.timer_scale);
        self.fault_interval_ms = random.pick(&[500, 1_000, 2_000]) * scale;
        self.fault_time_ms = random.between(20_000, 40_000) * scale;
        self.network.cuts_lose = true;
        self.network.loss = random.pick(&[0, 0, 20]);
        self.traffic.safe = random.between(300, 1_000) as u32;
        self.traffic.interval_us = self.traffic.interval_us.min(20_000 * scale);
        self.traffic.drain_limit = Duration::from_secs(600);
    }

    fn make_restless(&mut self, random: &mut Random) {
        self.restless = true;
        self.fault_interval_ms = random.between(3, 30) * u64::from(self.timer_scale);
        self.fault_time_ms = random.between(2_000, 5_000);
        self.faults.retain(|kind| kind.is_brief());
        self.faults.extend([Kind::Partition, Kind::Spoil]);
    }

    /// A quiet cluster: nothing fails, nobody speaks. Where directed scenarios begin.
    pub fn quiet(nodes: usize) -> Self {
        let mut options = Self::new(1, Some(nodes));
        options.network = NetworkOptions::good();
        options.machine = MachineOptions::good();
        options.traffic = Traffic::none();
        options.faults = Vec::new();
        (options.restless, options.lasting) = (false, Lasting::None);
        options.start_within_ms = 0;
        options.timer_scale = 1;
        options.mixed_mtu = false;
        options.software.clear();
        (options.mtu_max, options.narrow) = (0, (0, 0));
        (options.mtu, options.window) = (limits::MTU_DEFAULT, limits::WINDOW_DEFAULT);
        options.message_len_max = limits::MESSAGE_LEN_DEFAULT;
        options
    }

    /// Roughly the time of a rotation.
    fn rotation_us(&self) -> u64 {
        let (network, nodes) = (&self.network, self.nodes as u64);
        nodes * (network.delay_us + network.jitter_us + self.machine.timer_late_us / 10 + 20)
    }

    /// Roughly what a ring of all nodes can order.
    fn bytes_per_second(&self) -> u64 {
        let (network, nodes) = (&self.network, self.nodes as u64);
        let rotation_us = self.rotation_us();
        let copies = if network.multicast == Multicast::On { 1 } else { nodes.max(2) - 1 };
        let packets = (u64::from(self.window) / copies).max(1);
        let mtu = if self.mixed_mtu { limits::MTU_MIN } else { self.mtu } as u64;
        let by_window = packets * mtu * 1_000_000 / rotation_us;
        let by_link = if network.bytes_per_ms == 0 {
            u64::MAX
        } else {
            network.bytes_per_ms * 1_000 / copies / 2
        };
        by_window.min(by_link).min(3_000_000)
    }

    /// The protocol's timers.
    pub fn timers(&self) -> Timers {
        let (default, scale) = (Timers::default(), self.timer_scale);
        Timers {
            token_loss: default.token_loss * scale,
            token_repeat: default.token_repeat * scale,
            idle_rotate: default.idle_rotate * scale,
            join_repeat: default.join_repeat * scale,
            consensus: default.consensus * scale,
            commit: default.commit * scale,
            recovery: default.recovery * scale,
            beacon: default.beacon,
            probation: default.probation,
        }
    }
}

impl NetworkOptions {
    fn new(random: &mut Random, wide: bool) -> Self {
        let delay_us = if wide { random.between(5_000, 20_000) } else { random.between(20, 500) };
        let jitter_us = random.pick(&[0, delay_us / 4, delay_us, delay_us * 3]);
        let rare = |random: &mut Random, high: u64| {
            if random.coin() { 0 } else { random.between(1, high) as u32 }
        };
        Self {
            multicast: random.pick(&[
                Multicast::On,
                Multicast::On,
                Multicast::On,
                Multicast::Off,
                Multicast::Silent,
                Multicast::Partial,
            ]),
            sparse_peers: false,
            loopback: random.coin(),
            delay_us,
            jitter_us,
            late: (rare(random, 20), 20_000 * if wide { 10 } else { 1 }),
            loss: if random.permille(150) {
                random.between(100, 300) as u32
            } else {
                rare(random, 50)
            },
            residual_loss: 0,
            duplicate: rare(random, 100),
            reorder: rare(random, 500),
            corrupt: rare(random, 50),
            replay: rare(random, 10),
            bytes_per_ms: random.pick(&[0, 0, 125_000, 12_500]),
            unreachable: random.coin(),
            cuts_lose: false,
        }
    }

    /// A small, fast, faultless network.
    pub fn good() -> Self {
        Self {
            multicast: Multicast::On,
            sparse_peers: false,
            loopback: false,
            delay_us: 100,
            jitter_us: 20,
            late: (0, 0),
            loss: 0,
            residual_loss: 0,
            duplicate: 0,
            reorder: 0,
            corrupt: 0,
            replay: 0,
            bytes_per_ms: 0,
            unreachable: false,
            cuts_lose: false,
        }
    }

    /// The same network without its faults.
    pub fn healed(&self) -> Self {
        Self {
            late: (0, 0),
            loss: self.residual_loss.min(self.loss),
            duplicate: 0,
            reorder: 0,
            corrupt: 0,
            replay: 0,
            ..self.clone()
        }
    }
}

impl MachineOptions {
    fn new(random: &mut Random) -> Self {
        Self {
            persist_us: random.pick(&[50, 1_000, 20_000]),
            persist_failure: if random.permille(800) { 0 } else { 100 },
            reserve: random.pick(&[0, 1, 3, limits::RING_SEQUENCE_RESERVE]),
            ring_floor: random.pick(&[0, 0, u64::from(u32::MAX) - 3]),
            timer_late_us: random.pick(&[0, 100, 2_000]),
            drift_ppm: random.pick(&[0, 0, 500]),
            diskless: random.permille(200),
            mailbox_len_max: random.pick(&[32, 500, 4_000]),
            backlog_len_max: 16 << 20,
            turn_us: 0,
            slow_nodes: 0,
            queue: QUEUE_DEFAULT,
        }
    }

    /// Fast and exact.
    pub fn good() -> Self {
        Self {
            persist_us: 100,
            persist_failure: 0,
            reserve: limits::RING_SEQUENCE_RESERVE,
            ring_floor: 0,
            timer_late_us: 0,
            drift_ppm: 0,
            diskless: false,
            mailbox_len_max: 4_000,
            backlog_len_max: 16 << 20,
            turn_us: 0,
            slow_nodes: 0,
            queue: QUEUE_DEFAULT,
        }
    }
}

impl Traffic {
    /// Mostly less than the ring can carry; sometimes more, so that sessions are held back.
    fn new(random: &mut Random, options: &Options) -> Self {
        let zero_or = |random: &mut Random, high: u64| {
            if random.coin() { 0 } else { random.between(1, high) as u32 }
        };
        let (long, huge) = (zero_or(random, 200), zero_or(random, 3));
        let sessions = random.between(1, 3);
        let burst: u64 = random.pick(&[1, 4, 20]);
        let rate = random.pick(&[30, 300, 1_500]) / u64::from(options.timer_scale) + 5;
        // A window that keeps a slow link busy for longer than a token may stay away is no fault of
        // the protocol.
        let absurd = options.window > limits::WINDOW_DEFAULT && options.network.bytes_per_ms > 0;
        let overload = random.permille(50) && !absurd;
        let mtu = options.mtu as u64;
        let mean_len = 100
            + u64::from(long) * 5 * mtu / 2_000
            + u64::from(huge) * options.message_len_max as u64 / 1_000;
        let most = if overload { u64::MAX } else { options.bytes_per_second() / 2 / mean_len };
        let messages_per_second = rate.min(most).max(1);
        let interval_us =
            1_000_000 * sessions * options.nodes as u64 * burst.div_ceil(2) / messages_per_second;
        let drain = if overload { 600 } else { 20 * u64::from(options.timer_scale.min(6)) };
        Self {
            sessions: sessions as usize,
            groups: random.between(1, 4) as usize,
            interval_us,
            burst,
            safe: random.pick(&[0, 100, 500, 1_000]),
            long,
            huge,
            churn: zero_or(random, 100),
            disconnect: zero_or(random, 20),
            drain_limit: Duration::from_secs(drain),
            sleepers: 0,
            unreliable: zero_or(random, 300),
            unicast: zero_or(random, 200),
            multi: zero_or(random, 300),
            same_view: zero_or(random, 300),
        }
    }

    /// Nobody speaks by itself; tests do.
    pub fn none() -> Self {
        Self {
            sessions: 0,
            groups: 1,
            interval_us: 0,
            burst: 1,
            safe: 0,
            sleepers: 0,
            unreliable: 0,
            unicast: 0,
            multi: 0,
            same_view: 0,
            long: 0,
            huge: 0,
            churn: 0,
            disconnect: 0,
            drain_limit: Duration::from_secs(10),
        }
    }
}
