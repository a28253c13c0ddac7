//! Nodes that are so far away for a while, or lose so much, that they break the contract.

use std::time::Duration;

use super::{MS, Undo};
use crate::cluster::Cluster;
use crate::network::Far;

/// Less than this no packet takes: a bound of it is broken without any strain.
const LEAST: Duration = Duration::from_millis(1);
/// Of a thousand packets to and from who is to break a bound on loss or lag.
const LOSS: u32 = 300;

impl Cluster {
    /// Mostly one; sometimes so many that nobody is to go for it.
    pub(super) fn strain(&mut self) {
        if self.options.strains_certain {
            return self.strain_for_certain();
        }
        let n = self.nodes.len();
        let nodes: Vec<usize> = match self.random.below(10) {
            0..6 => vec![self.random.index(n)],
            6..9 => (0..n).filter(|_| self.random.permille(400)).collect(),
            _ => (0..n).collect(),
        };
        let far = self.draw_far(nodes.len().max(1) as u64);
        let patience = self.options.contract.patience.as_nanos() as u64;
        let time = patience * self.random.between(2, 12) / 2;
        self.strain_for(time, nodes, far);
    }

    /// One node is to be demoted, and nobody else; or all break the contract, and nobody is: see
    /// `contracts`.
    fn strain_for_certain(&mut self) {
        let (contract, n) = (self.options.contract, self.nodes.len());
        let patience = contract.patience.as_nanos() as u64;
        if self.nodes.iter().any(|node| node.strained_until + 2 * patience > self.now) {
            return;
        }
        let bound = contract.round_trip.or(contract.hold).unwrap_or_default().as_nanos() as u64;
        let time = self.is_gone_after() * self.random.between(5, 9) / 4;
        // Where all are far each way is that of two of them. The token must not count as lost.
        let all_ns = if contract.round_trip.is_some() { bound / 2 } else { bound };
        let last = self.options.timers().token_loss.as_nanos() as u64 / 2;
        let can_all = contract.round_trip.is_some() || 2 * bound * (n as u64) < last;
        let (nodes, delay_ns) = if can_all && self.random.permille(300) {
            ((0..n).collect(), all_ns)
        } else {
            (vec![self.random.index(n)], bound)
        };
        self.strain_for(time, nodes, Far { delay_ns, loss: 0 });
    }

    fn strain_for(&mut self, time: u64, nodes: Vec<usize>, far: Far) {
        let names: Vec<_> = nodes.iter().map(|node| format!("n{}", node + 1)).collect();
        let (names, ms) = (names.join(" "), time / MS);
        self.tell(None, &format!("STRAIN: {names} {far:?} for {ms} ms"));
        let number = self.fault_number;
        for node in &nodes {
            self.network.set_far(*node, far);
            let (from, until, node) = (self.now, self.now + time, &mut self.nodes[*node]);
            (node.strain, node.strained_from, node.strained_until) = (number, from, until);
        }
        self.plan_undo(time, Undo::Strain(nodes, number));
    }

    /// What breaks one of the bounds, or comes close to it.
    fn draw_far(&mut self, nodes: u64) -> Far {
        let contract = self.options.contract;
        let times = [contract.round_trip, contract.hold].into_iter().flatten();
        let least = times.filter(|bound| *bound > LEAST).min();
        let may_lose = contract.loss_ppm.is_some() || contract.lag.is_some();
        match least {
            Some(least) if !may_lose || self.random.coin() => {
                // Both ways. A rotation passes each of them twice, and must not take until the
                // token counts as lost.
                let last = self.options.timers().token_loss.as_nanos() as u64;
                let delay_ns = least.as_nanos() as u64 / 4 * self.random.pick(&[1, 3, 5]);
                Far { delay_ns: delay_ns.min(last / (3 * (nodes + 1))), loss: 0 }
            }
            _ => Far { delay_ns: 0, loss: LOSS },
        }
    }

    /// It is over, unless another one has come.
    pub(super) fn relieve(&mut self, nodes: &[usize], number: u64) {
        self.tell(None, "the strain is over");
        self.judge_strained(nodes);
        for node in nodes.iter().filter(|node| self.nodes[**node].strain == number) {
            self.network.set_far(*node, Far::default());
        }
    }
}
