//! The engine: one epoll set, one turn, bounded work per call, never a wait inside.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anasazi_protocol::Instant;
use anasazi_queue::status::Status;

use crate::admin::Admin;
use crate::boot::{boot, random_u64};
use crate::config::ValidConfig;
use crate::domain::{Domain, Upward};
use crate::error::EngineError;
use crate::journal::Journal;
use crate::session::{Listener, Readiness, Request, SessionLimits, Sessions};
use crate::sys::poll::{Poller, Waker, now_ns};
use crate::sys::socket::pair;
use crate::sys::thread::spawn_without_signals;
use anasazi_transport::Transport;

/// Keys in the epoll set: transports first, then the listener, then sessions.
const TRANSPORT_KEYS: u64 = 0;
const LISTENER_KEY: u64 = 1 << 16;
const SESSION_KEYS: u64 = 1 << 32;
/// Requests of sessions taken in per turn, if the caller does not say.
const BUDGET_DEFAULT: u32 = 1_024;
/// Rounds of receiving per turn, so that a flood cannot keep the timers and the sessions from their
/// turn.
const RECEIVE_ROUNDS_MAX: usize = 4;

/// Connections taken in per turn.
const ACCEPT_MAX: usize = 64;

/// One engine: what a daemon is made of. One thread at a time drives it.
pub struct Engine {
    poller: Poller,
    /// One per domain; there is only `default` so far.
    domains: Vec<Domain>,
    sessions: Sessions,
    listener: Option<Listener>,
    shared: Arc<Shared>,
    admin: Admin,
    ready: Vec<u64>,
    up: Vec<Upward>,
    leaving: bool,
    ended: Option<Result<(), EngineError>>,
}

