//! What the configuration asks for, opened: sockets, state, settings of the core.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anasazi_protocol::{Boot, CoreConfig, Incarnation, Instant, hash64, limits};
use anasazi_transport::{OpenError, Transport, Udp, UdpOptions};

use crate::boot::{boot, random_u64};
use crate::config::ValidConfig;
use crate::error::EngineError;
use crate::recorder::Recorder;
use crate::session::SessionLimits;
use crate::sys::poll::{Waker, now_ns};
use crate::trace_file::TraceFile;
use crate::turn::{Parts, Turn};
use crate::witness::Witness;
use crate::writer::Writer;

/// A turn on real sockets and a real disk.
pub(crate) type RealTurn = Turn<Udp, Option<Writer>>;

/// Opens sockets and state, and starts the protocol, above an incarnation that others know.
pub(crate) fn open(
    config: ValidConfig,
    known: Option<Incarnation>,
    waker: &Waker,
) -> Result<RealTurn, EngineError> {
    let mut warnings = config.warnings().to_vec();
    let booted = boot(&config, known)?;
    warnings.extend(booted.warning);
    let (transport, of_network) = Udp::open(&udp_options(&config))
        .map_err(|e: OpenError| EngineError::Network(e.to_string()))?;
    warnings.extend(of_network);
    let core = CoreConfig {
        cluster: hash64(config.cluster.as_bytes()),
        domain: 0,
        peers: config.transport.peers.clone(),
        multicast: transport.has_multicast(),
        mtu: config.transport.mtu,
        mtu_max: config.transport.mtu_max,
        window: window(&config, &transport),
        timers: config.ring.timers(),
        seed: random_u64()?,
        trace: config.trace.file.is_some(),
        ..CoreConfig::default()
    };
    let limits = SessionLimits {
        sessions_max: config.client.sessions_max,
        backlog_len_max: config.client.backlog_len,
        backlog_total_max: config.client.backlog_total,
        hold_max: config.client.hold_max,
        message_len_max: config.message.len_max,
        allow_uids: config.client.allow_uids.clone(),
        allow_gids: config.client.allow_gids.clone(),
    };
    let now = Instant(now_ns());
    let witness = open_trace(&config, booted.boot, now)?;
    let storage =
        booted.file.map(|file| Writer::new(file, waker.clone(), !config.thread.cpus.is_empty()));
    let temporary = Some(std::env::temp_dir());
    let mut at_start =
        Recorder::new(booted.boot.process, config.recorder.dir.clone(), temporary.clone());
    let boot = booted.boot;
    let parts =
        Parts { config, warnings, core, boot, limits, transport, storage, temporary, witness };
    // Once there is a core, its domain guards it.
    catch_unwind(AssertUnwindSafe(|| Turn::new(parts, now)))
        .map_err(|panic| EngineError::Broken(at_start.broke(&*panic)))
}

fn open_trace(
    config: &ValidConfig,
    boot: Boot,
    now: Instant,
) -> Result<Option<Box<dyn Witness>>, EngineError> {
    let Some(path) = &config.trace.file else { return Ok(None) };
    let stored = boot.ring_sequence_floor > 0;
    let file = TraceFile::open(path, boot.process, stored, now.0)?;
    Ok(Some(Box::new(file)))
}

fn udp_options(config: &ValidConfig) -> UdpOptions {
    UdpOptions {
        bind: config.transport.bind,
        multicast: config.transport.multicast,
        interface: config.transport.interface.clone(),
        multicast_ttl: config.transport.multicast_ttl,
        receive_buffer_len: config.transport.receive_buffer_len,
        send_buffer_len: config.transport.send_buffer_len,
        liveness: config.transport.liveness,
    }
}

/// A rotation's packets must fit into every member's socket buffer, or the kernel drops them.
fn window(config: &ValidConfig, transport: &impl Transport) -> u32 {
    let datagram = config.transport.mtu + limits::DATAGRAM_OVERHEAD_LEN;
    let fits = transport.counters().receive_buffer_len as usize / datagram;
    config.ring.window.min(u32::try_from(fits).unwrap_or(u32::MAX)).max(16)
}
