//! The oracle: reads what processes say they did, and judges it by the axioms of extended virtual
//! synchrony.
//!
//! It reads event logs only ([`Record`]), never a core's insides, so the same code judges simulated
//! runs and the trace files of real daemons. [`Checker::observe`] makes the checks that need no
//! future; [`Checker::finish`] the others. A [`Violation`] names the axiom, says in one sentence
//! what broke it, and shows the histories around that place.
#![forbid(unsafe_code)]

mod checker;
mod client;
mod finish;
mod group;
mod history;
pub mod offline;
mod online;
mod violation;

pub use anasazi_protocol::record::{Entry, Record};
pub use checker::{Checker, Options, Summary};
pub use client::{ClientEntry, ClientLog, ClientRecord};
pub use violation::{Axiom, Excerpt, Violation};
