//! Rest: what a healed cluster must come to, said as what is still missing.

use std::collections::BTreeSet;

use anasazi_protocol::{GroupId, MemberId};

use crate::cluster::Cluster;
use crate::liveness::Liveness;

impl Cluster {
    /// Nothing waits anywhere: not with clients, not in queues, not in stores.
    pub fn at_rest(&self) -> Result<(), String> {
        self.settled()?;
        for node in &self.nodes {
            let Some(core) = node.core() else { continue };
            let stats = core.stats();
            let (queue, store) = (stats.send_queue_messages, stats.store_packets);
            if queue > 0 {
                let how = format!("node {} has {queue} messages queued", node.id);
                return Err(Liveness::L3.broken(how));
            }
            if store > 0 {
                let how = format!("node {} has {store} packets stored", node.id);
                return Err(Liveness::L4.broken(how));
            }
            if let Some(session) = node.sessions.iter().find(|s| !s.is_served()) {
                return Err(Liveness::L3.broken(format!(
                    "{} still waits: {:?} requests and bytes, {}",
                    session.member,
                    session.waiting(),
                    session.progress()
                )));
            }
        }
        Ok(())
    }

    /// Every member of a group knows exactly the sessions of its ring that want to be in it.
    pub fn groups_agree(&self) -> Result<(), String> {
        for node in self.nodes.iter().filter(|n| n.runs()) {
            let ring = node.ring.as_ref().map(|(ring, _)| *ring);
            let mates = || {
                let mates = self.nodes.iter().filter(|n| n.ring.as_ref().map(|(r, _)| *r) == ring);
                mates.flat_map(|n| &n.sessions)
            };
            let groups: BTreeSet<GroupId> =
                node.sessions.iter().flat_map(|s| s.wanted.iter().copied()).collect();
            for group in groups {
                let wants: BTreeSet<MemberId> =
                    mates().filter(|s| s.wanted.contains(&group)).map(|s| s.member).collect();
                for session in node.sessions.iter().filter(|s| s.wanted.contains(&group)) {
                    let knows: BTreeSet<MemberId> =
                        session.members(group).unwrap_or_default().iter().copied().collect();
                    if knows != wants {
                        let me = session.member;
                        return Err(format!("{me} sees {knows:?} in a group of {wants:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The last things each node did, for a report.
    pub fn last_lines(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            text.push_str(&format!("  node {} ({}):\n", node.id, node.state));
            for line in &node.lines {
                text.push_str(&format!("    {line}\n"));
            }
        }
        text
    }

    /// How many configurations have been installed, by all live nodes together.
    pub fn installed(&self) -> u64 {
        let cores = self.nodes.iter().filter_map(|n| n.core());
        cores.map(|c| c.stats().configurations_installed).sum()
    }
}
