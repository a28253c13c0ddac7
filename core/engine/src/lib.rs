//! The engine.
#![deny(unsafe_code)]

pub mod session;
pub mod sys;
