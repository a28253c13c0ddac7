//! What the configuration asks for, opened: sockets, state, settings of the core.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anasazi_protocol::{CoreConfig, Incarnation, Instant, limits};
use anasazi_seal::OVERHEAD_LEN;
use anasazi_transport::{OpenError, Transport, Udp, UdpOptions};

use crate::access;
use crate::boot::{Start, boot, boot_added, random_u64};
use crate::config::{BridgeConfig, DomainConfig, TransportConfig, ValidConfig};
use crate::domains::DEFAULT_NAME;
use crate::error::EngineError;
use crate::key_file;
use crate::own_thread::OwnThread;
use crate::recorder::Recorder;
use crate::session::SessionLimits;
use crate::state_file::StateFile;
use crate::sys::poll::{Waker, now_ns};
use crate::trace_file::TraceFile;
use crate::turn::{DomainParts, Order, Parts, Ready, Turn};
use crate::witness::Witness;
use crate::writer::Writer;

/// A turn on real sockets and a real disk.
pub(crate) type RealTurn = Turn<Udp, Option<Writer>>;
type RealReady = Ready<Udp, Option<Writer>>;

/// Opens sockets and state, and starts the protocol in every domain, above an incarnation that
/// others know; with the threads that are to turn them, by place. What one domain cannot have keeps
/// the engine from starting: it is how it was configured.
pub(crate) fn open(
    config: ValidConfig,
    known: Option<Incarnation>,
    waker: &Waker,
) -> Result<(RealTurn, Vec<Option<OwnThread>>), EngineError> {
    let mut warnings = config.warnings().to_vec();
    let rules = config.access.file.as_deref().map(access::read).transpose();
    let rules = rules.map_err(EngineError::Config)?;
    let booted = boot(&config, known)?;
    warnings.extend(booted.warnings);
    let now = Instant(now_ns());
    let is_pinned = !config.thread.cpus.is_empty();
    let (mut domains, mut threads) = (Vec::new(), Vec::new());
    for (of, start) in config.all_domains().iter().zip(booted.domains) {
        let thread = own_thread(of, &config)?;
        let wakers = wakers(waker, thread.as_ref());
        let writer = |file| Writer::new(file, wakers, is_pinned);
        threads.push(thread);
        domains.push(open_domain((of, &config.bridges), start, writer, now, &mut warnings)?);
    }
    let temporary = Some(std::env::temp_dir());
    let process = domains[0].boot.process;
    let mut at_start = Recorder::new(process, config.recorder.dir.clone(), temporary.clone());
    let limits = session_limits(&config);
    let mut domains = domains.into_iter();
    let Some(default) = domains.next() else { unreachable!("there always is a domain") };
    let parts = Parts { config, warnings, limits, temporary, default };
    // Once there is a core, its domain guards it.
    catch_unwind(AssertUnwindSafe(|| {
        let mut turn = Turn::new(parts, now);
        rules.into_iter().for_each(|rules| turn.put_rules(rules));
        domains.for_each(|domain| _ = turn.add_domain(domain, now));
        (turn, threads)
    }))
    .map_err(|panic| EngineError::Broken(at_start.broke(&*panic)))
}

/// Opens what a domain needs that is added to a running engine.
pub(crate) fn open_added(
    order: &Order,
    waker: &Waker,
) -> Result<(RealReady, Option<OwnThread>), EngineError> {
    let Order { name, config, node, after } = order;
    let missing = || EngineError::Config(format!("no domain {name:?} is configured"));
    let of = config.domains.iter().find(|of| of.name == *name).ok_or_else(missing)?;
    let (start, warning) = boot_added(config, name, (*node, *after))?;
    let is_pinned = !config.thread.cpus.is_empty();
    let thread = own_thread(of, config)?;
    let wakers = wakers(waker, thread.as_ref());
    let writer = |file| Writer::new(file, wakers, is_pinned);
    let mut warnings: Vec<_> = warning.into_iter().collect();
    let prefix = format!("domain.{name}.");
    let of_config = config.warnings().iter().filter(|warning| warning.starts_with(&prefix));
    warnings.extend(of_config.cloned());
    let parts =
        open_domain((of, &config.bridges), start, writer, Instant(now_ns()), &mut warnings)?;
    Ok((Ready { parts, warnings }, thread))
}

/// The thread of a domain that has one of its own.
fn own_thread(of: &DomainConfig, config: &ValidConfig) -> Result<Option<OwnThread>, EngineError> {
    of.has_thread.then(|| OwnThread::start(&of.name, &config.thread)).transpose()
}

