//! The operating system, behind safe types: the only place in this crate where `unsafe` is allowed.
#![allow(unsafe_code)]

pub mod intake;
pub mod memory;
pub mod names;
pub mod nudge;
mod order;
pub mod poll;
pub mod privileges;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod raw_client;
pub(crate) mod schedule;
pub mod socket;
