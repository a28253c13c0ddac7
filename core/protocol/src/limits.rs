//! Every bound of the protocol, in one place, with the relations between them checked at compile
//! time (axiom L8).

use core::time::Duration;

/// A clean leave does not wait longer than this for its last messages.
pub const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// Longest group name, in bytes.
pub const GROUP_NAME_LEN_MAX: usize = 255;
/// Largest message that the format carries, in bytes; the default limit is lower.
pub const MESSAGE_LEN_MAX: usize = 64 << 20;
/// Default limit of a message, in bytes.
pub const MESSAGE_LEN_DEFAULT: usize = 1 << 20;
/// Members of a ring.
pub const MEMBERS_MAX: usize = 128;
/// Smallest datagram size, in bytes: what a seal leaves of the 1,200 of UDP payload that may be
/// configured.
pub const MTU_MIN: usize = 1_144;
/// Default datagram size, in bytes of UDP payload.
pub const MTU_DEFAULT: usize = 1_400;
/// Wire versions that this code speaks, lowest and highest.
pub const WIRE_VERSIONS: (u8, u8) = (1, 1);
/// Feature bit of a ring: the last packets of a visit go out behind the token.
pub const FEATURE_ACCELERATED: u32 = 1;
/// Largest datagram size, in bytes of UDP payload.
pub const MTU_MAX: usize = 8_900;
/// Memory that a datagram takes in a socket buffer beyond its bytes, about.
pub const DATAGRAM_OVERHEAD_LEN: usize = 1_024;
/// Packets that may be ordered but not yet known to be held by all; the capacity of the store.
pub const GAP_MAX: u64 = 8_192;
/// Packets that all members together may order in one rotation of the token.
pub const WINDOW_DEFAULT: u32 = 512;
/// Upper bound of that window.
pub const WINDOW_MAX: u32 = 2_048;
/// Retransmission requests that a token carries, as ranges.
pub const REQUEST_RANGES_MAX: usize = 64;
/// Bytes of the bitmap of held packets above the aru in a State.
pub const HELD_BITMAP_LEN_MAX: usize = 1_024;
/// Default of the messages waiting to be ordered before sessions are held back.
pub const SEND_QUEUE_MESSAGES_MAX: usize = 4_096;
/// Default of the bytes waiting to be ordered before sessions are held back; one message may exceed
/// it.
pub const SEND_QUEUE_LEN_MAX: usize = 8 << 20;
/// What sessions may send at once where their rate is bounded: what it allows in this time.
pub const SEND_BURST: Duration = Duration::from_millis(20);
/// Room kept free in every data packet for the recovery wrapper, in bytes.
pub const ENCAPSULATION_LEN: usize = 64;
/// Largest control packet (join, plan, beacon) that is put together from parts, in bytes.
pub const CONTROL_LEN_MAX: usize = 256 << 10;
/// Longest message without order to one group or session, in bytes: it fits into one packet of
/// every ring.
pub const UNORDERED_LEN_MAX: usize = 1_024;
/// Bytes less for each group of a message without order to several.
pub const UNORDERED_GROUP_LEN: usize = 9;
/// Packets without order that a node sends in a millisecond.
pub const UNORDERED_PER_MS_MAX: u32 = 128;
/// Longest notice of an engine to the others, in bytes: it is never cut.
pub const NOTICE_LEN_MAX: usize = 320;
/// Longest time for which one packet can ask the senders of groups to wait, in milliseconds.
pub const HOLD_MS_MAX: u32 = 1_000;
/// Groups of one such packet.
pub const HOLD_GROUPS_MAX: usize = 64;
/// Groups that one message may go to.
pub const GROUPS_PER_MESSAGE_MAX: usize = 64;
/// Groups in a domain.
pub const GROUPS_MAX: usize = 1 << 16;
/// Nodes of which the address is remembered.
pub const BOOK_MAX: usize = 512;
/// Foreign rings remembered as merge candidates.
pub const CANDIDATES_MAX: usize = 256;
/// Bad links that a beacon tells of.
pub const REPORTED_LINKS_MAX: usize = 512;
/// Nothing that is counted one by one gets there; so one more can always be counted.
pub const COUNT_MAX: u64 = u64::MAX / 2;
/// A ring number this far above one's own is damage or malice: nobody gets there in a lifetime.
pub const RING_SEQUENCE_LEAP_MAX: u64 = 1 << 40;
/// Ring numbers reserved ahead on disk, so that forming a ring need not wait for a write.
pub const RING_SEQUENCE_RESERVE: u64 = 1_024;

const _: () = assert!(WIRE_VERSIONS.0 <= WIRE_VERSIONS.1);
const _: () = assert!(WINDOW_DEFAULT <= WINDOW_MAX);
const _: () = assert!((WINDOW_MAX as u64) < GAP_MAX);
const _: () = assert!(HELD_BITMAP_LEN_MAX * 8 >= GAP_MAX as usize);
const _: () = assert!(MTU_MIN <= MTU_DEFAULT && MTU_DEFAULT <= MTU_MAX);
const _: () = assert!(BOOK_MAX >= 2 * MEMBERS_MAX);
const _: () = assert!(GROUPS_PER_MESSAGE_MAX * UNORDERED_GROUP_LEN < UNORDERED_LEN_MAX);
const _: () = assert!(MESSAGE_LEN_DEFAULT <= MESSAGE_LEN_MAX);
