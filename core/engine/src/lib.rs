//! Turns the protocol: sockets, timers, sessions, persistence, administration.
//!
//! ```text
//!   session/ (rings of local clients) ──> engine ──> protocol::Core (one per domain)
//!                                    <──        <──
//!   sys/poll (one epoll set)  transport (datagrams)  state_file (ring numbers)
//! ```
#![deny(unsafe_code)]

mod admin;
mod boot;
pub mod config;
mod domain;
mod engine;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
pub mod inproc;
mod journal;
mod recorder;
pub mod session;
pub mod state_file;
pub mod sys;
mod trace_file;
mod writer;

pub use engine::{Engine, EngineHandle};
pub use error::EngineError;
