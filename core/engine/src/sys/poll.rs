//! One epoll set with a timer and a wake-up inside, so that one readable descriptor stands for a
//! whole engine.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// A level-triggered epoll set that also holds one timer and one [`Waker`].
///
/// Its own descriptor is readable exactly while one of the added descriptors is, the timer has
/// expired, or the waker was used; so it can be put into `poll(2)` or into another epoll set. One
/// thread owns it.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    waker: Waker,
    /// When the timer will fire, in nanoseconds of CLOCK_MONOTONIC.
    armed_ns: Option<u64>,
    /// A wait looks for so long before it sleeps.
    busy_poll: Duration,
}

/// Makes a [`Poller`] return from [`wait`](Poller::wait), from any thread and from signal handlers.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// The process or the system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed; the result is checked and owned by nobody else.
        let epoll = unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC))? };
        let timer_flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: as above.
        let timer = unsafe { owned(libc::timerfd_create(libc::CLOCK_MONOTONIC, timer_flags))? };
        // SAFETY: as above.
        let wake = unsafe { owned(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))? };
        let poller = Self {
            epoll,
            timer,
            waker: Waker(Arc::new(wake)),
            armed_ns: None,
            busy_poll: Duration::ZERO,
        };
        poller.add(poller.timer.as_raw_fd(), TIMER_KEY)?;
        poller.add(poller.waker.0.as_raw_fd(), WAKER_KEY)?;
        Ok(poller)
    }

    /// The descriptor of the set; constant, readable when there is something to do.
    pub fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Reports `key` from now on while `fd` is readable, has an error, or was hung up.
    ///
    /// # Errors
    /// `fd` is in the set already, cannot be polled (a regular file), or the two largest keys,
    /// which are taken, are asked for.
    pub fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control(fd, key, libc::EPOLLIN)
    }

    fn control(&self, fd: RawFd, key: u64, events: i32) -> io::Result<()> {
        let own = [self.timer.as_raw_fd(), self.waker.0.as_raw_fd()];
        if key >= WAKER_KEY && !own.contains(&fd) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this poll key is reserved"));
        }
        let mut event = libc::epoll_event { events: events as u32, u64: key };
        // SAFETY: `event` lives across the call; the kernel copies it.
        check(unsafe { libc::epoll_ctl(self.fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    /// Like [`add`](Self::add), but reports `fd` once for each time that something comes in, read
    /// or not.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn add_edge(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control(fd, key, libc::EPOLLIN | libc::EPOLLET)
    }

    /// Takes `fd` out of the set; must be called before it is closed.
    ///
    /// # Errors
    /// `fd` is not in the set.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        let none = std::ptr::null_mut();
        // SAFETY: EPOLL_CTL_DEL ignores the event since Linux 2.6.9.
        check(unsafe { libc::epoll_ctl(self.fd(), libc::EPOLL_CTL_DEL, fd, none) })?;
        Ok(())
    }

    /// From now on a wait looks for so long whether something is ready before it sleeps.
    pub fn set_busy_poll(&mut self, busy_poll: Duration) {
        self.busy_poll = busy_poll;
    }

    /// Waits until something is ready, at most for `timeout` (`None`: for ever; zero: only looks),
    /// and appends the keys of what is ready. Timer and waker end the wait and have no keys: look
    /// at the clock and at what the waker stands for after each return. May return early, with
    /// nothing ready (a signal arrived).
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn wait(&mut self, ready: &mut Vec<u64>, timeout: Option<Duration>) -> io::Result<()> {
        if timeout != Some(Duration::ZERO) && !self.busy_poll.is_zero() {
            let busy = self.busy_poll.min(timeout.unwrap_or(Duration::MAX)).as_nanos() as u64;
            let until_ns = now_ns() + busy;
            loop {
                if self.look(ready, Some(Duration::ZERO))? {
                    return Ok(());
                }
                if now_ns() >= until_ns {
                    break;
                }
                std::hint::spin_loop();
            }
        }
        self.look(ready, timeout).map(|_| ())
    }

    /// One system call; false if nothing was ready.
    fn look(&mut self, ready: &mut Vec<u64>, timeout: Option<Duration>) -> io::Result<bool> {
        let mut events = [MaybeUninit::<libc::epoll_event>::uninit(); EVENTS_PER_WAIT];
        let timeout_ms = timeout.map_or(-1, round_up_ms);
        // SAFETY: the buffer has room for EVENTS_PER_WAIT events.
        let count = unsafe {
            let room = EVENTS_PER_WAIT as libc::c_int;
            libc::epoll_wait(self.fd(), events.as_mut_ptr().cast(), room, timeout_ms)
        };
        let count = match check(count) {
            Ok(count) => count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        for event in &events[..count] {
            // SAFETY: the kernel wrote the first `count` events.
            let key = unsafe { event.assume_init_ref() }.u64;
            match key {
                TIMER_KEY => {
                    self.armed_ns = None;
                    drain(&self.timer);
                }
                // Emptied before the caller looks at what it was woken for: a later wake-up is
                // never lost.
                WAKER_KEY => drain(&self.waker.0),
                key => ready.push(key),
            }
        }
        Ok(count > 0)
    }

    /// Ends a wait at `deadline_ns` (of [`now_ns`]) or somewhat before. An armed timer is only ever
    /// moved forward: a deadline that recedes with every turn then costs no system call, and when
    /// the timer fires early the caller sets the deadline again. `None` stops the timer.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn set_timer(&mut self, deadline_ns: Option<u64>) -> io::Result<()> {
        let needed = match (self.armed_ns, deadline_ns) {
            (None, None) => false,
            (Some(armed), Some(deadline)) => deadline < armed,
            _ => true,
        };
        if !needed {
            return Ok(());
        }
        // Zero would disarm; a deadline in the past fires at once.
        let at_ns = deadline_ns.map_or(0, |ns| ns.max(1));
        let it_value = libc::timespec {
            tv_sec: (at_ns / 1_000_000_000).min(i64::MAX as u64) as libc::time_t,
            tv_nsec: (at_ns % 1_000_000_000) as libc::c_long,
        };
        let it_interval = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = libc::itimerspec { it_interval, it_value };
        let (timer, absolute) = (self.timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME);
        // SAFETY: `spec` lives across the call, and the old value is not asked for.
        check(unsafe {
            libc::timerfd_settime(timer, absolute, &raw const spec, std::ptr::null_mut())
        })?;
        self.armed_ns = deadline_ns;
        Ok(())
    }

    /// Takes timer and waker out of the set: what is left in it alone decides from now on, and
    /// wakers do nothing any more.
    pub fn retire(&mut self) {
        for own in [self.timer.as_raw_fd(), self.waker.0.as_raw_fd()] {
            // Not being in the set is what is wanted.
            let _ = self.remove(own);
        }
    }

    /// A handle that ends waits from elsewhere.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl Waker {
    /// Ends the current wait, or the next one. Async-signal-safe: one system call, no cancellation
    /// point, errno is untouched.
    pub fn wake(&self) {
        anasazi_queue::wake::wake(self.0.as_raw_fd());
    }
}

