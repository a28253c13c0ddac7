//! Starts and ends of processes, and what their disks remember.

use std::time::Duration;

use anasazi_engine::config::{Settings, ValidConfig};
use anasazi_engine::life;
use anasazi_engine::session::SessionLimits;
use anasazi_engine::turn::{DomainParts, Parts};
use anasazi_oracle::Entry;
use anasazi_protocol::{Boot, CoreConfig, Incarnation, Process, planted};
use anasazi_seal::OVERHEAD_LEN;

use crate::cluster::{Cluster, Happening};
use crate::engine::{self, SimTurn, Wire};
use crate::faults::Undo;
use crate::node::Disk;
use crate::options::{Multicast, PAYLOAD_LEN_MIN};
use crate::story::Failure;

/// What a machine's wall clock shows at the beginning, in milliseconds.
const EPOCH_MS: u64 = 190_000_000_000;
/// A start that was cut short is followed by another one within this, in nanoseconds.
const BOOT_AGAIN_MAX: u64 = 100_000_000;

impl Cluster {
    /// Starts a node, or starts it again.
    pub fn boot(&mut self, node: usize) {
        if self.nodes[node].runs() {
            return;
        }
        let (boot, disk, stored) = self.boot_record(node);
        let n = &mut self.nodes[node];
        (n.disk, n.known) = (disk, None);
        n.incarnations.insert(boot.process.incarnation);
        let now = self.nodes[node].clock.read(self.now);
        let config = self.config(node);
        let n = &mut self.nodes[node];
        n.life += 1;
        (n.process, n.index, n.spins) = (boot.process, 0, 0);
        self.newest_wire.insert(boot.process, config.wire.1);
        self.record(node, Entry::Boot { stored });
        self.tell(Some(node), &format!("BOOT as {}", boot.process));
        let parts = self.parts(node, config, boot);
        let slow = self.random.permille(self.options.machine.slow_nodes);
        self.nodes[node].turn_ns = if slow { self.options.machine.turn_us * 1_000 } else { 0 };
        self.nodes[node].turn = Some(SimTurn::new(parts, now));
        self.turn(node);
        for _ in 0..self.options.traffic.sessions {
            match self.connect(node) {
                Ok(session) => self.plan_deed(node, session),
                Err(what) => self.fail(Failure::Stuck(format!("n{}: {what}", node + 1))),
            }
        }
    }

    /// Starts a node and kills it while it writes who it is: it has sent nothing, and the next
    /// start finds what it wrote, or what was there before.
    pub fn boot_in_vain(&mut self, node: usize, written: bool) {
        if self.nodes[node].runs() {
            return;
        }
        let (boot, disk, trusted) = self.boot_record(node);
        if written {
            // What this start did not know, the next one does not know either.
            self.nodes[node].disk = Disk { behind: !trusted, ..disk };
        }
        let how = if written { "after" } else { "before" };
        self.tell(Some(node), &format!("CRASH {how} it has written that it is {}", boot.process));
    }

    /// Starts a node; where starts may be cut short, it may take several.
    pub(crate) fn try_to_boot(&mut self, node: usize) {
        if self.nodes[node].runs() || !self.random.permille(self.options.machine.boots_cut) {
            return self.boot(node);
        }
        let written = self.random.coin();
        self.boot_in_vain(node, written);
        self.counts.faults += 1;
        let time = self.random.between(1, BOOT_AGAIN_MAX);
        self.plan_undo(time, Undo::Boot(node));
    }

    fn parts(&self, node: usize, core: CoreConfig, boot: Boot) -> Parts<Wire, engine::Disk> {
        let n = &self.nodes[node];
        let limits = SessionLimits {
            sessions_max: 1_024,
            backlog_len_max: self.options.machine.backlog_len_max,
            backlog_total_max: self.options.machine.backlog_total_max,
            hold_max: Duration::from_millis(self.options.machine.hold_max_ms),
            message_len_max: self.options.message_len_max,
            allow_uids: Vec::new(),
            allow_gids: Vec::new(),
        };
        let default = DomainParts {
            name: String::new(),
            transport: Wire::new(n.address, core.multicast),
            seal: self.seal_for(node),
            weight: 1,
            backlog_len_max: None,
            core,
            boot,
            storage: engine::Disk::default(),
            witness: Some(Box::new(n.log.clone())),
        };
        let (config, warnings) = (self.admin_config.clone(), Vec::new());
        Parts { config, warnings, limits, temporary: None, default }
    }

