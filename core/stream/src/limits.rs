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
/// Least time that each address of a name is given, whatever the others took.
pub(crate) const ADDRESS_TIMEOUT_MIN: Duration = Duration::from_millis(200);
/// How often it is looked at how far a client has read that may be waited for.
pub(crate) const WATCH_EVERY: Duration = Duration::from_millis(100);
/// How long the end of a session waits while nothing of what was said before gets through, and how
/// long it takes at most.
pub(crate) const LINGER: Duration = Duration::from_secs(5);
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(60);
/// The same when the engine stops.
pub(crate) const LINGER_AT_STOP: Duration = Duration::from_secs(1);
/// Longest hello of any version, in bytes.
pub(crate) const GREETING_LEN_MAX: usize = 1_024;
/// Streams that have not said hello; the oldest gives way to a newer one.
pub(crate) const GREETING_MAX: usize = 64;
/// A silent peer is asked whether it lives after this time, so often, at this interval. What was
/// sent to it and is not acknowledged for as long as all that takes ends the stream.
pub(crate) const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
pub(crate) const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
pub(crate) const KEEPALIVE_PROBES: u32 = 5;
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long nobody is let in after descriptors ran out, and how often that is said at most.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
pub(crate) const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long nobody is let in while the engine has not answered those who were.
pub(crate) const ANSWER_PAUSE: Duration = Duration::from_millis(5);
/// Streams let in at once at each place.
pub(crate) const ACCEPT_MAX: usize = 8;
/// After that nobody is let in for so many times as long as it took: the sessions that are there
/// come first.
pub(crate) const ACCEPT_REST: u32 = 7;
/// Nor longer than this: who was paused meanwhile has not spent that time.
pub(crate) const ACCEPT_REST_MAX: Duration = Duration::from_millis(20);
