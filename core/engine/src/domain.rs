//! One domain: its protocol core with the transport, the clock and the storage that it needs.
//! Nothing here is shared with another domain.

use anasazi_protocol::record::Entry;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{
    Audience, Command, Core, CoreConfig, Destination, Event, Evidence, Fate, GroupView, Input,
    Instant, MessageDelivery, Output, Process, SessionId, hash64, limits,
};
use anasazi_transport::{Faulty, OpenError, Received, Target, Transport, Udp, UdpOptions};
use bytes::Bytes;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::boot::Booted;
use crate::config::ValidConfig;
use crate::error::EngineError;
use crate::recorder::Recorder;
use crate::state_file::Stored;
use crate::sys::poll::{Waker, now_ns};
use crate::trace_file::TraceFile;
use crate::writer::Writer;

/// Datagrams taken in before what they cause is sent.
const RECEIVE_BATCH_MAX: usize = 256;
/// Datagrams that are sent in one go, at the latest.
const SEND_BATCH_MAX: usize = 64;

/// What a domain has for the rest of the engine, in order.
pub(crate) enum Upward {
    Message(MessageDelivery),
    View(GroupView),
    Receipt {
        session: SessionId,
        to: Audience,
        tag: u64,
        fate: Fate,
    },
    JoinRefused {
        session: SessionId,
        group: anasazi_protocol::GroupId,
        reason: &'static str,
    },
    Event(Event),
    /// An invariant of the core broke; it says nothing more.
    Broken {
        fault: String,
    },
    /// The domain has ended; cleanly, or with a fault in words.
    Stopped {
        fault: Option<String>,
    },
}

pub(crate) struct Domain {
    pub(crate) core: Core,
    pub(crate) transport: Faulty<Udp>,
    pub(crate) process: Process,
    writer: Option<Writer>,
    trace: Option<TraceFile>,
    pub(crate) recorder: Recorder,
    received: Vec<Received>,
    sending: Vec<(Target, Bytes)>,
    unreachable: Vec<SocketAddr>,
    /// There is certainly more to receive.
    backlog: bool,
}

impl Domain {
    /// Opens the sockets and starts the core. Warnings that do not prevent that are given back.
    pub(crate) fn open(
        config: &ValidConfig,
        booted: Booted,
        seed: u64,
        waker: &Waker,
    ) -> Result<(Self, Vec<String>), EngineError> {
        let options = UdpOptions {
            bind: config.transport.bind,
            multicast: config.transport.multicast,
            interface: config.transport.interface.clone(),
            multicast_ttl: config.transport.multicast_ttl,
            receive_buffer_len: config.transport.receive_buffer_len,
            send_buffer_len: config.transport.send_buffer_len,
        };
        let (udp, warnings) = Udp::open(&options)
            .map_err(|error: OpenError| EngineError::Network(error.to_string()))?;
        let transport = Faulty::new(udp, seed);
        let core_config = CoreConfig {
            cluster: hash64(config.cluster.as_bytes()),
            domain: 0,
            peers: config.transport.peers.clone(),
            multicast: transport.has_multicast(),
            mtu: config.transport.mtu,
            mtu_max: config.transport.mtu_max,
            window: window(config, &transport),
            timers: config.ring.timers(),
            seed,
            trace: config.trace.file.is_some(),
            ..CoreConfig::default()
        };
        let now = Instant(now_ns());
        let (process, stored) = (booted.boot.process, booted.boot.ring_sequence_floor > 0);
        let open_trace = |path: &PathBuf| TraceFile::open(path, process, stored, now.0);
        let trace = config.trace.file.as_ref().map(open_trace).transpose()?;
        let domain = Self {
            core: Core::new(core_config, booted.boot, now),
            transport,
            process,
            trace,
            recorder: Recorder::new(process, config.recorder.dir.clone()),
            writer: booted.file.map(|file| Writer::new(file, waker.clone())),
            received: Vec::with_capacity(RECEIVE_BATCH_MAX),
            sending: Vec::with_capacity(SEND_BATCH_MAX),
            unreachable: Vec::new(),
            backlog: false,
        };
        Ok((domain, warnings))
    }

