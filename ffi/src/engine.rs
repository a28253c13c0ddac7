//! Engines: in the caller's loop, in the caller's thread, or in a thread of their own.
#![allow(non_camel_case_types, reason = "C names")]

use std::ffi::c_int;
use std::os::fd::{OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anasazi_client::spawn_without_signals;
use anasazi_client::sys::fork;
use anasazi_client::sys::table::{Pinned, Table};
use anasazi_client::{Connector, Failure, Status};
use anasazi_engine::{Engine, EngineError, EngineHandle};

use crate::abi::{anz_config_t, anz_engine_t, anz_error_t, anz_status_t};
use crate::config::Config;
use crate::fence::{code, explained, guarded, guarded_number, out, pin, pointer};
use crate::log::LogSink;

/// What a handle stands for.
pub(crate) struct Driven {
    /// The owner's; empty once its thread has ended, or a panic was caught in it.
    engine: Mutex<Option<Engine>>,
    handle: EngineHandle,
    fd: RawFd,
    fork_mark: u64,
    is_poisoned: AtomicBool,
    /// Its thread has come to its end, and it with it.
    has_left: AtomicBool,
    /// It was freed from within one of its callbacks.
    is_freed: Arc<AtomicBool>,
    /// The thread that is driving it, or 0.
    driver: AtomicI32,
    log: Option<LogSink>,
    /// The thread whose loop watches everything itself, if one does: the one that was last seen
    /// to drive it.
    host_thread: Option<AtomicI32>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// ---- engine: standalone, in your loop, or in its own thread ----
/// Opens sockets and state; waits for the disk, and starts no thread but the one that
/// client.listen_streams takes, and one for each domain with turn.thread, which turns it while
/// nobody drives the engine, too. MT-Safe BLK; *out is set on success only
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_engine_new(
    cfg: *const anz_config_t,
    out: *mut *mut anz_engine_t,
    err: *mut anz_error_t,
) -> anz_status_t {
    // SAFETY: the caller passes NULL or valid pointers.
    unsafe {
        explained(err, || {
            let place =
                self::out(out).map_err(|s| Failure::new(s, "the place for the engine is NULL"))?;
            let config = Config::of(cfg)?;
            let (valid, log, host) = (config.validate()?, config.log, config.host);
            let open = || match host {
                Some(host) => Engine::hosted(valid, Box::new(host)),
                None => Engine::new(valid),
            };
            let is_freed = Arc::default();
            let engine = LogSink::during(log, &is_freed, open).map_err(|e| failure(&e))?;
            let driven = Driven {
                handle: engine.handle(),
                fd: engine.fd(),
                engine: Mutex::new(Some(engine)),
                fork_mark: fork::mark(),
                is_poisoned: AtomicBool::new(false),
                has_left: AtomicBool::new(false),
                is_freed,
                driver: AtomicI32::new(0),
                log,
                host_thread: host.map(|_| AtomicI32::new(this_thread())),
                thread: Mutex::new(None),
            };
            let handle = ENGINES.insert(driven);
            let handle = handle.ok_or_else(|| Failure::new(Status::ENOMEM, "too many engines"))?;
            place.write(pointer(handle));
            Ok(())
        })
    }
}

/// Stops it if it runs, joins its thread, and gives everything back; its sessions close. A clean
/// leave takes up to a second, with client.listen_streams two. Where a loop was set, this is for
/// its thread. From within a callback of its own it waits for nothing: the engine ends once that
/// has returned, and logs no more. MT-Safe BLK
#[unsafe(no_mangle)]
pub extern "C" fn anz_engine_free(e: *mut anz_engine_t) {
    guarded(|| {
        let driven = pin(&ENGINES, e)?;
        if !fork::is_current(driven.fork_mark) {
            return Ok(());
        }
        driven.handle.stop();
        let thread = driven.thread.lock().map_or(None, |mut thread| thread.take());
        // From within a callback of its own, it is driven by this very thread: whoever does that
        // ends it when the callback returns.
        let is_within = |driven: &Driven| {
            let driver = driven.driver.load(Ordering::SeqCst);
            driver != 0 && driver == this_thread()
        };
        match thread {
            _ if is_within(&driven) => driven.is_freed.store(true, Ordering::SeqCst),
            Some(thread) => drop(thread.join()),
            None => driven.leave(),
        }
        drop(driven);
        ENGINES.remove(e.addr() as u64);
        Ok(())
    });
}

/// For your loop: watch this fd for readability, and call anz_engine_process() when it is readable.
/// MT-Safe NB; constant; POLLIN, level-triggered. ANZ_ESTATE where a loop was set
#[unsafe(no_mangle)]
pub extern "C" fn anz_engine_fd(e: *const anz_engine_t) -> c_int {
    guarded_number(|| Ok(usable(e)?.without_host()?.fd))
}

/// MT-Owner NB; >0 more to do, 0 idle, <0 a status: ANZ_ECLOSED once it was stopped and has left,
/// ANZ_ESTATE where a loop was set. A budget of 0 is the default
#[unsafe(no_mangle)]
pub extern "C" fn anz_engine_process(e: *mut anz_engine_t, budget: u32) -> c_int {
    guarded_number(|| usable(e)?.without_host()?.turned(|engine| engine.process(budget)))
}

/// Level-2 embedding only, else ANZ_ESTATE: this fd of those to be watched is ready, or, with -1,
/// the timer has run out. One that is not watched any more does no harm. Results as those of
/// anz_engine_process(). MT-Owner NB
#[unsafe(no_mangle)]
pub extern "C" fn anz_engine_process_fd(e: *mut anz_engine_t, fd: c_int, events: u32) -> c_int {
    // What it is ready for shows when it is read.
    let _ = events;
    guarded_number(|| {
        let driven = usable(e)?;
        let thread = driven.host_thread.as_ref().ok_or(Status::ESTATE)?;
        if fd < TIMER {
            return Err(Status::EINVAL);
        }
        driven.turned(|engine| {
            thread.store(this_thread(), Ordering::SeqCst);
            engine.process_fd((fd != TIMER).then_some(fd))
        })
    })
}

/// As a daemon does: drives the engine until anz_engine_stop(). MT-Owner BLK; ANZ_ESTATE where a
/// loop was set
#[unsafe(no_mangle)]
pub extern "C" fn anz_engine_run(e: *mut anz_engine_t) -> anz_status_t {
    guarded(|| usable(e)?.without_host()?.drive(Engine::run))
}

/// Drives the engine in a thread of its own, in which all signals are blocked. MT-Owner NB; once
/// per engine, then ANZ_ESTATE, as where a loop was set
#[unsafe(no_mangle)]
pub extern "C" fn anz_engine_start_thread(e: *mut anz_engine_t) -> anz_status_t {
    guarded(|| {
        let driven = usable(e)?;
        driven.without_host()?;
        let mut thread = driven.thread.try_lock().map_err(|_| Status::EBUSY)?;
        if thread.is_some() {
            return Err(Status::ESTATE);
        }
        // Held by somebody: he drives it.
        drop(driven.own()?);
        let address = e.addr() as u64;
        let work = move || {
            if let Ok(driven) = usable(pointer(address)) {
                driven.run_to_the_end();
            }
        };
        *thread = Some(spawn_without_signals("anasazi-engine", work).map_err(|_| Status::ENOMEM)?);
        Ok(())
    })
}

/// Asks for a clean leave; then anz_engine_run() returns, and anz_engine_process() gives
/// ANZ_ECLOSED. MT-Safe AS-Safe NB
#[unsafe(no_mangle)]
pub extern "C" fn anz_engine_stop(e: *mut anz_engine_t) -> anz_status_t {
    code(pin(&ENGINES, e).and_then(|driven| {
        if !fork::is_current(driven.fork_mark) {
            return Err(Status::EFORKED);
        }
        driven.handle.stop();
        Ok(())
    }))
}

impl Driven {
    /// Lets the one thread at a time that may drive the engine do it.
    fn drive<R>(
        &self,
        work: impl FnOnce(&mut Engine) -> Result<R, EngineError>,
    ) -> Result<R, Status> {
        self.drive_owned(&mut *self.own()?, work)
    }

    /// What the own thread does. It waits its turn: a session that connects may be driving.
    fn run_to_the_end(&self) {
        let mut owned = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        // The log says why it ended.
        _ = self.drive_owned(&mut owned, Engine::run);
        // Nobody else will drive it: its sessions are not to wait for it.
        self.has_left.store(true, Ordering::SeqCst);
        *owned = None;
    }

    /// A panic is caught and puts the engine out of use.
    fn drive_owned<R>(
        &self,
        owned: &mut Option<Engine>,
        work: impl FnOnce(&mut Engine) -> Result<R, EngineError>,
    ) -> Result<R, Status> {
        let Some(engine) = owned.as_mut() else { return Err(Status::ECLOSED) };
        self.driver.store(this_thread(), Ordering::SeqCst);
        let logged = || {
            LogSink::during(self.log, &self.is_freed, || {
                work(engine)
                    .inspect_err(|error| tracing::error!(target: "anasazi::engine", "{error}"))
            })
        };
        let caught = catch_unwind(AssertUnwindSafe(logged));
        self.driver.store(0, Ordering::SeqCst);
        if self.is_freed.load(Ordering::SeqCst) {
            // Its handle is stale: nobody could drive it to an end. Its sockets close.
            let engine = owned.take();
            _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
            return Err(Status::ECLOSED);
        }
        match caught {
            Ok(result) => result.map_err(|error| failure(&error).status),
            // Not of the engine, which catches its own: of the log, say.
            Err(_) => {
                self.is_poisoned.store(true, Ordering::SeqCst);
                // Its sockets close, so nobody waits for it; should that panic too, it was our last
                // attempt.
                let engine = owned.take();
                _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
                Err(Status::EINTERNAL)
            }
        }
    }

    fn own(&self) -> Result<MutexGuard<'_, Option<Engine>>, Status> {
        match self.engine.try_lock() {
            Ok(owned) => Ok(owned),
            Err(TryLockError::Poisoned(owned)) => Ok(owned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Status::EBUSY),
        }
    }

    /// One turn: whether there is more to do.
    fn turned(
        &self,
        turn: impl FnOnce(&mut Engine) -> Result<bool, EngineError>,
    ) -> Result<c_int, Status> {
        match self.drive(|engine| Ok((turn(engine)?, engine.has_ended())))? {
            (_, true) => Err(Status::ECLOSED),
            (more, false) => Ok(c_int::from(more)),
        }
    }

    /// Itself, if its own descriptor stands for all of it.
    fn without_host(&self) -> Result<&Self, Status> {
        if self.host_thread.is_some() { Err(Status::ESTATE) } else { Ok(self) }
    }

    /// A clean leave of an engine that nobody drives, if it can be had soon.
    fn leave(&self) {
        _ = self.drive(Engine::take_back);
        let deadline = Instant::now() + LEAVE_TIME_MAX;
        let turn = |engine: &mut Engine| Ok((engine.process(0)?, engine.has_ended()));
        while let Ok((more, false)) = self.drive(turn) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if !more {
                wait_readable(self.fd, left);
            }
        }
    }
}

