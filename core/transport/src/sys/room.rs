//! Waiting for room in a send buffer, as a descriptor that is readable when there is some.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// An epoll set that is empty, or holds one socket and is readable while that can take more.
pub(crate) struct RoomWatch {
    epoll: OwnedFd,
    watching: bool,
}

impl RoomWatch {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self { epoll: unsafe { OwnedFd::from_raw_fd(fd) }, watching: false })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Watches `socket`, always the same one, or no longer.
    pub(crate) fn watch(&mut self, socket: BorrowedFd<'_>, watching: bool) {
        if watching == self.watching {
            return;
        }
        let operation = if watching { libc::EPOLL_CTL_ADD } else { libc::EPOLL_CTL_DEL };
        let mut event = libc::epoll_event { events: libc::EPOLLOUT as u32, u64: 0 };
        let (epoll, socket) = (self.fd(), socket.as_raw_fd());
        // SAFETY: `event` lives across the call; the kernel copies it.
        let result = unsafe { libc::epoll_ctl(epoll, operation, socket, &raw mut event) };
        // It fails only without memory; the next call tries again, and until then what waits goes
        // out with the next send.
        if result == 0 {
            self.watching = watching;
        }
    }
}