    /// Takes in datagrams and evidence. True if there is certainly more.
    pub(crate) fn receive(&mut self, up: &mut Vec<Upward>) -> bool {
        let mut received = core::mem::take(&mut self.received);
        self.backlog = !self.transport.receive(RECEIVE_BATCH_MAX, &mut received);
        for Received { from, multicast, bytes } in received.drain(..) {
            self.handle(Input::Datagram { from, multicast, bytes }, up);
        }
        self.received = received;
        if !self.backlog {
            self.handle(Input::Drained, up);
        }
        let mut unreachable = core::mem::take(&mut self.unreachable);
        self.transport.unreachable(&mut unreachable);
        for address in unreachable.drain(..) {
            self.handle(Input::Evidence { address, kind: Evidence::Unreachable }, up);
        }
        self.unreachable = unreachable;
        self.backlog
    }

    /// There is certainly more to receive, whether or not a descriptor says so.
    pub(crate) fn has_backlog(&self) -> bool {
        self.backlog
    }

    /// Timers that are due, and writes that ended.
    pub(crate) fn tick(&mut self, up: &mut Vec<Upward>) {
        let done = self.writer.as_ref().map(Writer::take_done).unwrap_or_default();
        for (ticket, result) in done {
            if let Err(text) = &result {
                tracing::error!(target: "anasazi::engine", "{text}");
            }
            self.handle(Input::Persisted { ticket, durable: result.is_ok() }, up);
        }
        if self.core.deadline().is_some_and(|at| at.0 <= now_ns()) {
            self.handle(Input::Timeout, up);
        }
    }

    pub(crate) fn command(&mut self, command: Command, up: &mut Vec<Upward>) {
        self.handle(Input::Command(command), up);
    }

    pub(crate) fn shutdown(&mut self, up: &mut Vec<Upward>) {
        self.handle(Input::Shutdown, up);
    }

    /// One input, and everything that comes of it; nothing, if that breaks an invariant.
    fn handle(&mut self, input: Input, up: &mut Vec<Upward>) {
        let now = Instant(now_ns());
        if self.recorder.is_broken() {
            return;
        }
        self.recorder.note(now, &input);
        let before = up.len();
        let work = || {
            self.recorder.break_if_asked();
            self.core.handle(now, input);
            self.drain(up);
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            // What it said last may be wrong as well.
            self.sending.clear();
            up.truncate(before);
            up.push(Upward::Broken { fault: self.recorder.broke(&*panic) });
        }
    }

    /// What the core has to say; at the start before any input as well.
    pub(crate) fn drain(&mut self, up: &mut Vec<Upward>) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Transmit { to, bytes } => self.queue(to, bytes),
                Output::Persist { ticket, ring_sequence_max } => {
                    self.persist(ticket, ring_sequence_max);
                }
                Output::Message(message) => up.push(Upward::Message(message)),
                Output::View(view) => up.push(Upward::View(view)),
                Output::Receipt { session, to, tag, fate } => {
                    up.push(Upward::Receipt { session, to, tag, fate });
                }
                Output::JoinRefused { session, group, reason } => {
                    up.push(Upward::JoinRefused { session, group, reason });
                }
                Output::Event(event) => {
                    self.recorder.event(Instant(now_ns()), &event);
                    up.push(Upward::Event(event));
                }
                Output::Trace(trace) => self.trace(trace),
                Output::Stopped { fault } => up.push(Upward::Stopped { fault }),
            }
        }
    }

    fn queue(&mut self, to: Destination, bytes: Bytes) {
        let target = match to {
            Destination::Multicast => Target::Multicast,
            Destination::Unicast(address) => Target::Unicast(address),
            Destination::Probe(address) => Target::Probe(address),
        };
        self.sending.push((target, bytes));
        if self.sending.len() >= SEND_BATCH_MAX {
            self.flush();
        }
    }

    fn trace(&mut self, trace: Trace) {
        if let Some(file) = &mut self.trace {
            file.record(now_ns(), Entry::Trace(trace));
        }
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) {
        if let Some(file) = &mut self.trace {
            file.hand_over();
        }
        if !self.sending.is_empty() {
            self.transport.send(&self.sending);
            self.sending.clear();
        }
    }

    fn persist(&mut self, ticket: u64, ring_sequence_reserved: u64) {
        let stored = Stored {
            node_id: self.process.node.0,
            incarnation: self.process.incarnation.0,
            ring_sequence_reserved,
        };
        if let Some(writer) = &mut self.writer {
            writer.write(ticket, stored);
        }
    }
}

/// A rotation's packets must fit into every member's socket buffer, or the kernel drops them.
fn window(config: &ValidConfig, transport: &impl Transport) -> u32 {
    let datagram = config.transport.mtu + limits::DATAGRAM_OVERHEAD_LEN;
    let fits = transport.counters().receive_buffer_len as usize / datagram;
    config.ring.window.min(u32::try_from(fits).unwrap_or(u32::MAX)).max(16)
}
