//! Extended virtual synchrony (EVS) as a pure state machine: no I/O, no clock, no threads, no
//! randomness of its own.
//!
//! One [`Core`] per domain. Two enums are its whole border: [`Input`] goes in through
//! [`Core::handle`], [`Output`] comes out of [`Core::poll`].
//!
//! **The contract.** After every `handle` the caller drains `poll` until it returns `None`, in
//! order, before the next `handle`; then it arranges for `Input::Timeout` at [`Core::deadline`].
//! Time never runs backwards between two calls. Outputs are promises in order: a `Persist` blocks,
//! inside the core, whatever must not leave before it is durable.
//!
//! ```text
//!  commands of local sessions      datagrams, timeouts, persisted, evidence
//!              \                      /
//!               v                    v
//!   group/   names, members, views, fragments      <- what sessions see
//!   ring/    token, ordinals, windows, recovery    <- one order
//!   state/   operational, gather, commit, recovery <- who is in the ring
//!   wire/    bytes                                 <- what other nodes see
//! ```
#![forbid(unsafe_code)]

mod book;
pub mod config;
mod contract;
mod core;
pub mod event;
mod flaps;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod group;
pub mod id;
pub mod input;
pub mod limits;
mod links;
mod node;
pub mod output;
mod paths;
pub mod planted;
mod queue;
mod random;
pub mod record;
mod ring;
mod send_rate;
pub mod service;
mod state;
mod storage;
mod terms;
pub mod time;
pub mod trace;
mod wire;

pub use self::core::{Core, GroupStatus, Status};
pub use config::{Boot, CoreConfig, Timers};
pub use contract::{Bound, Breach, Contract, ContractStatus, Measured, Stays};
pub use event::{Differing, Event, Stats};
pub use id::*;
pub use input::{Command, Evidence, Input};
pub use output::{
    Destination, Fate, GroupView, MessageDelivery, Output, Pieces, Place, Recipients, ViewCause,
    ViewKind,
};
pub use service::{Audience, Priority, Service};
pub use state::transitions;
pub use time::Instant;
pub use wire::wire_kind;
