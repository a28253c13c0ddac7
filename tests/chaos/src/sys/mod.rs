//! System calls that the standard library does not have.

use std::io;

/// Sends a signal to a process that this one started.
pub(crate) fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: no memory is involved; a pid above 0 names one process.
    let result = unsafe { libc::kill(pid, signal) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this process may do what root may.
pub(crate) fn is_root() -> bool {
    // SAFETY: it reads a number and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
