//! Sessions, and how a URL becomes one.
#![allow(non_camel_case_types, reason = "C names")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anasazi_client::sys::fork;
use anasazi_client::sys::table::{Pinned, Table};
use anasazi_client::{
    Call, Connector, Failure, Member, Session, SessionOptions, SlowPolicy, SocketFile, Status,
    Stream, StreamAddress, Url,
};
use anasazi_engine::config::ValidConfig;
use anasazi_engine::inproc;

use crate::abi::{
    anz_config_t, anz_conn_stats_t, anz_conn_t, anz_engine_t, anz_error_t, anz_member_t,
    anz_status_t,
};
use crate::config::Config;
use crate::engine::{OwnEngine, failure};
use crate::fence::{
    code, explained, guarded, guarded_number, out, pin, pointer, put_text, size_of_struct, text,
    write_struct,
};

/// ---- sessions ----
/// URLs: "shm:/path.sock" shared memory to a local daemon; "unix:/path.sock" and "tcp://host:port"
/// sockets: the engine's client.listen_streams; "inproc:NAME" an engine of this process, started in
/// its own thread on first use and shared by everyone who names it, from C, Python and Node alike.
/// NULL: $ANASAZI_URL; else the local daemon's socket if it exists; else, where a daemon is
/// configured but not running, ANZ_ECONNREFUSED (never a silent private cluster); else
/// "inproc:default". Blocks at most `connect.timeout_ms` (5 s); with `connect.async` it returns at
/// once and RESUMED or CLOSED tells the rest. A session over shared memory needs no thread: it
/// makes progress in anz_recv(), behind its fd. One over a socket has a thread of the library,
/// which carries what the session says; what it has sent last may not have left when the process
/// ends. MT-Safe BLK; *out is set on success only
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_connect(
    url: *const c_char,
    cfg: *const anz_config_t,
    out: *mut *mut anz_conn_t,
    err: *mut anz_error_t,
) -> anz_status_t {
    // SAFETY: the caller passes NULL or valid pointers.
    unsafe {
        explained(err, || {
            let config = Config::of(cfg)?;
            let valid = config.validate()?;
            let connector = connector(&chosen_url(url)?, config, valid.connect.timeout)?;
            open(connector, &valid, out)
        })
    }
}

/// A session with an engine of the caller's. If the caller's own thread is the one that drives it,
/// it is driven in here until it has answered. MT-Safe BLK; *out is set on success only
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_engine_connect(
    e: *mut anz_engine_t,
    cfg: *const anz_config_t,
    out: *mut *mut anz_conn_t,
    err: *mut anz_error_t,
) -> anz_status_t {
    // SAFETY: the caller passes NULL or valid pointers.
    unsafe {
        explained(err, || open(Arc::new(OwnEngine::of(e)?), &Config::of(cfg)?.validate()?, out))
    }
}

/// Leaves all groups, wakes waiters, and makes this handle and those of its groups stale; retained
/// messages stay. Borrowed events end here; still, they stay readable until they are released, or
/// until sixteen more sessions were closed like this one. MT-Safe NB
#[unsafe(no_mangle)]
pub extern "C" fn anz_conn_close(c: *mut anz_conn_t) -> anz_status_t {
    guarded(|| {
        if c.is_null() {
            return Ok(());
        }
        // A child may close what it cannot use.
        let session = session(c)?;
        if session.was_closed() {
            return Err(Status::ECLOSED);
        }
        session.close();
        let lingers = session.holds_events();
        drop(session);
        let handle = c.addr() as u64;
        let evicted = if lingers {
            let place = LINGERED.fetch_add(1, Ordering::SeqCst) % LINGERING.len();
            LINGERING[place].swap(handle, Ordering::SeqCst)
        } else {
            handle
        };
        SESSIONS.remove(evicted);
        Ok(())
    })
}

/// readable <=> anz_recv() would make progress. MT-Safe NB; constant, and the library's to close
#[unsafe(no_mangle)]
pub extern "C" fn anz_conn_fd(c: *const anz_conn_t) -> c_int {
    guarded_number(|| Ok(open_session(c)?.fd()))
}

