//! Threads of the library in processes of others: an application's signals must never run on them.

use std::io;
use std::mem::MaybeUninit;
use std::thread::{Builder, JoinHandle};

/// Starts a named thread with all signals blocked from its first instruction.
///
/// So they are on the calling thread for as long as that takes, since a new thread inherits its
/// mask; what is sent to it meanwhile comes right after.
///
/// # Errors
/// The system has no room for another thread.
pub fn spawn_without_signals(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `all`, pthread_sigmask initialises `before`; a new thread
    // inherits the mask, and the caller's own is put back before returning.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let thread = Builder::new().name(name.to_owned()).spawn(body);
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        thread
    }
}
