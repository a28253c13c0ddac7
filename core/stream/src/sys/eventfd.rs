//! The descriptors by which users of a ring wake each other.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// An eventfd in non-blocking mode.
///
/// # Errors
/// The process or the system has no descriptors left.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor, which is ours alone.
    match unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: as above.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}
