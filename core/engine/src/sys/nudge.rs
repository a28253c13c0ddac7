//! Waking the clients of strangers.
//!
//! Writing to an eventfd blocks when its counter is at the maximum and somebody has taken the
//! non-blocking mode away. Both are in the hands of whoever holds the descriptor, at any moment, so
//! no check before the write helps. The kernel itself adds to an eventfd without ever blocking,
//! when it reports the end of asynchronous I/O: an empty read of /dev/null ends at once, and its
//! report is the wake-up. It costs about a microsecond more than a write; so those who can stop
//! this process anyway, its own user and root, get plain writes.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Adds to eventfds without ever blocking, whatever mode they are in.
#[derive(Debug)]
pub struct Nudger {
    context: libc::c_ulong,
    null: File,
}

impl Nudger {
    /// # Errors
    /// The kernel has no asynchronous I/O, or forbids it here; the text says so.
    pub fn new() -> io::Result<Self> {
        let null = File::open("/dev/null")?;
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes one context, which was 0 as it has to be.
        let result = unsafe { libc::syscall(libc::SYS_io_setup, EVENTS_MAX, &raw mut context) };
        if result < 0 {
            let error = io::Error::last_os_error();
            let text = format!("io_setup, which waking clients of other users takes: {error}");
            return Err(io::Error::new(error.kind(), text));
        }
        Ok(Self { context, null })
    }

    /// Adds 1 to the eventfd, if it is one and is not at its maximum.
    pub fn nudge(&self, eventfd: BorrowedFd<'_>) {
        if !self.submit(eventfd) {
            // Full of reports that nobody takes.
            self.discard_reports();
            self.submit(eventfd);
        }
    }

    fn submit(&self, eventfd: BorrowedFd<'_>) -> bool {
        let mut request = Request {
            opcode: PREAD,
            fd: self.null.as_raw_fd() as u32,
            flags: REPORT_TO_EVENTFD,
            eventfd: eventfd.as_raw_fd() as u32,
            ..Request::default()
        };
        let mut requests = [&raw mut request];
        // SAFETY: one request, which the kernel copies; it reads no bytes into no buffer.
        let done = unsafe {
            libc::syscall(libc::SYS_io_submit, self.context, 1_u64, requests.as_mut_ptr())
        };
        done == 1
    }

    fn discard_reports(&self) {
        let mut reports = [[0_u64; 4]; EVENTS_MAX as usize];
        let no_time = std::ptr::null_mut::<libc::timespec>();
        let (min, max) = (0_i64, i64::from(EVENTS_MAX));
        // SAFETY: room for that many reports; nothing is waited for.
        unsafe {
            let room = reports.as_mut_ptr();
            libc::syscall(libc::SYS_io_getevents, self.context, min, max, room, no_time);
        }
    }
}

impl Drop for Nudger {
    fn drop(&mut self) {
        // SAFETY: our own context.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

/// The kernel's `struct iocb`, little-endian.
#[derive(Debug, Default)]
#[repr(C)]
struct Request {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    len: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    eventfd: u32,
}

const _: () = assert!(size_of::<Request>() == 64);
/// Of the kernel's interface.
const PREAD: u16 = 0;
const REPORT_TO_EVENTFD: u32 = 1;
/// Reports that may lie around before they are discarded.
const EVENTS_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::sys::raw_client::{add, count, eventfd};

    #[test]
    fn every_nudge_counts() {
        let (nudger, fd) = (Nudger::new().expect("asynchronous I/O"), eventfd(0));
        for _ in 0..1_000 {
            nudger.nudge(fd.as_fd());
        }
        assert_eq!(count(&fd), 1_000);
        nudger.nudge(io::stdin().as_fd());
        nudger.nudge(fd.as_fd());
        assert_eq!(count(&fd), 1);
    }

    #[test]
    fn a_full_counter_in_blocking_mode_blocks_nobody() {
        let fd = eventfd(0);
        add(&fd, u64::MAX - 1);
        let (done, is_done) = mpsc::channel();
        let copy = fd.try_clone().expect("copied");
        std::thread::spawn(move || {
            let nudger = Nudger::new().expect("asynchronous I/O");
            (0..200).for_each(|_| nudger.nudge(copy.as_fd()));
            done.send(()).expect("awaited");
        });
        is_done.recv_timeout(Duration::from_secs(10)).expect("not blocked");
    }
}
