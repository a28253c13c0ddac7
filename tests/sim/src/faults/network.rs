//! Faults of the network: cuts of every shape, and connections that lose or hold up.

use super::{Kind, MS, Undo};
use crate::cluster::Cluster;

impl Cluster {
    /// Cuts everything between nodes of different sets. The cuts can be given back to `mend`.
    pub fn partition(&mut self, sets: &[&[usize]]) -> Vec<(usize, usize)> {
        let set_of = |node: usize| sets.iter().position(|s| s.contains(&node));
        let cuts = self.pairs(|a, b| set_of(a) != set_of(b));
        self.tell(None, &format!("PARTITION {sets:?}"));
        self.cut(&cuts);
        cuts
    }

    /// Undoes these cuts.
    pub fn mend(&mut self, cuts: &[(usize, usize)]) {
        self.tell(None, &format!("MENDED {} connections", cuts.len()));
        for (from, to) in cuts {
            self.network.join(*from, *to);
        }
    }

    pub(crate) fn pairs(&self, mut apart: impl FnMut(usize, usize) -> bool) -> Vec<(usize, usize)> {
        let n = self.nodes.len();
        let all = (0..n).flat_map(|a| (0..n).map(move |b| (a, b)));
        all.filter(|(a, b)| a != b && apart(*a, *b)).collect()
    }

    fn cut(&mut self, cuts: &[(usize, usize)]) {
        for (from, to) in cuts {
            self.network.cut(*from, *to);
        }
    }

    pub(crate) fn cut_for(&mut self, time: u64, cuts: Vec<(usize, usize)>) {
        self.cut(&cuts);
        self.plan_undo(time, Undo::Cuts(cuts));
    }

    pub(crate) fn random_partition(&mut self, time: u64) {
        let n = self.nodes.len();
        let lonely = self.random.index(n);
        let shape = self.random.below(3);
        let sets: Vec<usize> = (0..n)
            .map(|node| match shape {
                0 => usize::from(node == lonely),
                1 => node % 2,
                _ => self.random.index(3),
            })
            .collect();
        self.tell(None, &format!("PARTITION {sets:?} for {} ms", time / MS));
        let cuts = self.pairs(|a, b| sets[a] != sets[b]);
        self.cut_for(time, cuts);
    }

    /// A chain, a ring of overlapping majorities, a bridge, or some bad pairs.
    pub(super) fn overlap(&mut self, time: u64) {
        let n = self.nodes.len();
        let reach = n / 2;
        let shape = self.random.below(4);
        let bad: Vec<bool> = (0..n * n).map(|_| self.random.permille(250)).collect();
        self.tell(None, &format!("OVERLAP of shape {shape} for {} ms", time / MS));
        let cuts = self.pairs(|a, b| {
            let (low, high) = (a.min(b), a.max(b));
            match shape {
                0 => high - low > 1,
                1 => (high - low).min(n - (high - low)) > reach.div_ceil(2),
                2 => low < reach && high > reach,
                _ => bad[low * n + high],
            }
        });
        self.cut_for(time, cuts);
    }

    /// One that is deaf or mute, some bad connections, or a half that hears and is not heard.
    pub(super) fn one_way(&mut self, time: u64) {
        let n = self.nodes.len();
        let one = self.random.index(n);
        let all = self.random.coin();
        let bad: Vec<bool> = (0..n * n).map(|_| self.random.permille(150)).collect();
        let turned = self.random.coin();
        let half: Vec<bool> = (0..n).map(|_| self.random.coin()).collect();
        let cuts = self.pairs(|a, b| match (all, turned) {
            (true, false) => b == one,
            (true, true) => a == one,
            (false, false) => bad[a * n + b],
            // One half hears the other, and is not heard.
            (false, true) => half[a] && !half[b],
        });
        self.tell(None, &format!("ONE WAY {cuts:?} for {} ms", time / MS));
        self.cut_for(time, cuts);
    }

    pub(super) fn hold_up(&mut self, kind: Kind, time: u64) {
        let share = self.random.pick(&[50, 300, 1_000]);
        let bad: Vec<bool> =
            (0..self.nodes.len().pow(2)).map(|_| self.random.permille(share)).collect();
        let links = self.pairs(|a, b| bad[a * self.nodes.len() + b]);
        self.tell(None, &format!("{kind:?} {} connections for {} ms", links.len(), time / MS));
        for (from, to) in links {
            let until = self.now + time;
            match kind {
                Kind::Clog => self.network.clog(from, to, until),
                _ => self.network.spoil(from, to, until),
            }
        }
    }

    pub(super) fn swizzle(&mut self, time: u64) {
        let mut nodes: Vec<usize> = (0..self.nodes.len()).filter(|_| self.random.coin()).collect();
        self.random.shuffle(&mut nodes);
        self.tell(None, &format!("SWIZZLE {nodes:?} within {} ms", time / MS));
        for node in nodes {
            let cuts = self.pairs(|a, b| a == node || b == node);
            let back = self.random.between(1, time);
            self.cut_for(back, cuts);
        }
    }

    pub(super) fn multicast_outage(&mut self, time: u64) {
        let from = self.random.index(self.nodes.len());
        let all = self.random.coin();
        let links = self.pairs(|a, _| all || a == from);
        self.tell(
            None,
            &format!("multicast out on {} connections for {} ms", links.len(), time / MS),
        );
        links.iter().for_each(|(a, b)| self.network.set_outage(*a, *b, true));
        self.plan_undo(time, Undo::Multicast(links));
    }
}
