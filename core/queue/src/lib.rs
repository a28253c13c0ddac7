//! The client rings and their wake-up: what lies between a session's client and its engine.
//!
//! no_std, no allocation, no panics on the send path: a signal handler may send.
//!
//! | module | what |
//! |---|---|
//! | `ring` | one ring of byte records in shared memory, many producers, one consumer |
//! | `wake` | the other side's sleep ended, by eventfd |
//! | `status` | the status codes of the C ABI, one table for all crates |
//! | `record` | what the records in the rings mean |
//! | `hello` | the handshake over the unix socket that carries the memory |
//! | `plain` | records and hellos as bytes and back |
#![no_std]

#[cfg(any(test, loom))]
extern crate std;

pub mod hello;
pub mod plain;
pub mod record;
pub mod ring;
pub mod status;
pub mod wake;
