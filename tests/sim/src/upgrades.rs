//! Nodes whose daemons are of different versions: each speaks a range of wire versions and has some
//! features, and is replaced by a newer one, or by the older one again, while the cluster works.

use anasazi_protocol::{Process, limits};

use crate::cluster::Cluster;
use crate::faults::{Kind, Undo};
use crate::options::Options;
use crate::random::Random;
use crate::story::Failure;

const MS: u64 = 1_000_000;
/// A feature that no daemon of this version knows.
const UNKNOWN_FEATURE: u32 = 1 << 20;

/// What a daemon of some version speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Software {
    /// Wire versions, lowest and highest.
    pub wire: (u8, u8),
    /// One bit each.
    pub features: u32,
}

impl Options {
    /// Some of the swarm has several versions, the older first. All have one in common: those that
    /// have none stay apart, and `tests/versions.rs` looks at that.
    pub(crate) fn add_software(&mut self, random: &mut Random) {
        if !random.permille(200) {
            return;
        }
        let common = random.between(2, 5) as u8;
        let feature = limits::FEATURE_ACCELERATED;
        let mut versions: Vec<Software> = (0..random.between(2, 3))
            .map(|_| Software {
                wire: (common - random.below(3) as u8 / 2, common + random.below(3) as u8),
                features: random.pick(&[0, feature, feature | UNKNOWN_FEATURE]),
            })
            .collect();
        versions.sort_by_key(|version| (version.wire.1, version.wire.0));
        self.software = versions;
        if !self.restless {
            self.faults.push(Kind::Replace);
        }
    }
}

impl Cluster {
    /// What the nodes have from the beginning.
    pub(crate) fn install_software(&mut self) {
        let versions = self.options.software.len();
        if versions > 0 {
            let mut random = Random::new(self.options.seed.rotate_left(43));
            self.nodes.iter_mut().for_each(|node| node.software = random.index(versions));
        }
    }

    /// A node, or one after the other, gets the next newer version, or goes back to the one before.
    pub(crate) fn replace_software(&mut self, time: u64) {
        let newer = self.random.permille(600);
        let n = self.nodes.len();
        let (first, count) = (self.random.index(n), if self.random.coin() { n } else { 1 });
        let way = if newer { "UPGRADE" } else { "ROLLBACK" };
        self.tell(None, &format!("{way} of {count} from n{}", first + 1));
        for step in 0..count {
            let node = (first + step) % n;
            self.plan_undo(time * step as u64 + MS, Undo::Replace { node, newer });
        }
    }

    /// Its daemon is stopped, cleanly or not, and another one starts.
    pub(crate) fn replace_daemon(&mut self, node: usize, newer: bool) {
        let last = self.options.software.len().saturating_sub(1);
        let software = self.nodes[node].software;
        let software = if newer { (software + 1).min(last) } else { software.saturating_sub(1) };
        self.nodes[node].software = software;
        self.tell(Some(node), &format!("gets {:?}", self.options.software.get(software)));
        if self.random.coin() {
            self.resume(node);
            self.shutdown(node);
        } else {
            self.crash(node);
        }
        let most = self.options.timers().token_loss.as_nanos() as u64 * 2;
        let pause = self.random.between(2 * MS, most);
        self.plan_undo(pause, Undo::Boot(node));
    }

    /// A ring speaks the newest version that all its members have, for as long as it lives.
    pub(crate) fn look_at_version(&mut self, node: usize) {
        let Some(status) = self.nodes[node].core().map(|core| core.status()) else { return };
        let newest = |(process, _): &(Process, _)| self.newest_wire.get(process).copied();
        let expected = status.members.iter().filter_map(newest).min();
        let (Some(ring), Some(expected)) = (status.ring, expected) else { return };
        if status.wire_version != expected {
            let (name, speaks) = (node + 1, status.wire_version);
            self.fail(Failure::Stuck(format!(
                "n{name} speaks version {speaks} in ring {ring}, whose members have {expected}"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_ring_of_another_version_than_its_members_have_is_found() {
        let mut cluster = Cluster::new(Options::quiet(2));
        (0..2).for_each(|node| cluster.boot(node));
        assert!(cluster.run_until(Duration::from_secs(3), |c| c.settled().is_ok()));
        cluster.look_at_version(0);
        assert!(cluster.failure().is_none());
        cluster.newest_wire.values_mut().for_each(|version| *version = 7);
        cluster.look_at_version(0);
        let failure = cluster.failure().map(ToString::to_string).unwrap_or_default();
        assert!(failure.contains("speaks version 1"), "{failure}");
    }

    #[test]
    fn every_two_versions_of_a_seed_have_one_in_common() {
        let drawn = (1..200).map(|seed| Options::new(seed, None).software);
        let drawn: Vec<_> = drawn.filter(|versions| !versions.is_empty()).collect();
        assert!(drawn.len() > 20);
        for versions in drawn {
            let low = versions.iter().map(|v| v.wire.0).max();
            let high = versions.iter().map(|v| v.wire.1).min();
            assert!(low <= high, "{versions:?}");
        }
    }
}
