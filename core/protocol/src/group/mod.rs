//! Process groups: who is in which, and what their members see. The table is replicated: every node
//! applies the same ordered messages to it, so views need no messages of their own.
//!
//! | file | what |
//! |---|---|
//! | `table` | joins, leaves, disconnects, messages, in order |
//! | `message` | whom a message reaches |
//! | `fragments` | pieces of large messages |
//! | `change` | what a new configuration does to groups |
//! | `snapshot` | a table as it travels during recovery |

mod change;
mod fragments;
mod message;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use change::Change;
#[cfg(feature = "fuzzing")]
pub(crate) use fragments::Fragments;
pub(crate) use snapshot::Snapshot;
pub(crate) use table::{GroupOutput, Groups, Place, Whole};
