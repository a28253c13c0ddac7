//! The handshake over the engine's unix socket (SOCK_SEQPACKET: one message each way).
//!
//! The client sends [`Hello`] with three descriptors (SCM_RIGHTS): the sealed memfd that holds both
//! rings, the eventfd that wakes the engine, the eventfd that wakes the client. The engine checks
//! credentials (SO_PEERCRED), seals and size, maps the memory, and answers with [`Welcome`]. After
//! that the socket carries nothing: its end is the session's end.
//!
//! A session has a lane for each domain that it uses. That of `default` is the connection that it
//! began with. For each other domain it makes one more, with rings and descriptors of its own; its
//! hello names the session and the domain, and shows the key that the session's own welcome gave
//! out. A lane ends with its session, and alone when its socket ends.

use crate::status::Status;

/// First bytes of both messages.
pub const MAGIC: u32 = u32::from_le_bytes(*b"ANZS");

/// How every [`Hello`] starts, in all versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct HelloStart {
    /// [`MAGIC`]
    pub magic: u32,
    /// Oldest session version that the client speaks.
    pub version_min: u16,
    /// Newest.
    pub version_max: u16,
}

/// Client to engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Hello {
    /// [`MAGIC`]
    pub magic: u32,
    /// Oldest session version that the client speaks.
    pub version_min: u16,
    /// Newest.
    pub version_max: u16,
    /// Bytes of the send ring; a power of two.
    pub send_capacity: u32,
    /// Bytes of the receive ring; a power of two.
    pub receive_capacity: u32,
    /// What becomes of the session if it does not read: one of [`slow`].
    pub slow: u32,
    /// Bytes used in `domain`.
    pub domain_len: u32,
    /// 0 for a session; else the session that this is to be a lane of.
    pub lane_of: u64,
    /// That session's key; 0 for a session.
    pub lane_key: u64,
    /// The lane's domain, in UTF-8; empty for a session.
    pub domain: [u8; DOMAIN_NAME_LEN_MAX],
}

/// Longest name of a domain, in bytes.
pub const DOMAIN_NAME_LEN_MAX: usize = 32;

impl Hello {
    /// The same, of a lane for this domain of that session; `None` if no domain has such a name.
    pub fn into_lane(self, domain: &str, lane_of: u64, lane_key: u64) -> Option<Self> {
        let mut name = [0; DOMAIN_NAME_LEN_MAX];
        name.get_mut(..domain.len())?.copy_from_slice(domain.as_bytes());
        Some(Self { domain_len: domain.len() as u32, lane_of, lane_key, domain: name, ..self })
    }

    /// The name of the lane's domain, if it is as long as that says.
    pub fn domain_name(&self) -> Option<&[u8]> {
        self.domain.get(..self.domain_len as usize)
    }
}

/// What the engine does when a session has not read what the engine may keep for it.
pub mod slow {
    /// It ends the session.
    pub const DISCONNECT: u32 = 0;
    /// It has the senders of the session's groups wait, long before that.
    pub const THROTTLE: u32 = 1;
    /// It skips messages, and says so.
    pub const GAP: u32 = 2;
}

/// Engine to client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Welcome {
    /// [`MAGIC`]
    pub magic: u32,
    /// The session version in use; 0 if refused.
    pub version: u16,
    /// Bytes used in `reason`.
    pub reason_len: u16,
    /// 0, or why the session is refused.
    pub status: i32,
    /// Largest message, in bytes.
    pub message_len_max: u32,
    /// The session's identity.
    pub node: u64,
    /// The session's identity.
    pub session: u64,
    /// Why it was refused, in UTF-8.
    pub reason: [u8; REASON_LEN_MAX],
    /// What the session's lanes are to show; 0 to a lane. Behind all that versions before 7 had, so
    /// that they read why they are refused.
    pub lane_key: u64,
}

/// Longest reason in a [`Welcome`], in bytes.
pub const REASON_LEN_MAX: usize = 232;

impl Welcome {
    /// The answer to a session that is refused, with as much of the reason as there is room for, in
    /// whole characters.
    pub fn refusal(status: Status, reason: &str) -> Self {
        let mut room = [0; REASON_LEN_MAX];
        let len = reason.floor_char_boundary(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..len), reason.as_bytes().get(..len)) {
            to.copy_from_slice(from);
        }
        Self {
            magic: MAGIC,
            version: 0,
            reason_len: len as u16,
            status: status.0,
            message_len_max: 0,
            node: 0,
            session: 0,
            reason: room,
            lane_key: 0,
        }
    }
}
