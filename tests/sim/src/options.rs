//! What a seed decides: the size of the cluster, how bad its world is, and what its clients do.
//! Every kind of fault is absent in about half of the seeds, because a fault can hide a bug as well
//! as show it.
//!
//! | file | what |
//! |---|---|
//! | `network`, `machine`, `traffic` | what each of these is like |
//! | `contract` | what its members may cost each other |
//! | `swarm` | what came later |
//! | `display` | all of it for people |

mod contract;
mod display;
mod machine;
mod network;
mod swarm;
mod traffic;

use std::collections::BTreeSet;

use anasazi_protocol::{Contract, Timers, limits};

use anasazi_seal::OVERHEAD_LEN;

use crate::faults::Kind;
use crate::network::Lasting;
use crate::random::Random;
use crate::seals::SealOptions;
use crate::upgrades::Software;
pub use machine::MachineOptions;
pub use network::{Multicast, NetworkOptions};
pub use traffic::Traffic;

/// Smallest size that a datagram may be configured to have, sealed or not.
pub(crate) const PAYLOAD_LEN_MIN: usize = limits::MTU_MIN + OVERHEAD_LEN;

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
    /// What the members may cost each other.
    pub contract: Contract,
    /// Nothing goes wrong but that one node at a time breaks that for certain, or all do.
    pub strains_certain: bool,
    /// Whether datagrams are sealed.
    pub seal: SealOptions,
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

impl Options {
    /// Everything from the seed, but the number of nodes if it is given.
    pub fn new(seed: u64, nodes: Option<usize>) -> Self {
        let mut random = Random::new(seed ^ 0x00a5_a100_0000);
        let drawn = if random.permille(50) { random.between(10, 16) } else { random.between(1, 9) };
        let drawn = if drawn == 1 { one_or_more(seed) } else { drawn };
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
            mtu: random.pick(&[PAYLOAD_LEN_MIN, 1_400, 1_400, 1_400, limits::MTU_MAX]),
            mtu_max: 0,
            narrow: (0, 0),
            mixed_mtu: false,
            contract: Contract::default(),
            strains_certain: false,
            seal: SealOptions::default(),
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
        options.add_what_came_later(nodes_given);
        options
    }

    /// What came later draws from numbers of its own: the older seeds stay what they were.
    fn add_what_came_later(&mut self, nodes_given: bool) {
        let seed = self.seed;
        self.add_swarm(&mut Random::new(seed.rotate_left(17)), nodes_given);
        self.add_sizes(&mut Random::new(seed.rotate_left(29)));
        self.add_clocks(&mut Random::new(seed.rotate_left(37)));
        self.add_software(&mut Random::new(seed.rotate_left(41)));
        self.cut_boots(&mut Random::new(seed.rotate_left(59)));
        let mut traps = Random::new(seed.rotate_left(43));
        if traps.permille(50) {
            self.lay_traps(&mut traps, nodes_given);
        }
        let mut disks = Random::new(seed.rotate_left(49));
        if disks.permille(50) {
            // Longer than agreeing may take, and than forming a ring may.
            let scale = u64::from(self.timer_scale);
            self.machine.persist_us = disks.pick(&[100_000, 300_000]) * scale;
        }
        let mut open = Random::new(seed.rotate_left(61));
        if open.permille(150) {
            self.traffic.outsiders = open.pick(&[100, 500]);
        }
        self.add_policies(&mut Random::new(seed.rotate_left(53)));
        self.bound_backlogs(&mut Random::new(seed.rotate_left(13)));
        let mut priorities = Random::new(seed.rotate_left(11));
        if priorities.permille(300) {
            self.traffic.priorities = priorities.pick(&[50, 300, 1_000]);
        }
        let links = Random::new(seed.rotate_left(47)).permille(50);
        if links && self.lasting == Lasting::None {
            self.lasting = Lasting::Links;
        }
        self.add_contract(&mut Random::new(seed.rotate_left(7)));
        self.strain_contract(&mut Random::new(seed.rotate_left(31)));
        self.add_seal(&mut Random::new(seed.rotate_left(3)));
    }

    /// Engines keep so little for a client that one which reads as it can may be too slow.
    pub(crate) fn tiny_backlog(&self) -> bool {
        self.machine.backlog_len_max < 8 << 20
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
        options.contract = Contract::default();
        options.seal = SealOptions::default();
        (options.mtu_max, options.narrow) = (0, (0, 0));
        (options.mtu, options.window) = (limits::MTU_DEFAULT, limits::WINDOW_DEFAULT);
        options.message_len_max = limits::MESSAGE_LEN_DEFAULT;
        options
    }

    /// Roughly the time of a rotation.
    pub(crate) fn rotation_us(&self) -> u64 {
        let (network, nodes) = (&self.network, self.nodes as u64);
        nodes * (network.delay_us + network.jitter_us + self.machine.timer_late_us / 10 + 20)
    }

    /// Roughly the time of a rotation behind a whole window: the token does not overtake the latest
    /// of the packets before it.
    pub(crate) fn loaded_rotation_us(&self) -> u64 {
        let nodes = self.nodes as u64;
        let packets = (u64::from(self.window) / nodes).max(1);
        self.rotation_us() + nodes * u64::from(packets.ilog2()) * self.network.jitter_us
    }

    /// Roughly what a ring of all nodes can order.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        let (network, nodes) = (&self.network, self.nodes as u64);
        let rotation_us = self.rotation_us();
        let copies = if network.multicast == Multicast::On { 1 } else { nodes.max(2) - 1 };
        let packets = u64::from(self.window).max(1);
        let mtu = if self.mixed_mtu { PAYLOAD_LEN_MIN } else { self.mtu } as u64;
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

/// A node alone tells little: most seeds that drew one have more.
fn one_or_more(seed: u64) -> u64 {
    let mut random = Random::new(seed.rotate_left(47));
    if random.permille(250) { 1 } else { random.between(2, 9) }
}
