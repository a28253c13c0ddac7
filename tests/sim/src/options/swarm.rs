//! What came into the swarm later, each with random numbers of its own: older seeds stay what they
//! were.

use anasazi_protocol::config::Timers;
use anasazi_seal::Mode;

use super::Options;
use crate::faults::Kind;
use crate::network::Lasting;
use crate::random::Random;

/// Messages in a second, all sessions together, of which some that do not read soon miss a few.
const BUSY: u64 = 300;

impl Options {
    /// What the swarm learned last.
    pub(super) fn add_swarm(&mut self, random: &mut Random, nodes_given: bool) {
        if random.permille(20) && !nodes_given {
            self.nodes = random.between(17, 32) as usize;
            self.traffic.sessions = 1;
            self.traffic.interval_us = self.traffic.interval_us.max(200_000 * self.nodes as u64);
            self.fit_timers();
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

    /// A long life with rare faults: everything that goes wrong by and by.
    fn make_long(&mut self, random: &mut Random) {
        self.fault_time_ms = random.between(240_000, 540_000);
        // What follows upon itself is not rare.
        self.faults.retain(|kind| *kind != Kind::Ambush);
        self.fault_interval_ms = random.pick(&[5_000, 20_000, 60_000]);
    }

    /// Where a rotation takes most of the time after which a token counts as lost, no ring lasts.
    fn fit_timers(&mut self) {
        let loss_us = Timers::default().token_loss.as_micros() as u64;
        let least = (2 * self.rotation_us()).div_ceil(loss_us) as u32;
        self.timer_scale = self.timer_scale.max(least);
    }

    /// A few nodes under load, much loss, and faults just when a repair is at its most delicate:
    /// where holes in the order and attempts that fail half-way meet.
    pub(super) fn besiege(&mut self, random: &mut Random) {
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
        self.fault_time_ms *= 2;
    }

    /// Safe messages all the time, and faults one at a time, each with a second one that waits for
    /// a step of the first one's repair.
    pub(super) fn lay_traps(&mut self, random: &mut Random, nodes_given: bool) {
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
    }

    pub(super) fn make_restless(&mut self, random: &mut Random) {
        self.restless = true;
        self.fault_interval_ms = random.between(3, 30) * u64::from(self.timer_scale);
        self.fault_time_ms = random.between(2_000, 5_000);
        self.faults.retain(|kind| kind.is_brief());
        self.faults.extend([Kind::Partition, Kind::Spoil]);
    }

    /// Clients that do not want to be cut off when they stop to read, and more reasons to stop.
    pub(super) fn add_policies(&mut self, random: &mut Random) {
        if !random.permille(300) {
            return;
        }
        let traffic = &mut self.traffic;
        (traffic.gappers, traffic.throttlers) =
            random.pick(&[(300, 0), (1_000, 0), (0, 300), (0, 1_000), (300, 500)]);
        traffic.long = traffic.long.max(200);
        let others = self.faults.len().max(1);
        self.faults.extend(std::iter::repeat_n(Kind::ClientStalls, others));
        self.faults.push(Kind::KindLost);
        self.machine.backlog_len_max = random.pick(&[4 << 10, 16 << 10, 64 << 10]);
        self.machine.hold_max_ms = random.pick(&[50, 200, 2_000]);
        if random.permille(800) {
            // What is left over for a client is soon more than its ring holds.
            self.message_len_max = random.pick(&[1_500, 4_000]);
        }
        if random.permille(150) && self.timer_scale == 1 {
            let (traffic, nodes) = (&mut self.traffic, self.nodes as u64);
            let at_once = nodes * traffic.sessions as u64 * traffic.burst.div_ceil(2);
            traffic.interval_us = traffic.interval_us.min(1_000_000 * at_once / BUSY).max(1);
        }
    }

    /// Little for all clients of a node together.
    pub(super) fn bound_backlogs(&mut self, random: &mut Random) {
        if self.tiny_backlog() && random.permille(300) {
            let one = self.machine.backlog_len_max.max(self.message_len_max);
            self.machine.backlog_total_max = one * random.between(2, 4) as usize;
        }
    }

    /// Sealed datagrams, where no fault depends on what is in them.
    pub(super) fn add_seal(&mut self, random: &mut Random) {
        let looks_in = |kind: &Kind| matches!(kind, Kind::KindLost | Kind::Hole | Kind::Trap);
        // Nor is it counted how often senders were asked to wait.
        let counts = self.traffic.throttlers > 0;
        if !random.permille(400) || counts || self.faults.iter().any(looks_in) {
            return;
        }
        self.seal.mode = Some(random.pick(&[Mode::Aead, Mode::Aead, Mode::Integrity]));
        let scale = u64::from(self.timer_scale);
        self.seal.step_ms = random.pick(&[0, 20, 100]) * scale;
    }

    /// Starts that end before they have begun.
    pub(super) fn cut_boots(&mut self, random: &mut Random) {
        if random.permille(300) && !self.machine.diskless {
            self.machine.boots_cut = random.pick(&[100, 500]);
        }
    }
}
