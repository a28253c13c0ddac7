//! What sessions ask of the engine's set of descriptors.

use std::io;
use std::os::fd::RawFd;

/// Watches descriptors, and has [`Sessions::ready`](super::Sessions::ready) called with their keys.
pub trait Readiness {
    /// Watches until removed: reported as long as the descriptor is readable or hung up.
    ///
    /// # Errors
    /// No room, or no such descriptor.
    fn add(&self, fd: RawFd, key: u64) -> io::Result<()>;

    /// Watches until removed, edge-triggered (EPOLLIN with EPOLLET): reported once per write to it.
    /// For eventfds shared with clients, which are never read: a client could make that block.
    ///
    /// # Errors
    /// As for `add`.
    fn add_edge(&self, fd: RawFd, key: u64) -> io::Result<()>;

    /// Watches no longer; called before the descriptor is closed, since clients hold copies of it,
    /// and harmless if it is not watched.
    fn remove(&self, fd: RawFd);
}
