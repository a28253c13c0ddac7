//! What the records in the rings mean. All integers are native-endian (both sides are on one
//! machine), all structs are `repr(C)` without padding, every record's payload starts 8-byte
//! aligned.
//!
//! Client to engine, through the send ring: `JOIN`, `PEER`, `LEAVE`, `SEND`, `QUERY`, `CLOSE`. They
//! are carried out in ring order, so a leave comes after the messages sent before it; only messages
//! of a priority go before others, and never past anything else. Engine to
//! client, through the receive ring: `MESSAGE`, `UNICAST`, `MULTI`, `VIEW`, `LEFT`, `REPLY`,
//! `RECEIPT`, `GAP`, `CLOSED`: one ordered stream. `TAKEN` and `DONE` are not for the application:
//! by them its client knows which messages with tags the engine has, should it go away with them.
//!
//! `handle` is a number that the client gives to each group it joins; the engine gives it back and
//! knows nothing else of it.
//!
//! A session has such rings for each domain that it uses (see `hello`): whatever is of a group goes
//! over those of its domain; replies to queries go over those of `default`.

/// Version of this format and of `hello`.
pub const SESSION_VERSION: u16 = 7;

/// Record kinds, client to engine.
pub mod request {
    /// `JoinRecord`, then the group's name (1 to 255 bytes of UTF-8).
    pub const JOIN: u16 = 1;
    /// `LeaveRecord`.
    pub const LEAVE: u16 = 2;
    /// `SendRecord`, then its further groups as `GroupRecord`s, then the message.
    pub const SEND: u16 = 3;
    /// `QueryRecord`, then a JSON object in UTF-8.
    pub const QUERY: u16 = 4;
    /// No payload: leave everything; nothing follows.
    pub const CLOSE: u16 = 5;
    /// `PeerRecord`, then the name of the domain in UTF-8, empty for `default`: an address for one
    /// session there.
    pub const PEER: u16 = 6;
}

/// Record kinds, engine to client.
pub mod event {
    /// `MessageRecord`, then the message.
    pub const MESSAGE: u16 = 1;
    /// `ViewRecord`, then arrays (see there).
    pub const VIEW: u16 = 2;
    /// `LeftRecord`, then the reason in UTF-8.
    pub const LEFT: u16 = 3;
    /// `ReplyRecord`, then JSON in UTF-8.
    pub const REPLY: u16 = 4;
    /// `ReceiptRecord`: the fate of an own message that ended other than by delivery.
    pub const RECEIPT: u16 = 5;
    /// `ClosedRecord`, then the reason in UTF-8. The last record.
    pub const CLOSED: u16 = 6;
    /// `MessageRecord` with the handle 0, then the message: for this session alone.
    pub const UNICAST: u16 = 7;
    /// `MultiRecord`, then its handles (u32 each, padded to 8 bytes), then the message.
    pub const MULTI: u16 = 8;
    /// `TakenRecord`, then a `TakenEntry` for each message with a tag that the engine took.
    pub const TAKEN: u16 = 9;
    /// `DoneRecord`: the end of a message with a tag that its sender did not want to get.
    pub const DONE: u16 = 10;
    /// `GapRecord`: messages were skipped here.
    pub const GAP: u16 = 11;
}

/// Causes of views: ANZ_CAUSE_* of the C header.
pub mod cause {
    /// A session joined.
    pub const JOIN: u32 = 1;
    /// A session left.
    pub const LEAVE: u32 = 2;
    /// A session ended without leaving.
    pub const DISCONNECT: u32 = 3;
    /// Nodes were lost, or the network was divided.
    pub const NETWORK: u32 = 4;
    /// Rings merged.
    pub const MERGE: u32 = 5;
    /// A node was put out because it broke its domain's contract.
    pub const DEMOTED: u32 = 6;
    /// The domain was removed.
    pub const REMOVED: u32 = 7;
}

/// `request::JOIN`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct JoinRecord {
    /// The client's number for this group.
    pub handle: u32,
    /// `JOIN_SEND_ONLY` or 0.
    pub flags: u32,
}

/// An address to send to, not a membership: no views, no messages.
pub const JOIN_SEND_ONLY: u32 = 1;

/// `request::LEAVE`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LeaveRecord {
    /// The client's number for the group.
    pub handle: u32,
    /// 0
    pub reserved: u32,
}

/// `request::SEND`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SendRecord {
    /// The client's number for the group.
    pub handle: u32,
    /// Service level in the low byte, ANZ_NO_SELF and the other flags above it, as in the C header.
    pub service: u32,
    /// Comes back with the sender's own delivery, or its fate.
    pub tag: u64,
    /// Same-view: how many views of the group the session was shown since it joined.
    pub views: u32,
    /// How many further groups follow.
    pub groups: u32,
}