/// Gives sessions sockets to an engine of this process.
pub(crate) struct OwnEngine {
    pub(crate) handle: EngineHandle,
    /// The engine if the caller may be the one who drives it.
    pub(crate) address: Option<u64>,
}

impl OwnEngine {
    /// For sessions of the engine behind a handle.
    pub(crate) fn of(e: *const anz_engine_t) -> Result<Self, Failure> {
        let driven = usable(e).map_err(|status| why(e, status))?;
        Ok(Self { handle: driven.handle.clone(), address: Some(e.addr() as u64) })
    }
}

impl Connector for OwnEngine {
    fn open(&self) -> Result<OwnedFd, Failure> {
        if self.handle.has_ended() {
            let message = "the engine of this process was stopped or freed";
            return Err(Failure::new(Status::ECLOSED, message));
        }
        self.handle.connect_socket().map_err(|error| {
            Failure::system("connecting to the engine of this process", &error, "see ulimit -n")
        })
    }

    fn lost(&self) -> Option<Failure> {
        self.handle.broken().map(failure)
    }

    fn turn(&self) {
        // If somebody else drives it, so much the better.
        let driven = self.address.and_then(|address| usable(pointer(address)).ok());
        // A host's functions are called on its own thread only.
        let mine = |driven: &Driven| {
            let host = driven.host_thread.as_ref().map(|host| host.load(Ordering::SeqCst));
            host.is_none_or(|host| host == this_thread())
        };
        if let Some(driven) = driven.filter(|driven| mine(driven)) {
            _ = driven.drive(|engine| engine.process(0));
        }
    }
}

