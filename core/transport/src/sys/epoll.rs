//! A set of sockets, as one descriptor that is readable while one of them is ready.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What to wait for; the end of a connection is always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Readable,
    Writable,
}

/// An epoll set, level-triggered.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Adds a socket that is not in the set. Take it out before it is closed: a child that was
    /// forked may still have it open.
    pub(crate) fn add(
        &self,
        socket: BorrowedFd<'_>,
        key: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let events = match interest {
            Interest::Readable => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::Writable => libc::EPOLLOUT,
        };
        self.control(libc::EPOLL_CTL_ADD, socket, events as u32, key)
    }

    /// Takes a socket out.
    pub(crate) fn remove(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, socket, 0, 0)
    }

    fn control(
        &self,
        operation: libc::c_int,
        socket: BorrowedFd<'_>,
        events: u32,
        key: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: key };
        // SAFETY: `event` lives across the call; the kernel copies it.
        let result =
            unsafe { libc::epoll_ctl(self.fd(), operation, socket.as_raw_fd(), &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Appends the keys of sockets that are ready now, not necessarily all. Does not wait.
    pub(crate) fn ready(&self, out: &mut Vec<u64>) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; READY_MAX];
        // SAFETY: the kernel writes at most as many events as the array has.
        let count = unsafe {
            libc::epoll_wait(self.fd(), events.as_mut_ptr(), READY_MAX as libc::c_int, 0)
        };
        // Less than none: interrupted. What is ready stays so.
        out.extend(events.iter().take(usize::try_from(count).unwrap_or(0)).map(|event| event.u64));
    }
}

/// Sockets told of in one call.
const READY_MAX: usize = 32;
