//! The operating system and the rings, behind safe types: the only place in this crate where
//! `unsafe` is allowed.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod blocks;
pub(crate) mod eventfd;
pub mod memory;
pub(crate) mod rings;
pub mod seqpacket;
pub mod thread;
