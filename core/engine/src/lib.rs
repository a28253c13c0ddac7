//! The engine.
#![deny(unsafe_code)]

pub mod sys;