/// What other threads may touch.
struct Shared {
    waker: Waker,
    stop: AtomicBool,
    /// Engine ends of sockets of sessions in this process.
    connected: Mutex<Vec<OwnedFd>>,
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
        let system = |error: io::Error| {
            EngineError::System(format!(
                "cannot set up polling: {error}; raise the limit of open files"
            ))
        };
        let poller = Poller::new().map_err(system)?;
        let mut journal = Journal::default();
        config.warnings().iter().for_each(|w| journal.warn(w.clone()));
        let booted = boot(&config)?;
        booted.warning.iter().for_each(|w| journal.warn(w.clone()));
        let process = booted.boot.process;
        let (domain, warnings) = Domain::open(&config, booted, random_u64()?, &poller.waker())?;
        warnings.into_iter().for_each(|w| journal.warn(w));
        for fd in domain.transport.fds() {
            poller.add(fd, TRANSPORT_KEYS).map_err(system)?;
        }
        let listener = listen(&config, &poller)?;
        let limits = SessionLimits {
            sessions_max: config.client.sessions_max,
            backlog_len_max: config.client.backlog_len,
            message_len_max: config.message.len_max,
            allow_uids: config.client.allow_uids.clone(),
            allow_gids: config.client.allow_gids.clone(),
        };
        let shared = Arc::new(Shared {
            waker: poller.waker(),
            stop: AtomicBool::new(false),
            connected: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let mut engine = Self {
            poller,
            domains: vec![domain],
            sessions: Sessions::new(limits, process, SESSION_KEYS),
            listener,
            shared,
            admin: Admin::new(config, journal),
            ready: Vec::new(),
            up: Vec::new(),
            leaving: false,
            ended: None,
        };
        engine.domains[0].drain(&mut engine.up);
        engine.finish_turn()?;
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
        self.domains.iter().all(|d| d.core.status().state == "operational")
    }

    /// It was stopped, and has left.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// For other threads.
    pub fn handle(&self) -> EngineHandle {
        EngineHandle(Arc::clone(&self.shared))
    }

    fn turn(&mut self, budget: u32, timeout: Option<Duration>) -> Result<bool, EngineError> {
        if let Some(result) = &self.ended {
            return result.clone().map(|()| false);
        }
        let mut ready = core::mem::take(&mut self.ready);
        let waited = self.poller.wait(&mut ready, timeout);
        waited.map_err(|error| EngineError::System(format!("polling failed: {error}")))?;
        self.take_in_connections();
        let mut datagrams = false;
        for key in ready.drain(..) {
            match key {
                key if key >= SESSION_KEYS => self.sessions.ready(key, &self.poller),
                LISTENER_KEY => self.accept(),
                _ => datagrams = true,
            }
        }
        self.ready = ready;
        // What the transport has read already makes no descriptor ready.
        let mut more = (datagrams || self.domains[0].has_backlog()) && self.receive();
        self.domains[0].tick(&mut self.up);
        self.begin_to_leave_if_asked();
        self.hand_up();
        let budget = if budget == 0 { BUDGET_DEFAULT } else { budget };
        more |= self.take_requests(budget as usize);
        self.finish_turn()?;
        if more && self.ended.is_none() {
            self.shared.waker.wake();
        }
        Ok(more && self.ended.is_none())
    }

    fn receive(&mut self) -> bool {
        for _ in 0..RECEIVE_ROUNDS_MAX {
            let more = self.domains[0].receive(&mut self.up);
            // What the token allows leaves at once: everybody waits for it.
            self.domains[0].flush();
            self.hand_up();
            if !more {
                return false;
            }
        }
        true
    }

    /// Gives sessions' requests to the core, as long as it has room, and answers their queries even
    /// if it has none: then they are needed most. True if more can be taken right now.
    fn take_requests(&mut self, budget: usize) -> bool {
        let Self { sessions, domains, up, .. } = self;
        let mut queries = Vec::new();
        let accepting = domains[0].core.accepts_sends();
        let more = sessions.poll(budget, accepting, &mut |request| match request {
            Request::Command(command) => {
                domains[0].command(command, up);
                domains[0].core.accepts_sends()
            }
            Request::Query { session, tag, trusted, json } => {
                queries.push((session, tag, trusted, json));
                true
            }
        });
        self.hand_up();
        for (session, tag, trusted, json) in queries {
            let (domains, sessions) = (&mut self.domains, &self.sessions);
            let answer = self.admin.answer(json.as_bytes(), trusted, domains, sessions);
            if answer.shutdown {
                self.shared.stop.store(true, Ordering::Release);
                self.shared.waker.wake();
            }
            self.sessions.reply(session, tag, answer.status, &answer.json, false);
        }
        more
    }

    fn finish_turn(&mut self) -> Result<(), EngineError> {
        self.domains[0].flush();
        self.hand_up();
        self.sessions.expire(&self.poller, Instant(now_ns()));
        self.sessions.flush(&self.poller);
        if let Some(result) = &self.ended {
            return result.clone();
        }
        let deadlines = [self.domains[0].core.deadline(), self.sessions.deadline()];
        let deadline = deadlines.into_iter().flatten().min().map(|at| at.0);
        self.poller
            .set_timer(deadline)
            .map_err(|error| EngineError::System(format!("cannot set the timer: {error}")))
    }

    /// What the domains have for sessions and for the operator, in order.
    fn hand_up(&mut self) {
        let mut up = core::mem::take(&mut self.up);
        for item in up.drain(..) {
            match item {
                Upward::Message(message) => self.sessions.message(&message),
                Upward::View(view) => self.sessions.view(&view),
                Upward::Receipt { session, to, tag, fate } => {
                    self.sessions.receipt(session, &to, tag, fate);
                }
                Upward::JoinRefused { session, group, reason } => {
                    self.sessions.join_refused(session, group, reason);
                }
                Upward::Event(event) => self.admin.journal.record(now_ns(), &event),
                Upward::Stopped { fault } => self.end(fault.map(EngineError::Protocol)),
                Upward::Broken { fault } => self.end(Some(EngineError::Broken(fault))),
            }
        }
        self.up = up;
    }

    fn end(&mut self, fault: Option<EngineError>) {
        let reason =
            fault.as_ref().map_or_else(|| "the engine was stopped".to_owned(), ToString::to_string);
        let status = match &fault {
            None => Status::ECLOSED,
            // An engine of this process does not come back; a daemon does.
            Some(EngineError::Broken(_)) if self.listener.is_none() => Status::EINTERNAL,
            Some(_) => Status::ESTATE,
        };
        // A daemon that stops cleanly is likely to come back: its clients' connections just end,
        // and they try again.
        if fault.is_some() || self.listener.is_none() {
            self.sessions.close_all(status, &reason, &self.poller);
        } else {
            self.sessions.hang_up_on_all(&self.poller);
        }
        if let Some(listener) = self.listener.take() {
            Readiness::remove(&self.poller, listener.fd());
        }
        for fd in self.domains.iter().flat_map(|domain| domain.transport.fds()) {
            Readiness::remove(&self.poller, fd);
        }
        // Nothing makes the descriptor readable any more: a host that polls it is left in peace.
        self.poller.retire();
        self.ended = Some(fault.map_or(Ok(()), Err));
        self.shared.end();
    }

    fn begin_to_leave_if_asked(&mut self) {
        if self.shared.stop.load(Ordering::Acquire) && !self.leaving {
            self.leaving = true;
            self.sessions.begin_to_stop();
            self.domains[0].shutdown(&mut self.up);
        }
    }

    fn take_in_connections(&mut self) {
        let connected = core::mem::take(&mut *self.shared.connected());
        for socket in connected {
            self.sessions.accept(socket, &self.poller, Instant(now_ns()));
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &mut self.listener else { return };
        for _ in 0..ACCEPT_MAX {
            let Some(socket) = listener.accept() else { break };
            self.sessions.accept(socket, &self.poller, Instant(now_ns()));
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

fn listen(config: &ValidConfig, poller: &Poller) -> Result<Option<Listener>, EngineError> {
    let Some(path) = &config.client.listen else { return Ok(None) };
    let path: &PathBuf = path;
    let listener = Listener::bind(path, config.client.listen_mode)
        .map_err(|error| EngineError::Socket(error.to_string()))?;
    poller.add(listener.fd(), LISTENER_KEY).map_err(|error| {
        EngineError::Socket(format!("cannot watch the socket {}: {error}", path.display()))
    })?;
    Ok(Some(listener))
}
