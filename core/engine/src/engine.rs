//! The engine: one epoll set, one turn, bounded work per call, never a wait inside.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anasazi_protocol::{Incarnation, Instant, NodeId};
use anasazi_stream::engine::Importance;
use anasazi_stream::thread::spawn_without_signals;
use anasazi_transport::Transport;

use crate::config::{StreamAddress, ValidConfig};
use crate::door::{Connection, Door, LISTENER_KEY};
use crate::error::EngineError;
use crate::jumps::Jumps;
use crate::open::{RealTurn, open};
use crate::openings::Openings;
use crate::own_thread::{self, attend};
use crate::readings::Readings;
use crate::session::limits::TAKE_IN_TURN;
use crate::streams::{self, StreamSessions};
use crate::sys::intake::Intake;
use crate::sys::poll::{Waker, now_ns};
use crate::sys::socket::{Peer, pair};
use crate::turn::{SESSION_KEYS, TRANSPORT_KEYS};
use crate::watches::{HostLoop, Watches};

/// Messages of the streams that are told in one turn; of a flood the rest is dropped.
const TOLD_MAX: usize = 64;
/// A wait that is as long as needed.
const TICK_NEVER: Duration = Duration::from_secs(3600);

/// One engine: what a daemon is made of. One thread at a time drives it.
pub struct Engine {
    watches: Watches,
    config: ValidConfig,
    /// An error: it could not start again.
    turn: Result<RealTurn, EngineError>,
    door: Door,
    streams: Option<StreamSessions>,
    openings: Openings,
    jumps: Jumps,
    readings: Readings,
    shared: Arc<Shared>,
    ready: Vec<u64>,
}

/// What other threads may touch.
struct Shared {
    waker: Waker,
    stop: AtomicBool,
    /// Engine ends of sockets of sessions in this process, or behind streams; and whose those are.
    connected: Intake<Connection>,
    /// What the thread of the streams has to say.
    told: Mutex<Vec<(Importance, String)>>,
    /// What it ends with, if not cleanly; there before `ended`.
    fault: Arc<OnceLock<EngineError>>,
    ended: AtomicBool,
}

/// Reaches an engine from any thread; outlives it.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

impl Engine {
    /// Opens sockets and state, and waits for nothing but the disk. Starts no thread but the one of
    /// client.listen_streams, if that names any, and one for each domain with turn.thread.
    ///
    /// # Errors
    /// See [`EngineError`]: each names what, where and what to do.
    pub fn new(config: ValidConfig) -> Result<Self, EngineError> {
        Self::open(config, None)
    }

    /// The same, in the loop of a host that watches the network's sockets and the timer itself, and
    /// calls [`process_fd`](Self::process_fd). Sessions are behind one more descriptor.
    ///
    /// # Errors
    /// As for [`new`](Self::new), or the host cannot watch.
    pub fn hosted(config: ValidConfig, host: Box<dyn HostLoop>) -> Result<Self, EngineError> {
        Self::open(config, Some(host))
    }

    fn open(config: ValidConfig, host: Option<Box<dyn HostLoop>>) -> Result<Self, EngineError> {
        let mut watches = Watches::new(host).map_err(system)?;
        let turn = begin(&config, None, &mut watches)?;
        let door = Door::open(&config.client, &watches)?;
        let shared = Arc::new(Shared {
            waker: watches.waker(),
            stop: AtomicBool::new(false),
            connected: Intake::default(),
            told: Mutex::default(),
            fault: turn.fault(),
            ended: AtomicBool::new(false),
        });
        let streams = streams::listen(&config.client, EngineHandle(Arc::clone(&shared)))?;
        let openings = Openings::new(watches.waker());
        let readings = Readings::new(watches.waker());
        let (turn, ready) = (Ok(turn), Vec::new());
        let jumps = Jumps::new();
        let mut engine =
            Self { watches, config, turn, door, streams, openings, readings, jumps, shared, ready };
        engine.guarded(|engine| engine.run_turn(0))?;
        Ok(engine)
    }

    /// Readable while [`process`](Self::process) would do something; level-triggered, constant for
    /// life. With a host, only of sessions.
    pub fn fd(&self) -> RawFd {
        self.watches.fd()
    }

    /// Does a bounded amount of work and never waits. `budget`: requests of sessions taken in; 0
    /// for the default. `Ok(true)`: more is waiting, and the descriptor stays readable.
    ///
    /// # Errors
    /// The engine has ended: `EngineError::Protocol` and the like for a fault. After a clean stop
    /// it is `Ok(false)` for ever, see [`has_ended`](Self::has_ended).
    pub fn process(&mut self, budget: u32) -> Result<bool, EngineError> {
        self.turn(budget, Some(Duration::ZERO))
    }

