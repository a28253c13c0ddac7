//! The C fence.
