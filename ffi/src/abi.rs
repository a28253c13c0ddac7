//! Constants and types of the header, in its order.
#![allow(non_camel_case_types, reason = "C names")]

use std::ffi::{c_char, c_int, c_void};

/// version of the C API, which is not that of the release
pub const ANZ_VERSION_MAJOR: u32 = 1;
#[allow(missing_docs, reason = "said above")]
pub const ANZ_VERSION_MINOR: u32 = 0;
#[allow(missing_docs, reason = "said above")]
pub const ANZ_VERSION_PATCH: u32 = 0;
/// MAJOR * 1000000 + MINOR * 1000 + PATCH
pub const ANZ_VERSION_NUM: u32 = 1_000_000;

/// string-keyed settings
pub struct anz_config {
    _private: [u8; 0],
}
/// one protocol engine: what a daemon is made of
pub struct anz_engine {
    _private: [u8; 0],
}
/// one client session with an engine, in this process or elsewhere
pub struct anz_conn {
    _private: [u8; 0],
}
/// this session's membership of, or address for, a named group
pub struct anz_group {
    _private: [u8; 0],
}
/// a retained message
pub struct anz_msg {
    _private: [u8; 0],
}
/// ---- opaque handles ----
/// the table of functions for dlopen users
pub struct anz_api {
    _private: [u8; 0],
}

#[allow(missing_docs, reason = "said above")]
pub type anz_config_t = anz_config;
#[allow(missing_docs, reason = "said above")]
pub type anz_engine_t = anz_engine;
#[allow(missing_docs, reason = "said above")]
pub type anz_conn_t = anz_conn;
#[allow(missing_docs, reason = "said above")]
pub type anz_group_t = anz_group;
#[allow(missing_docs, reason = "said above")]
pub type anz_msg_t = anz_msg;

/// 0 ok, negative error. Values are frozen on every OS; where a Linux errno exists the value is its
/// negative, domain codes start at -1001; retired numbers stay reserved.
pub type anz_status_t = i32;

/// ---- status codes ----
pub const ANZ_OK: i32 = 0;
/// a struct from a newer header sets a field that this library does not know
pub const ANZ_E2BIG: i32 = -7;
/// a wait ended early: anz_conn_wake(), or a signal
pub const ANZ_EINTR: i32 = -4;
/// would block: wait for ANZ_EV_WRITABLE of that group, or for the fd
pub const ANZ_EAGAIN: i32 = -11;
#[allow(missing_docs, reason = "as errno")]
pub const ANZ_ENOMEM: i32 = -12;
/// refused by the daemon's access rules
pub const ANZ_EACCES: i32 = -13;
/// an MT-Owner call is under way in another thread
pub const ANZ_EBUSY: i32 = -16;
#[allow(missing_docs, reason = "as errno")]
pub const ANZ_EEXIST: i32 = -17;
#[allow(missing_docs, reason = "as errno")]
pub const ANZ_EINVAL: i32 = -22;
#[allow(missing_docs, reason = "as errno")]
pub const ANZ_EMSGSIZE: i32 = -90;
/// known to the header, not built into this library yet
pub const ANZ_ENOTSUP: i32 = -95;
#[allow(missing_docs, reason = "as errno")]
pub const ANZ_ETIMEDOUT: i32 = -110;
#[allow(missing_docs, reason = "as errno")]
pub const ANZ_ECONNREFUSED: i32 = -111;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_ENOTMEMBER: i32 = -1001;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_ECLOSED: i32 = -1002;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_EFORKED: i32 = -1003;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_ESTATE: i32 = -1004;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_EVERSION: i32 = -1005;
/// this session was cut off as a slow receiver, or an own message was skipped for it as that
pub const ANZ_ESLOW: i32 = -1006;
/// the message names key, file, line and what is allowed
pub const ANZ_ECONFIG: i32 = -1007;
/// same-view send: the view changed before the message was ordered
pub const ANZ_EVIEW: i32 = -1008;
/// accepted, but the engine went away before it told its fate
pub const ANZ_ELOST: i32 = -1009;
/// caught panic; the engine is poisoned (fatal flag set)
pub const ANZ_EINTERNAL: i32 = -1999;

