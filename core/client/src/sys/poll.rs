//! Event descriptors, one timer, and the epoll set that stands for a session.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// An eventfd that is only ever written: it wakes whoever watches it edge-triggered.
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: makes a descriptor, which is ours alone.
        unsafe { owned(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)).map(Self) }
    }

    /// Safe in a signal handler; keeps errno.
    pub(crate) fn wake(&self) {
        anasazi_queue::wake::wake(self.0.as_raw_fd());
    }

    /// Takes the wakes out; whether there were any.
    pub(crate) fn take(&self) -> bool {
        let mut count = 0_u64;
        // SAFETY: reads 8 bytes into 8 bytes.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) == 8 }
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What was found ready; a set of [`Key`]s.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ready(u32);

/// What an epoll set watches.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    /// The session itself has something to do.
    Nudge,
    /// The engine has put something into a ring, or made room.
    Wake,
    /// The socket of the session's own connection.
    Socket,
    /// The socket of another lane.
    LaneSocket,
    /// The time for the next attempt, or the end of the present one.
    Timer,
}

impl Ready {
    pub(crate) fn has(self, key: Key) -> bool {
        self.0 & 1 << key as u32 != 0
    }
}

/// The epoll set behind a session's descriptor. It is readable as long as something was not
/// [taken](Poll::take).
pub(crate) struct Poll {
    set: OwnedFd,
    timer: OwnedFd,
    nudge: EventFd,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: makes a descriptor, which is ours alone.
        let timer = unsafe { owned(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags))? };
        let poll = Self { set: new_set()?, timer, nudge: EventFd::new()? };
        poll.watch(poll.timer.as_raw_fd(), Key::Timer)?;
        poll.watch(poll.nudge.as_raw_fd(), Key::Nudge)?;
        Ok(poll)
    }

    /// Watches a descriptor for readability. All but sockets are edge-triggered: nobody reads
    /// them, a new write or expiry shows again. A socket stays ready until it is read or closed.
    pub(crate) fn watch(&self, fd: RawFd, key: Key) -> io::Result<()> {
        let is_socket = matches!(key, Key::Socket | Key::LaneSocket);
        let edge = if is_socket { 0 } else { libc::EPOLLET };
        add(&self.set, fd, libc::EPOLLIN | edge, key as u64)
    }

    /// Stops watching. Needed before a descriptor is closed: another process may hold a copy of it.
    pub(crate) fn forget(&self, fd: RawFd) {
        forget(&self.set, fd);
    }

    /// What became ready since the last time; makes the set unreadable, but for sockets. Never
    /// blocks.
    pub(crate) fn take(&self) -> Ready {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; READY_MAX];
        let room = READY_MAX as i32;
        // SAFETY: as much room is given as there is.
        let n = unsafe { libc::epoll_wait(self.set.as_raw_fd(), events.as_mut_ptr(), room, 0) };
        let found = events.iter().take(usize::try_from(n).unwrap_or(0));
        Ready(found.fold(0, |ready, event| ready | 1 << (event.u64 & 31)))
    }

    /// Makes the set readable. Safe in a signal handler.
    pub(crate) fn nudge(&self) {
        self.nudge.wake();
    }

    /// The descriptor of [`nudge`](Poll::nudge).
    pub(crate) fn nudge_fd(&self) -> RawFd {
        self.nudge.as_raw_fd()
    }

    /// Sets the one timer; `None` stops it.
    pub(crate) fn set_timer(&self, after: Option<Duration>) {
        // Zero would stop it.
        let after = after.map_or(Duration::ZERO, |after| after.max(Duration::from_nanos(1)));
        let value = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: timespec(after),
        };
        // SAFETY: `value` lives through the call, the old value is not asked for.
        unsafe {
            let none = std::ptr::null_mut();
            libc::timerfd_settime(self.timer.as_raw_fd(), 0, &raw const value, none);
        }
    }
}

impl AsRawFd for Poll {
    fn as_raw_fd(&self) -> RawFd {
        self.set.as_raw_fd()
    }
}

/// Descriptors that are looked at in one go; of more lanes than that the rest come next.
const READY_MAX: usize = 16;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Bit n set: descriptor n is readable.
    Ready(u32),
    TimedOut,
    Interrupted,
}

/// Waits until one of two descriptors is readable or the monotonic clock shows `deadline_ns`
/// (negative: for ever).
pub(crate) fn wait(fds: [RawFd; 2], deadline_ns: i64) -> Waited {
    let mut fds = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let timeout;
    let timeout_pointer = if deadline_ns < 0 {
        std::ptr::null()
    } else {
        let left_ns = deadline_ns.saturating_sub(now_ns()).max(0);
        timeout = timespec(Duration::from_nanos(left_ns.unsigned_abs()));
        &raw const timeout
    };
    // SAFETY: two descriptors are given as two, the timeout lives through the call, no signal mask
    // is given.
    let n = unsafe { libc::ppoll(fds.as_mut_ptr(), 2, timeout_pointer, std::ptr::null()) };
    match n {
        0 => Waited::TimedOut,
        1.. => {
            let bits = fds.iter().enumerate();
            Waited::Ready(bits.fold(0, |ready, (n, fd)| ready | u32::from(fd.revents != 0) << n))
        }
        _ => Waited::Interrupted,
    }
}

/// Watches descriptors that are only ever written for new writes, beside anybody else who does.
pub(crate) struct EdgeWatch(OwnedFd);

impl EdgeWatch {
    pub(crate) fn new(fds: &[RawFd]) -> io::Result<Self> {
        let set = new_set()?;
        for fd in fds {
            add(&set, *fd, libc::EPOLLIN | libc::EPOLLET, 0)?;
        }
        Ok(Self(set))
    }

    /// Forgets the writes until now.
    pub(crate) fn clear(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 2];
        // SAFETY: room for 2 events is given for 2.
        unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 2, 0) };
    }
}

impl AsRawFd for EdgeWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The monotonic clock, in nanoseconds.
pub(crate) fn now_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is there to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// An empty epoll set.
pub(super) fn new_set() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor, which is ours alone.
    unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }
}

pub(super) fn add(set: &OwnedFd, fd: RawFd, events: i32, key: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: events as u32, u64: key };
    // SAFETY: `event` lives through the call.
    let result =
        unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn forget(set: &OwnedFd, fd: RawFd) {
    let nothing = std::ptr::null_mut();
    // SAFETY: no memory is passed.
    unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, nothing) };
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// Takes a fresh descriptor, or the error that came in its place.
///
/// # Safety
/// `fd` is -1 with errno set, or a descriptor that nothing else owns.
unsafe fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: promised by the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