/// Who waits for a domain's files: whoever turns it, and the engine, which gives them back.
fn wakers(engine: &Waker, thread: Option<&OwnThread>) -> Vec<Waker> {
    thread.map(OwnThread::waker).into_iter().chain([engine.clone()]).collect()
}

fn open_domain(
    (config, bridges): (&DomainConfig, &[BridgeConfig]),
    start: Start,
    writer: impl FnOnce(StateFile) -> Writer,
    now: Instant,
    warnings: &mut Vec<String>,
) -> Result<DomainParts<Udp, Option<Writer>>, EngineError> {
    let place = match &config.name[..] {
        DEFAULT_NAME => String::new(),
        name => format!("domain {name}: "),
    };
    let (transport, of_network) = Udp::open(&udp_options(&config.transport))
        .map_err(|e: OpenError| EngineError::Network(format!("{place}{e}")))?;
    warnings.extend(of_network.into_iter().map(|warning| format!("{place}{warning}")));
    let seal =
        key_file::seal(config).map_err(|error| EngineError::Config(format!("{place}{error}")))?;
    if let Some(seal) = seal.as_ref().filter(|seal| seal.newest() != seal.active()) {
        warnings.push(format!(
            "{place}key {} seals, since it is the first one in the key file; key {} in it is \
             newer: when that is in use everywhere, delete the line of the old one",
            seal.active(),
            seal.newest()
        ));
    }
    let overhead = if seal.is_some() { OVERHEAD_LEN } else { 0 };
    let core = CoreConfig {
        cluster: config.number,
        domain: config.short_number(),
        peers: config.transport.peers.clone(),
        multicast: transport.has_multicast(),
        mtu: config.transport.mtu - overhead,
        mtu_max: config.transport.mtu_max - overhead,
        places: bridges.iter().any(|bridge| bridge.from.domain == config.name),
        // The seal is better.
        checksum: seal.is_none(),
        window: window(config, &transport),
        send_queue_len_max: config.budget.queue_len,
        send_len_per_s_max: config.budget.send_len_per_s,
        timers: config.ring.timers(),
        // Those of `default` are changed node by node, as they always were.
        same_terms: config.name != DEFAULT_NAME,
        contract: config.contract,
        measures: true,
        seed: random_u64()?,
        trace: config.trace.file.is_some(),
        ..CoreConfig::default()
    };
    let witness = open_trace(config, &start, now)?;
    let Start { boot, file, .. } = start;
    let storage = file.map(writer);
    let (name, weight) = (config.name.clone(), config.weight);
    let backlog_len_max = config.budget.backlog_len;
    Ok(DomainParts { name, core, boot, transport, seal, weight, backlog_len_max, storage, witness })
}

fn session_limits(config: &ValidConfig) -> SessionLimits {
    SessionLimits {
        sessions_max: config.client.sessions_max,
        backlog_len_max: config.client.backlog_len,
        backlog_total_max: config.client.backlog_total,
        hold_max: config.client.hold_max,
        message_len_max: config.message.len_max,
        allow_uids: config.client.allow_uids.clone(),
        allow_gids: config.client.allow_gids.clone(),
    }
}

fn open_trace(
    config: &DomainConfig,
    start: &Start,
    now: Instant,
) -> Result<Option<Box<dyn Witness>>, EngineError> {
    let Some(path) = &config.trace.file else { return Ok(None) };
    let file = TraceFile::open(path, start.boot.process, start.is_known, now.0)?;
    Ok(Some(Box::new(file)))
}

fn udp_options(transport: &TransportConfig) -> UdpOptions {
    UdpOptions {
        bind: transport.bind,
        multicast: transport.multicast,
        interface: transport.interface.clone(),
        multicast_ttl: transport.multicast_ttl,
        receive_buffer_len: transport.receive_buffer_len,
        send_buffer_len: transport.send_buffer_len,
        dscp: transport.dscp,
        liveness: transport.liveness,
    }
}

/// A rotation's packets must fit into every member's socket buffer, or the kernel drops them.
fn window(config: &DomainConfig, transport: &impl Transport) -> u32 {
    let datagram = config.transport.mtu + limits::DATAGRAM_OVERHEAD_LEN;
    let fits = transport.counters().receive_buffer_len as usize / datagram;
    config.ring.window.min(u32::try_from(fits).unwrap_or(u32::MAX)).max(16)
}
