//! Checks that need the future: what a process may have delivered or not is known when it has left
//! the ring.
//!
//! `quiesced` says that the run ended healed and at rest: then a stay that is still open counts as
//! complete.

use crate::history::{End, History, ProcessHistory, Stay};
use crate::violation::Verdict;

mod atomicity;
mod causality;
mod holes;
mod leaving;
mod membership;
mod safety;

pub(crate) fn check(history: &History, quiesced: bool) -> Verdict {
    membership::check(history, quiesced)?;
    holes::check(history, quiesced)?;
    causality::check(history)?;
    atomicity::check(history, quiesced)?;
    safety::check(history, quiesced)?;
    leaving::check(history, quiesced)
}

/// Whether everything that a process could deliver in a ring, it has.
fn complete(stay: Stay<'_>, quiesced: bool) -> bool {
    stay.end == End::Moved || (quiesced && stay.end == End::Open)
}

/// The process crashed or stopped.
fn died(process: Option<&ProcessHistory>) -> bool {
    process.is_some_and(|p| p.end.is_some())
}
