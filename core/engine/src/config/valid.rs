//! The typed configuration, and the relations between its keys.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anasazi_protocol as protocol;

use super::bridge::{self, BridgeConfig};
use super::domain;
use super::error::ConfigError;
use super::kind::StreamAddress;
use super::reader::Reader;
use super::settings::{Effective, Settings};
use crate::domains::DEFAULT_NAME;

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
    /// `seal.*`
    pub seal: SealConfig,
    /// `turn.weight`, of `default`
    pub weight: u32,
    /// `budget.*`, of `default`
    pub budget: BudgetConfig,
    /// `turn.thread`, of `default`
    pub has_thread: bool,
    /// `ring.*`
    pub ring: RingConfig,
    /// `contract.*`, of `default`
    pub contract: protocol::Contract,
    /// `message.*`
    pub message: MessageConfig,
    /// `client.*`
    pub client: ClientConfig,
    /// `access.*`
    pub access: AccessConfig,
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
    /// `domain.*`, by name; `default` is the top level.
    pub domains: Vec<DomainConfig>,
    /// `bridge.*`, by name.
    pub bridges: Vec<BridgeConfig>,
    /// What it was made of.
    settings: Settings,
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

/// One domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainConfig {
    /// What it is called.
    pub name: String,
    /// What it is known by to the other nodes of the cluster, by which it is not mixed up with any
    /// other one.
    pub number: u64,
    /// `domain.NAME.transport.*`
    pub transport: TransportConfig,
    /// `domain.NAME.seal.*`
    pub seal: SealConfig,
    /// `domain.NAME.turn.weight`: batches of datagrams in a row.
    pub weight: u32,
    /// `domain.NAME.budget.*`
    pub budget: BudgetConfig,
    /// `domain.NAME.turn.thread`: a thread of its own.
    pub has_thread: bool,
    /// `domain.NAME.ring.*`
    pub ring: RingConfig,
    /// `domain.NAME.contract.*`
    pub contract: protocol::Contract,
    /// `domain.NAME.trace.*`
    pub trace: TraceConfig,
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
    /// Differentiated services code point.
    pub dscp: u8,
    /// Administrators may inject faults.
    pub allow_faults: bool,
}

/// What protects datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealConfig {
    /// What a seal does; `None`: there is none, but a checksum.
    pub mode: Option<anasazi_seal::Mode>,
    /// The keys.
    pub key_file: Option<PathBuf>,
}

/// What a domain may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetConfig {
    /// Bytes of messages a second; 0: any number.
    pub send_len_per_s: u64,
    /// Bytes that wait for the token.
    pub queue_len: usize,
    /// Bytes kept for all its sessions that do not read; `None`: no bound of its own.
    pub backlog_len: Option<usize>,
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

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// Its rules; `None`: whoever may open a session may do everything.
    pub file: Option<PathBuf>,
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

    /// What a domain is known by to the other nodes, whether this engine has it or not.
    pub(crate) fn domain_number(&self, name: &str) -> u64 {
        match name {
            DEFAULT_NAME => protocol::hash64(self.cluster.as_bytes()),
            name => domain::number(&self.cluster, name),
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is allowed but probably not meant, in sentences.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// All domains: `default`, which is the top level, and those that are named.
    pub fn all_domains(&self) -> Vec<DomainConfig> {
        let default = DomainConfig {
            name: DEFAULT_NAME.to_owned(),
            number: self.domain_number(DEFAULT_NAME),
            transport: self.transport.clone(),
            seal: self.seal.clone(),
            weight: self.weight,
            budget: self.budget.clone(),
            has_thread: self.has_thread,
            ring: self.ring.clone(),
            contract: self.contract,
            trace: self.trace.clone(),
        };
        std::iter::once(default).chain(self.domains.iter().cloned()).collect()
    }

    /// `are_there`: domains that bridges name must be among those of the configuration.
    pub(super) fn new(settings: &Settings, are_there: bool) -> Result<Self, ConfigError> {
        let read = Reader::top(settings);
        let mut config = Self {
            cluster: read.text("cluster"),
            node: NodeConfig { id: read.node("node.id"), name: read.text("node.name") },
            state: StateConfig { dir: read.path("state.dir") },
            transport: read.transport(),
            seal: read.seal(),
            weight: read.weight(),
            budget: read.budget(),
            has_thread: read.has_thread(),
            ring: read.ring(),
            contract: read.contract(),
            message: MessageConfig { len_max: read.integer("message.len_max") as usize },
            client: read.client(),
            access: AccessConfig { file: read.path("access.file") },
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
            domains: Vec::new(),
            bridges: Vec::new(),
            settings: settings.clone(),
            effective: settings.effective(),
            warnings: Vec::new(),
        };
        ConfigError::unless_none(read.relations(&config))?;
        config.domains = domain::read_all(settings, &config)?;
        config.bridges = bridge::read_all(settings, &config, are_there)?;
        config.warnings = config.find_warnings();
        Ok(config)
    }

    fn find_warnings(&self) -> Vec<String> {
        let mut warnings = self.transport.find_warnings("");
        warnings.extend(self.seal.find_warnings("", &self.transport));
        for domain in &self.domains {
            let prefix = format!("domain.{}.", domain.name);
            warnings.extend(domain.transport.find_warnings(&prefix));
            warnings.extend(domain.seal.find_warnings(&prefix, &domain.transport));
        }
        let streams = self.client.listen_streams.iter();
        let is_open = |stream: &&StreamAddress| {
            matches!(stream, StreamAddress::Tcp(_)) && self.access.file.is_none()
        };
        for open in streams.filter(is_open) {
            warnings.push(format!(
                "client.listen_streams: whoever reaches {open} can read and send everything; \
                 client.allow_uids and client.allow_gids are not for TCP, rules (access.file) are"
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

impl SealConfig {
    fn find_warnings(&self, prefix: &str, transport: &TransportConfig) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.mode.is_none() && !transport.bind.ip().is_loopback() {
            warnings.push(format!(
                "{prefix}seal.mode is \"checksum\": whoever reaches the network of {} can read \
                 what is sent, and be a member",
                transport.bind
            ));
        }
        if let (None, Some(file)) = (self.mode, &self.key_file) {
            warnings.push(format!(
                "{prefix}seal.key_file is {}, and {prefix}seal.mode is \"checksum\", so that the \
                 keys are not used",
                file.display()
            ));
        }
        warnings
    }
}

impl TransportConfig {
    /// `prefix`: what stands before the names of its keys.
    fn find_warnings(&self, prefix: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.multicast.is_none() && self.peers.is_empty() {
            warnings.push(format!(
                "{prefix}transport.multicast is off and {prefix}transport.peers is empty: this \
                 node finds nobody, others must name it"
            ));
        }
        if self.bind.ip().is_loopback() {
            for peer in self.peers.iter().filter(|peer| !peer.ip().is_loopback()) {
                warnings.push(format!(
                    "{prefix}transport.bind is {}, from which the peer {peer} cannot be reached \
                     unless it is on this host",
                    self.bind
                ));
            }
        }
        if self.allow_faults {
            warnings.push(format!(
                "{prefix}transport.allow_faults is true: root and the engine's own user can \
                 partition the cluster"
            ));
        }
        warnings
    }
}
