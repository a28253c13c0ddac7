//! The client rings and their wake-up: what lies between a session's client and its engine.
//!
//! no_std, no allocation, no panics on the send path: a signal handler may send.
//!
//! | module | what |
//! |---|---|
//! | `status` | the status codes of the C ABI, one table for all crates |
//! | `record` | what the records in the rings mean |
//! | `hello` | the handshake over the unix socket that carries the memory |
#![no_std]

pub mod hello;
pub mod record;
pub mod status;
