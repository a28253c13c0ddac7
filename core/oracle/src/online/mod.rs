//! Checks that need no future: made at every record, so that a simulation stops at the first
//! diverging step.

pub(crate) mod configurations;
pub(crate) mod identity;
pub(crate) mod messages;
pub(crate) mod services;