/// This session's identity; a new one with every RESUMED; all 0 before the first connection.
/// MT-Safe NB
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_conn_self(
    c: *const anz_conn_t,
    out: *mut anz_member_t,
) -> anz_status_t {
    guarded(|| {
        let session = open_session(c)?;
        let Member { node, session } = session.identity();
        // SAFETY: the caller passes NULL or a place.
        unsafe { self::out(out) }?.write(anz_member_t { node, session });
        Ok(())
    })
}

/// "node/session", for people: the node's number, and the session's within the present start of its
/// node, as in the reasons of views. 40 bytes are enough; ANZ_EINVAL if cap is not. MT-Safe NB
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_member_name(
    c: *const anz_conn_t,
    m: *const anz_member_t,
    buf: *mut c_char,
    cap: usize,
) -> anz_status_t {
    guarded(|| {
        open_session(c)?;
        // SAFETY: the caller passes NULL or a member, and a buffer of that capacity.
        unsafe {
            let member = m.as_ref().ok_or(Status::EINVAL)?;
            let number = member.session & SESSION_NUMBER_MASK;
            put_text(&format!("{}/{number}", member.node), buf, cap)
        }
    })
}

/// fn is called on a thread of the library each time that anz_recv() would make progress again, and
/// once now if it would: receive until 0, or there may be no next time. It may call AS-Safe
/// functions only; anz_conn_wake() ends another thread's wait. NULL: no more. When this returns, no
/// former call is under way: it waits for one that is, and anz_conn_close() does not, so set NULL
/// before what fn uses goes away. Now and then there is nothing. ANZ_EBUSY from within fn. MT-Owner
/// BLK
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_conn_set_notify(
    c: *mut anz_conn_t,
    r#fn: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    user_data: *mut c_void,
) -> anz_status_t {
    guarded(|| {
        let session = open_session(c)?;
        let user_data = Shared(user_data);
        session.set_notify(r#fn.map(|function| -> Call {
            // SAFETY: the application gave both for this.
            Box::new(move || unsafe { function(user_data.get()) })
        }))
    })
}

/// A pointer that another thread hands back to the application.
#[derive(Clone, Copy)]
struct Shared(*mut c_void);

// SAFETY: this library never looks at what it points to.
unsafe impl Send for Shared {}

impl Shared {
    fn get(self) -> *mut c_void {
        self.0
    }
}

/// Until anz_recv() would make progress. MT-Safe BLK; CLOCK_MONOTONIC, -1 = for ever; OK,
/// ANZ_ETIMEDOUT, ANZ_EINTR
#[unsafe(no_mangle)]
pub extern "C" fn anz_conn_wait(c: *mut anz_conn_t, deadline_ns: i64) -> anz_status_t {
    guarded(|| open_session(c)?.wait(deadline_ns))
}

/// Ends another thread's wait, or the next one. MT-Safe AS-Safe NB
#[unsafe(no_mangle)]
pub extern "C" fn anz_conn_wake(c: *mut anz_conn_t) -> anz_status_t {
    code(pin(&SESSIONS, c).and_then(|session| session.wake()))
}

/// MT-Safe NB; the caller sets struct_size; a library that knows less fills the rest with 0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_conn_stats(
    c: *mut anz_conn_t,
    out: *mut anz_conn_stats_t,
) -> anz_status_t {
    guarded(|| {
        let stats = open_session(c)?.stats()?;
        // SAFETY: the caller passes NULL or a struct that starts with its size.
        let size = unsafe { size_of_struct(out.cast()) }.ok_or(Status::EINVAL)?;
        if size < STATS_SIZE_MIN {
            return Err(Status::EINVAL);
        }
        let filled = anz_conn_stats_t {
            struct_size: size as u32,
            reserved: 0,
            sent_messages: stats.sent_messages,
            sent_bytes: stats.sent_bytes,
            send_again: stats.send_again,
            received_messages: stats.received_messages,
            received_bytes: stats.received_bytes,
            views: stats.views,
            send_ring_used: stats.send_ring_used,
            send_ring_size: stats.send_ring_size,
            receive_ring_used: stats.receive_ring_used,
            receive_ring_size: stats.receive_ring_size,
            lag_ns: stats.lag_ns,
            reconnects: stats.reconnects,
        };
        // SAFETY: the size is the caller's.
        unsafe { write_struct(out, &filled, size) };
        Ok(())
    })
}

/// The session behind a handle; it may be closed, and be there only because events of it are still
/// held.
pub(crate) fn session(c: *const anz_conn_t) -> Result<Pinned<'static, Session>, Status> {
    pin(&SESSIONS, c)
}

