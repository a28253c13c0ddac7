//! The C fence: `libanasazi.so`, whose header is `include/anasazi.h`. Nothing is decided here:
//! every function checks its pointers, looks its handle up, keeps panics in, and hands on to the
//! client or the engine.
//!
//! | module | what |
//! |---|---|
//! | `abi` | constants and types of the header |
//! | `library` | versions, features, names of codes |
//! | `config` | settings |
//! | `engine` | engines in the caller's loop, or in threads of their own |
//! | `session` | sessions, and how a URL becomes one |
//! | `group` | joining and leaving |
//! | `send` | sending: the functions that signal handlers may call |
//! | `receive` | events, retained messages |
//! | `query` | introspection and administration |
//! | `api` | the table of all functions, for programs that open the library themselves |
//! | `fence` | panic boundary, handles, errors |
//! | `host` | the loop of a host that watches everything itself |
//! | `log` | log lines to a callback |
//! | `trial` | exports with a bug in them, for one test: a feature that is off |
//!
//! The header is generated from these files, in this order, and a test fails when it differs.
// Every exported function takes pointers from C and says in its comment what they must be.
#![allow(clippy::missing_safety_doc, reason = "the comments are the C header's")]

pub mod abi;
pub mod library;

pub mod config;
pub mod engine;
pub mod session;

pub mod group;
pub mod query;
pub mod receive;
pub mod send;

mod api;
mod fence;
mod host;
#[cfg(test)]
mod layout;
mod log;
#[cfg(feature = "panic-export")]
pub mod trial;
