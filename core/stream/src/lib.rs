//! How a session reaches its engine.
//!
//! A session is two rings in a block of memory, and engine and client each use one end of either.
//! Where they share the memory, it is handed over through a socket ([`seqpacket`], [`memory`]).
//! Where they cannot or will not share any, each side has a block of its own, and this crate
//! **repeats the rings over a byte stream, place by place**:
//!
//! ```text
//!   client | block A | carrier ==== stream ==== carrier | block B | engine
//!
//!   send ring:     A ---- records, in ring order ----> B      every record gets the same place
//!                  A <--- how far B was given back --- B      and no earlier than in B is A's
//!   receive ring:  A <--- records, in ring order ----- B      room given back
//!                  A ---- how far A was given back --> B
//! ```
//!
//! So neither side sees a difference: positions mean the same in both blocks, the engine's view of
//! how far a client has read is the truth, what the engine has not taken is still in the client's
//! ring, and a carrier never holds anything that does not fit. To the client its carrier looks like
//! an engine, to the engine its carrier looks like a client; both are hostile ground as always.
//!
//! | module | what |
//! |---|---|
//! | `frame` | what is on the wire |
//! | `mirror` | one session's rings against one stream |
//! | `carrier` | the loop that turns mirrors: sockets, deadlines, ends |
//! | `client` | the client's carrier: a thread for each connection |
//! | `engine` | the engine's carrier: one thread for all its streams |
//! | `sys` | memory, descriptors, ring ends: the only `unsafe` |
#![deny(unsafe_code)]

mod carrier;
pub mod client;
pub mod engine;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod limits;
mod mirror;
mod stream;
#[allow(unsafe_code, reason = "the fence around it")]
mod sys;
#[cfg(test)]
mod tests;

pub use sys::{memory, seqpacket, thread};
