//! Status codes, and why a slow call failed.

use std::ffi::{CStr, c_char};
use std::fmt;

use crate::generated::{
    ANZ_EAGAIN, ANZ_EBUSY, ANZ_ECONNREFUSED, ANZ_EINTR, ANZ_EINVAL, ANZ_ENOMEM, ANZ_ERR_F_FATAL,
    ANZ_ERR_F_RETRYABLE, ANZ_ETIMEDOUT, anz_error, anz_status_name, anz_status_string,
};

/// What a function of the library returned: a negative `ANZ_E*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub i32);

impl Status {
    /// `Ok` for 0 and above.
    pub(crate) fn check(code: i32) -> Result<i32, Self> {
        if code < 0 { Err(Self(code)) } else { Ok(code) }
    }

    /// "ANZ_EAGAIN".
    pub fn name(self) -> String {
        // SAFETY: any number is welcome, and gives static text.
        unsafe { text(anz_status_name(self.0)) }
    }

    /// In words.
    pub fn describe(self) -> String {
        // SAFETY: as above.
        unsafe { text(anz_status_string(self.0)) }
    }

    /// Trying again later may help: what the library says of failures that come without more.
    pub fn is_retryable(self) -> bool {
        [ANZ_EAGAIN, ANZ_EBUSY, ANZ_ECONNREFUSED, ANZ_EINTR, ANZ_ENOMEM, ANZ_ETIMEDOUT]
            .contains(&self.0)
    }
}

/// Why a call failed: `anz_error_t`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// As returned.
    pub status: Status,
    /// `errno` of the system call that failed; 0 if none.
    pub os_errno: i32,
    /// Trying again later may help.
    pub retryable: bool,
    /// The engine is out of use.
    pub fatal: bool,
    /// What failed, on what, why, and what to do.
    pub message: String,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self {
            status,
            os_errno: 0,
            retryable: status.is_retryable(),
            fatal: false,
            message: status.describe(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Runs a call that says why it fails.
pub(crate) fn explained(call: impl FnOnce(*mut anz_error) -> i32) -> Result<(), Failure> {
    let mut error = anz_error {
        struct_size: size_of::<anz_error>() as u32,
        code: 0,
        os_errno: 0,
        flags: 0,
        message: [0; 240],
    };
    let code = call(&raw mut error);
    if code >= 0 {
        return Ok(());
    }
    // SAFETY: the library ends its text with 0, and it was 0 before.
    let message = unsafe { text(error.message.as_ptr()) };
    if message.is_empty() {
        return Err(Status(code).into());
    }
    Err(Failure {
        status: Status(code),
        os_errno: error.os_errno,
        retryable: error.flags & ANZ_ERR_F_RETRYABLE != 0,
        fatal: error.flags & ANZ_ERR_F_FATAL != 0,
        message,
    })
}

/// Text for C; `ANZ_EINVAL` if there is a 0 in it.
pub(crate) fn c_text(what: &str, text: &str) -> Result<std::ffi::CString, Failure> {
    std::ffi::CString::new(text).map_err(|_| Failure {
        message: format!("{what} {text:?} has a character 0 in it: leave it out"),
        ..Status(ANZ_EINVAL).into()
    })
}

/// # Safety
/// NULL, or text that ends with 0.
pub(crate) unsafe fn text(of: *const c_char) -> String {
    if of.is_null() {
        return String::new();
    }
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(of) }.to_string_lossy().into_owned()
}
