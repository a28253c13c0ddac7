//! Every key that there is. The key reference in docs/OPERATIONS.md and the example file are
//! generated from this table; a test fails when they differ.

use anasazi_protocol::limits;
use anasazi_queue::ring;
use anasazi_seal::OVERHEAD_LEN;

use super::kind::{Kind, SOCKET_PATH_LEN_MAX};

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted name: table, then key.
    pub name: &'static str,
    /// Type and range.
    pub kind: Kind,
    /// Default, as a program would set it.
    pub default: &'static str,
    /// Default of the daemon, where it differs.
    pub daemon_default: Option<&'static str>,
    /// When a change is noticed.
    pub takes_effect: TakesEffect,
    /// What it does, in whole sentences.
    pub effect: &'static str,
    /// What a wrong value breaks; empty if nothing does.
    pub danger: &'static str,
}

/// When a changed value is noticed. No key changes a running engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesEffect {
    /// When the engine starts.
    EngineStart,
    /// When a session is opened: a key for the connecting program, not for the daemon.
    Connect,
}

impl Key {
    /// The key of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The table that the key is in; empty for the top level.
    pub fn table(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(table, _)| table)
    }

    /// The name within its table.
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, name)| name)
    }
}

/// Bytes of UDP payload that every network carries (RFC 9000, section 14): room for the smallest
/// datagram of the protocol, and its seal.
const PAYLOAD_LEN_MIN: u64 = (limits::MTU_MIN + OVERHEAD_LEN) as u64;

/// The most of [`crate::turn`]'s rounds that a domain may have in a row.
const WEIGHT_MAX: u64 = 16;

