//! The engine.

pub mod config;
