//! Turns the protocol: sockets, timers, sessions, persistence, administration.
//!
//! ```text
//!   engine (one epoll set, the clock) drives
//!     turn:  session/ (rings of local clients) ──> domain ──> protocol::Core (one per domain)
//!                                              <──        <──
//!            transport (datagrams)   storage (ring numbers)   admin (questions)   witness (log)
//! ```
#![deny(unsafe_code)]

mod access;
mod admin;
mod boot;
mod bridges;
mod chatter;
pub mod config;
mod domain;
pub mod domains;
mod door;
mod engine;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
pub mod inproc;
mod journal;
mod jumps;
mod key_file;
mod open;
mod openings;
mod own_thread;
pub mod panics;
mod readings;
mod recorder;
pub mod session;
pub mod state_file;
mod storage;
mod streams;
pub mod sys;
mod trace_file;
pub mod turn;
mod watches;
mod witness;
mod writer;

pub use access::check as check_rules;
pub use anasazi_stream::thread::spawn_without_signals;
pub use domain::life;
pub use engine::{Engine, EngineHandle};
pub use error::EngineError;
pub use key_file::{MadeKey, check as check_keys, generate as generate_key};
pub use storage::Storage;
pub use watches::HostLoop;
pub use witness::Witness;
