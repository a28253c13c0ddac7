//! Turns the protocol: sockets, timers, sessions, persistence, administration.
//!
//! ```text
//!   session/ (rings of local clients) ──> engine ──> protocol::Core (one per domain)
//!                                    <──        <──
//!   sys/poll (one epoll set)  transport (datagrams)  state_file (ring numbers)
//! ```
#![deny(unsafe_code)]

pub mod config;
pub mod sys;