    /// With a host: one of the watched descriptors is ready, or, with `None`, the timer has run
    /// out. As [`process`](Self::process) else; a descriptor that is not watched (any more) is no
    /// error, since a host may have heard of it before.
    ///
    /// # Errors
    /// As for [`process`](Self::process).
    pub fn process_fd(&mut self, fd: Option<RawFd>) -> Result<bool, EngineError> {
        if fd.is_none() {
            self.watches.timer_ran_out();
        }
        if fd == Some(self.fd()) || self.has_ended() {
            return self.turn(0, Some(Duration::ZERO));
        }
        let key = fd.and_then(|fd| self.watches.watched(fd));
        self.guarded(|engine| {
            key.into_iter().for_each(|key| engine.ready(key));
            engine.run_turn(0)
        })
    }

    /// The host watches nothing from now on; [`process`](Self::process) and [`fd`](Self::fd) are
    /// for everything again.
    ///
    /// # Errors
    /// The system has no room.
    pub fn take_back(&mut self) -> Result<(), EngineError> {
        self.watches.take_back().map_err(system)
    }

    /// Drives the engine until it is stopped; not with a host.
    ///
    /// # Errors
    /// A fault, as with [`process`](Self::process).
    pub fn run(&mut self) -> Result<(), EngineError> {
        self.run_with(TICK_NEVER, &mut |_| {})
    }

    /// Like [`run`](Self::run), and calls `on_tick` at least once every `tick`.
    ///
    /// # Errors
    /// As with [`run`](Self::run).
    pub fn run_with(
        &mut self,
        tick: Duration,
        on_tick: &mut dyn FnMut(&Self),
    ) -> Result<(), EngineError> {
        self.settle_in()?;
        self.go_on(tick, on_tick)
    }

    /// The calling thread becomes what is configured for the engine's.
    fn settle_in(&mut self) -> Result<(), EngineError> {
        own_thread::settle(&self.config.thread)?;
        self.watches.set_busy_poll(self.config.thread.busy_poll);
        Ok(())
    }

    fn go_on(&mut self, tick: Duration, on_tick: &mut dyn FnMut(&Self)) -> Result<(), EngineError> {
        let mut more = false;
        while !self.has_ended() {
            more = self.turn(0, Some(if more { Duration::ZERO } else { tick }))?;
            on_tick(self);
        }
        Ok(())
    }

    /// Starts a thread that drives the engine until it is stopped; no signal is ever handled on it.
    ///
    /// # Errors
    /// The system has no room for a thread, or it cannot be as `thread.*` says.
    pub fn spawn(mut self, name: &str) -> Result<EngineHandle, EngineError> {
        let handle = self.handle();
        let (tell, told) = std::sync::mpsc::channel();
        spawn_without_signals(name, move || {
            let settled = self.settle_in();
            let begins = settled.is_ok();
            // Whoever waits for it is there until then.
            let _ = tell.send(settled);
            if begins && let Err(error) = self.go_on(TICK_NEVER, &mut |_| {}) {
                tracing::error!(target: "anasazi::engine", "{error}");
            }
        })
        .map_err(|error| {
            EngineError::System(format!("cannot start the engine's thread: {error}"))
        })?;
        told.recv().map_err(|_| EngineError::System("the engine's thread ended".to_owned()))??;
        Ok(handle)
    }

    /// The node is in a ring of `default` and orders messages. Others may be slower.
    pub fn is_operational(&self) -> bool {
        self.turn.as_ref().is_ok_and(|turn| turn.state() == "operational")
    }

    /// Of the domains with a thread of their own, the one whose thread should have come by for the
    /// longest time, and for how long: far more than its host takes to run a thread that is due
    /// means that it hangs.
    pub fn latest_domain(&self) -> Option<(&str, Duration)> {
        self.turn.as_ref().ok().and_then(RealTurn::latest_domain)
    }

    /// The node's number and the address at which the others reach it, if it runs.
    pub fn identity(&self) -> Option<(NodeId, SocketAddr)> {
        self.turn.as_ref().ok().map(RealTurn::identity)
    }

    /// Where sessions come in as streams, with the ports that the system chose.
    pub fn stream_addresses(&self) -> &[StreamAddress] {
        self.streams.as_ref().map_or(&[], |streams| &streams.addresses)
    }

    /// It was stopped, and has left.
    pub fn has_ended(&self) -> bool {
        self.turn.as_ref().map_or(true, |turn| turn.ended().is_some())
    }

