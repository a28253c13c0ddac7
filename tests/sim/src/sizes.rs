//! Connections that do not carry every size of datagram.

use anasazi_protocol::limits;

use crate::cluster::Cluster;
use crate::faults::{Kind, Undo};
use crate::network::Carries;
use crate::options::{Options, PAYLOAD_LEN_MIN};
use crate::random::Random;

const MS: u64 = 1_000_000;

impl Options {
    /// Half of the swarm looks for large datagrams, on networks that carry them or not.
    pub(crate) fn add_sizes(&mut self, random: &mut Random) {
        if random.coin() {
            return;
        }
        self.mtu_max = random.pick(&[4_000, limits::MTU_MAX, limits::MTU_MAX]);
        let len = random.pick(&[1_000, 1_472, 3_000, 8_000]);
        self.narrow = (random.pick(&[0, 200, 1_000]), len);
        if random.coin() {
            self.faults.push(Kind::Narrow);
        }
    }
}

impl Cluster {
    /// What the connections carry from the beginning.
    pub(crate) fn lay_cables(&mut self) {
        let (share, len) = self.options.narrow;
        let mut random = Random::new(self.options.seed.rotate_left(31));
        for link in self.pairs(|_, _| true) {
            if random.permille(share) {
                self.network.set_carries(link, Carries { len, silent: false });
            }
        }
    }

    /// Some connections carry less for a while, and may not even say so.
    pub(crate) fn narrow(&mut self, time: u64) {
        let carries = Carries {
            len: self.random.pick(&[PAYLOAD_LEN_MIN, 1_500, 4_500]),
            silent: self.random.coin(),
        };
        let share = self.random.pick(&[100, 500, 1_000]);
        let n = self.nodes.len();
        let bad: Vec<bool> = (0..n * n).map(|_| self.random.permille(share)).collect();
        let links = self.pairs(|a, b| bad[a * n + b]);
        let (count, ms) = (links.len(), time / MS);
        self.tell(None, &format!("{count} connections carry {carries:?} for {ms} ms"));
        let was = links.into_iter().map(|link| (link, self.network.set_carries(link, carries)));
        let was = was.collect();
        self.plan_undo(time, Undo::Carries(was));
    }
}
