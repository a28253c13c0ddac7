//! The engine: one epoll set, one turn, bounded work per call, never a wait inside.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anasazi_protocol::{Incarnation, Instant, NodeId};

use crate::config::{ClientConfig, ValidConfig};
use crate::error::EngineError;
use crate::open::{RealTurn, open};
use crate::session::{Listener, Readiness};
use crate::sys::poll::{Poller, Waker, now_ns};
use crate::sys::socket::pair;
use crate::sys::thread::spawn_without_signals;
use crate::turn::SESSION_KEYS;

/// Keys in the epoll set: transports first, then the listener, then sessions.
const TRANSPORT_KEYS: u64 = 0;
const LISTENER_KEY: u64 = 1 << 16;

/// Connections taken in per turn.
const ACCEPT_MAX: usize = 64;

/// One engine: what a daemon is made of. One thread at a time drives it.
pub struct Engine {
    poller: Poller,
    config: ValidConfig,
    /// An error: it could not start again.
    turn: Result<RealTurn, EngineError>,
    listener: Option<Listener>,
    shared: Arc<Shared>,
    ready: Vec<u64>,
}

/// What other threads may touch.
struct Shared {
    waker: Waker,
    stop: AtomicBool,
    /// Engine ends of sockets of sessions in this process.
    connected: Mutex<Vec<OwnedFd>>,
    /// What it ends with, if not cleanly; there before `ended`.
    fault: Arc<OnceLock<EngineError>>,
    ended: AtomicBool,
}

/// Reaches an engine from any thread; outlives it.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

impl Engine {
    /// Opens sockets and state; starts no thread and waits for nothing but the disk.
    ///
    /// # Errors
    /// See [`EngineError`]: each names what, where and what to do.
    pub fn new(config: ValidConfig) -> Result<Self, EngineError> {
        let poller = Poller::new().map_err(system)?;
        let turn = begin(&config, None, &poller)?;
        let listener = listen(&config.client, &poller)?;
        let shared = Arc::new(Shared {
            waker: poller.waker(),
            stop: AtomicBool::new(false),
            connected: Mutex::default(),
            fault: turn.fault(),
            ended: AtomicBool::new(false),
        });
        let turn = Ok(turn);
        let mut engine = Self { poller, config, turn, listener, shared, ready: Vec::new() };
        engine.guarded(|engine| engine.run_turn(0, false))?;
        Ok(engine)
    }

