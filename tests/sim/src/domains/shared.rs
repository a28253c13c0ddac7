//! What an engine has for one domain: the engine uses one end, the world the other.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anasazi_engine::Storage;
use anasazi_engine::state_file::Stored;
use anasazi_transport::{Life, Received, Target, Transport, TransportCounters};
use bytes::Bytes;

use crate::engine::{Disk, Wire};

/// One of two ends.
#[derive(Debug)]
pub(super) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    pub(super) fn new(inner: T) -> Self {
        Self(Arc::new(Mutex::new(inner)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Transport for Shared<Wire> {
    fn local_address(&self) -> SocketAddr {
        self.lock().local_address()
    }

    fn has_multicast(&self) -> bool {
        self.lock().has_multicast()
    }

    fn fds(&self) -> Vec<RawFd> {
        Vec::new()
    }

    fn receive(&mut self, max: usize, out: &mut Vec<Received>) -> bool {
        self.lock().receive(max, out)
    }

    fn send(&mut self, batch: &[(Target, Bytes)]) {
        self.lock().send(batch);
    }

    fn unreachable(&mut self, out: &mut Vec<SocketAddr>) {
        self.lock().unreachable(out);
    }

    fn watch(&mut self, own: Life, others: &[(SocketAddr, Life)]) {
        self.lock().watch(own, others);
    }

    fn ended(&mut self, out: &mut Vec<Life>) {
        self.lock().ended(out);
    }

    fn counters(&self) -> TransportCounters {
        self.lock().counters()
    }
}

impl Storage for Shared<Disk> {
    fn write(&mut self, ticket: u64, stored: Stored) {
        self.lock().write(ticket, stored);
    }

    fn take_written(&mut self, out: &mut Vec<(u64, bool)>) {
        self.lock().take_written(out);
    }
}