/// trying again later may help
pub const ANZ_ERR_F_RETRYABLE: u32 = 1;
/// the engine is out of use
pub const ANZ_ERR_F_FATAL: u32 = 2;

/// Why a slow-path call failed: caller-owned, nothing to free, may be NULL everywhere. A call that
/// succeeds empties it. One whose struct_size is of no header is left as it is.
#[repr(C)]
pub struct anz_error {
    /// = sizeof(anz_error_t)
    pub struct_size: u32,
    /// as returned
    pub code: anz_status_t,
    /// 0 if none
    pub os_errno: i32,
    /// ANZ_ERR_F_*
    pub flags: u32,
    /// UTF-8, NUL-terminated: what failed, on what, why, and what to do
    pub message: [c_char; 240],
}
#[allow(missing_docs, reason = "said above")]
pub type anz_error_t = anz_error;

/// ---- service levels, flags, events ----
/// a packet of its own, sent at once: no order, no repair of loss, at most once, at most
/// ANZ_UNRELIABLE_LEN_MAX bytes; not in another view of the network than it was sent in
pub const ANZ_UNRELIABLE: u32 = 0;
/// every member that stays gets it. This level and the next two travel with the agreed ones, and
/// so keep more than they promise: no message overtakes another of the same priority.
pub const ANZ_RELIABLE: u32 = 1;
/// in the sender's order
pub const ANZ_FIFO: u32 = 2;
/// after what its sender had seen
pub const ANZ_CAUSAL: u32 = 3;
/// total order
pub const ANZ_AGREED: u32 = 4;
/// total order, and held by every member of the configuration before delivery
pub const ANZ_SAFE: u32 = 5;
/// or-ed in: do not deliver to this session
pub const ANZ_NO_SELF: u32 = 0x100;
/// or-ed in: ANZ_EV_RECEIPT tells which members delivered it, and in which view
pub const ANZ_RECEIPT: u32 = 0x200;
/// or-ed in: deliver in the sending view or not at all (then ANZ_EV_RECEIPT, ANZ_EVIEW). The
/// sending view is the last one that anz_recv() gave out. For members only, and not for
/// ANZ_UNRELIABLE: else ANZ_EINVAL.
pub const ANZ_SAME_VIEW: u32 = 0x400;
/// or-ed in: ahead of this session's other messages that are not yet ordered, as long as there are
/// some: those of a lower priority wait. Not ahead of anything else that it asked for before
/// (joining, leaving, anz_query()), of an open claim, or of a message that is going out in pieces.
/// No room is kept for it. Of one priority messages stay in order. With ANZ_PRIO_BULK: ANZ_EINVAL
pub const ANZ_PRIO_HIGH: u32 = 0x1000;
/// or-ed in: behind them
pub const ANZ_PRIO_BULK: u32 = 0x2000;

/// Longest unreliable message, in bytes; for one to several groups 9 less for each of them. Longer
/// ones: ANZ_EMSGSIZE.
pub const ANZ_UNRELIABLE_LEN_MAX: u32 = 1024;

/// a message, at its place in the order
pub const ANZ_EV_MESSAGE: u16 = 1;
/// regular configuration of the group installed
pub const ANZ_EV_VIEW: u16 = 2;
/// transitional signal: guarantees narrow to view->together
pub const ANZ_EV_TRANSITIONAL: u16 = 3;
/// after ANZ_EAGAIN from a send to this group: there is room in its domain's lane
pub const ANZ_EV_WRITABLE: u16 = 4;
/// this group handle ends here: own leave, refused join, removed domain; status says why, data in
/// words. Every handle from anz_join() and anz_peer() ends with exactly one, unless its session is
/// closed first. The handle itself goes stale with the next anz_recv().
pub const ANZ_EV_LEFT: u16 = 5;
/// engine lost, in all domains; reconnecting; sends give ANZ_EAGAIN meanwhile
pub const ANZ_EV_SUSPENDED: u16 = 6;
/// sender = our new identity; groups are being rejoined and announce new views
pub const ANZ_EV_RESUMED: u16 = 7;
/// last event of the session; status says why, data in words
pub const ANZ_EV_CLOSED: u16 = 8;
/// data = anz_receipt_t: the fate of one own message
pub const ANZ_EV_RECEIPT: u16 = 9;
/// answer to anz_query(); ANZ_EVF_MORE until the last part
pub const ANZ_EV_REPLY: u16 = 10;
/// messages of the group were skipped here, since this session did not read fast enough and chose
/// that (session.slow_policy = gap): data = their number, a uint64_t. Without a group: messages to
/// this session alone. One to several groups counts in each; one of its own with a tag ends in
/// ANZ_EV_RECEIPT with ANZ_ESLOW, which may come before this. The number 0: over a bridge from
/// another domain something is missing here, or may be, nobody knows how much. 12 to 31 are
/// reserved: state transfer, primary component
pub const ANZ_EV_GAP: u16 = 11;
/// event flag: further parts follow
pub const ANZ_EVF_MORE: u32 = 1;
/// event flag: sent to several groups, see anz_event_groups()
pub const ANZ_EVF_MULTI: u32 = 2;

