//! Waiting for room in a send buffer, as a descriptor that is readable when there is some.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use crate::sys::epoll::{Epoll, Interest};

/// A set that is empty, or holds one socket and is readable while that can take more.
pub(crate) struct RoomWatch {
    epoll: Epoll,
    watching: bool,
}

impl RoomWatch {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new()?, watching: false })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.epoll.fd()
    }

    /// Watches `socket`, always the same one, or no longer.
    pub(crate) fn watch(&mut self, socket: BorrowedFd<'_>, watching: bool) {
        if watching == self.watching {
            return;
        }
        let result = match watching {
            true => self.epoll.add(socket, 0, Interest::Writable),
            false => self.epoll.remove(socket),
        };
        // It fails only without memory; the next call tries again, and until then what waits goes
        // out with the next send.
        if result.is_ok() {
            self.watching = watching;
        }
    }
}
