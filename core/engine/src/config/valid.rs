//! The typed configuration, and the relations between its keys.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anasazi_protocol as protocol;

use super::error::{ConfigError, Problem};
use super::kind::{Kind, StreamAddress, Value};
use super::settings::{Effective, Settings};

/// A configuration that has been checked: every value is in range and they go together.
/// The key table says what each does; a field is named after its key.
#[derive(Clone, Debug)]
pub struct ValidConfig {
    /// Name of the cluster.
    pub cluster: String,
    /// `node.*`
    pub node: NodeConfig,
    /// `state.*`
    pub state: StateConfig,
    /// `transport.*`
    pub transport: TransportConfig,
    /// `ring.*`
    pub ring: RingConfig,
    /// `message.*`
    pub message: MessageConfig,
    /// `client.*`
    pub client: ClientConfig,
    /// `thread.*`
    pub thread: ThreadConfig,
    /// `log.*`
    pub log: LogConfig,
    /// `recorder.*`
    pub recorder: RecorderConfig,
    /// `trace.*`
    pub trace: TraceConfig,
    /// `connect.*`
    pub connect: ConnectConfig,
    /// `session.*`
    pub session: SessionConfig,
    effective: Vec<Effective>,
    warnings: Vec<String>,
}

/// The thread that drives an engine, unless that is a loop of its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadConfig {
    /// Processors on which it may run; empty: all.
    pub cpus: Vec<u32>,
    /// Real-time priority; 0: none.
    pub realtime_priority: u32,
    /// How long it looks for work before it sleeps.
    pub busy_poll: Duration,
}

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its number; `None`: drawn at random.
    pub id: Option<protocol::NodeId>,
    /// Its label; may be empty.
    pub name: String,
}

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateConfig {
    /// Directory of the state file; `None`: nothing is stored.
    pub dir: Option<PathBuf>,
}

/// Datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportConfig {
    /// Own address; port 0: any.
    pub bind: SocketAddr,
    /// Multicast group; `None`: off.
    pub multicast: Option<SocketAddr>,
    /// Interface for multicast; `None`: the one of `bind`.
    pub interface: Option<String>,
    /// Hops of multicast datagrams.
    pub multicast_ttl: u32,
    /// Nodes to look for by unicast.
    pub peers: Vec<SocketAddr>,
    /// Bytes of kernel buffer per socket.
    pub receive_buffer_len: usize,
    /// Bytes of kernel buffer per socket.
    pub send_buffer_len: usize,
    /// TCP connections between nodes, which end with them.
    pub liveness: bool,
    /// Bytes of UDP payload per datagram, without proof that they arrive.
    pub mtu: usize,
    /// Bytes of UDP payload per datagram to probe for.
    pub mtu_max: usize,
    /// Administrators may inject faults.
    pub allow_faults: bool,
}

/// Times and window of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// See [`protocol::Timers`], as with the other times here.
    pub token_loss: Duration,
    /// See there.
    pub token_repeat: Duration,
    /// See there.
    pub idle_rotate: Duration,
    /// See there.
    pub join_repeat: Duration,
    /// See there.
    pub consensus: Duration,
    /// See there.
    pub commit: Duration,
    /// See there.
    pub recovery: Duration,
    /// See there.
    pub beacon: Duration,
    /// See there.
    pub probation: Duration,
    /// Packets per round of the token.
    pub window: u32,
}

impl RingConfig {
    /// The times in the form in which the protocol takes them.
    pub fn timers(&self) -> protocol::Timers {
        protocol::Timers {
            token_loss: self.token_loss,
            token_repeat: self.token_repeat,
            idle_rotate: self.idle_rotate,
            join_repeat: self.join_repeat,
            consensus: self.consensus,
            commit: self.commit,
            recovery: self.recovery,
            beacon: self.beacon,
            probation: self.probation,
        }
    }
}

/// Messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageConfig {
    /// Largest, in bytes.
    pub len_max: usize,
}