    /// Readable while [`process`](Self::process) would do something; level-triggered, constant for
    /// life.
    pub fn fd(&self) -> RawFd {
        self.poller.fd()
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

    /// Drives the engine until it is stopped.
    ///
    /// # Errors
    /// A fault, as with [`process`](Self::process).
    pub fn run(&mut self) -> Result<(), EngineError> {
        self.run_with(Duration::from_secs(3600), &mut |_| {})
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
    /// The system has no room for a thread.
    pub fn spawn(mut self, name: &str) -> Result<EngineHandle, EngineError> {
        let handle = self.handle();
        spawn_without_signals(name, move || {
            if let Err(error) = self.run() {
                tracing::error!(target: "anasazi::engine", "{error}");
            }
        })
        .map_err(|error| {
            EngineError::System(format!("cannot start the engine's thread: {error}"))
        })?;
        Ok(handle)
    }

    /// The node is in a ring and orders messages.
    pub fn is_operational(&self) -> bool {
        self.turn.as_ref().is_ok_and(|turn| turn.core().status().state == "operational")
    }

    /// The node's number and the address at which the others reach it, if it runs.
    pub fn identity(&self) -> Option<(NodeId, SocketAddr)> {
        self.turn.as_ref().ok().map(RealTurn::identity)
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
                    turn.broke(&*panic, &self.poller);
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
        let waited = self.poller.wait(&mut ready, timeout);
        waited.map_err(|error| EngineError::System(format!("polling failed: {error}")))?;
        self.take_in_connections();
        let mut arrived = false;
        for key in ready.drain(..) {
            match key {
                key if key >= SESSION_KEYS => {
                    if let Ok(turn) = &mut self.turn {
                        turn.session_ready(key, &self.poller);
                    }
                }
                LISTENER_KEY => self.accept(),
                _ => arrived = true,
            }
        }
        self.ready = ready;
        self.run_turn(budget, arrived)
    }

    fn run_turn(&mut self, budget: u32, arrived: bool) -> Result<bool, EngineError> {
        let Ok(turn) = &mut self.turn else { return self.end_of() };
        if self.shared.stop.load(Ordering::Acquire) {
            turn.stop();
        }
        let mut result = turn.run(Instant(now_ns()), arrived, budget, &self.poller);
        if let Err(EngineError::Outdated(known)) = result {
            result = self.begin_again(known);
        }
        if self.has_ended() {
            self.end();
            return result;
        }
        let more = result?;
        let deadline = self.turn.as_ref().ok().and_then(RealTurn::deadline);
        self.poller
            .set_timer(deadline.map(|at| at.0))
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
        self.leave_transport();
        // The sockets and the state file are free only when the old turn is gone.
        self.turn = Err(error);
        self.turn = begin(&self.config, Some(known), &self.poller);
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
        if let Some(listener) = self.listener.take() {
            Readiness::remove(&self.poller, listener.fd());
        }
        self.leave_transport();
        self.poller.retire();
        self.shared.end();
    }

    fn leave_transport(&self) {
        for fd in self.turn.iter().flat_map(RealTurn::transport_fds) {
            Readiness::remove(&self.poller, fd);
        }
    }

    fn take_in_connections(&mut self) {
        let connected = core::mem::take(&mut *self.shared.connected());
        for socket in connected {
            self.take_in(socket);
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_MAX {
            let Some(socket) = self.listener.as_mut().and_then(Listener::accept) else { break };
            self.take_in(socket);
        }
    }

    fn take_in(&mut self, socket: OwnedFd) {
        if let Ok(turn) = &mut self.turn {
            turn.accept(socket, &self.poller, Instant(now_ns()));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    fn connected(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more connections; those that were not taken in are closed.
    fn end(&self) {
        let mut connected = self.connected();
        self.ended.store(true, Ordering::Release);
        connected.clear();
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
        let mut connected = self.0.connected();
        if self.has_ended() {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the engine has ended"));
        }
        connected.push(engine);
        drop(connected);
        self.0.waker.wake();
        Ok(client)
    }
}

impl Readiness for Poller {
    fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        Self::add(self, fd, key)
    }

    fn add_edge(&self, fd: RawFd, key: u64) -> io::Result<()> {
        Self::add_edge(self, fd, key)
    }

    fn remove(&self, fd: RawFd) {
        // Not being in the set is what was asked for.
        let _ = Self::remove(self, fd);
    }
}

/// A turn whose sockets are watched.
fn begin(
    config: &ValidConfig,
    known: Option<Incarnation>,
    poller: &Poller,
) -> Result<RealTurn, EngineError> {
    let turn = open(config.clone(), known, &poller.waker())?;
    for fd in turn.transport_fds() {
        poller.add(fd, TRANSPORT_KEYS).map_err(system)?;
    }
    Ok(turn)
}

fn system(error: io::Error) -> EngineError {
    EngineError::System(format!("cannot set up polling: {error}; raise the limit of open files"))
}

fn listen(config: &ClientConfig, poller: &Poller) -> Result<Option<Listener>, EngineError> {
    let Some(path) = &config.listen else { return Ok(None) };
    let listener = Listener::bind(path, config.listen_mode)
        .map_err(|error| EngineError::Socket(error.to_string()))?;
    poller.add(listener.fd(), LISTENER_KEY).map_err(|error| {
        EngineError::Socket(format!("cannot watch the socket {}: {error}", path.display()))
    })?;
    Ok(Some(listener))
}
