//! One ring of byte records in shared memory: many producers, which never wait for each other, and
//! one consumer.
//!
//! Two of them, one per [`Direction`], lie in one block of memory whose shape is a [`Layout`]. A
//! producer claims the next bytes by one compare-and-swap, fills them, and commits them by storing
//! the record's header. The consumer takes records in the order of the claims and stops at one that
//! is claimed and not yet committed; so a sender that is interrupted in the middle of a send delays
//! what was claimed after it, and nobody ever spins on it.
//!
//! ```text
//!   position of a byte: counts from 0 for ever; its place is position mod capacity
//!
//!        head             cursor             tail
//!          | given out,     | committed, or    |
//!   zeros  | not released   | claimed          | zeros
//!
//!   record = 8-byte header { len, kind, flags }, payload, zeros up to a multiple of 8
//! ```
//!
//! Invariants:
//! * Whatever is not claimed is zero: a header of 0 means "not committed". The consumer zeroes what
//!   it has consumed before it moves the head on.
//! * No record crosses the end of the memory: a padding record fills the rest.
//! * **The memory is hostile.** Each side keeps its own position in its own memory, loads each
//!   header once, and checks it before use. What is out of bounds is reported as [`Corrupt`]; no
//!   access leaves the ring, whatever the memory holds.
//! * Going to sleep is "say so, then look again", waking is "commit, then look whether somebody
//!   sleeps", with a sequentially consistent fence in the middle of each; so one of the two sees
//!   the other. The same for want of room.

mod consumer;
mod header;
#[cfg_attr(loom, allow(dead_code, reason = "the model has no offsets"))]
mod layout;
#[cfg(loom)]
mod loom_atomics;
mod memory;
mod producer;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

pub use consumer::{Consumer, Record};
pub use layout::{CAPACITY_MAX, CAPACITY_MIN, Direction, Layout};
pub use producer::{Claim, Committed, Producer, PushError};

/// The ring's memory holds what no honest peer puts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;
