//! What expectations ask about a run.

use anasazi_protocol::{MemberId, SessionId};

use super::runner::Runner;
use super::words::{Client, Nodes};

impl Runner {
    pub(crate) fn each(
        &self,
        nodes: &Nodes,
        check: impl Fn(usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let nodes = nodes.of(self.cluster.nodes.len());
        nodes.iter().try_for_each(|n| check(*n).map_err(|e| format!("n{} {e}", n + 1)))
    }

    pub(crate) fn session(&self, client: &Client) -> Option<SessionId> {
        self.clients.get(client).copied()
    }

    pub(crate) fn member(&self, client: &Client) -> Option<MemberId> {
        let node = self.cluster.nodes[client.node].id;
        self.session(client).map(|session| MemberId { node, session })
    }

    pub(crate) fn received(&self, node: usize) -> &[(MemberId, usize)] {
        let session = self.session(&Client { node, name: String::new() });
        let session = session.and_then(|s| self.cluster.session(node, s));
        session.map_or(&[], |s| &s.received)
    }

    /// Of two clients that did not get the same: from where on, and what each got there.
    pub(crate) fn first_difference(&self, first: usize, other: usize) -> String {
        let (wanted, found) = (self.received(first), self.received(other));
        let at = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
        let one = |all: &[(MemberId, usize)]| match all.get(at) {
            Some((sender, len)) => format!("{len} bytes from {}", self.name(*sender)),
            None => "missing".to_owned(),
        };
        let (a, b) = (format!("n{}", first + 1), format!("n{}", other + 1));
        format!(
            "{b} got something else than {a}: message {} is {} at {a}, and {} at {b}; {a} got {} \
             in all, {b} {}",
            at + 1,
            one(wanted),
            one(found),
            wanted.len(),
            found.len()
        )
    }

    /// What the file calls a client.
    pub(crate) fn name(&self, member: MemberId) -> String {
        self.chronicle.borrow().client(member)
    }

    pub(crate) fn was_told(&self, node: usize, what: &str) -> bool {
        self.chronicle.borrow().was_told(node, what)
    }

    pub(crate) fn stat(&self, node: usize, name: &str) -> u64 {
        let core = self.cluster.nodes[node].core();
        let found = core.and_then(|c| c.stats().fields().find(|(known, _)| *known == name));
        found.map_or(0, |(_, value)| value)
    }

    /// What it was at the last `mark`, in the same life.
    pub(crate) fn marked(&self, node: usize, name: &str) -> u64 {
        let mark = &self.marks[node];
        let same = mark.life == self.cluster.nodes[node].life;
        mark.stats.get(name).copied().filter(|_| same).unwrap_or(0)
    }

    pub(crate) fn sent(&self, kind: &str) -> u64 {
        let now = self.post.borrow().sent.get(kind).copied().unwrap_or(0);
        now - self.sent.get(kind).copied().unwrap_or(0)
    }
}