/// The time of CLOCK_MONOTONIC in nanoseconds. Async-signal-safe.
pub fn now_ns() -> u64 {
    now_of(Clock::Monotonic)
}

/// A clock of the system.
#[derive(Clone, Copy)]
pub(crate) enum Clock {
    /// Stands still while the machine sleeps.
    Monotonic = libc::CLOCK_MONOTONIC as isize,
    /// Goes on meanwhile.
    Boot = libc::CLOCK_BOOTTIME as isize,
    /// What people set.
    Wall = libc::CLOCK_REALTIME as isize,
}

/// What a clock shows, in nanoseconds. Async-signal-safe.
pub(crate) fn now_of(clock: Clock) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable; these clocks exist on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(clock as libc::clockid_t, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Empties an eventfd or a timerfd; both are non-blocking.
fn drain(fd: &OwnedFd) {
    let mut counter = [0u8; 8];
    // SAFETY: eight writable bytes. Nothing to read is fine.
    unsafe { libc::read(fd.as_raw_fd(), counter.as_mut_ptr().cast(), counter.len()) };
}

/// epoll counts in milliseconds; rounding down would spin through the last one.
fn round_up_ms(timeout: Duration) -> libc::c_int {
    timeout.as_nanos().div_ceil(1_000_000).min(libc::c_int::MAX as u128) as libc::c_int
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// # Safety
/// `fd` is the result of a call that makes a descriptor, and nobody else owns it.
unsafe fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: promised by the caller, and it is not negative.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

const TIMER_KEY: u64 = u64::MAX;
const WAKER_KEY: u64 = u64::MAX - 1;
/// What is ready beyond this is reported by the next wait; the kernel rotates, so nothing starves.
const EVENTS_PER_WAIT: usize = 64;

#[cfg(test)]
mod tests;
