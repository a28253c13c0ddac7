//! What a stream may cost.

use std::time::Duration;

/// Bytes that a carrier holds for a stream in each direction; one record more may be begun.
pub(crate) const BUFFER_LEN: usize = 64 << 10;
/// Reads and writes of one stream before the next one's turn.
pub(crate) const ROUNDS_MAX: usize = 16;
/// Bytes of a ring that are given back in one go: they are zeroed.
pub(crate) const RELEASE_LEN_MAX: u64 = 4 << 20;
/// The other side hears how far a ring was read after this share of it, and when all was.
pub(crate) const TELL_SHARE: u64 = 64;
/// How long a hello or its answer may take.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection to one address may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of a session may take to get through.
pub(crate) const LINGER: Duration = Duration::from_secs(5);
/// The same when the engine stops.
pub(crate) const LINGER_AT_STOP: Duration = Duration::from_secs(1);
/// Longest hello of any version, in bytes.
pub(crate) const GREETING_LEN_MAX: usize = 1_024;
/// Streams that have not said hello; further ones are closed.
pub(crate) const GREETING_MAX: usize = 64;
/// A silent peer is asked whether it lives after this time, so often, at this interval. What was
/// sent to it and is not acknowledged for as long as all that takes ends the stream.
pub(crate) const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
pub(crate) const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
pub(crate) const KEEPALIVE_PROBES: u32 = 5;
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long nobody is let in after descriptors ran out.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections taken in before others' turn.
pub(crate) const ACCEPT_MAX: usize = 64;