/// The engine's side of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// Path of the socket; `None`: nobody connects from outside this process.
    pub listen: Option<PathBuf>,
    /// Where sessions come in as streams.
    pub listen_streams: Vec<StreamAddress>,
    /// Largest ring of such a session, in bytes.
    pub stream_ring_len_max: u32,
    /// Permission bits of the socket files.
    pub listen_mode: u32,
    /// Users who may connect, besides root and the engine's own.
    pub allow_uids: Vec<u32>,
    /// Groups whose members may connect.
    pub allow_gids: Vec<u32>,
    /// Sessions at the same time.
    pub sessions_max: usize,
    /// Bytes kept for a session that does not read.
    pub backlog_len: usize,
    /// `client.backlog_total`, in bytes.
    pub backlog_total: usize,
    /// How long a session may let the senders to its groups wait.
    pub hold_max: Duration,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, and levels of targets: `info,anasazi_engine=debug`.
    pub level: String,
}

/// What is kept for the case of a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderConfig {
    /// Where it is written; `None`: to the log.
    pub dir: Option<PathBuf>,
}

/// The event log that the oracle reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig {
    /// Appended to; `None`: not written.
    pub file: Option<PathBuf>,
}

/// Opening a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectConfig {
    /// How long it may take.
    pub timeout: Duration,
    /// `connect.async`: return at once.
    pub asynchronous: bool,
}

/// The program's side of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Bytes; a power of two.
    pub send_ring_len: u32,
    /// Bytes; a power of two.
    pub receive_ring_len: u32,
    /// `disconnect`, `throttle` or `gap`.
    pub slow_policy: String,
}

