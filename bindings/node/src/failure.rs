//! Failures as values.

use napi_derive::napi;

/// `anz_error_t`: why something failed.
#[napi(object)]
#[derive(Debug)]
pub struct Failure {
    /// The negative number.
    pub status: i32,
    /// "ANZ_EAGAIN".
    pub name: String,
    /// `errno` of the system call that failed; 0 if none.
    pub os_errno: i32,
    /// Trying again later may help.
    pub retryable: bool,
    /// The engine is out of use.
    pub fatal: bool,
    /// What failed, on what, why, and what to do.
    pub message: String,
}

impl From<anasazi_sys::Failure> for Failure {
    fn from(of: anasazi_sys::Failure) -> Self {
        Self {
            status: of.status.0,
            name: of.status.name(),
            os_errno: of.os_errno,
            retryable: of.retryable,
            fatal: of.fatal,
            message: of.message,
        }
    }
}

/// 0, or the negative number.
pub(crate) fn number(result: Result<(), anasazi_sys::Status>) -> i32 {
    result.map_or_else(|status| status.0, |()| 0)
}
