//! What a scenario does to connections between nodes.

use super::command::Command;
use super::runner::Runner;
use super::words::Nodes;
use crate::network::Carries;

impl Runner {
    /// Carries out a command about links; there is nothing to do for others.
    pub(crate) fn link(&mut self, command: &Command) {
        let count = self.cluster.nodes.len();
        let now = self.cluster.now;
        let swept = self.swept;
        let pairs = |from: &Nodes, to: &Nodes, both: bool| {
            let mut pairs = Vec::new();
            for a in from.of(count) {
                for b in to.of(count).into_iter().filter(|b| *b != a) {
                    pairs.push((a, b));
                    if both {
                        pairs.push((b, a));
                    }
                }
            }
            pairs
        };
        let network = &mut self.cluster.network;
        match command {
            Command::Cut { from, to, both } => {
                pairs(from, to, *both).into_iter().for_each(|(a, b)| network.cut(a, b));
            }
            Command::Mend { from, to, both } => {
                pairs(from, to, *both).into_iter().for_each(|(a, b)| network.join(a, b));
            }
            Command::Clog { from, to, both, time } => {
                let until = now + time.nanoseconds(swept);
                pairs(from, to, *both).into_iter().for_each(|(a, b)| network.clog(a, b, until));
            }
            Command::Spoil { from, to, both, time } => {
                let until = now + time.nanoseconds(swept);
                pairs(from, to, *both).into_iter().for_each(|(a, b)| network.spoil(a, b, until));
            }
            Command::Narrow { from, to, both, len, silent } => {
                let carries = Carries { len: *len, silent: *silent };
                for link in pairs(from, to, *both) {
                    network.set_carries(link, carries);
                }
            }
            Command::Outage { from, to, both, begins } => {
                let pairs = pairs(from, to, *both);
                pairs.into_iter().for_each(|(a, b)| network.set_outage(a, b, *begins));
            }
            Command::Partition(sets) => {
                let sets: Vec<Vec<usize>> = sets.iter().map(|s| s.of(count)).collect();
                let sets: Vec<&[usize]> = sets.iter().map(|s| &s[..]).collect();
                self.cluster.partition(&sets);
            }
            Command::Heal => network.heal(now),
            _ => {}
        }
    }
}
