//! What the engine waits for: in one epoll set of its own, or, as far as its host wants to see each
//! of them, in the host's loop.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::session::Readiness;
use crate::sys::poll::{Poller, Waker};

/// Readable, as in `poll(2)`.
const READABLE: u32 = libc::POLLIN as u32;
/// Of the engine's own set, in the loop of a host.
const NO_KEY: u64 = u64::MAX;

/// The loop of a host that watches the engine's descriptors and its timer itself. Called by
/// whichever thread drives the engine, only while it does.
pub trait HostLoop: Send {
    /// From now on watches `fd` for the `new` events of `poll(2)` instead of the `old` ones; 0 is
    /// none. Level-triggered or edge-triggered, if the host then asks until nothing is left to do.
    ///
    /// # Errors
    /// The host cannot; its own number for why.
    fn watch(&self, fd: RawFd, old: u32, new: u32) -> Result<(), i32>;

    /// From now on the one timer of the engine runs out at this time of CLOCK_MONOTONIC; `None`:
    /// not at all.
    fn timer(&self, deadline_ns: Option<u64>);
}

/// Everything that an engine waits for.
pub(crate) struct Watches {
    poller: Poller,
    host: Option<Host>,
}

/// What the host has been asked for.
struct Host {
    calls: Box<dyn HostLoop>,
    /// With the keys that they would have in a set.
    watched: Vec<(RawFd, u64)>,
    armed_ns: Option<u64>,
}

impl Watches {
    /// Nothing yet. A host gets the set of the sessions as one descriptor.
    pub(crate) fn new(calls: Option<Box<dyn HostLoop>>) -> io::Result<Self> {
        let poller = Poller::new()?;
        let host = calls.map(|calls| Host { calls, watched: Vec::new(), armed_ns: None });
        let mut watches = Self { poller, host };
        let own = watches.poller.fd();
        if let Some(host) = &mut watches.host {
            host.watch(own, NO_KEY)?;
        }
        Ok(watches)
    }

    /// Readable while there is something to do, if there is no host.
    pub(crate) fn fd(&self) -> RawFd {
        self.poller.fd()
    }

    /// See [`Poller::set_busy_poll`].
    pub(crate) fn set_busy_poll(&mut self, busy_poll: Duration) {
        self.poller.set_busy_poll(busy_poll);
    }

    pub(crate) fn waker(&self) -> Waker {
        self.poller.waker()
    }

    /// The key of a descriptor that the host was asked to watch.
    pub(crate) fn watched(&self, fd: RawFd) -> Option<u64> {
        let mut watched = self.host.iter().flat_map(|host| &host.watched);
        watched.find(|(watched, _)| *watched == fd).map(|(_, key)| *key)
    }

    pub(crate) fn add_transport(&mut self, fd: RawFd, key: u64) -> io::Result<()> {
        match &mut self.host {
            Some(host) => host.watch(fd, key),
            None => self.poller.add(fd, key),
        }
    }

    pub(crate) fn remove_transport(&mut self, fd: RawFd) {
        match &mut self.host {
            Some(host) => host.leave(fd),
            None => self.remove(fd),
        }
    }

    /// See [`Poller::wait`]; a host does the waiting for what it watches.
    pub(crate) fn wait(
        &mut self,
        ready: &mut Vec<u64>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.poller.wait(ready, timeout)?;
        // What is ready there it has seen, not this.
        let watched = self.host.iter().flat_map(|host| &host.watched);
        ready.extend(watched.map(|(_, key)| *key).filter(|key| *key != NO_KEY));
        Ok(())
    }

    /// See [`Poller::set_timer`].
    pub(crate) fn set_timer(&mut self, deadline_ns: Option<u64>) -> io::Result<()> {
        match &mut self.host {
            Some(host) => {
                host.set_timer(deadline_ns);
                Ok(())
            }
            None => self.poller.set_timer(deadline_ns),
        }
    }

    /// The host's timer ran out.
    pub(crate) fn timer_ran_out(&mut self) {
        if let Some(host) = &mut self.host {
            host.armed_ns = None;
        }
    }

    /// Nothing ends a wait any more, and a host is left in peace.
    pub(crate) fn retire(&mut self) {
        self.poller.retire();
        self.host = None;
    }

    /// From now on the engine waits for everything itself.
    pub(crate) fn take_back(&mut self) -> io::Result<()> {
        let Some(host) = self.host.take() else { return Ok(()) };
        let own = self.poller.fd();
        let mut transports = host.watched.iter().filter(|(fd, _)| *fd != own);
        transports.try_for_each(|(fd, key)| self.poller.add(*fd, *key))
    }
}

impl Readiness for Watches {
    fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.poller.add(fd, key)
    }

    fn add_edge(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.poller.add_edge(fd, key)
    }

    fn remove(&self, fd: RawFd) {
        // Not being in the set is what was asked for.
        let _ = self.poller.remove(fd);
    }
}

impl Host {
    fn watch(&mut self, fd: RawFd, key: u64) -> io::Result<()> {
        self.calls.watch(fd, 0, READABLE).map_err(|code| {
            io::Error::other(format!("the host's loop refused to watch descriptor {fd}: {code}"))
        })?;
        self.watched.push((fd, key));
        Ok(())
    }

    fn leave(&mut self, fd: RawFd) {
        if let Some(index) = self.watched.iter().position(|(watched, _)| *watched == fd) {
            self.watched.swap_remove(index);
            // It is gone in any case.
            let _ = self.calls.watch(fd, READABLE, 0);
        }
    }

    /// An armed timer is only moved forward: see [`Poller::set_timer`].
    fn set_timer(&mut self, deadline_ns: Option<u64>) {
        let needed = match (self.armed_ns, deadline_ns) {
            (None, None) => false,
            (Some(armed), Some(deadline)) => deadline < armed,
            _ => true,
        };
        if needed {
            self.armed_ns = deadline_ns;
            self.calls.timer(deadline_ns);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for (fd, _) in core::mem::take(&mut self.watched) {
            let _ = self.calls.watch(fd, READABLE, 0);
        }
        if self.armed_ns.is_some() {
            self.calls.timer(None);
        }
    }
}
