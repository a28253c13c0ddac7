//! Nodes that are so far away for a while, or lose so much, that they break the contract.

use std::time::Duration;

use super::{MS, Undo};
use crate::cluster::Cluster;
use crate::network::Far;

impl Cluster {
    /// Mostly one; sometimes so many that nobody is to go for it.
    pub(super) fn strain(&mut self) {
        let contract = self.options.contract;
        let bounds = [contract.round_trip, contract.hold, contract.lag].into_iter().flatten();
        let least = bounds.min().unwrap_or(Duration::from_millis(10)).as_nanos() as u64;
        let last = self.options.timers().token_loss.as_nanos() as u64;
        let n = self.nodes.len();
        let nodes: Vec<usize> = match self.random.below(10) {
            0..6 => vec![self.random.index(n)],
            6..9 => (0..n).filter(|_| self.random.permille(400)).collect(),
            _ => (0..n).collect(),
        };
        // Both ways; a rotation passes it twice and must not take until the token counts as lost.
        let delay_ns = (least / 4 * self.random.pick(&[0, 1, 3, 5])).min(last / 6);
        let loses = contract.loss_ppm.is_some() && self.random.coin();
        let far = Far { delay_ns, loss: if loses { 300 } else { 0 } };
        let patience = contract.patience.as_nanos() as u64;
        let time = patience * self.random.between(2, 12) / 2;
        let names: Vec<_> = nodes.iter().map(|node| format!("n{}", node + 1)).collect();
        let (names, ms) = (names.join(" "), time / MS);
        self.tell(None, &format!("STRAIN: {names} {far:?} for {ms} ms"));
        nodes.iter().for_each(|node| self.network.set_far(*node, far));
        self.plan_undo(time, Undo::Strain(nodes));
    }

    pub(super) fn relieve(&mut self, nodes: &[usize]) {
        self.tell(None, "the strain is over");
        nodes.iter().for_each(|node| self.network.set_far(*node, Far::default()));
    }
}