    /// For other threads.
    pub fn handle(&self) -> EngineHandle {
        EngineHandle(Arc::clone(&self.shared))
    }

    fn turn(&mut self, budget: u32, timeout: Option<Duration>) -> Result<bool, EngineError> {
        if self.has_ended() {
            return self.end_of();
        }
        self.guarded(|engine| engine.wait_and_run(budget, timeout))
    }

    /// A panic is a bug, here as in the core: it puts the engine out of use, not its host.
    fn guarded(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<bool, EngineError>,
    ) -> Result<bool, EngineError> {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(result) => result,
            Err(panic) => {
                if let Ok(turn) = &mut self.turn {
                    turn.broke(&*panic, &self.watches);
                }
                self.end();
                self.end_of()
            }
        }
    }

    fn wait_and_run(
        &mut self,
        budget: u32,
        timeout: Option<Duration>,
    ) -> Result<bool, EngineError> {
        let mut ready = core::mem::take(&mut self.ready);
        let waited = self.watches.wait(&mut ready, timeout);
        waited.map_err(|error| EngineError::System(format!("polling failed: {error}")))?;
        ready.drain(..).for_each(|key| self.ready(key));
        self.ready = ready;
        self.run_turn(budget)
    }

    /// A descriptor with this key is ready.
    fn ready(&mut self, key: u64) {
        match (key, &mut self.turn) {
            (SESSION_KEYS.., Ok(turn)) => turn.session_ready(key, &self.watches),
            (TRANSPORT_KEYS.., Ok(turn)) => turn.transport_ready(key),
            (LISTENER_KEY, _) => self.door.knock(),
            _ => {}
        }
    }

    fn run_turn(&mut self, budget: u32) -> Result<bool, EngineError> {
        self.take_in_connections();
        self.change_domains();
        self.change_rules();
        let Ok(turn) = &mut self.turn else { return self.end_of() };
        if self.shared.stop.load(Ordering::Acquire) {
            turn.stop();
        }
        if self.jumps.look() {
            tracing::warn!(
                target: "anasazi::engine",
                "clocks have jumped: this machine slept, or is a copy of another one, or was set"
            );
            turn.renew_seals();
        }
        let mut result = turn.run(Instant(now_ns()), false, budget, &self.watches);
        if let Err(EngineError::Outdated(known)) = result {
            result = self.begin_again(known);
        }
        if self.has_ended() {
            self.end();
            return result;
        }
        let more = result?;
        let deadlines =
            [self.turn.as_ref().ok().and_then(RealTurn::deadline), self.door.deadline()];
        self.watches
            .set_timer(deadlines.into_iter().flatten().min().map(|at| at.0))
            .map_err(|error| EngineError::System(format!("cannot set the timer: {error}")))?;
        if more {
            self.shared.waker.wake();
        }
        Ok(more)
    }

    /// Others know an earlier start of this node that was newer than this one, which has not said
    /// anything yet: everything anew, above it.
    fn begin_again(&mut self, known: Incarnation) -> Result<bool, EngineError> {
        let error = EngineError::Outdated(known);
        tracing::warn!(target: "anasazi::engine", "{error}; this one begins again above it");
        if let Ok(turn) = &self.turn {
            self.config = turn.config();
        }
        self.leave_transport();
        // The sockets and the state file are free only when the old turn is gone.
        self.turn = Err(error);
        self.turn = begin(&self.config, Some(known), &mut self.watches);
        match &mut self.turn {
            Ok(turn) => {
                turn.put_fault_into(Arc::clone(&self.shared.fault));
                Ok(true)
            }
            Err(error) => Err(error.clone()),
        }
    }

    /// How it has ended.
    fn end_of(&self) -> Result<bool, EngineError> {
        match &self.turn {
            Ok(turn) => turn.ended().map_or(Ok(()), Clone::clone).map(|()| false),
            Err(error) => Err(error.clone()),
        }
    }

    /// Nothing makes the descriptor readable any more: a host that polls it is left in peace.
    fn end(&mut self) {
        self.door.close(&self.watches);
        self.leave_transport();
        self.watches.retire();
        // Before anybody is told that it has ended, and starts another one in its place.
        if let Some(streams) = &mut self.streams {
            streams.stop();
        }
        self.shared.end();
    }

    fn leave_transport(&mut self) {
        for (fd, _) in self.turn.iter().flat_map(RealTurn::transport_fds) {
            self.watches.remove_transport(fd);
        }
    }

    /// Domains that have gone are let go of, and those come that are there now.
    fn change_domains(&mut self) {
        let Self { turn: Ok(turn), watches, openings, .. } = self else { return };
        for place in turn.take_removed() {
            let fds = place.here().map(|domain| domain.transport.fds());
            fds.into_iter().flatten().for_each(|fd| watches.remove_transport(fd));
        }
        for (opened, mut thread) in openings.take() {
            let mut attend = |domains: &mut _, id| attend(domains, id, thread.take(), watches);
            turn.opened(opened, &mut attend, Instant(now_ns()));
        }
        turn.take_orders().into_iter().for_each(|order| openings.start(order));
        for read in openings.take_keys() {
            turn.keys_read(read, Instant(now_ns()));
        }
        turn.take_key_orders().into_iter().for_each(|order| openings.read_keys(order));
    }

    /// Rules of access that were read again are in force, and those are read that are asked for.
    fn change_rules(&mut self) {
        let Self { turn: Ok(turn), readings, config, .. } = self else { return };
        readings.take().for_each(|read| turn.rules_read(read, Instant(now_ns())));
        if let Some(path) = turn.take_rereading() {
            readings.start(path, !config.thread.cpus.is_empty());
        }
    }

    fn take_in_connections(&mut self) {
        self.shared.take_told().into_iter().for_each(streams::log);
        for (socket, peer) in self.shared.connected.take() {
            match peer {
                Some(_) => self.door.come((socket, peer)),
                // Of this process: no stranger at the door.
                None => self.take_in(socket, None),
            }
        }
        let begin = Instant(now_ns());
        let mut now = begin;
        while now.since(begin) < TAKE_IN_TURN
            && let Some((socket, peer)) = self.door.next(&self.watches, now)
        {
            self.take_in(socket, peer);
            let before = now;
            now = Instant(now_ns());
            self.door.spent(now.since(before), now);
        }
    }

    fn take_in(&mut self, socket: OwnedFd, peer: Option<Peer>) {
        let now = Instant(now_ns());
        match (&mut self.turn, peer) {
            (Ok(turn), Some(peer)) => turn.accept_of(peer, socket, &self.watches, now),
            (Ok(turn), None) => turn.accept(socket, &self.watches, now),
            (Err(_), _) => {}
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    fn take_told(&self) -> Vec<(Importance, String)> {
        core::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No more connections; those that were not taken in are closed.
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        drop(self.connected.close());
    }
}

impl EngineHandle {
    /// Asks for a clean leave; [`Engine::has_ended`] tells when it is done. Async-signal-safe: an
    /// atomic store and a `write(2)`.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// The engine has ended or is gone.
    pub fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }

    /// Why the engine is out of use for good, if an invariant broke in it.
    pub fn broken(&self) -> Option<&EngineError> {
        self.0.fault.get().filter(|fault| matches!(fault, EngineError::Broken(_)))
    }

    /// A socket that is connected to the engine as by its listener, for a session in this process.
    ///
    /// # Errors
    /// No descriptors left; the engine has ended (`ConnectionRefused`).
    pub fn connect_socket(&self) -> io::Result<OwnedFd> {
        let (client, engine) = pair()?;
        self.enter(engine, None)?;
        Ok(client)
    }

    pub(crate) fn tell(&self, importance: Importance, what: String) {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a flood some is enough.
        if told.len() < TOLD_MAX {
            told.push((importance, what));
            drop(told);
            self.0.waker.wake();
        }
    }

    pub(crate) fn enter(&self, engine: OwnedFd, peer: Option<Peer>) -> io::Result<()> {
        self.0.connected.push((engine, peer)).map_err(|_| {
            io::Error::new(io::ErrorKind::ConnectionRefused, "the engine has ended")
        })?;
        self.0.waker.wake();
        Ok(())
    }
}

/// A turn whose sockets are watched.
fn begin(
    config: &ValidConfig,
    known: Option<Incarnation>,
    watches: &mut Watches,
) -> Result<RealTurn, EngineError> {
    let (mut turn, threads) = open(config.clone(), known, &watches.waker())?;
    let domains = turn.domains_mut();
    let added = domains
        .ids()
        .zip(threads)
        .try_for_each(|(id, thread)| attend(domains, id, thread, watches));
    if let Err(error) = added {
        // While they are still open.
        turn.transport_fds().for_each(|(fd, _)| watches.remove_transport(fd));
        return Err(system(error));
    }
    Ok(turn)
}

fn system(error: io::Error) -> EngineError {
    let hint = error.raw_os_error().map_or("", |_| "; raise the limit of open files");
    EngineError::System(format!("cannot set up polling: {error}{hint}"))
}
