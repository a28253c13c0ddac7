//! Every bound of this crate.

/// Bytes of a key.
pub(crate) const KEY_LEN: usize = 32;
/// Bytes of an authentication tag.
pub(crate) const TAG_LEN: usize = 16;
/// Bytes in front of what is sealed.
pub(crate) const HEADER_LEN: usize = 40;
/// By how much a sealed datagram is longer than what is in it.
pub const OVERHEAD_LEN: usize = HEADER_LEN + TAG_LEN;

/// A key seals this many datagrams at most; then the next one is derived from the same master key.
/// Far below what AES-GCM allows with counters for nonces; the order of what QUIC keeps to
/// (RFC 9001, section 6.6).
pub(crate) const DATAGRAMS_PER_KEY_LOG2: u32 = 23;

/// Datagrams by which one may be late and still be taken.
pub(crate) const WINDOW_LEN: u64 = 4_096;

/// Boots that are known, the ended ones among them; then all are forgotten, under a new boot id of
/// one's own, with which nothing recorded before is accepted.
pub(crate) const BOOTS_MAX: usize = 4_096;

/// Engines whose greeting is awaited, and of which something is remembered meanwhile: as many as
/// any recording has.
pub(crate) const WAITING_BOOTS_MAX: usize = 4_096;

/// An engine that does not greet is asked at its first, second, fourth, eighth datagram and so on,
/// and then at each of so many.
pub(crate) const ASKS_EVERY: u64 = 16;

/// While a newer key is here than the one that seals, whoever is not known is offered it with each
/// datagram, and the others with one of so many: they may not hear the one that seals any more.
pub(crate) const OFFERS_EVERY: u64 = 17;

/// Questions sent while one batch is received. Answers, which go to who has proved to be alive, are
/// not counted.
pub(crate) const QUESTIONS_PER_BATCH_MAX: usize = 128;

/// Keys derived while one batch is received.
pub(crate) const DERIVATIONS_PER_BATCH_MAX: usize = 64;

/// Those of them that may turn out to be in vain, so that strangers who copy what stands in front
/// of our datagrams do not take the time of a token that stands behind theirs. They get in the way
/// of a newcomer, and of a member whose key was not foreseen, who have to be lucky with one of
/// their datagrams; newcomers alone do not get into each other's.
pub(crate) const VAIN_DERIVATIONS_PER_BATCH_MAX: usize = 8;

/// Bytes of a key file.
pub const KEY_FILE_LEN_MAX: usize = 64 << 10;
/// Keys in a key file.
pub const KEYS_MAX: usize = 32;
