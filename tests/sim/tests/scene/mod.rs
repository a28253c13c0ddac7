//! A cluster with one session per node in one group, for scenarios that read like stories.
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use anasazi_oracle::Summary;
use anasazi_protocol::{GroupId, SessionId};
use anasazi_sim::cluster::{Cluster, Passing};
use anasazi_sim::options::Options;

pub const GROUP: &str = "scene";

pub struct Scene {
    pub cluster: Cluster,
    /// The newest session of each node.
    pub sessions: Vec<SessionId>,
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn group() -> GroupId {
    GroupId::of(GROUP)
}

impl Scene {
    /// So many nodes in one ring, each with a member of the group.
    pub fn new(nodes: usize) -> Self {
        Self::with(Options::quiet(nodes))
    }

    pub fn with(options: Options) -> Self {
        let mut scene = Self { cluster: Cluster::new(options), sessions: Vec::new() };
        let nodes = scene.cluster.nodes.len();
        scene.sessions = vec![SessionId::default(); nodes];
        (0..nodes).for_each(|node| scene.cluster.boot(node));
        scene.settle(ms(3_000));
        (0..nodes).for_each(|node| scene.join(node));
        scene.rest(ms(1_000));
        scene
    }

    /// A new session on the node joins the group.
    pub fn join(&mut self, node: usize) {
        let session = self.cluster.open_session(node);
        self.cluster.with_session(node, session, |s| {
            s.keep = true;
            s.join(GROUP);
        });
        self.sessions[node] = session;
    }

    pub fn send(&mut self, node: usize, len: usize, safe: bool) {
        let session = self.sessions[node];
        self.cluster.with_session(node, session, |s| s.send(group(), len, safe, false));
    }

    /// Every live node sends so many messages, agreed and safe in turn.
    pub fn load(&mut self, messages: usize, len: usize) {
        for number in 0..messages {
            for node in 0..self.sessions.len() {
                self.send(node, len, number % 2 == 1);
            }
        }
    }

    pub fn run(&mut self, time: Duration) {
        self.cluster.run_for(time);
        self.expect_good();
    }

    /// All live nodes are in one ring within this time; says how long it took.
    pub fn settle(&mut self, limit: Duration) -> Duration {
        let start = self.cluster.now;
        let settled = self.cluster.run_until(limit, |c| c.settled().is_ok());
        self.expect_good();
        let missing = self.cluster.settled();
        assert!(settled, "{missing:?} after {limit:?}\n{}", self.cluster.last_lines());
        Duration::from_nanos(self.cluster.now - start)
    }

    /// Everything is delivered within this time.
    pub fn rest(&mut self, limit: Duration) {
        let rests = self.cluster.run_until(limit, |c| c.at_rest().is_ok());
        self.expect_good();
        let missing = self.cluster.at_rest();
        assert!(rests, "{missing:?} after {limit:?}\n{}", self.cluster.last_lines());
        assert_eq!(self.cluster.groups_agree(), Ok(()));
    }

    /// Loses what the filter does not let through.
    pub fn filter(&mut self, filter: impl FnMut(&Passing<'_>) -> bool + 'static) {
        self.cluster.filter = Some(Box::new(filter));
    }

    pub fn unfilter(&mut self) {
        self.cluster.filter = None;
    }

    pub fn expect_good(&self) {
        assert!(self.cluster.failure().is_none(), "{}", self.cluster.failure().unwrap());
    }

    /// Configurations installed so far, by all live nodes together.
    pub fn installed(&self) -> u64 {
        self.cluster.installed()
    }

    /// How many members of the group the node sees.
    pub fn members(&self, node: usize) -> usize {
        self.cluster.members_seen(node, group()).map_or(0, |m| m.len())
    }

    /// What a node's newest session got: senders and lengths.
    pub fn received(&self, node: usize) -> &[(anasazi_protocol::MemberId, usize)] {
        self.cluster.session(node, self.sessions[node]).map_or(&[], |s| &s.received)
    }

    pub fn stats(&self, node: usize) -> anasazi_protocol::Stats {
        self.cluster.nodes[node].core().map(|c| c.stats().clone()).unwrap_or_default()
    }

    /// Comes to rest, and the oracle judges all of it.
    pub fn end(mut self) -> Summary {
        self.settle(ms(10_000));
        self.rest(ms(10_000));
        let summary = self.cluster.finish(true).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(summary.undelivered, vec![], "accepted and never delivered");
        summary
    }
}
