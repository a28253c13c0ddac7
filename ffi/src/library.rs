//! Versions, features, names of codes.
#![allow(non_camel_case_types, reason = "C names")]

use std::ffi::{CStr, c_char, c_int};
use std::hint::black_box;
use std::ptr;

use anasazi_client::Status;

use crate::abi::{ANZ_VERSION_NUM, anz_api, anz_status_t};
use crate::api::TABLE;
use crate::fence::text;

/// ---- library ----
/// The version of the C API in this library: ANZ_VERSION_NUM of its own header. MT-Safe AS-Safe NB
#[unsafe(no_mangle)]
pub extern "C" fn anz_version_num() -> u32 {
    ANZ_VERSION_NUM
}

/// "1.0.0" and, in brackets, the release. MT-Safe AS-Safe NB; static
#[unsafe(no_mangle)]
pub extern "C" fn anz_version_string() -> *const c_char {
    VERSION_TEXT.as_ptr()
}

/// MT-Safe NB; 1 if this library has the feature, else 0: "inproc", "shm", "embed" (an engine in
/// the caller's loop), "claim" (zero-copy send), "query", "unreliable", "unicast", "multi-group",
/// "same-view", "api-table", "loop-ops", "notify", "slow-policy" (session.slow_policy), "lag" (in
/// anz_conn_stats()), "priorities", "unix" and "tcp" (sessions over sockets), "async-signal-safe"
/// (what is tagged AS-Safe is so on this platform: x86-64), "domains" (a lane for each of them in
/// every session, and events that say of which they are); not built yet: "receipts" (of delivered
/// messages)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_has(feature: *const c_char) -> c_int {
    // SAFETY: the caller passes NULL or a string.
    let feature = unsafe { text(feature) };
    c_int::from(feature.is_ok_and(|feature| {
        FEATURES.contains(&feature) && (SIGNALS_ARE_PROVEN || feature != "async-signal-safe")
    }))
}

/// MT-Safe AS-Safe NB: "ANZ_EAGAIN"; static
#[unsafe(no_mangle)]
pub extern "C" fn anz_status_name(s: anz_status_t) -> *const c_char {
    name_and_text(s).0.as_ptr()
}

/// MT-Safe AS-Safe NB; static text
#[unsafe(no_mangle)]
pub extern "C" fn anz_status_string(s: anz_status_t) -> *const c_char {
    name_and_text(s).1.as_ptr()
}

/// MT-Safe NB; for dlopen users: one dlsym, then a size-prefixed table of everything, which only
/// grows at its end; static. NULL if this library is older than `min_version`, an ANZ_VERSION_NUM
/// (0: any), or has another major version. anasazi_dl.h does all of it
#[unsafe(no_mangle)]
pub extern "C" fn anz_get_api(min_version: u32) -> *const anz_api {
    let major = |version: u32| version / 1_000_000;
    let any = min_version == 0;
    if any || min_version <= ANZ_VERSION_NUM && major(min_version) == major(ANZ_VERSION_NUM) {
        ptr::from_ref(&TABLE).cast()
    } else {
        ptr::null()
    }
}

/// A string of the status table with the NUL that C needs.
macro_rules! c_text {
    ($text:expr) => {{
        const TEXT: &str = $text;
        const BYTES: [u8; TEXT.len() + 1] = {
            let mut bytes = [0; TEXT.len() + 1];
            let mut at = 0;
            while at < TEXT.len() {
                bytes[at] = TEXT.as_bytes()[at];
                at += 1;
            }
            bytes
        };
        const C_TEXT: &CStr = match CStr::from_bytes_with_nul(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("a NUL in the text"),
        };
        C_TEXT
    }};
}

macro_rules! named {
    ($($name:ident)*) => {
        [$((Status::$name, c_text!(Status::$name.name()), c_text!(Status::$name.text())),)*]
    };
}

/// A search, of which the compiler is to make no table of jumps: the test that reads from the code
/// what signal handlers can reach could not follow them.
fn name_and_text(status: anz_status_t) -> (&'static CStr, &'static CStr) {
    match black_box(&NAMES).iter().find(|(known, ..)| known.0 == status) {
        Some((_, name, text)) => (name, text),
        None => (c_text!(Status(1).name()), c_text!(Status(1).text())),
    }
}

static NAMES: [(Status, &CStr, &CStr); 23] = named!(
    OK E2BIG EINTR EAGAIN ENOMEM EACCES EBUSY EEXIST EINVAL EMSGSIZE ENOTSUP ETIMEDOUT ECONNREFUSED
    ENOTMEMBER ECLOSED EFORKED ESTATE EVERSION ESLOW ECONFIG EVIEW ELOST EINTERNAL
);
const VERSION_TEXT: &CStr = c_text!(concat!("1.0.0 (release ", env!("CARGO_PKG_VERSION"), ")"));
/// The tests that step through calls, and read their machine code, know this one only.
const SIGNALS_ARE_PROVEN: bool = cfg!(target_arch = "x86_64");
const FEATURES: [&str; 19] = [
    "inproc",
    "shm",
    "embed",
    "claim",
    "query",
    "unreliable",
    "unicast",
    "multi-group",
    "same-view",
    "api-table",
    "loop-ops",
    "notify",
    "slow-policy",
    "lag",
    "priorities",
    "unix",
    "tcp",
    "async-signal-safe",
    "domains",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{ANZ_VERSION_MAJOR, ANZ_VERSION_MINOR, ANZ_VERSION_PATCH};

    fn shown(text: *const c_char) -> &'static str {
        // SAFETY: a static string of this file.
        unsafe { CStr::from_ptr(text) }.to_str().unwrap()
    }

    #[test]
    fn codes_have_names_and_texts() {
        assert_eq!(shown(anz_status_name(-11)), "ANZ_EAGAIN");
        assert_eq!(shown(anz_status_name(0)), "ANZ_OK");
        assert_eq!(shown(anz_status_string(0)), "success");
        assert_eq!(shown(anz_status_name(-1999)), "ANZ_EINTERNAL");
        for unknown in [1, -1, i32::MIN, i32::MAX] {
            assert_eq!(shown(anz_status_name(unknown)), "ANZ_UNKNOWN");
        }
    }

    #[test]
    fn the_version_is_one() {
        let version = format!("{ANZ_VERSION_MAJOR}.{ANZ_VERSION_MINOR}.{ANZ_VERSION_PATCH} (");
        assert!(shown(anz_version_string()).starts_with(&version));
        assert_eq!(anz_version_num(), ANZ_VERSION_NUM);
    }
}
