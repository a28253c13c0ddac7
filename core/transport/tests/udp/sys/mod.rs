//! What these tests ask of the system, behind safe functions.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// Waits until one of the descriptors is readable; false after `timeout`.
pub fn wait_readable(fds: &[RawFd], timeout: Duration) -> bool {
    let end = Instant::now() + timeout;
    let entry = |fd: &RawFd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<_> = fds.iter().map(entry).collect();
    loop {
        let left_ms = end.saturating_duration_since(Instant::now()).as_millis() as i32;
        // SAFETY: as many writable entries as said.
        let count =
            unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, left_ms) };
        if count >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return count > 0;
        }
    }
}

/// Moves this thread, alone, into a network namespace of its own, which goes away with it.
pub fn enter_new_network() -> io::Result<()> {
    // SAFETY: no pointers are passed; only this thread is affected.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Keeps this thread, alone, on the processor that it runs on.
pub fn stay_on_this_processor() -> io::Result<()> {
    // SAFETY: a set of processors is a row of bits, all of which may be zero; the set is written by
    // CPU_SET within its length, and read by the kernel as far as it is said to reach.
    let result = unsafe {
        let mut only: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut only);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const only)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The number of this thread, by which others can name its network.
pub fn thread_id() -> i32 {
    // SAFETY: cannot fail.
    unsafe { libc::gettid() }
}

/// Takes all privileges from this thread, alone.
pub fn drop_privileges() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        thread: i32,
    }
    let header = Header { version: 0x2008_0522, thread: 0 };
    let none = [[0u32; 3]; 2];
    // SAFETY: version 3 of this call reads the header and two sets of three numbers.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
