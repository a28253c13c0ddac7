//! What these tests ask of the system, behind safe functions.

use std::os::fd::RawFd;
use std::time::Duration;

/// Waits until one of the descriptors is readable; tells of each whether it is.
pub fn poll_readable(fds: &[RawFd], timeout: Duration) -> Vec<bool> {
    let entry = |fd: &RawFd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<_> = fds.iter().map(entry).collect();
    let (count, timeout_ms) = (entries.len() as libc::nfds_t, timeout.as_millis() as i32);
    // SAFETY: as many writable entries as said. When interrupted none is readable, which is true.
    unsafe { libc::poll(entries.as_mut_ptr(), count, timeout_ms) };
    entries.iter().map(|entry| entry.revents != 0).collect()
}