impl ValidConfig {
    /// Every key with its value and origin.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// What is allowed but probably not meant, in sentences.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let read = Reader(settings);
        let mut config = Self {
            cluster: read.text("cluster"),
            node: NodeConfig { id: read.node("node.id"), name: read.text("node.name") },
            state: StateConfig { dir: read.path("state.dir") },
            transport: read.transport(),
            ring: read.ring(),
            message: MessageConfig { len_max: read.integer("message.len_max") as usize },
            client: read.client(),
            thread: read.thread(),
            log: LogConfig { level: read.text("log.level") },
            recorder: RecorderConfig {
                dir: read.path("recorder.dir").or_else(|| read.path("state.dir")),
            },
            trace: TraceConfig { file: read.path("trace.file") },
            connect: ConnectConfig {
                timeout: read.duration("connect.timeout_ms"),
                asynchronous: read.boolean("connect.async"),
            },
            session: SessionConfig {
                send_ring_len: read.integer("session.send_ring_len") as u32,
                receive_ring_len: read.integer("session.receive_ring_len") as u32,
                slow_policy: read.text("session.slow_policy"),
            },
            effective: settings.effective(),
            warnings: Vec::new(),
        };
        ConfigError::unless_none(read.relations(&config))?;
        config.warnings = config.find_warnings();
        Ok(config)
    }

    fn find_warnings(&self) -> Vec<String> {
        let transport = &self.transport;
        let mut warnings = Vec::new();
        if transport.multicast.is_none() && transport.peers.is_empty() {
            warnings.push(
                "transport.multicast is off and transport.peers is empty: this node finds nobody, \
                 others must name it"
                    .to_owned(),
            );
        }
        if transport.bind.ip().is_loopback() {
            for peer in transport.peers.iter().filter(|peer| !peer.ip().is_loopback()) {
                warnings.push(format!(
                    "transport.bind is {}, from which the peer {peer} cannot be reached unless it \
                     is on this host",
                    transport.bind
                ));
            }
        }
        if transport.allow_faults {
            warnings.push(
                "transport.allow_faults is true: whoever may open a session can partition the \
                 cluster"
                    .to_owned(),
            );
        }
        let streams = self.client.listen_streams.iter();
        for open in streams.filter(|stream| matches!(stream, StreamAddress::Tcp(_))) {
            warnings.push(format!(
                "client.listen_streams: whoever reaches {open} can read and send everything; \
                 client.allow_uids and client.allow_gids are not for TCP"
            ));
        }
        if self.thread.realtime_priority > 0 && !self.thread.busy_poll.is_zero() {
            warnings.push(
                "thread.realtime_priority and thread.busy_poll_us are both set: while the engine's \
                 thread looks for work nothing else runs on its processor, which needs thread.cpus \
                 and a processor that nobody else is meant to use"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// Typed access to settings. Each was read by its kind, so a value of another type is a mistake in
/// the key table, which the tests of this module find.
struct Reader<'a>(&'a Settings);

impl Reader<'_> {
    fn transport(&self) -> TransportConfig {
        TransportConfig {
            bind: match self.value("transport.bind") {
                Value::Address(address) => *address,
                other => mistyped("transport.bind", other),
            },
            multicast: match self.value("transport.multicast") {
                Value::Address(address) => Some(*address),
                Value::Unset => None,
                other => mistyped("transport.multicast", other),
            },
            interface: Some(self.text("transport.interface")).filter(|name| !name.is_empty()),
            multicast_ttl: self.integer("transport.multicast_ttl") as u32,
            peers: match self.value("transport.peers") {
                Value::Addresses(list) => list.clone(),
                other => mistyped("transport.peers", other),
            },
            receive_buffer_len: self.integer("transport.receive_buffer_len") as usize,
            send_buffer_len: self.integer("transport.send_buffer_len") as usize,
            liveness: self.boolean("transport.liveness"),
            mtu: self.integer("transport.mtu") as usize,
            mtu_max: self.integer("transport.mtu_max") as usize,
            allow_faults: self.boolean("transport.allow_faults"),
        }
    }

    fn ring(&self) -> RingConfig {
        RingConfig {
            token_loss: self.duration("ring.token_loss_ms"),
            token_repeat: self.duration("ring.token_repeat_ms"),
            idle_rotate: self.duration("ring.idle_rotate_ms"),
            join_repeat: self.duration("ring.join_repeat_ms"),
            consensus: self.duration("ring.consensus_ms"),
            commit: self.duration("ring.commit_ms"),
            recovery: self.duration("ring.recovery_ms"),
            beacon: self.duration("ring.beacon_ms"),
            probation: self.duration("ring.probation_ms"),
            window: self.integer("ring.window") as u32,
        }
    }

    fn client(&self) -> ClientConfig {
        ClientConfig {
            listen: self.path("client.listen"),
            listen_streams: match self.value("client.listen_streams") {
                Value::Streams(list) => list.clone(),
                other => mistyped("client.listen_streams", other),
            },
            stream_ring_len_max: self.integer("client.stream_ring_len_max") as u32,
            listen_mode: self.integer("client.listen_mode") as u32,
            allow_uids: self.integers("client.allow_uids"),
            allow_gids: self.integers("client.allow_gids"),
            sessions_max: self.integer("client.sessions_max") as usize,
            backlog_len: self.integer("client.backlog_len") as usize,
            backlog_total: self.integer("client.backlog_total") as usize,
            hold_max: self.duration("client.hold_max_ms"),
        }
    }

    fn thread(&self) -> ThreadConfig {
        ThreadConfig {
            cpus: self.integers("thread.cpus"),
            realtime_priority: self.integer("thread.realtime_priority") as u32,
            busy_poll: Duration::from_micros(self.integer("thread.busy_poll_us")),
        }
    }

    /// What does not go together.
    fn relations(&self, config: &ValidConfig) -> Vec<Problem> {
        let TransportConfig { bind, multicast, peers, .. } = &config.transport;
        let mut problems = Vec::new();
        problems.extend(self.at_least("ring.token_loss_ms", 3, "ring.idle_rotate_ms"));
        problems.extend(self.at_least("ring.token_loss_ms", 3, "ring.token_repeat_ms"));
        problems.extend(self.at_least("transport.mtu_max", 1, "transport.mtu"));
        problems.extend(self.at_least("ring.consensus_ms", 10, "ring.join_repeat_ms"));
        problems.extend(self.at_least("session.send_ring_len", 4, "message.len_max"));
        problems.extend(self.at_least("session.receive_ring_len", 4, "message.len_max"));
        problems.extend(self.at_least("client.backlog_len", 1, "message.len_max"));
        if !config.client.listen_streams.is_empty() {
            problems.extend(self.at_least("client.stream_ring_len_max", 4, "message.len_max"));
        }
        problems.extend(self.at_least("client.backlog_total", 2, "client.backlog_len"));
        if let Some(group) = multicast.filter(|group| group.is_ipv4() != bind.is_ipv4()) {
            let example = if bind.is_ipv4() { "239.192.77.1:7745" } else { "[ff15::7745]:7745" };
            let text = format!(
                "{group} is {}, but {} is {}; allowed: a group such as \"{example}\", or \"off\"",
                version(&group),
                self.describe("transport.bind"),
                version(bind),
            );
            problems.push(self.problem("transport.multicast", text));
        }
        let shared = |stream: &StreamAddress| match stream {
            StreamAddress::Tcp(at) => {
                let same_ip = at.ip() == bind.ip() || at.ip().is_unspecified();
                bind.port() != 0 && at.port() == bind.port() && same_ip
            }
            StreamAddress::Unix(_) => false,
        };
        if config.transport.liveness && config.client.listen_streams.iter().any(shared) {
            let text = format!(
                "TCP port {} is that of the liveness connections, too ({}); allowed: another port, \
                 or transport.liveness = false",
                bind.port(),
                self.describe("transport.bind"),
            );
            problems.push(self.problem("client.listen_streams", text));
        }
        for peer in peers.iter().filter(|peer| peer.is_ipv4() != bind.is_ipv4()) {
            let text = format!(
                "{peer} is {}, but {} is {}; all nodes of a cluster use one IP version",
                version(peer),
                self.describe("transport.bind"),
                version(bind),
            );
            problems.push(self.problem("transport.peers", text));
        }
        problems
    }

    /// A problem unless `larger` is at least `factor` times `smaller`.
    fn at_least(
        &self,
        larger: &'static str,
        factor: u64,
        smaller: &'static str,
    ) -> Option<Problem> {
        let (have, base) = (self.integer(larger), self.integer(smaller));
        if have >= base * factor {
            return None;
        }
        let kind = |key| self.0.setting(key).key.kind;
        let show = |key, number| kind(key).show(&Value::Integer(number));
        let enough = match kind(larger) {
            Kind::Size { power_of_two: true, .. } => (base * factor).next_power_of_two(),
            _ => base * factor,
        };
        let times = if factor == 1 { String::new() } else { format!("{factor} times ") };
        let text = format!(
            "{} is too little; allowed: at least {times}{}, \
             so {} or more here, or {} or less there",
            show(larger, have),
            self.describe(smaller),
            show(larger, enough),
            show(smaller, have / factor),
        );
        Some(self.problem(larger, text))
    }

    fn problem(&self, key: &'static str, text: String) -> Problem {
        Problem::of_key(key, self.0.setting(key).origin.clone(), text)
    }

    /// A key with its value and origin.
    fn describe(&self, key: &'static str) -> String {
        let setting = self.0.setting(key);
        format!("{key} ({}, {})", setting.key.kind.show(&setting.value), setting.origin)
    }

    fn value(&self, key: &'static str) -> &Value {
        &self.0.setting(key).value
    }

    fn text(&self, key: &'static str) -> String {
        match self.value(key) {
            Value::Text(text) => text.clone(),
            other => mistyped(key, other),
        }
    }

    fn path(&self, key: &'static str) -> Option<PathBuf> {
        Some(self.text(key)).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    fn integer(&self, key: &'static str) -> u64 {
        match self.value(key) {
            Value::Integer(number) => *number,
            other => mistyped(key, other),
        }
    }

    fn integers(&self, key: &'static str) -> Vec<u32> {
        match self.value(key) {
            Value::Integers(list) => list.clone(),
            other => mistyped(key, other),
        }
    }

    fn boolean(&self, key: &'static str) -> bool {
        match self.value(key) {
            Value::Boolean(value) => *value,
            other => mistyped(key, other),
        }
    }

    fn duration(&self, key: &'static str) -> Duration {
        Duration::from_millis(self.integer(key))
    }

    fn node(&self, key: &'static str) -> Option<protocol::NodeId> {
        match self.value(key) {
            Value::Integer(number) => Some(protocol::NodeId(*number as u32)),
            Value::Unset => None,
            other => mistyped(key, other),
        }
    }
}

fn mistyped(key: &str, value: &Value) -> ! {
    unreachable!("{key} is read as a type that its kind does not give: {value:?}")
}

fn version(address: &SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}
