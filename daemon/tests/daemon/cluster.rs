//! Daemons of one cluster over loopback, which meet in domains, and programs at them.

use std::fmt::Write;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anasazi_client::{
    GroupHandle, OwnedEvent, Session, SessionOptions, SlowPolicy, SocketFile, Status,
};
use serde_json::Value;

use super::place::{Place, Running, WAIT_MAX, wait_until};

/// A domain: its name, its keys in TOML, and its nodes, with the ports that they have there.
pub(crate) struct Domain {
    name: &'static str,
    keys: &'static str,
    ports: Vec<(u32, u16)>,
}

impl Domain {
    pub(crate) fn new(name: &'static str, keys: &'static str, nodes: &[u32]) -> Self {
        let socket = |_: &u32| UdpSocket::bind("127.0.0.1:0").expect("a port");
        let sockets: Vec<_> = nodes.iter().map(socket).collect();
        let port = |of: &UdpSocket| of.local_addr().expect("an address").port();
        let ports = nodes.iter().copied().zip(sockets.iter().map(port)).collect();
        Self { name, keys, ports }
    }

    /// Its table in the configuration of one of its nodes.
    fn table(&self, node: u32) -> Option<String> {
        let (_, own) = self.ports.iter().find(|(id, _)| *id == node)?;
        let others = self.ports.iter().filter(|(id, _)| *id != node);
        let peers: Vec<_> = others.map(|(_, port)| format!("\"127.0.0.1:{port}\"")).collect();
        let Self { name, keys, .. } = self;
        Some(format!(
            "[domain.{name}]\n{keys}\ntransport.multicast = \"off\"\n\
             transport.bind = \"127.0.0.1:{own}\"\ntransport.peers = [{}]\n",
            peers.join(", ")
        ))
    }
}

/// What its nodes have in common.
pub(crate) struct Cluster {
    name: String,
    domains: Vec<Domain>,
}

impl Cluster {
    pub(crate) fn new(domains: Vec<Domain>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("daemons-{}-{number}", std::process::id()), domains }
    }

    /// Starts a node that is in those of the domains which name it. `tables`: more of its file.
    pub(crate) fn start(&self, id: u32, tables: &str) -> Node {
        let mut text = format!("cluster = \"{}\"\nnode.id = {id}\n", self.name);
        for table in self.domains.iter().filter_map(|domain| domain.table(id)) {
            text.push_str(&table);
        }
        write!(text, "{tables}").expect("text");
        let place = Place::new(&text);
        let mut node = Node { daemon: place.start(&mut place.command(&[])), place, id };
        node.daemon.wait_for_log("alone");
        assert!(node.daemon.child.try_wait().expect("a child").is_none());
        node
    }
}

/// A daemon, and its place.
pub(crate) struct Node {
    pub(crate) daemon: Running,
    pub(crate) place: Place,
    pub(crate) id: u32,
}

impl Node {
    pub(crate) fn program(&self) -> Program {
        let options = SessionOptions {
            send_ring_len: 4 << 20,
            receive_ring_len: 4 << 20,
            connect_timeout: WAIT_MAX,
            connect_async: false,
            slow: SlowPolicy::Disconnect,
        };
        let socket = Arc::new(SocketFile(self.place.path("anasazi.sock")));
        Program { session: Session::open(socket, options).expect("a session") }
    }

    /// Asks the daemon, as a program of its own.
    pub(crate) fn ask(&self, query: &str) -> Value {
        self.program().ask(&format!("{{\"query\":\"{query}\"}}"))
    }

    /// The only bridge of which it knows; null if there is none.
    pub(crate) fn bridge(&self) -> Value {
        self.ask("bridges")["bridges"][0].clone()
    }

    /// A domain as `anasazi domains` shows it.
    pub(crate) fn domain(&self, name: &str) -> Value {
        let domains = self.ask("domains")["domains"].clone();
        let all = domains.as_array().expect("domains");
        all.iter().find(|domain| domain["name"] == name).cloned().unwrap_or_default()
    }

    /// So many nodes are together there.
    pub(crate) fn wait_for_members(&self, domain: &str, count: u64) {
        wait_until(&format!("{count} nodes in {domain} at node {}", self.id), || {
            self.domain(domain)["ring"]["members"] == count
        });
    }

    /// Words are in its events.
    pub(crate) fn has_event(&self, words: &[&str]) -> bool {
        let events = self.ask("events")["events"].clone();
        let texts = events.as_array().expect("events").iter().filter_map(|of| of["text"].as_str());
        texts.into_iter().any(|text| words.iter().all(|word| text.contains(word)))
    }
}

/// A program at a daemon.
pub(crate) struct Program {
    session: Session,
}

impl Program {
    /// Joins, and waits until it is a member.
    pub(crate) fn join(&self, group: &str) -> GroupHandle {
        let handle = self.session.join(group, 0, 0).expect("a group");
        self.wait_for("the first view", |event| match event {
            OwnedEvent::View { group, .. } if group == handle => Some(()),
            _ => None,
        });
        handle
    }

    pub(crate) fn send(&self, group: GroupHandle, text: &str) {
        self.session.send(group, 4, &[text.as_bytes()], 0).expect("sent");
    }

    /// As [`send`](Self::send), as safe.
    pub(crate) fn send_safe(&self, group: GroupHandle, text: &str) {
        self.session.send(group, 5, &[text.as_bytes()], 0).expect("sent");
    }

    /// As [`send`](Self::send), if there is room.
    pub(crate) fn offer(&self, group: GroupHandle, text: &str) {
        let sent = self.session.send(group, 4, &[text.as_bytes()], 0);
        assert!(matches!(sent, Ok(()) | Err(Status::EAGAIN)), "{sent:?}");
    }

    /// Its number, as others see it.
    pub(crate) fn number(&self) -> u64 {
        self.session.identity().session
    }

    /// The next event, if one comes within that time.
    pub(crate) fn next(&self, within: Duration) -> Option<OwnedEvent> {
        match self.session.next_event(Some(within)).expect("it goes on") {
            Some(OwnedEvent::Closed { reason, .. }) => panic!("closed: {reason}"),
            event => event,
        }
    }

    /// What `find` makes of an event; those before are passed over.
    pub(crate) fn wait_for<R>(
        &self,
        what: &str,
        mut find: impl FnMut(OwnedEvent) -> Option<R>,
    ) -> R {
        let end = Instant::now() + WAIT_MAX;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.next(left).unwrap_or_else(|| panic!("waited in vain for {what}"));
            if let Some(found) = find(event) {
                return found;
            }
        }
    }

    pub(crate) fn ask(&self, request: &str) -> Value {
        let answer = self.session.query_blocking(request, WAIT_MAX);
        let answer = answer.unwrap_or_else(|failure| panic!("{request}: {failure:?}"));
        serde_json::from_str(&answer).expect("JSON")
    }
}
