//! Liveness: what a healed cluster must come to, said as what is still missing.

use std::collections::BTreeSet;

use anasazi_protocol::{GroupId, MemberId, Process};

use crate::cluster::Cluster;

impl Cluster {
    /// One ring with exactly the live nodes, on every node. The error says who is not there yet.
    pub fn settled(&self) -> Result<(), String> {
        let live: BTreeSet<Process> =
            (self.nodes.iter().filter(|n| n.runs())).map(|n| n.process).collect();
        if let Some(node) = self.nodes.iter().find(|n| n.runs() && n.leaving) {
            return Err(format!("node {} is about to leave", node.id));
        }
        let mut first = None;
        for node in self.nodes.iter().filter(|n| n.runs()) {
            let Some((ring, members)) = &node.ring else {
                return Err(format!("node {} is in no ring", node.id));
            };
            if node.state != "operational" {
                return Err(format!("node {} is in {}", node.id, node.state));
            }
            if members.iter().copied().collect::<BTreeSet<_>>() != live {
                let nodes: Vec<String> = members.iter().map(ToString::to_string).collect();
                return Err(format!("node {} is in a ring of [{}]", node.id, nodes.join(" ")));
            }
            if *first.get_or_insert(*ring) != *ring {
                return Err(format!("node {} is in another ring", node.id));
            }
        }
        Ok(())
    }

    /// Nothing waits anywhere: not with clients, not in queues, not in stores.
    pub fn at_rest(&self) -> Result<(), String> {
        self.settled()?;
        for node in &self.nodes {
            let Some(core) = node.core() else { continue };
            let stats = core.stats();
            let (queue, store) = (stats.send_queue_messages, stats.store_packets);
            if queue > 0 || store > 0 {
                let what = format!("{queue} messages queued, {store} packets stored");
                return Err(format!("node {} is not at rest: {what}", node.id));
            }
            if let Some(session) = node.sessions.iter().find(|s| !s.is_served()) {
                return Err(format!(
                    "{} still waits: {:?} requests and bytes, {}",
                    session.member,
                    session.waiting(),
                    session.progress()
                ));
            }
        }
        Ok(())
    }

    /// Every member of a group knows exactly the sessions that want to be in it.
    pub fn groups_agree(&self) -> Result<(), String> {
        let sessions = || self.nodes.iter().flat_map(|n| &n.sessions);
        let groups: BTreeSet<GroupId> = sessions().flat_map(|s| s.wanted.iter().copied()).collect();
        for group in groups {
            let wants: BTreeSet<MemberId> =
                sessions().filter(|s| s.wanted.contains(&group)).map(|s| s.member).collect();
            for session in sessions().filter(|s| s.wanted.contains(&group)) {
                let knows: BTreeSet<MemberId> =
                    session.members(group).unwrap_or_default().iter().copied().collect();
                if knows != wants {
                    return Err(format!(
                        "{} sees {knows:?} in a group of {wants:?}",
                        session.member
                    ));
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
