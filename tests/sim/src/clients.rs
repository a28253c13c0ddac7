//! Clients of nodes: connections, chance, and hands of directed scenarios.

use anasazi_client::raw::RawSession;
use anasazi_engine::sys::socket;
use anasazi_protocol::{GroupId, MemberId, NodeId, SessionId};
use anasazi_queue::ring::CAPACITY_MIN;
use anasazi_queue::status::Status;
use anasazi_transport::Received;
use bytes::Bytes;

use crate::cluster::{Cluster, Happening};
use crate::session::Session;

/// A session's next deed comes at least this much later, in nanoseconds.
const PAUSE: u64 = 1_000;

impl Cluster {
    /// Opens a session on a running node.
    ///
    /// # Panics
    /// The node does not run, or turns the client away.
    pub fn open_session(&mut self, node: usize) -> SessionId {
        self.connect(node).unwrap_or_else(|what| panic!("n{}: {what}", node + 1))
    }

    /// Opens a session; the error says why there is none.
    pub(crate) fn connect(&mut self, node: usize) -> Result<SessionId, String> {
        let receive_len = 4 * self.options.message_len_max.next_power_of_two() as u32;
        let ring_len = receive_len.max(CAPACITY_MIN);
        let slow = self.options.traffic.draw_policy(&mut self.random);
        let n = &mut self.nodes[node];
        let turn = n.turn.as_mut().filter(|_| !n.paused).ok_or("no engine runs there")?;
        let system = |error: std::io::Error| format!("no session: {error}; see ulimit -n");
        let (near, far) = socket::pair().map_err(system)?;
        let raw = RawSession::greet(near, (ring_len, ring_len), slow).map_err(system)?;
        turn.accept(far, &n.watch, n.clock.read(self.now));
        let answer = raw.answer().ok_or("the engine says nothing")?;
        if answer.status != Status::OK.0 {
            let reason = String::from_utf8_lossy(&answer.reason);
            return Err(format!("turned away: {}", reason.trim_end_matches('\0')));
        }
        let session = SessionId(answer.session);
        let member = MemberId { node: NodeId(answer.node as u32), session };
        let mut session = Session::new(member, raw, n.watch.last_keys());
        (session.policy, session.idle_since) = (slow, self.now);
        session.lagged = self.options.tiny_backlog();
        let sleepers = self.options.traffic.sleepers;
        session.sleeps = sleepers > 0 && self.random.permille(sleepers);
        let outsiders = self.options.traffic.outsiders;
        session.is_outsider = outsiders > 0 && self.random.permille(outsiders);
        n.sessions.push(session);
        self.turn(node);
        Ok(member.session)
    }

    /// A session that is open.
    pub fn session(&self, node: usize, session: SessionId) -> Option<&Session> {
        self.nodes[node].sessions.iter().find(|s| s.member.session == session)
    }

    /// Lets a session do something, and the node take notice. Nothing happens if the session is
    /// gone.
    pub fn with_session(
        &mut self,
        node: usize,
        session: SessionId,
        deed: impl FnOnce(&mut Session),
    ) {
        let sessions = &mut self.nodes[node].sessions;
        if let Some(session) = sessions.iter_mut().find(|s| s.member.session == session) {
            deed(session);
        }
        self.served(node, session);
    }

    fn served(&mut self, node: usize, session: SessionId) {
        if self.serve_clients(node, Some(session)) {
            self.turn(node);
        }
    }

    /// A session does something by itself, and plans its next deed.
    pub(crate) fn act(&mut self, node: usize, session: SessionId) {
        if !self.traffic_on || self.nodes[node].leaving || self.options.without.mutes(node) {
            return;
        }
        let lens = (self.options.mtu, self.options.message_len_max);
        let paused = self.nodes[node].paused;
        let sessions = &mut self.nodes[node].sessions;
        let Some(acting) = sessions.iter_mut().find(|s| s.member.session == session) else {
            return;
        };
        acting.act(&mut self.random, &self.options.traffic, lens, !paused);
        let ends = acting.ending;
        self.served(node, session);
        let next = if ends { self.connect(node).ok() } else { Some(session) };
        if let Some(next) = next {
            self.plan_deed(node, next);
        }
    }

    /// Plans the next deed of a session.
    pub(crate) fn plan_deed(&mut self, node: usize, session: SessionId) {
        let time = self.random.around(self.options.traffic.interval_us * 1_000) + PAUSE;
        let life = self.nodes[node].life;
        self.plan_in(time, Happening::Act { node, life, session });
    }

    /// Something arrives at a node that nobody sent just now.
    pub fn inject(&mut self, from: usize, to: usize, multicast: bool, bytes: Bytes) {
        let from = self.nodes[from].address;
        self.receive(to, Received { from, multicast, bytes });
    }

    /// What the sessions of a node know of a group, if one of them is in it.
    pub fn members_seen(&self, node: usize, group: GroupId) -> Option<Vec<MemberId>> {
        let seen = self.nodes[node].sessions.iter().find_map(|s| s.members(group));
        seen.map(<[MemberId]>::to_vec)
    }
}
