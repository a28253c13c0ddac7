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

/// The cores on which this process may run.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    // SAFETY: the set is a plain array of bits, for which zeros are a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: it writes at most this size to the set, which is ours.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let all = 0..usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: each number is below the size of the set.
    Ok(all.filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect())
}

/// The calling thread runs nowhere else.
pub(crate) fn stay_on(core: usize) -> io::Result<()> {
    // SAFETY: the set is a plain array of bits, for which zeros are a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours; a number beyond its size would panic.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: it reads this size of the set, which is ours.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
