//! Liveness, as docs/PROTOCOL.md numbers it: what must come about once all faults are over. Judged
//! from what nodes report and from their logs.
//!
//! | file | what |
//! |---|---|
//! | `bounds` | how long the token may be away, computed from what the world is like |
//! | `buffers` | L8 of a core |
//! | `changes` | L5 |
//! | `visits` | L2 |

mod bounds;
mod buffers;
mod changes;
mod visits;

use std::collections::BTreeMap;
use std::fmt;

use anasazi_protocol::RingId;

use crate::cliques;
use crate::cluster::{Cluster, Happening};
use crate::network::Lasting;
use crate::story::Failure;
use changes::Changes;
use visits::Visits;

/// Every so often the bounds are looked at, in nanoseconds.
const LOOK_EVERY: u64 = 100_000_000;
/// What a message costs in a backlog besides its bytes, at most.
const ENTRY_MAX: usize = 1_024;
/// Sessions are looked at every so many times.
const SESSIONS_EVERY: u64 = 20;

/// What must come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "`title` says what each one means")]
pub enum Liveness {
    L1,
    L2,
    L3,
    L4,
    L5,
    L6,
    L8,
}

impl Liveness {
    /// What the rule promises.
    pub fn title(self) -> &'static str {
        match self {
            Self::L1 => "those who hear each other end in one configuration",
            Self::L2 => "the token comes round in time",
            Self::L3 => "what was accepted is delivered",
            Self::L4 => "nothing is kept for others when all have it",
            Self::L5 => "few configurations after a fault, and none without one",
            Self::L6 => "whoever has something to send gets on",
            Self::L8 => "no buffer outgrows its bound",
        }
    }

    /// It is not so: in one sentence, how.
    pub fn broken(self, how: impl fmt::Display) -> String {
        format!("{self:?} ({}): {how}", self.title())
    }
}

/// What is remembered in order to judge.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    changes: Changes,
    /// Token visits are judged.
    pub(crate) visits_on: bool,
    visits: Visits,
    /// Of every node, whether judged or not.
    last_visits: BTreeMap<usize, (RingId, u64)>,
    /// Nodes whose queues were not empty when last looked at: ring, packets ordered by then, and
    /// since when that is so.
    waiting: BTreeMap<usize, (Option<RingId>, u64, u64)>,
    looks: u64,
}

impl Judge {
    /// When a node last had the token of this ring.
    fn last_visit(&self, node: usize, ring: RingId) -> Option<u64> {
        self.last_visits.get(&node).filter(|(of, _)| *of == ring).map(|(_, at)| *at)
    }
}

impl Cluster {
    /// Looks at all bounds from now on, again and again.
    pub fn judge(&mut self) {
        self.plan_in(LOOK_EVERY, Happening::Look);
    }

    /// The last fault has just ended.
    pub(crate) fn judge_from_here(&mut self) {
        self.demotions.begin_here();
        self.judge = Judge { changes: Changes::begin_here(self), ..Judge::default() };
    }

    pub(crate) fn look(&mut self) {
        self.plan_in(LOOK_EVERY, Happening::Look);
        self.judge.looks += 1;
        for node in 0..self.nodes.len() {
            self.look_at(node);
            self.look_at_version(node);
            if self.judge.looks.is_multiple_of(SESSIONS_EVERY) {
                self.look_at_sessions(node);
            }
        }
    }

    /// L8 of a core, and L6 of its queue.
    fn look_at(&mut self, node: usize) {
        let n = &self.nodes[node];
        let Some(core) = n.core().filter(|_| !n.paused) else {
            self.judge.waiting.remove(&node);
            return;
        };
        let (stats, ring) = (core.stats(), n.ring.as_ref().map(|(ring, _)| *ring));
        if let Err(how) = buffers::are_bounded(&stats, &self.options, n.farewells) {
            let how = format!("n{} has {how}", node + 1);
            return self.liveness_fails(Liveness::L8, &how);
        }
        let is_damaged = self.options.network.corrupt > 0;
        if stats.dropped_malformed > 0 && !is_damaged && !self.liars {
            let (name, count) = (node + 1, stats.dropped_malformed);
            let how = format!("n{name} dropped {count} datagrams or frames that make no sense");
            let lines = self.last_lines();
            return self.fail(Failure::Contradicted(format!("{how}\n{lines}")));
        }
        // Whoever forms a ring has to wait; L1 and L5 judge that.
        let operational = n.state == "operational";
        let waits = stats.send_queue_messages > 0 && self.judge.visits_on && operational;
        let before = self.judge.waiting.remove(&node);
        if !waits {
            return;
        }
        let same =
            before.filter(|(of, ordered, _)| (*of, *ordered) == (ring, stats.packets_ordered));
        let since = same.map_or(self.now, |(_, _, since)| since);
        self.judge.waiting.insert(node, (ring, stats.packets_ordered, since));
        // It gets the token once it has turned, wherever it rests, and orders something then.
        let gaps = self.gaps();
        if self.now - since > gaps.idle + gaps.busy {
            let (name, count) = (node + 1, stats.send_queue_messages);
            let how = format!("n{name} has {count} messages, and has ordered none for too long");
            self.liveness_fails(Liveness::L6, &how);
        }
    }

