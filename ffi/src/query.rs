//! Asking the engine.
#![allow(non_camel_case_types, reason = "C names")]

use std::ffi::c_char;

use anasazi_client::Status;

use crate::abi::{anz_conn_t, anz_status_t};
use crate::fence::{bytes, guarded};
use crate::session::open_session;

/// ---- introspection and administration ----
/// A JSON request, answered by ANZ_EV_REPLY parts with the same tag. MT-Safe NB
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_query(
    c: *mut anz_conn_t,
    json: *const c_char,
    len: usize,
    tag: u64,
) -> anz_status_t {
    guarded(|| {
        let session = open_session(c)?;
        if json.is_null() {
            return Err(Status::EINVAL);
        }
        // SAFETY: the caller passes so many bytes.
        session.query(unsafe { bytes(json.cast(), len) }?, tag)
    })
}
