//! Contracts of some seeds: bounds that a network which is well meets, and that one which is not
//! may not.

use std::time::Duration;

use super::Options;
use crate::faults::Kind;
use crate::network::Lasting;
use crate::random::Random;

impl Options {
    /// A contract, where the network can meet one when all is healed.
    pub(super) fn add_contract(&mut self, random: &mut Random) {
        let network = &self.network;
        let is_well = self.lasting == Lasting::None
            && network.residual_loss == 0
            && network.bytes_per_ms == 0
            && self.narrow.0 == 0;
        if !random.permille(300) || !is_well || self.nodes < 2 {
            return;
        }
        self.draw_contract(random);
        if random.permille(200) {
            // Nobody can keep it, so nobody is put out for it.
            self.contract.hold = Some(Duration::from_micros(1));
        }
    }

    /// Now and then a contract that some break for a while.
    pub(super) fn strain_contract(&mut self, random: &mut Random) {
        let is_other = self.restless || self.faults.contains(&Kind::Trap) || self.narrow.0 > 0;
        if !random.permille(200) || is_other || self.lasting != Lasting::None || self.nodes < 3 {
            return;
        }
        (self.network.residual_loss, self.network.bytes_per_ms) = (0, 0);
        if !self.contract.is_binding() {
            self.draw_contract(random);
        }
        if !self.contract.is_binding() {
            return;
        }
        if random.permille(400) && self.nodes > 3 {
            return self.strain_for_certain(random);
        }
        // What is broken has to last, and rings as well.
        let patience_ms = self.contract.patience.as_millis() as u64;
        self.fault_interval_ms = patience_ms * random.between(2, 6);
        self.fault_time_ms = patience_ms * random.between(20, 60);
        self.faults.retain(|kind| *kind != Kind::Ambush);
        let others = self.faults.len().max(1);
        self.faults.extend(std::iter::repeat_n(Kind::Strain, random.pick(&[1, 3, 9]) * others));
    }

    fn strain_for_certain(&mut self, random: &mut Random) {
        self.draw_contract(random);
        let (scale, contract) = (u64::from(self.timer_scale), &mut self.contract);
        let common_us = 2 * self.network.delay_us + 16 * self.network.jitter_us;
        let least = Duration::from_micros(common_us + self.machine.timer_late_us);
        let bound = Some(least + Duration::from_millis(5 * scale));
        let is_hold = random.coin();
        (contract.loss_ppm, contract.lag) = (None, None);
        (contract.round_trip, contract.hold) = if is_hold { (None, bound) } else { (bound, None) };
        // The hold can be seen only while the token goes round; and what members say of each other
        // waits behind what their clients have sent.
        let traffic = &mut self.traffic;
        let all = (traffic.sessions.max(1) * self.nodes) as u64;
        traffic.interval_us = 10_000 * scale * all;
        (traffic.sleepers, traffic.burst, traffic.long, traffic.huge) = (0, 1, 0, 0);
        self.window = self.window.max(64);
        self.strains_certain = true;
        self.network = self.network.healed();
        (self.machine.persist_failure, self.machine.boots_cut) = (0, 0);
        (self.machine.persist_us, self.start_within_ms) = (50, 0);
        (self.machine.turn_us, self.machine.slow_nodes) = (0, 0);
        self.software.clear();
        self.faults = vec![Kind::Strain];
        let patience_ms = self.contract.patience.as_millis() as u64;
        self.fault_interval_ms = patience_ms * random.between(4, 10);
        self.fault_time_ms = patience_ms * random.between(40, 80);
    }

    fn draw_contract(&mut self, random: &mut Random) {
        let network = &self.network;
        // All of these are means of exponential times, but for the first and the last.
        let least_us = network.delay_us
            + 16 * (network.jitter_us + self.machine.turn_us)
            + self.machine.timer_late_us
            + if network.late.0 > 0 { network.late.1 } else { 0 };
        let scale = u64::from(self.timer_scale);
        let (us, ms) = (Duration::from_micros, Duration::from_millis);
        let round_trip = us(2 * least_us) + ms(5 * scale);
        let contract = &mut self.contract;
        contract.round_trip = random.coin().then_some(round_trip);
        contract.hold = random.coin().then_some(2 * round_trip);
        contract.lag = random.coin().then_some(2 * round_trip + ms(150 * scale));
        contract.loss_ppm = random.coin().then_some(100_000);
        contract.patience = ms(random.pick(&[300, 1_000]) * scale);
        contract.readmit = ms(random.pick(&[300, 1_000]) * scale);
        contract.readmit_max = contract.readmit * 4;
    }
}
