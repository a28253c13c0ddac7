//! `libanasazi.so`, safely: what the wrappers for Python and Node stand on.
//!
//! | module | what |
//! |---|---|
//! | `generated` | the functions, structs and constants of `include/anasazi.h` (`../generate.sh`) |
//! | [`status`](Status) | status codes, and why a slow call failed |
//! | [`config`](Config) | settings |
//! | [`engine`](Engine) | engines in the process, in a loop or a thread |
//! | [`session`](Session) | sessions and groups |
//! | [`receive`](Receiver) | events, and messages that are held without a copy |
//!
//! Data goes from the wrapper through here to the C ABI of the library that is loaded in the
//! process, never to the Rust crates behind it: C, Python and Node share one engine so. Objects
//! may be used from any thread. In a child that was forked all of it answers `ANZ_EFORKED`.

mod config;
mod engine;
#[allow(missing_docs, non_camel_case_types, dead_code, reason = "as the C header has it")]
#[allow(unused_qualifications, clippy::use_self, reason = "as bindgen writes")]
#[rustfmt::skip]
pub mod generated;
mod receive;
mod session;
mod status;

pub use config::Config;
pub use engine::Engine;
pub use receive::{Batch, Event, Held, Kind, Receiver, View};
pub use session::{Group, Member, Session, Stats};
pub use status::{Failure, Status};

/// The version of the C API of the library that is loaded: `ANZ_VERSION_NUM` of its header.
pub fn version() -> u32 {
    // SAFETY: takes nothing.
    unsafe { generated::anz_version_num() }
}

/// Whether the library that is loaded is one that this was made for: of the same major version, and
/// not older.
pub fn is_compatible() -> bool {
    let (wanted, loaded) = (generated::ANZ_VERSION_NUM, version());
    loaded / 1_000_000 == wanted / 1_000_000 && loaded >= wanted
}

/// "1.0.0" and, in brackets, the release.
pub fn version_text() -> String {
    // SAFETY: takes nothing, gives static text.
    unsafe { status::text(generated::anz_version_string()) }
}

/// Whether the library has a feature, as `anz_has()` lists them.
pub fn has(feature: &str) -> bool {
    // SAFETY: text that ends with 0.
    std::ffi::CString::new(feature)
        .is_ok_and(|feature| unsafe { generated::anz_has(feature.as_ptr()) } == 1)
}