/// In `SendRecord::service`: before the session's other messages that wait, or behind them.
pub const PRIO_HIGH: u32 = 0x1000;
/// See [`PRIO_HIGH`].
pub const PRIO_BULK: u32 = 0x2000;

/// A further group of a message to several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GroupRecord {
    /// The client's number for the group.
    pub handle: u32,
    /// As in `SendRecord`.
    pub views: u32,
}

/// Groups that one message may go to.
pub const GROUPS_PER_MESSAGE_MAX: usize = 64;
/// Longest message without order to one group or session, in bytes.
pub const UNRELIABLE_LEN_MAX: usize = 1_024;
/// Bytes less for each group of a message without order to several.
pub const UNRELIABLE_GROUP_LEN: usize = 9;

/// `request::PEER`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PeerRecord {
    /// The client's number for the address.
    pub handle: u32,
    /// 0
    pub reserved: u32,
    /// Whose address.
    pub to: Member,
}

/// `request::QUERY`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct QueryRecord {
    /// Comes back with every part of the reply.
    pub tag: u64,
}

/// A member as in the C header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Member {
    /// The node.
    pub node: u64,
    /// The session; unique for ever.
    pub session: u64,
}

/// A view id as in the C header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
#[allow(missing_docs, reason = "as in the C header")]
pub struct ViewId {
    pub ring_seq: u64,
    pub ring_rep: u64,
    pub ring_incarnation: u64,
    pub ordinal: u64,
    pub sub: u32,
    pub reserved: u32,
}

/// `event::MESSAGE`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MessageRecord {
    /// The client's number for the group.
    pub handle: u32,
    /// Service level.
    pub service: u32,
    /// Who sent it.
    pub sender: Member,
    /// Position in the group's order within the view.
    pub sequence: u64,
    /// Own messages: the tag given when sending.
    pub tag: u64,
}

/// `event::MULTI`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MultiRecord {
    /// Service level.
    pub service: u32,
    /// The client's numbers for those of its groups that it was sent to: how many.
    pub handles: u32,
    /// Who sent it.
    pub sender: Member,
    /// Position in the first group's order within the view.
    pub sequence: u64,
    /// Own messages: the tag given when sending.
    pub tag: u64,
}

/// `event::VIEW`. Then follow, in this order: `members` x [`Member`], `joined` x [`Member`], `left`
/// x [`Member`], `together` x [`Member`], `members` x u32 (the virtual-synchrony set of each
/// member, padded to 8 bytes), and the reason, `reason_len` bytes of UTF-8 and a NUL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ViewRecord {
    /// The client's number for the group.
    pub handle: u32,
    /// One of [`cause`].
    pub cause: u32,
    /// Where in history.
    pub id: ViewId,
    /// 1 for the transitional signal, else 0.
    pub transitional: u32,
    /// How many.
    pub members: u32,
    /// How many.
    pub joined: u32,
    /// How many.
    pub left: u32,
    /// How many.
    pub together: u32,
    /// Bytes, without the NUL.
    pub reason_len: u32,
}

/// `event::LEFT`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LeftRecord {
    /// The client's number for the group.
    pub handle: u32,
    /// 0 for an own leave, else why.
    pub status: i32,
}

/// `event::REPLY`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ReplyRecord {
    /// The query's tag.
    pub tag: u64,
    /// 0, or why it failed; the JSON then has the words.
    pub status: i32,
    /// 1: further parts follow.
    pub more: u32,
}

/// `event::RECEIPT`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ReceiptRecord {
    /// The client's number for the group.
    pub handle: u32,
    /// What became of it.
    pub status: i32,
    /// The message's tag.
    pub tag: u64,
}

/// `event::TAKEN`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TakenRecord {
    /// Those in the send ring before this place were taken.
    pub up_to: u64,
}

/// One message of `event::TAKEN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TakenEntry {
    /// The message's tag.
    pub tag: u64,
    /// The client's number for the group; of several the first.
    pub handle: u32,
    /// 0: it lay before `TakenRecord::up_to`. Else it was taken ahead of others: one more than so
    /// many times 8 bytes behind that place.
    pub ahead: u32,
}

/// `event::DONE`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DoneRecord {
    /// The message's tag.
    pub tag: u64,
}

/// `event::GAP`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GapRecord {
    /// The client's number for the group; 0 for messages to this session alone.
    pub handle: u32,
    /// 0
    pub reserved: u32,
    /// How many messages.
    pub count: u64,
}

/// `event::CLOSED`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ClosedRecord {
    /// Why.
    pub status: i32,
    /// 0
    pub reserved: u32,
}
