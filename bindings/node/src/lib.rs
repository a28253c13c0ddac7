//! The part of the Node package `anasazi` that is not JavaScript: `libanasazi.so`, with as few
//! calls between the two languages as can be. What a user sees is made of it by `lib/*.js`.
//!
//! | module | what |
//! |---|---|
//! | [`session`] | sessions: groups and sends by number, events by the batch |
//! | [`opening`] | sessions that are being opened |
//! | [`batch`] | how a batch of events is laid out for JavaScript |
//! | [`engine`] | engines in the process |
//! | [`failure`] | failures as values, of which JavaScript makes errors |
//! | `threads` | threads for what takes a while |
//! | [`sys`] | a descriptor watched on the environment's loop |
//!
//! Functions that can fail in a way that is told by a number alone give it (negative); others give
//! what they make or a [`failure::Failure`]. None throws, but for arguments of a wrong type, which
//! `lib/*.js` has checked before.

pub mod batch;
pub mod engine;
pub mod failure;
pub mod opening;
pub mod session;
pub mod sys;
mod threads;

use anasazi_sys::Status;
use napi_derive::napi;

/// Whether the library that was loaded is one for this addon.
#[napi]
pub fn is_compatible() -> bool {
    anasazi_sys::is_compatible()
}

/// "1.0.0" and, in brackets, the release.
#[napi]
pub fn version_text() -> String {
    anasazi_sys::version_text()
}

/// Whether the library has a feature, as `anz_has()` lists them.
#[napi]
pub fn has_feature(feature: String) -> bool {
    anasazi_sys::has(&feature)
}

/// What a status is without further knowledge.
#[napi]
pub fn failure_of(status: i32) -> failure::Failure {
    anasazi_sys::Failure::from(Status(status)).into()
}
