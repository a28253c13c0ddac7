//! What bounds the work of a domain, and what waits in it.

/// Datagrams that a thread of the domain's own takes in before it lets the engine's go in.
pub(super) const STEP_BATCH_MAX: usize = 256;
/// Datagrams that are sent in one go, at the latest.
pub(super) const SEND_BATCH_MAX: usize = 64;
/// What a domain with a thread of its own may have said while the engine does not listen: with so
/// many items, or messages of so many bytes together, it takes in no more datagrams.
pub(super) const SAID_MAX: usize = 16_384;
/// See [`SAID_MAX`].
pub(super) const SAID_LEN_MAX: usize = 64 << 20;