/// All keys, table by table.
pub const KEYS: &[Key] = &[
    Key {
        kind: Kind::Text { len_min: 1, len_max: 64 },
        effect: "Name of the cluster. Only nodes with the same name talk to each other; datagrams \
                 of other clusters are counted and dropped.",
        danger: "A node with another name forms a cluster of its own, without an error.",
        ..key("cluster", "anasazi")
    },
    Key {
        kind: Kind::Node,
        effect: "Number of this node, different on every node. With \"random\" it is drawn at \
                 the first start, and kept if there is a state directory.",
        danger: "Two nodes with one number: both report it and the newer one does not get in.",
        ..key("node.id", "random")
    },
    Key {
        kind: Kind::Text { len_min: 0, len_max: 64 },
        effect: "Label of this node in logs and in the console. It has no other meaning.",
        ..key("node.name", "")
    },
    Key {
        kind: Kind::Path { len_max: 4_000 },
        effect: "Directory for the state file: node number, incarnation, highest ring number. \
                 Empty: nothing is stored and the clock provides the incarnation. Under the \
                 systemd unit the default is the unit's state directory.",
        danger: "Two engines must not share one directory. Without storage, a clock that was set \
                 back across a restart makes this node older than it was: if others can tell it \
                 so it begins again above that, otherwise they turn it away when they meet.",
        ..key("state.dir", "")
    },
    Key {
        kind: Kind::Address,
        effect: "Address and UDP port of this node, at which the other nodes reach it. The \
                 default talks to this host only; any other one needs a key file, or seal.mode.",
        danger: "A port that is not fixed (0) cannot be named in a firewall or by \
                 transport.peers.",
        ..key("transport.bind", "127.0.0.1:0")
    },
    Key {
        kind: Kind::Multicast,
        effect: "Multicast group over which nodes find each other and send data; the same on \
                 every node and of the same IP version as transport.bind. Where the network has \
                 no multicast, or with \"off\", data goes to each node by unicast.",
        danger: "With \"off\", nodes find each other through transport.peers only.",
        ..key("transport.multicast", "239.192.77.1:7745")
    },
    Key {
        kind: Kind::Interface,
        effect: "Network interface for multicast. Empty: the one that has the address of \
                 transport.bind.",
        ..key("transport.interface", "")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 255, unit: "hops" },
        effect: "How many routers a multicast datagram may pass, plus one. 1 stays on the local \
                 network, 0 on this host.",
        danger: "Above 1, every network that multicast is routed to gets the data.",
        ..key("transport.multicast_ttl", "1")
    },
    Key {
        kind: Kind::Peers,
        effect: "Nodes to look for by unicast, by their transport.bind. Needed where multicast \
                 does not reach them; it is enough that each node is named by one other.",
        ..key("transport.peers", "")
    },
    Key {
        kind: Kind::Size { min: 64 << 10, max: 256 << 20, power_of_two: false },
        effect: "Receive buffer asked of the kernel per UDP socket. The kernel grants at most \
                 net.core.rmem_max, unless the daemon has CAP_NET_ADMIN.",
        danger: "Too small: bursts are lost and have to be sent again.",
        ..key("transport.receive_buffer_len", "4 MiB")
    },
    Key {
        kind: Kind::Size { min: 64 << 10, max: 256 << 20, power_of_two: false },
        effect: "Send buffer asked of the kernel per UDP socket, at most net.core.wmem_max.",
        ..key("transport.send_buffer_len", "4 MiB")
    },
    Key {
        kind: Kind::Boolean,
        effect: "Each node keeps a TCP connection to each other one, from and to the port that \
                 has the number of transport.bind, and says nothing over it: when a process ends, \
                 its host closes them, and the others know at once.",
        danger: "Without them (false, or a firewall) they know when their datagrams are answered \
                 by \"port unreachable\", which hosts say seldom, or when the token is lost.",
        ..key("transport.liveness", "true")
    },
    Key {
        kind: Kind::Integer {
            min: PAYLOAD_LEN_MIN,
            max: limits::MTU_MAX as u64,
            unit: "bytes of UDP payload",
        },
        effect: "Datagram size that is used without proof that the network carries it. 1400 fits \
                 Ethernet, also through most tunnels. What is larger is found by probing, up to \
                 transport.mtu_max.",
        danger: "Larger than the network carries: datagrams are fragmented or lost, and rings \
                 form and break again. The smallest value in the cluster must fit every path.",
        ..key("transport.mtu", "1400")
    },
    Key {
        kind: Kind::Integer {
            min: PAYLOAD_LEN_MIN,
            max: limits::MTU_MAX as u64,
            unit: "bytes of UDP payload",
        },
        effect: "Largest datagram size to probe for. The members of a ring try how much the paths \
                 between them carry unfragmented, and use what all of them do: the network's MTU \
                 less 28 bytes for IPv4, 48 for IPv6. At least transport.mtu; equal to it, \
                 nothing is probed.",
        ..key("transport.mtu_max", "8900")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 63, unit: "a code point" },
        effect: "Differentiated services code point (RFC 2474) of all datagrams: by it switches \
                 and routers prefer one domain's traffic, if they are told to. 46 is what they \
                 know as expedited, 8 as what may wait.",
        danger: "A network may drop what claims more than is granted.",
        ..key("transport.dscp", "0")
    },
    Key {
        kind: Kind::Boolean,
        effect: "Lets administrators cut links and drop datagrams on purpose (isolate, heal, \
                 loss). For tests and demonstrations.",
        danger: "Never true in production: root and the engine's own user can partition the \
                 cluster.",
        ..key("transport.allow_faults", "false")
    },
    Key {
        kind: Kind::Word(&["auto", "aead", "integrity", "checksum"]),
        effect: "What protects datagrams. aead: who has no key can neither read nor make nor \
                 repeat them. integrity: anybody can read them. checksum: only bit rot is found. \
                 auto: aead if there is a key file, else checksum, on addresses of this host only.",
        danger: "With \"checksum\" whoever reaches the network can be a member. Must \
                 be equal on all nodes: those with another one do not understand each other.",
        ..key("seal.mode", "auto")
    },
    Key {
        kind: Kind::Path { len_max: 4_000 },
        effect: "File with the keys of the cluster, made by `anasazi key generate`; the same on \
                 all nodes. The first key in it seals when the engine starts; all of them open.",
        danger: "Whoever can read it can be a member. The engine takes none that others than its \
                 owner and its group can read.",
        ..key("seal.key_file", "")
    },
    Key {
        kind: Kind::Integer { min: 1, max: WEIGHT_MAX, unit: "batches of datagrams" },
        effect: "How much of the engine's time a domain gets beside others while all have much to \
                 do: so many batches of datagrams are taken in before it is another one's turn.",
        danger: "A domain with many times the weight of another one makes that slow while it is \
                 flooded itself.",
        ..key("turn.weight", "1")
    },
    Key {
        kind: Kind::Boolean,
        effect: "The domain has a thread of its own, which takes in and sends its datagrams and \
                 keeps its times: neither other domains nor sessions, nor a program that does not \
                 drive its engine for a while, make it late. Sessions stay in the engine's thread. \
                 Without it, the engine's thread does all of this.",
        danger: "Each such thread wants a processor while it has much to do: with more of them \
                 than processors, they take turns as the system sees fit. A message takes a \
                 wake-up more on its way to a session.",
        ..key("turn.thread", "false")
    },
    Key {
        kind: Kind::Size { min: 0, max: 1 << 40, power_of_two: false },
        effect: "Bytes of messages that programs of this node may send in a second. What is over \
                 that waits in their send rings (ANZ_EAGAIN), and what they do after it, too. 0: \
                 no bound.",
        danger: "Headers and repeated packets come on top, and without multicast a copy for each \
                 member. After one message that is long for it, all of this node's programs wait, \
                 and others see late that one of them joins, leaves or ends.",
        ..key("budget.send_len_per_s", "0")
    },
    Key {
        kind: Kind::Size { min: 64 << 10, max: 1 << 30, power_of_two: false },
        effect: "Memory for messages of this node that wait for the token. Beyond it they stay in \
                 the send rings of programs. One message may exceed it.",
        danger: "Longer: more waits before what is sent now, also while a ring is formed.",
        ..key("budget.queue_len", "8 MiB")
    },
    Key {
        kind: Kind::Size { min: 0, max: 1 << 40, power_of_two: false },
        effect: "What the engine keeps for all sessions that do not read, of one domain. Beyond it \
                 the one that most of it is kept for is ended as slow in that domain, so that a \
                 domain's slow readers cost no other domain's anything; in default that ends the \
                 session, with all of its domains. 0: no bound but client.backlog_total.",
        danger: "Memory, per domain. Less than client.backlog_len: no session comes that far.",
        ..key("budget.backlog_len", "0")
    },
    Key {
        kind: milliseconds(20, 60_000),
        effect: "Without the token for this long, the ring is formed anew: the time in which a \
                 dead node is noticed. At least three times ring.idle_rotate_ms and three times \
                 ring.token_repeat_ms.",
        danger: "Shorter than a pause of the scheduler or the network: healthy nodes are thrown \
                 out and come back. Should be equal on all nodes, as should the other times here \
                 but beacon and probation; in domains other than default nodes with other ones \
                 form no ring with each other.",
        ..key("ring.token_loss_ms", "250")
    },
    Key {
        kind: milliseconds(1, 10_000),
        effect: "A token that was passed on and of which nothing was heard since is sent again \
                 after this time at the latest: sooner where it goes round quickly, after four of \
                 the quickest rotations of the last half minute or two of the last one, whichever \
                 is longer, but not before an eighth of this time. Each further wait is twice \
                 as long, up to four times this time. A parked token is asked for alike.",
        danger: "Shorter than a round trip: every token is sent twice.",
        ..key("ring.token_repeat_ms", "10")
    },
    Key {
        kind: milliseconds(1, 10_000),
        effect: "How often the token goes round while nobody sends.",
        danger: "Shorter costs processor time when idle; longer needs a longer \
                 ring.token_loss_ms.",
        ..key("ring.idle_rotate_ms", "60")
    },
    Key {
        kind: milliseconds(1, 10_000),
        effect: "While nodes agree on who is there, each repeats its view this often.",
        ..key("ring.join_repeat_ms", "15")
    },
    Key {
        kind: milliseconds(10, 60_000),
        effect: "While nodes agree on who is there, one that was not heard for this long is left \
                 out. At least ten times ring.join_repeat_ms.",
        danger: "Shorter than a pause of the network: a node is left out and a second change \
                 follows.",
        ..key("ring.consensus_ms", "150")
    },
    Key {
        kind: milliseconds(10, 60_000),
        effect: "Forming a ring that takes longer than this is given up and begun again.",
        ..key("ring.commit_ms", "150")
    },
    Key {
        kind: milliseconds(50, 600_000),
        effect: "Exchanging missing messages after a change is given up when it makes no \
                 progress for this long.",
        ..key("ring.recovery_ms", "1000")
    },
    Key {
        kind: milliseconds(50, 600_000),
        effect: "How often a ring calls for other rings, so that the parts of a healed network \
                 merge; five times as often for five intervals after a change.",
        danger: "Longer delays merges by as much; those with nodes that are lost again and again, \
                 or after a merge that failed, by up to five intervals.",
        ..key("ring.beacon_ms", "1000")
    },
    Key {
        kind: milliseconds(0, 60_000),
        effect: "At start, how long to listen for another node with the same number.",
        danger: "0 skips the check.",
        ..key("ring.probation_ms", "100")
    },
    Key {
        kind: Kind::Integer { min: 1, max: limits::WINDOW_MAX as u64, unit: "packets" },
        effect: "Packets that all nodes together may send in one round of the token.",
        danger: "More than receive buffers hold: packets are lost and sent again. Less lowers \
                 throughput.",
        ..key("ring.window", "512")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 60_000_000, unit: "microseconds" },
        effect: "Longest round trip between members of this domain, as they measure it. Whoever \
                 is above it is not let in, or demoted. 0: no bound; a domain without any bound \
                 is measured for people only. A contract is of one domain: others do not have it, \
                 too.",
        danger: "A bound that the network cannot meet keeps nodes apart: each is told why. All \
                 of contract.* must be equal on all nodes: others form no ring with this one.",
        ..key("contract.round_trip_us", "0")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 60_000_000, unit: "microseconds" },
        effect: "How much longer the token may take through a member than straight past it, from \
                 the one before it to the one after it. 0: no bound.",
        danger: "Includes what a member sends at a visit (ring.window packets at most) and its \
                 links: a member that is far away is above it, too.",
        ..key("contract.hold_us", "0")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 1_000_000, unit: "packets of a million" },
        effect: "Share of the packets that may have to be sent again because of a member: because \
                 it did not get them, or because they were its own and got lost. 0: no bound.",
        ..key("contract.loss_ppm", "0")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 60_000, unit: "milliseconds" },
        effect: "For how long a member may lack what the others have been given. 0: no bound.",
        ..key("contract.lag_ms", "0")
    },
    Key {
        kind: Kind::Integer { min: 100, max: 3_600_000, unit: "milliseconds" },
        effect: "For how long a member may be above a bound, most of the time, before it is \
                 demoted: all others go on without it in this domain.",
        danger: "Short: a member goes for what would have passed.",
        ..key("contract.patience_ms", "10000")
    },
    Key {
        kind: Kind::Integer { min: 100, max: 86_400_000, unit: "milliseconds" },
        effect: "How long a member stays out that was demoted; twice as long each time. After \
                 that it is taken back as soon as it keeps the contract.",
        ..key("contract.readmit_ms", "30000")
    },
    Key {
        kind: Kind::Integer { min: 100, max: 86_400_000, unit: "milliseconds" },
        effect: "How long it stays out at most.",
        ..key("contract.readmit_max_ms", "600000")
    },
    Key {
        kind: Kind::Size { min: 1 << 10, max: MESSAGE_LEN_MAX, power_of_two: false },
        effect: "Largest message that sessions may send. A quarter of the session rings at most.",
        danger: "A node with a lower limit still receives what the others send: set it equal on \
                 all nodes.",
        ..key("message.len_max", "1 MiB")
    },
    Key {
        kind: Kind::Path { len_max: SOCKET_PATH_LEN_MAX },
        daemon_default: Some("/run/anasazi/anasazi.sock"),
        effect: "Socket at which programs open sessions. Empty: none.",
        danger: "Programs look for a daemon at the default path; another one must be given to \
                 them as shm:PATH.",
        ..key("client.listen", "")
    },
    Key {
        kind: Kind::Streams,
        effect: "Where programs open sessions without sharing memory: sockets in the file system, \
                 whose users are checked as those of client.listen are, and TCP ports. Programs \
                 name them by the same URLs.",
        danger: "Over TCP nobody knows who it is, and nothing is encrypted: without rules \
                 (access.file) whoever reaches the port can read and send everything in every \
                 group, and take all of client.sessions_max. Bind it to a loopback address, or to \
                 a network on which everybody may.",
        ..key("client.listen_streams", "")
    },
    Key {
        kind: Kind::Size { min: RING_LEN_MIN, max: RING_LEN_MAX, power_of_two: false },
        effect: "Largest ring that a session may ask for over a stream: such a session has rings \
                 at both ends, and those here are in the daemon's memory. At least four times \
                 message.len_max.",
        danger: "Memory: two rings for each such session.",
        ..key("client.stream_ring_len_max", "16 MiB")
    },
    Key {
        kind: Kind::Mode,
        effect: "Permission bits of the socket files. Who may open a session is decided by this \
                 and by client.allow_uids and client.allow_gids, both.",
        ..key("client.listen_mode", "0660")
    },
    Key {
        kind: Kind::Ids,
        effect: "Users (by number) who may open sessions, besides root and the user of the \
                 daemon.",
        danger: "They can read and send everything in every group, but for what a rule of \
                 access.file denies.",
        ..key("client.allow_uids", "")
    },
    Key {
        kind: Kind::Ids,
        effect: "Groups (by number) whose members may open sessions, besides the group of the \
                 daemon, unless that is root's.",
        danger: "They can read and send everything in every group, but for what a rule of \
                 access.file denies.",
        ..key("client.allow_gids", "")
    },
    Key {
        kind: Kind::Integer { min: 1, max: 16_384, unit: "sessions" },
        effect: "Sessions open at the same time; further ones are refused.",
        danger: "Each takes four file descriptors, over a stream nine, and as many again for each \
                 further domain that it uses: raise LimitNOFILE with it.",
        ..key("client.sessions_max", "1024")
    },
    Key {
        kind: Kind::Size { min: 1 << 20, max: 4 << 30, power_of_two: false },
        effect: "What the engine keeps for a session that does not read, behind what comes next \
                 for it; in each domain, where that ends the session's groups of that domain only. \
                 Beyond it the session is closed as slow, unless it chose otherwise \
                 (session.slow_policy). At least message.len_max.",
        danger: "Memory, per slow session.",
        ..key("client.backlog_len", "64 MiB")
    },
    Key {
        kind: Kind::Size { min: 1 << 20, max: 1 << 40, power_of_two: false },
        effect: "What the engine keeps for all sessions that do not read, together. Beyond it \
                 the session that most of it is kept for is closed as slow, whatever it chose. At \
                 least twice client.backlog_len.",
        danger: "Memory, of the whole engine; too little of it and one slow session ends another.",
        ..key("client.backlog_total", "1 GiB")
    },
    Key {
        kind: milliseconds(0, 600_000),
        effect: "How long a session that chose to throttle may let the senders to its groups \
                 wait without reading anything. Then it is closed as slow. 0: no session may \
                 choose that.",
        danger: "A program that stands still stops its groups at all nodes for so long.",
        ..key("client.hold_max_ms", "10000")
    },
    Key {
        kind: Kind::Path { len_max: 4_000 },
        effect: "File of rules: who may connect, join, send to or query which groups. It is read \
                 at the start, and again by `anasazi access reload`. Empty: no rules, and whoever \
                 may open a session may do everything with it but act. See Access rules.",
        danger: "With rules nobody is let in over TCP whom no rule allows that. Whoever may write \
                 the file decides who may do what; the user of the engine must be able to read it.",
        ..key("access.file", "")
    },
    Key {
        kind: Kind::Ids,
        effect: "Processors, by number, on which the engine's thread may run: the daemon's, or the \
                 thread that runs an engine of its own program; not a loop of that program which \
                 calls the engine, here and with the other thread.* keys. So may the threads of \
                 domains that have their own (turn.thread). Empty: all.",
        danger: "A processor that others keep busy holds up the token, and so everybody.",
        ..key("thread.cpus", "")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 99, unit: "" },
        effect: "Real-time priority of the engine's thread (SCHED_RR); 0: none. Messages of a few \
                 senders arrive sooner on a busy machine.",
        danger: "The programs of this machine, clients too, only run when the engine has nothing \
                 to do: under floods of messages they may not read fast enough, and are cut off.",
        ..key("thread.realtime_priority", "0")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 1_000_000, unit: "microseconds" },
        effect: "How long the engine's thread looks for work without sleeping, each time that it \
                 has none; 0: not at all. Saves the time that it takes to wake up.",
        danger: "It takes as much of a processor: use it where the engine has one for itself.",
        ..key("thread.busy_poll_us", "0")
    },
    Key {
        kind: Kind::LogFilter,
        effect: "What is logged: a level, or levels by part of the program, such as \
                 \"info,anasazi_engine=debug\". The variable ANASAZI_LOG overrides it.",
        danger: "trace writes lines for every datagram.",
        ..key("log.level", "info")
    },
    Key {
        kind: Kind::Path { len_max: 4_000 },
        effect: "Directory for the flight recorder: what the node was given last, written when \
                 an invariant breaks, which is a bug, before the engine stops. Empty: state.dir; \
                 without that, and where it cannot be written, a temporary file. The engine's \
                 last message names the file.",
        ..key("recorder.dir", "")
    },
    Key {
        kind: Kind::Path { len_max: 4_000 },
        effect: "File to which this node appends what it did, one JSON object a line, for \
                 `anasazi trace check`: it judges the files of all nodes by the promises of \
                 PROTOCOL.md. Empty: none. What the disk cannot take in time is left out, and \
                 the file says so; the engine never waits for it.",
        danger: "About 1 KiB a message and node: the disk fills within hours under load, and \
                 throughput is a fraction of what it is without. For tests and for hunting \
                 faults. Each node needs a file of its own.",
        ..key("trace.file", "")
    },
    Key {
        kind: milliseconds(1, 600_000),
        takes_effect: TakesEffect::Connect,
        effect: "How long opening a session may take.",
        ..key("connect.timeout_ms", "5000")
    },
    Key {
        kind: Kind::Boolean,
        takes_effect: TakesEffect::Connect,
        effect: "Opening a session returns at once; an event tells when it is open or why not.",
        ..key("connect.async", "false")
    },
    Key {
        kind: Kind::Size { min: RING_LEN_MIN, max: RING_LEN_MAX, power_of_two: true },
        takes_effect: TakesEffect::Connect,
        effect: "Send ring of a session: what may wait for the engine. At least four times \
                 message.len_max.",
        ..key("session.send_ring_len", "4 MiB")
    },
    Key {
        kind: Kind::Size { min: RING_LEN_MIN, max: RING_LEN_MAX, power_of_two: true },
        takes_effect: TakesEffect::Connect,
        effect: "Receive ring of a session: what may wait for the program. At least four times \
                 message.len_max.",
        ..key("session.receive_ring_len", "4 MiB")
    },
    Key {
        kind: Kind::Word(&["disconnect", "throttle", "gap"]),
        takes_effect: TakesEffect::Connect,
        effect: "What becomes of a session that does not read as fast as it is sent to, once its \
                 receive ring is full and the engine keeps more for it. disconnect: at \
                 client.backlog_len it is closed as slow. gap: from three quarters of that on it \
                 misses messages, though never views, and is told how many by ANZ_EV_GAP. \
                 throttle: from a quarter on, the senders to its groups wait at all nodes: their \
                 sends give ANZ_EAGAIN once their rings are full.",
        danger: "With gap the program has to fetch what it missed in another way. With throttle \
                 it slows all members of its groups, and who sends to them sends to nobody \
                 meanwhile.",
        ..key("session.slow_policy", "disconnect")
    },
];

/// What most keys have in common.
const fn key(name: &'static str, default: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Boolean,
        default,
        daemon_default: None,
        takes_effect: TakesEffect::EngineStart,
        effect: "",
        danger: "",
    }
}

const fn milliseconds(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max, unit: "milliseconds" }
}

/// Largest message that may be allowed.
const MESSAGE_LEN_MAX: u64 = 16 << 20;
/// Smallest session ring.
const RING_LEN_MIN: u64 = ring::CAPACITY_MIN as u64;
/// Largest session ring.
const RING_LEN_MAX: u64 = ring::CAPACITY_MAX as u64;

const _: () = assert!(MESSAGE_LEN_MAX <= limits::MESSAGE_LEN_MAX as u64);
const _: () = assert!(4 * MESSAGE_LEN_MAX <= RING_LEN_MAX);