    /// Starts a node that many nanoseconds from now, unless it starts before.
    pub fn boot_in(&mut self, node: usize, nanoseconds: u64) {
        let life = self.nodes[node].life;
        self.plan_in(nanoseconds, Happening::Boot { node, life });
    }

    /// Kills a node. What it was writing is written, or not.
    pub fn crash(&mut self, node: usize) {
        if !self.nodes[node].runs() {
            return;
        }
        let written = self.random.index(self.nodes[node].disk.writes.len() + 1);
        let disk = &mut self.nodes[node].disk;
        for (_, max) in std::mem::take(&mut disk.writes).into_iter().take(written) {
            disk.ring_sequence_max = disk.ring_sequence_max.max(max);
        }
        self.end_process(node, "CRASH");
    }

    /// Takes a node's disk away; it must not be running.
    pub fn lose_state(&mut self, node: usize) {
        assert!(!self.nodes[node].runs(), "a disk is in use");
        self.nodes[node].disk = Disk::default();
    }

    /// Asks a node to leave cleanly.
    pub fn shutdown(&mut self, node: usize) {
        let Some(turn) = &mut self.nodes[node].turn else { return };
        turn.stop();
        self.tell(Some(node), "asked to leave");
        self.nodes[node].leaving = true;
        self.nodes[node].farewells = self.nodes[node].sessions.len();
        self.turn(node);
    }

    /// A node may stop by itself: it is configured wrongly on purpose.
    pub fn expect_stop(&mut self, node: usize) {
        self.nodes[node].may_stop = true;
    }

    /// Stops a process as SIGSTOP does.
    pub fn pause(&mut self, node: usize) {
        if self.nodes[node].runs() && !self.nodes[node].paused {
            self.tell(Some(node), "paused");
            self.nodes[node].paused = true;
        }
    }

    /// Lets it go on: what waits in the sockets comes at once, and timers are late.
    pub fn resume(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        if !std::mem::take(&mut n.paused) {
            return;
        }
        n.timer_at = None;
        n.clock.go_on(self.now);
        let waiting = n.turn.as_mut().map_or(0, |turn| turn.transport_mut().waiting());
        self.tell(Some(node), &format!("resumed, {waiting} datagrams wait"));
        self.turn(node);
        self.arm(node);
    }

    /// The engine has ended by itself.
    pub(crate) fn stopped(&mut self, node: usize, fault: Option<String>) {
        let expected = self.nodes[node].leaving || self.nodes[node].may_stop;
        let outdated = self.is_outdated(node);
        self.end_process(node, &format!("STOPPED {}", fault.as_deref().unwrap_or("cleanly")));
        if outdated && !expected {
            self.supervise(node);
        } else if !expected {
            let what = format!("n{} stopped by itself: {fault:?}", node + 1);
            self.fail(Failure::Stuck(what));
        }
    }

    /// It is gone, without having been killed.
    pub(crate) fn end_process(&mut self, node: usize, how: &str) {
        self.record(node, Entry::Crash);
        self.tell(Some(node), how);
        // A machine whose clock stood still is there again for the next process.
        self.nodes[node].clock.go_on(self.now);
        let process = self.nodes[node].process;
        self.nodes[node].lose(self.now);
        self.lines_end(node, life(process));
    }

    /// Begins to write a ring number.
    pub(crate) fn persist(&mut self, node: usize, ticket: u64, ring_sequence_max: u64) {
        let machine = &self.options.machine;
        let durable = !self.random.permille(machine.persist_failure);
        let time = self.random.around(machine.persist_us * 1_000);
        let n = &mut self.nodes[node];
        if durable {
            n.disk.writes.push((ticket, ring_sequence_max));
        } else {
            n.disk.behind = true;
        }
        let life = n.life;
        self.plan_in(time, Happening::Persisted { node, life, ticket, durable });
    }

    /// A write is over; the process hears of it when it runs.
    pub(crate) fn persisted(&mut self, node: usize, ticket: u64, durable: bool) {
        let disk = &mut self.nodes[node].disk;
        let written = disk.writes.iter().position(|(t, _)| *t == ticket);
        if let Some(at) = written {
            let (_, max) = disk.writes.remove(at);
            disk.ring_sequence_max = disk.ring_sequence_max.max(max);
        }
        if let Some(turn) = &mut self.nodes[node].turn {
            turn.storage_mut().written.push((ticket, durable));
        }
        self.turn(node);
    }

