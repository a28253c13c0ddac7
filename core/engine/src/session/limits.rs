//! What sessions may cost.

use std::time::Duration;

/// What the operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Sessions served at the same time.
    pub sessions_max: usize,
    /// Bytes kept for a session whose receive ring is full, behind the record that comes next;
    /// beyond that it is cut off.
    pub backlog_len_max: usize,
    /// Bytes kept for all sessions together; beyond that the one with the most is cut off.
    pub backlog_total_max: usize,
    /// How long a session may let the senders to its groups wait.
    pub hold_max: Duration,
    /// Longest message, in bytes.
    pub message_len_max: usize,
    /// Users that may connect, besides the engine's own and root.
    pub allow_uids: Vec<u32>,
    /// Groups whose members may connect.
    pub allow_gids: Vec<u32>,
}

/// Letting connections in takes one in so many parts of the engine's time, at most and in the long
/// run: the rest is for the sessions that are there.
pub(crate) const TAKE_IN_SHARE: u32 = 12;
/// What of that was not used adds up to so much, for the sessions of a daemon that has begun again.
pub(crate) const TAKE_IN_BURST: Duration = Duration::from_millis(100);
/// In one turn it takes so long at most, or one connection.
pub(crate) const TAKE_IN_TURN: Duration = Duration::from_micros(200);
/// More than this no connection counts for: who was paused meanwhile has not spent that time.
pub(crate) const TAKE_IN_COST_MAX: Duration = Duration::from_millis(5);
/// What it takes to close one unheard.
pub(crate) const TURN_AWAY_COST: Duration = Duration::from_micros(20);
/// For how long nobody is let in when that failed.
pub(crate) const TAKE_IN_PAUSE: Duration = Duration::from_millis(20);
/// Connections that have not said hello yet; the oldest gives way to a newer one.
pub(super) const WAITING_MAX: usize = 64;
/// How long a connection may take to say hello.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// Group handles of one session.
pub(super) const HANDLES_MAX: usize = 4_096;
/// Longest query, in bytes.
pub(super) const QUERY_LEN_MAX: usize = 64 << 10;
/// Bytes of JSON in one part of a reply.
pub(super) const REPLY_PART_LEN: usize = 8 << 10;
/// Records that one session may have carried out before the next one's turn.
pub(super) const TURN_RECORDS_MAX: usize = 64;
/// Bytes that one session may have carried out before the next one's turn; one record may exceed
/// it.
pub(super) const TURN_LEN_MAX: usize = 1 << 20;
/// A request counts once, and once more for each of these bytes of its ring.
pub(super) const CHARGE_LEN: usize = 64 << 10;
/// Queries handed out in one go: an answer can be long, and others wait.
pub(super) const QUERIES_PER_POLL: usize = 8;
/// Room kept free in every receive ring for the last word, padding included, in bytes.
pub(super) const LAST_WORD_LEN: u32 = 1_024;
/// Longest reason in a last word, in bytes.
pub(super) const REASON_LEN_MAX: usize = 400;
/// What an entry of a backlog costs besides its bytes.
pub(super) const ENTRY_LEN: usize = 128;
/// A session that would rather miss messages does so from this share of its backlog on, in
/// quarters: the rest is for views and whatever else is never skipped.
pub(super) const GAP_BEGINS: usize = 3;
/// And until no more than this is left, in quarters.
pub(super) const GAP_ENDS: usize = 2;
/// From this share on, in quarters, the senders wait for a session that wants that. What they have
/// sent by then still comes: up to the send queue of every node.
pub(super) const HOLD_BEGINS: usize = 1;
/// How often a hold is said.
pub(super) const HOLD_EVERY: Duration = Duration::from_millis(50);
/// How long it holds if it is not said again, in milliseconds: a few of these may be lost.
pub(super) const HOLD_FOR_MS: u16 = 250;
/// How often it is looked at what is to be said, at most.
pub(super) const HOLD_LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often the operator is told that senders wait for a node, at most.
pub(super) const HOLD_TOLD_EVERY: Duration = Duration::from_secs(10);
/// Groups that a node can hold at a time; further ones are not throttled.
pub(super) const HELD_MAX: usize = 256;
/// Pieces of messages from this length on are kept in a backlog as they are; shorter ones are
/// copied, for they may pin down a buffer many times their size.
pub(super) const SHARED_PIECE_LEN_MIN: usize = 16 << 10;
/// Bytes of messages that are copied out of rings into one buffer.
pub(super) const ARENA_LEN: usize = 64 << 10;

// Twice the record, its header and its alignment: it may need as much padding before it.
const _: () = assert!(2 * (8 + 8 + REASON_LEN_MAX + 8) <= LAST_WORD_LEN as usize);
// Every part of a reply fits into the smallest ring.
const _: () = assert!(REPLY_PART_LEN + 16 <= anasazi_queue::ring::CAPACITY_MIN as usize / 4);
