//! Why a session could not be opened, in words for a person.

use std::fmt;
use std::io;

use anasazi_queue::status::Status;

/// A failure on the slow path: a status, and a sentence that says what failed, on what, why, and
/// what to do.
#[derive(Clone, Debug)]
pub struct Failure {
    /// For programs.
    pub status: Status,
    /// The operating system's number, 0 if none.
    pub os_errno: i32,
    /// Trying again later may help.
    pub retryable: bool,
    /// The sentence.
    pub message: String,
}

impl Failure {
    /// A failure without a number of the operating system.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, os_errno: 0, retryable: may_pass(status), message: message.into() }
    }

    /// A failure of the operating system. `what` was attempted; `advice` follows the system's own
    /// words.
    pub fn system(what: &str, error: &io::Error, advice: &str) -> Self {
        let status = status_of(error);
        let separator = if advice.is_empty() { "" } else { "; " };
        Self {
            status,
            os_errno: error.raw_os_error().unwrap_or(0),
            retryable: may_pass(status),
            message: format!("{what}: {error}{separator}{advice}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Whether a status speaks of the moment rather than of the matter.
pub(crate) fn may_pass(status: Status) -> bool {
    matches!(
        status,
        Status::EAGAIN
            | Status::EBUSY
            | Status::ECONNREFUSED
            | Status::EINTR
            | Status::ENOMEM
            | Status::ETIMEDOUT
    )
}

fn status_of(error: &io::Error) -> Status {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Status::EAGAIN,
        Some(libc::EACCES | libc::EPERM) => Status::EACCES,
        Some(
            libc::ECONNREFUSED | libc::ECONNRESET | libc::ENOENT | libc::EPIPE | libc::EPROTOTYPE,
        ) => Status::ECONNREFUSED,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => Status::ENOMEM,
        Some(libc::EINTR) => Status::EINTR,
        Some(_) => Status::ECONNREFUSED,
        None => Status::EINVAL,
    }
}