    /// L8 of what waits for clients.
    fn look_at_sessions(&mut self, node: usize) {
        let Some(turn) = &self.nodes[node].turn else { return };
        // The first one is not bounded: the longest message, with its head and what an entry costs.
        let first = self.options.message_len_max + ENTRY_MAX;
        let machine = &self.options.machine;
        let (bound, most) = (machine.backlog_len_max + first, machine.backlog_total_max);
        let sessions = turn.sessions().describe();
        let all: usize = sessions.iter().map(|session| session.backlog_len).sum();
        if all > most {
            let how = format!("{all} bytes wait for all clients of n{}", node + 1);
            return self.liveness_fails(Liveness::L8, &how);
        }
        if let Some(over) = sessions.iter().find(|s| s.backlog_len > bound) {
            let how = format!("{} bytes wait for client {:x}", over.backlog_len, over.session.0);
            self.liveness_fails(Liveness::L8, &how);
        }
    }

    fn liveness_fails(&mut self, rule: Liveness, how: &str) {
        let lines = self.last_lines();
        self.fail(Failure::Stuck(format!("{}\n{lines}", rule.broken(how))));
    }

    /// No engine is busy with a turn.
    pub fn nobody_is_at_work(&self) -> Result<(), String> {
        match self.nodes.iter().position(|n| n.busy_until > self.now) {
            Some(node) => Err(format!("n{} is at work", node + 1)),
            None => Ok(()),
        }
    }

    /// L1: every set of nodes that can hear each other is one ring. Where single links stay cut, no
    /// two rings could become one that is larger than each; a ring may well go on over a link that
    /// it does not need.
    pub fn settled(&self) -> Result<(), String> {
        let live = || self.nodes.iter().enumerate().filter(|(_, n)| n.runs());
        for (at, node) in live() {
            if node.leaving {
                return Err(Liveness::L1.broken(format!("node {} is about to leave", node.id)));
            }
            let Some((ring, members)) = &node.ring else {
                return Err(Liveness::L1.broken(format!("node {} is in no ring", node.id)));
            };
            // The ring of before stays what it is until a new one is about to be installed.
            if node.state != "operational" {
                let how = format!("node {} is in {}", node.id, node.state);
                return Err(Liveness::L1.broken(how));
            }
            for (other_at, other) in live() {
                let inside = members.contains(&other.process);
                let heard = !self.network.is_cut_for_good(at, other_at);
                let same = other.ring.as_ref().is_some_and(|(r, _)| r == ring);
                let together = match self.lasting {
                    Lasting::Links => inside,
                    Lasting::None | Lasting::Sets => heard,
                };
                if inside != together || same != together {
                    let list: Vec<String> = members.iter().map(ToString::to_string).collect();
                    let how = format!(
                        "node {} is in ring {ring} of [{}], node {} is not where it belongs",
                        node.id,
                        list.join(" "),
                        other.id
                    );
                    return Err(Liveness::L1.broken(how));
                }
            }
            if members.len()
                != members.iter().filter(|m| live().any(|(_, n)| n.process == **m)).count()
            {
                let how = format!("node {} is in ring {ring} with somebody who is gone", node.id);
                return Err(Liveness::L1.broken(how));
            }
        }
        if self.lasting == Lasting::Links { self.rings_are_as_large_as_can_be() } else { Ok(()) }
    }