    /// Who a node is at its next start, what its disk says once that is written, and whether it
    /// said so before.
    fn boot_record(&self, node: usize) -> (Boot, Disk, bool) {
        let machine = &self.options.machine;
        let n = &self.nodes[node];
        let wall = (EPOCH_MS + self.now / 1_000_000).saturating_add_signed(n.wall_ms);
        let wall = n.known.map_or(wall, |known| wall.max(known.0));
        let stored = n.disk.incarnation.filter(|_| !machine.diskless);
        let mut incarnation = Incarnation(stored.map_or(wall, |i| wall.max(i.0 + 1)));
        // Two processes of one name could not be told apart in a log.
        while n.incarnations.contains(&incarnation) {
            incarnation.0 += 1;
        }
        let process = Process { node: n.id, incarnation };
        if machine.diskless {
            let (ring_sequence_floor, ring_sequence_reserved) = (0, u64::MAX);
            let boot = Boot { process, ring_sequence_floor, ring_sequence_reserved };
            return (boot, n.disk.clone(), false);
        }
        let ring_sequence_floor = n.disk.ring_sequence_max.max(machine.ring_floor);
        let ring_sequence_reserved = ring_sequence_floor + machine.reserve;
        let trusted = stored.is_some() && !n.disk.behind;
        let forgets = planted::has("boot_not_durable");
        let disk = Disk {
            incarnation: Some(incarnation),
            ring_sequence_max: if forgets { ring_sequence_floor } else { ring_sequence_reserved },
            ..Disk::default()
        };
        (Boot { process, ring_sequence_floor, ring_sequence_reserved }, disk, trusted)
    }

    fn config(&mut self, node: usize) -> CoreConfig {
        let options = &self.options;
        let known = match options.network.multicast {
            Multicast::On => 0,
            _ if options.network.sparse_peers => 1,
            _ => self.nodes.len(),
        };
        let peers = self.nodes.iter().take(known).map(|n| n.address).collect();
        let mut config = CoreConfig {
            peers,
            multicast: options.network.multicast != Multicast::Off,
            mtu: if options.mixed_mtu && node % 2 == 1 { PAYLOAD_LEN_MIN } else { options.mtu },
            mtu_max: options.mtu_max,
            window: options.window,
            send_queue_messages_max: options.machine.queue.0,
            send_queue_len_max: options.machine.queue.1,
            timers: options.timers(),
            contract: options.contract,
            seed: options.seed ^ (node as u64) << 32 ^ self.nodes[node].life << 48,
            trace: true,
            ..CoreConfig::default()
        };
        if options.seal.mode.is_some() {
            config.mtu -= OVERHEAD_LEN;
            config.mtu_max = config.mtu_max.saturating_sub(OVERHEAD_LEN);
            config.checksum = false;
        }
        if let Some(software) = self.options.software.get(self.nodes[node].software) {
            (config.wire, config.features) = (software.wire, software.features);
        }
        if let Some(configure) = &mut self.configure {
            configure(node, &mut config);
        }
        config
    }
}

/// What an engine answers when it is asked for its configuration; nothing here depends on it.
pub(crate) fn admin_config() -> ValidConfig {
    let mut settings = Settings::new();
    let set = settings.set("cluster", "anasazi");
    set.and_then(|()| settings.validate()).unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[test]
    fn a_start_that_is_cut_short_uses_up_what_it_wrote_and_nothing_else() {
        let mut cluster = Cluster::new(Options::quiet(1));
        cluster.boot(0);
        cluster.crash(0);
        let before = cluster.nodes[0].disk.clone();
        cluster.boot_in_vain(0, false);
        assert_eq!(cluster.nodes[0].disk, before);
        assert!(!cluster.nodes[0].runs());
        cluster.nodes[0].wall_ms = 86_400_000;
        cluster.boot_in_vain(0, true);
        cluster.nodes[0].wall_ms = 0;
        let written = cluster.nodes[0].disk.clone();
        assert!(written.ring_sequence_max > before.ring_sequence_max);
        cluster.boot(0);
        let began = cluster.nodes[0].process.incarnation;
        assert!(Some(began) > written.incarnation, "{began:?} is not newer");
        assert!(cluster.nodes[0].disk.ring_sequence_max > written.ring_sequence_max);
    }
}
