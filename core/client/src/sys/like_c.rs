//! For tests: what a C program does with kept events and claims, and what only the system can show.

use std::slice;

use anasazi_queue::status::Status;

use super::link::OpenClaim;
use crate::session::Session;

/// Whether all bytes of a kept event's data are this one.
pub(crate) fn are_all(data: *const u8, len: usize, byte: u8) -> bool {
    // SAFETY: the tests look only at what they kept and did not release, in sessions that live.
    unsafe { slice::from_raw_parts(data, len) }.iter().all(|b| *b == byte)
}

/// Fills a claim.
pub(crate) fn fill(claim: &OpenClaim, byte: u8) {
    // SAFETY: an open claim has this room, whatever became of its session.
    unsafe { claim.data.write_bytes(byte, claim.len) };
}

/// Releases events, of which the tests keep no references.
pub(crate) fn release(session: &Session, tokens: &[u64]) -> Result<(), Status> {
    // SAFETY: as said.
    unsafe { session.release(tokens.iter().copied()) }
}

/// This thread's errno.
pub(crate) fn errno() -> &'static mut i32 {
    // SAFETY: it lives as long as the thread, and the test has only this reference at a time.
    unsafe { &mut *libc::__errno_location() }
}

/// Whether something holds in a child process of this one.
pub(crate) fn holds_in_child(check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child does only what the check does, which takes no lock, and leaves by _exit.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(if check() { 0 } else { 1 });
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0) == child && status == 0
    }
}
