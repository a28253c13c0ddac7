//! Sessions driven by hand, for directed scenarios.

use anasazi_protocol::{GroupId, Input, MemberId, SessionId};
use bytes::Bytes;

use crate::cluster::Cluster;
use crate::session::Session;

impl Cluster {
    /// Opens a session on a running node.
    pub fn open_session(&mut self, node: usize) -> SessionId {
        let opened = self.nodes[node].open_session();
        self.nodes[node].sessions[opened].member.session
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
        self.pump(node);
    }

    /// Something arrives at a node that nobody sent just now.
    pub fn inject(&mut self, from: usize, to: usize, multicast: bool, bytes: Bytes) {
        let from = self.nodes[from].address;
        self.feed(to, Input::Datagram { from, multicast, bytes });
    }

    /// What the sessions of a node know of a group, if one of them is in it.
    pub fn members_seen(&self, node: usize, group: GroupId) -> Option<Vec<MemberId>> {
        let seen = self.nodes[node].sessions.iter().find_map(|s| s.members(group));
        seen.map(<[MemberId]>::to_vec)
    }
}
