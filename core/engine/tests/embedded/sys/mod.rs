//! What these tests ask of the system, behind safe functions.

use std::os::fd::RawFd;
use std::time::Duration;

use anasazi_client::Session;

/// Waits until one of the descriptors is readable; tells of each whether it is.
pub fn poll_readable(fds: &[RawFd], timeout: Duration) -> Vec<bool> {
    let entry = |fd: &RawFd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<_> = fds.iter().map(entry).collect();
    let (count, timeout_ms) = (entries.len() as libc::nfds_t, timeout.as_millis() as i32);
    // SAFETY: as many writable entries as said. When interrupted none is readable, which is true.
    unsafe { libc::poll(entries.as_mut_ptr(), count, timeout_ms) };
    entries.iter().map(|entry| entry.revents != 0).collect()
}

/// From now until a time of CLOCK_MONOTONIC, rounded up to what `poll` can wait.
pub fn until(deadline_ns: u64) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one writable struct.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let now_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
    Duration::from_millis(deadline_ns.saturating_sub(now_ns).div_ceil(1_000_000))
}

/// Gives kept events back, of which the tests have only the tokens.
pub fn release(session: &Session, tokens: &[u64]) {
    // SAFETY: nobody has a reference to their data.
    unsafe { session.release(tokens.iter().copied()) }.expect("an own session");
}

/// Gives the system back what the allocator keeps and nobody uses.
pub fn trim() {
    // SAFETY: no pointers.
    unsafe { libc::malloc_trim(0) };
}