/// The session behind a handle, unless the handle was closed, or is the parent's.
pub(crate) fn open_session(c: *const anz_conn_t) -> Result<Pinned<'static, Session>, Status> {
    let session = session(c)?;
    session.check_fork()?;
    // What ended by itself still has its fd and its last events.
    if session.was_closed() { Err(Status::ECLOSED) } else { Ok(session) }
}

/// Drops a closed session once the last of its events was released.
pub(crate) fn drop_if_done(c: *const anz_conn_t, session: Pinned<'static, Session>) {
    let is_done = session.was_closed() && !session.holds_events();
    drop(session);
    if is_done {
        SESSIONS.remove(c.addr() as u64);
    }
}

fn open(
    connector: Arc<dyn Connector>,
    valid: &ValidConfig,
    out: *mut *mut anz_conn_t,
) -> Result<(), Failure> {
    // SAFETY: the caller passes NULL or a place.
    let place = unsafe { self::out(out) }
        .map_err(|status| Failure::new(status, "the place for the session is NULL"))?;
    let options = SessionOptions {
        send_ring_len: valid.session.send_ring_len,
        receive_ring_len: valid.session.receive_ring_len,
        connect_timeout: valid.connect.timeout,
        connect_async: valid.connect.asynchronous,
        slow: SlowPolicy::named(&valid.session.slow_policy),
    };
    let session = Session::open(connector, options)?;
    let handle = SESSIONS.insert(session);
    let handle = handle.ok_or_else(|| Failure::new(Status::ENOMEM, "too many sessions"))?;
    place.write(pointer(handle));
    Ok(())
}

fn chosen_url(url: *const c_char) -> Result<Url, Failure> {
    if url.is_null() {
        // SAFETY: the name is a string; what comes back is NULL or one that lives until the
        // environment changes.
        let environment = unsafe { secure_getenv(c"ANASAZI_URL".as_ptr()).as_ref() };
        // SAFETY: as above.
        let environment = environment.map(|first| unsafe { CStr::from_ptr(first) });
        let environment = environment.map(CStr::to_string_lossy);
        return Url::of_this_machine(environment.as_deref());
    }
    // SAFETY: the caller passes a string.
    let url = unsafe { text(url) }.map_err(|s| Failure::new(s, "the URL is not UTF-8"))?;
    Url::parse(url)
}

fn connector(url: &Url, config: Config, within: Duration) -> Result<Arc<dyn Connector>, Failure> {
    match url {
        Url::Shm(path) => Ok(Arc::new(SocketFile(path.clone()))),
        Url::InProcess(name) => in_process(name, config),
        Url::Unix(path) => Ok(Arc::new(Stream::new(StreamAddress::Unix(path.clone()), within))),
        Url::Tcp(place) => Ok(Arc::new(Stream::new(StreamAddress::Tcp(place.clone()), within))),
    }
}

fn in_process(name: &str, config: Config) -> Result<Arc<dyn Connector>, Failure> {
    let present = fork::mark();
    let first = FORK_MARK.compare_exchange(0, present, Ordering::SeqCst, Ordering::SeqCst);
    if first.is_err_and(|first| first != present) {
        let message = format!(
            "the engines behind inproc: belong to the parent of this process, inproc:{name} too; \
             use a daemon, or exec"
        );
        return Err(Failure::new(Status::EFORKED, message));
    }
    let settings = config.into_settings();
    let handle = inproc::engine(name, || settings.validate()).map_err(|error| failure(&error))?;
    Ok(Arc::new(OwnEngine { handle, address: None }))
}

unsafe extern "C" {
    /// As getenv, but NULL in a program that runs with more rights than its user.
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

static SESSIONS: Table<Session> = Table::new(0xA2);
/// The process that has engines behind "inproc:".
static FORK_MARK: AtomicU64 = AtomicU64::new(0);
/// Closed sessions whose events are still held.
static LINGERING: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
static LINGERED: AtomicUsize = AtomicUsize::new(0);
/// Of a session's identity, which is unique for ever, what counts the sessions of one start.
const SESSION_NUMBER_MASK: u64 = (1 << 24) - 1;
/// What version 1.0 had.
const STATS_SIZE_MIN: usize = 104;
const _: () = assert!(STATS_SIZE_MIN <= size_of::<anz_conn_stats_t>());