/// Why an engine could not start or go on.
pub(crate) fn failure(error: &EngineError) -> Failure {
    let status = match error {
        EngineError::Config(_) => Status::ECONFIG,
        EngineError::System(_) => Status::ENOMEM,
        EngineError::Broken(_) => Status::EINTERNAL,
        EngineError::State(_)
        | EngineError::Network(_)
        | EngineError::Socket(_)
        | EngineError::Outdated(_)
        | EngineError::Protocol(_) => Status::ESTATE,
    };
    Failure::new(status, error.to_string())
}

/// The engine behind a handle, if it is in a state to be used.
fn usable(e: *const anz_engine_t) -> Result<Pinned<'static, Driven>, Status> {
    let driven = pin(&ENGINES, e)?;
    if !fork::is_current(driven.fork_mark) {
        return Err(Status::EFORKED);
    }
    if driven.handle.broken().is_some() || driven.is_poisoned.load(Ordering::SeqCst) {
        return Err(Status::EINTERNAL);
    }
    if driven.has_left.load(Ordering::SeqCst) {
        return Err(Status::ECLOSED);
    }
    Ok(driven)
}

/// Why an engine is not usable, in words.
fn why(e: *const anz_engine_t, status: Status) -> Failure {
    if let Ok(driven) = pin(&ENGINES, e)
        && let Some(broken) = driven.handle.broken()
    {
        return failure(broken);
    }
    let message = match status {
        Status::EINVAL => "the engine is NULL",
        Status::EFORKED => "the engine belongs to the parent of this process",
        Status::EINTERNAL => "the engine is out of use: a bug was caught in it",
        _ => "this engine was freed, or is none",
    };
    Failure::new(status, message)
}

fn this_thread() -> i32 {
    // SAFETY: takes no arguments and cannot fail.
    unsafe { libc::gettid() }
}

fn wait_readable(fd: RawFd, timeout: Duration) {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX).max(1);
    // SAFETY: one entry is given as one.
    unsafe { libc::poll(&raw mut entry, 1, timeout_ms) };
}

/// What anz_engine_process_fd() is given when the timer has run out.
const TIMER: c_int = -1;
static ENGINES: Table<Driven> = Table::new(0xA5);
/// How long a clean leave may take before an engine is freed without it.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);