    /// The rings of nodes that run.
    fn rings(&self) -> Vec<(RingId, Vec<usize>)> {
        let mut rings: BTreeMap<RingId, Vec<usize>> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, n)| n.runs()) {
            let ring = node.ring.as_ref().map(|(ring, _)| *ring).unwrap_or_default();
            rings.entry(ring).or_default().push(at);
        }
        rings.into_iter().collect()
    }

    fn is_bad(&self, a: usize, b: usize) -> bool {
        self.network.is_cut_for_good(a, b) || self.network.is_cut_for_good(b, a)
    }

    /// Pairs that cannot talk to each other within a ring, each twice: they find it when they have
    /// to.
    pub(crate) fn bad_links_in_rings(&self) -> usize {
        let of_ring = |of: &[usize]| {
            of.iter().map(|a| of.iter().filter(|b| self.is_bad(*a, **b)).count()).sum::<usize>()
        };
        self.rings().iter().map(|(_, of)| of_ring(of)).sum()
    }

    /// L1 where links stay bad, of what the network really is. What is larger than both rings has
    /// members of both.
    fn rings_are_as_large_as_can_be(&self) -> Result<(), String> {
        let rings = self.rings();
        let bad = |a, b| self.is_bad(a, b);
        for (index, (first, ours)) in rings.iter().enumerate() {
            for (second, theirs) in &rings[index + 1..] {
                let all: Vec<usize> = ours.iter().chain(theirs).copied().collect();
                let largest = cliques::largest(&all, bad);
                if largest > ours.len().max(theirs.len()) {
                    return Err(Liveness::L1.broken(format!(
                        "rings {first} and {second} of {} and {} could be one of {largest}",
                        ours.len(),
                        theirs.len()
                    )));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::options::Options;

    const SECOND: Duration = Duration::from_secs(1);

    fn settled(nodes: usize) -> Cluster {
        settle(Cluster::new(Options::quiet(nodes)))
    }

    fn settle(mut cluster: Cluster) -> Cluster {
        let nodes = cluster.nodes.len();
        (0..nodes).for_each(|node| cluster.boot(node));
        assert!(cluster.run_until(3 * SECOND, |c| c.settled().is_ok()));
        cluster
    }

    fn failure(cluster: &Cluster) -> String {
        cluster.failure().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn two_rings_where_one_should_be_are_l1() {
        let mut cluster = settled(4);
        cluster.partition(&[&[0, 1], &[2, 3]]);
        cluster.run_for(2 * SECOND);
        assert!(cluster.settled().unwrap_err().starts_with("L1"));
        for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
            cluster.network.cut_for_good(a, b);
        }
        assert_eq!(cluster.settled(), Ok(()), "they cannot hear each other");
    }

    #[test]
    fn a_token_that_rests_too_long_is_l2() {
        let mut cluster = settled(3);
        let installed = cluster.installed();
        cluster.judge.visits_on = true;
        cluster.run_for(2 * SECOND);
        assert_eq!(failure(&cluster), "");
        // Less than it takes to give it up.
        lose_tokens(&mut cluster, 100);
        cluster.run_for(SECOND);
        assert!(failure(&cluster).contains("L2"), "{}", failure(&cluster));
        assert!(failure(&cluster).contains("idle"), "{}", failure(&cluster));
        assert_eq!(cluster.installed(), installed);
    }

    #[test]
    fn a_token_that_rests_in_a_busy_ring_is_l2() {
        let group = anasazi_protocol::GroupId::of("g");
        let mut cluster = settled(3);
        let session = cluster.open_session(0);
        cluster.with_session(0, session, |s| s.join("g"));
        cluster.run_for(SECOND);
        let installed = cluster.installed();
        cluster.judge.visits_on = true;
        let speak = |cluster: &mut Cluster| {
            // So often that the token is always on its way with something new.
            for _ in 0..1_000 {
                cluster.with_session(0, session, |s| s.send(group, 100, true, false));
                cluster.run_for(Duration::from_micros(200));
            }
        };
        speak(&mut cluster);
        assert_eq!(failure(&cluster), "");
        // It is sent again after 10 ms: less than a rest, more than a rotation.
        lose_tokens(&mut cluster, 5);
        speak(&mut cluster);
        assert!(failure(&cluster).contains("busy"), "{}", failure(&cluster));
        assert_eq!(cluster.installed(), installed);
    }

    #[test]
    fn a_node_that_stops_for_a_moment_is_l2() {
        let mut cluster = settled(3);
        cluster.judge.visits_on = true;
        cluster.run_for(SECOND);
        cluster.pause(1);
        cluster.run_for(Duration::from_millis(100));
        cluster.resume(1);
        cluster.run_for(SECOND);
        assert!(failure(&cluster).contains("L2"), "{}", failure(&cluster));
    }

    /// For so many milliseconds no token arrives.
    fn lose_tokens(cluster: &mut Cluster, ms: u64) {
        let until = cluster.now + ms * 1_000_000;
        cluster.filter = Some(Box::new(move |p| p.now > until || p.kind() != "token"));
    }

    #[test]
    fn rings_that_come_and_go_are_l5() {
        let mut cluster = settled(3);
        cluster.judge_from_here();
        for _ in 0..3 {
            let cuts = cluster.partition(&[&[0], &[1, 2]]);
            cluster.run_for(SECOND);
            cluster.mend(&cuts);
            cluster.run_for(2 * SECOND);
        }
        assert!(cluster.few_changes().unwrap_err().starts_with("L5"));
    }

    #[test]
    fn a_sender_that_does_not_get_on_is_l6() {
        let group = anasazi_protocol::GroupId::of("g");
        let stuck = |sender: usize| {
            // They are more patient than they say.
            let mut cluster = Cluster::new(Options::quiet(2));
            cluster.configure = Some(Box::new(|_, c| c.timers.token_loss = 10 * SECOND));
            let mut cluster = settle(cluster);
            let session = cluster.open_session(sender);
            cluster.with_session(sender, session, |s| s.join("g"));
            cluster.run_for(SECOND);
            cluster.judge();
            cluster.judge.visits_on = true;
            cluster.pause(1 - sender);
            // The token goes there, and rests.
            cluster.run_for(Duration::from_millis(200));
            cluster.with_session(sender, session, |s| s.send(group, 100, true, false));
            cluster.run_for(SECOND);
            failure(&cluster).contains("L6")
        };
        // One of the two has the token when it is needed.
        assert!(stuck(0) || stuck(1));
    }
}