/// A member of a group; unique for ever: never reused.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "said by their names")]
pub struct anz_member {
    pub node: u64,
    pub session: u64,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_member_t = anz_member;

/// Where in the daemons' ordered history a view stands; equal = the same view.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "to be compared only")]
pub struct anz_view_id {
    pub ring_seq: u64,
    pub ring_rep: u64,
    pub ring_incarnation: u64,
    pub ordinal: u64,
    pub sub: u32,
    pub reserved: u32,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_view_id_t = anz_view_id;

/// ---- causes of views ----
pub const ANZ_CAUSE_JOIN: u32 = 1;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_CAUSE_LEAVE: u32 = 2;
/// the client died or closed without leaving
pub const ANZ_CAUSE_DISCONNECT: u32 = 3;
/// daemons lost, or a partition
pub const ANZ_CAUSE_NETWORK: u32 = 4;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_CAUSE_MERGE: u32 = 5;
/// a daemon broke its domain's contract
pub const ANZ_CAUSE_DEMOTED: u32 = 6;
/// the domain was removed
pub const ANZ_CAUSE_REMOVED: u32 = 7;

/// A view: who is in the group now. Equal ids = equal members, at every member; all lists are in
/// the same order everywhere.
#[repr(C)]
pub struct anz_view {
    /// set by the library
    pub struct_size: u32,
    /// ANZ_CAUSE_*
    pub cause: u32,
    /// equal ids = equal members, at every member
    pub id: anz_view_id_t,
    /// everybody
    pub members: *const anz_member_t,
    #[allow(missing_docs, reason = "count of the above")]
    pub members_len: usize,
    /// not in the view before
    pub joined: *const anz_member_t,
    #[allow(missing_docs, reason = "count of the above")]
    pub joined_len: usize,
    /// in the view before, and gone
    pub left: *const anz_member_t,
    #[allow(missing_docs, reason = "count of the above")]
    pub left_len: usize,
    /// virtual-synchrony set: came here with us from our last view; at our first view, us alone
    pub together: *const anz_member_t,
    #[allow(missing_docs, reason = "count of the above")]
    pub together_len: usize,
    /// per member: which set it came with; 0 = ours
    pub vs_set: *const u32,
    /// who, why and on what evidence, in one sentence
    pub reason: *const c_char,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_view_t = anz_view;

/// One event of a session's ordered stream.
#[repr(C)]
pub struct anz_event {
    /// set by the caller in element 0: also the array stride; anz_recv() fills it in in all
    pub struct_size: u32,
    /// ANZ_EV_*
    pub r#type: u16,
    /// service level of a message
    pub service: u16,
    /// why, for events that end something
    pub status: anz_status_t,
    /// ANZ_EVF_*
    pub flags: u32,
    /// NULL for session events, and for messages to this session alone
    pub group: *mut anz_group_t,
    /// as given to anz_join()
    pub group_user_data: *mut c_void,
    /// who sent the message
    pub sender: anz_member_t,
    /// position of the message in its group's order within the view: 1, 2, 3 ..., the same number
    /// at every member; 0 for unordered messages, unicast and other events. What came over a bridge
    /// before is not given again, and its position is left out
    pub seq: u64,
    /// own messages, receipts and replies: the tag given to the call
    pub tag: u64,
    /// valid until anz_release()
    pub data: *const c_void,
    #[allow(missing_docs, reason = "bytes of the above")]
    pub len: usize,
    /// VIEW and TRANSITIONAL; valid until anz_release()
    pub view: *const anz_view_t,
    /// opaque, for anz_release()
    pub token: u64,
    /// the domain that it is of, such as "default"; NULL for events of the whole session and
    /// answers to anz_query(). Valid as long as data
    pub domain: *const c_char,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_event_t = anz_event;

/// What one member did with a message.
#[repr(C)]
#[allow(missing_docs, reason = "see the receipts page")]
pub struct anz_receipt_member {
    pub member: anz_member_t,
    pub outcome: u32,
    pub reserved: u32,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_receipt_member_t = anz_receipt_member;

/// Fate of one own message. Every accepted message with a non-zero tag ends in its own delivery
/// (unless ANZ_NO_SELF) or in one receipt with a status; ANZ_RECEIPT asks for one in any case.
#[repr(C)]
pub struct anz_receipt {
    /// set by the library
    pub struct_size: u32,
    /// ANZ_OK, ANZ_EVIEW, ANZ_ELOST, ...
    pub status: anz_status_t,
    /// the message's
    pub tag: u64,
    /// the view it was delivered in; all 0 until anz_has("receipts")
    pub view: anz_view_id_t,
    /// outcomes
    pub members: *const anz_receipt_member_t,
    #[allow(missing_docs, reason = "count of the above")]
    pub members_len: usize,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_receipt_t = anz_receipt;

/// A piece of a message, for anz_mcastv().
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs, reason = "said by their names")]
pub struct anz_iov {
    pub base: *const c_void,
    pub len: usize,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_iov_t = anz_iov;

/// Room for a message, for anz_commit() or anz_abort().
#[repr(C)]
pub struct anz_claim {
    /// write the message here
    pub data: *mut c_void,
    #[allow(missing_docs, reason = "bytes of the above")]
    pub len: usize,
    /// opaque
    pub token: u64,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_claim_t = anz_claim;

/// Takes log lines. Called on the thread that drives the engine; `text` is `text_len` bytes of
/// UTF-8, not NUL-terminated. It may call AS-Safe functions only.
pub type anz_log_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        level: c_int,
        component: *const c_char,
        text: *const c_char,
        text_len: usize,
    ),
>;
/// ---- logging, joining ----
/// levels of anz_config_set_log(), as those of syslog: a line is passed on if its level is at most
/// the one given
pub const ANZ_LOG_ERROR: i32 = 3;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_LOG_WARNING: i32 = 4;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_LOG_INFO: i32 = 6;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_LOG_DEBUG: i32 = 7;
#[allow(missing_docs, reason = "said by its name")]
pub const ANZ_LOG_TRACE: i32 = 8;

/// OPTIONAL level-2 embedding; all calls on the owner thread.
#[repr(C)]
pub struct anz_loop_ops {
    /// = sizeof(anz_loop_ops_t)
    pub struct_size: u32,
    /// 0
    pub reserved: u32,
    /// new_events 0 = none
    pub watch: Option<
        unsafe extern "C" fn(
            user_data: *mut c_void,
            fd: c_int,
            old_events: u32,
            new_events: u32,
        ) -> c_int,
    >,
    /// CLOCK_MONOTONIC, -1 = disarm; replaces
    pub timer: Option<unsafe extern "C" fn(user_data: *mut c_void, deadline_ns: i64)>,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_loop_ops_t = anz_loop_ops;

/// Figures of a session.
#[repr(C)]
#[allow(missing_docs, reason = "said by their names")]
pub struct anz_conn_stats {
    /// = sizeof(anz_conn_stats_t)
    pub struct_size: u32,
    pub reserved: u32,
    pub sent_messages: u64,
    pub sent_bytes: u64,
    /// sends refused with ANZ_EAGAIN
    pub send_again: u64,
    pub received_messages: u64,
    pub received_bytes: u64,
    pub views: u64,
    pub send_ring_used: u64,
    pub send_ring_size: u64,
    pub receive_ring_used: u64,
    pub receive_ring_size: u64,
    /// how long the oldest event has waited to be received, at most: since this call or anz_recv()
    /// last found that none did; 0 if none waits
    pub lag_ns: u64,
    pub reconnects: u64,
}
#[allow(missing_docs, reason = "said above")]
pub type anz_conn_stats_t = anz_conn_stats;

/// an address to send to (open group), not a membership: no views, no messages
pub const ANZ_JOIN_SEND_ONLY: u32 = 1;

// What the client hands out is, byte for byte, what the header promises.
const _: () = {
    use anasazi_client::{Member, Receipt, Status, View, ViewId};
    assert!(size_of::<View>() == size_of::<anz_view>());
    assert!(size_of::<Receipt>() == size_of::<anz_receipt>());
    assert!(size_of::<Member>() == size_of::<anz_member>());
    assert!(size_of::<ViewId>() == size_of::<anz_view_id>());
    assert!(size_of::<anz_event>() == 104);
    assert!(size_of::<anz_error>() == 256);
    let version = ANZ_VERSION_MAJOR * 1_000_000 + ANZ_VERSION_MINOR * 1_000 + ANZ_VERSION_PATCH;
    assert!(ANZ_VERSION_NUM == version);
    assert!(ANZ_JOIN_SEND_ONLY == anasazi_client::JOIN_SEND_ONLY);
    assert!(ANZ_UNRELIABLE_LEN_MAX as usize == anasazi_client::UNRELIABLE_LEN_MAX);
    let pairs = [
        (ANZ_OK, Status::OK),
        (ANZ_E2BIG, Status::E2BIG),
        (ANZ_EINTR, Status::EINTR),
        (ANZ_EAGAIN, Status::EAGAIN),
        (ANZ_ENOMEM, Status::ENOMEM),
        (ANZ_EACCES, Status::EACCES),
        (ANZ_EBUSY, Status::EBUSY),
        (ANZ_EEXIST, Status::EEXIST),
        (ANZ_EINVAL, Status::EINVAL),
        (ANZ_EMSGSIZE, Status::EMSGSIZE),
        (ANZ_ENOTSUP, Status::ENOTSUP),
        (ANZ_ETIMEDOUT, Status::ETIMEDOUT),
        (ANZ_ECONNREFUSED, Status::ECONNREFUSED),
        (ANZ_ENOTMEMBER, Status::ENOTMEMBER),
        (ANZ_ECLOSED, Status::ECLOSED),
        (ANZ_EFORKED, Status::EFORKED),
        (ANZ_ESTATE, Status::ESTATE),
        (ANZ_EVERSION, Status::EVERSION),
        (ANZ_ESLOW, Status::ESLOW),
        (ANZ_ECONFIG, Status::ECONFIG),
        (ANZ_EVIEW, Status::EVIEW),
        (ANZ_ELOST, Status::ELOST),
        (ANZ_EINTERNAL, Status::EINTERNAL),
    ];
    let mut at = 0;
    while at < pairs.len() {
        assert!(pairs[at].0 == pairs[at].1.0);
        at += 1;
    }
};

// Events and causes have the numbers that the client and the engine give them.
const _: () = {
    use anasazi_client::EventKind;
    use anasazi_queue::record::cause;
    let pairs = [
        (ANZ_EV_MESSAGE, EventKind::Message),
        (ANZ_EV_VIEW, EventKind::View),
        (ANZ_EV_TRANSITIONAL, EventKind::Transitional),
        (ANZ_EV_WRITABLE, EventKind::Writable),
        (ANZ_EV_LEFT, EventKind::Left),
        (ANZ_EV_SUSPENDED, EventKind::Suspended),
        (ANZ_EV_RESUMED, EventKind::Resumed),
        (ANZ_EV_CLOSED, EventKind::Closed),
        (ANZ_EV_RECEIPT, EventKind::Receipt),
        (ANZ_EV_REPLY, EventKind::Reply),
        (ANZ_EV_GAP, EventKind::Gap),
    ];
    let mut at = 0;
    while at < pairs.len() {
        assert!(pairs[at].0 == pairs[at].1 as u16);
        at += 1;
    }
    assert!(ANZ_CAUSE_JOIN == cause::JOIN);
    assert!(ANZ_CAUSE_LEAVE == cause::LEAVE);
    assert!(ANZ_CAUSE_DISCONNECT == cause::DISCONNECT);
    assert!(ANZ_CAUSE_NETWORK == cause::NETWORK);
    assert!(ANZ_CAUSE_MERGE == cause::MERGE);
};
