//! What a client program saw, written by itself: the last link of the chain, from a node's delivery
//! through shared memory to the program.
//!
//! ```no_run
//! # use anasazi_oracle::{ClientEntry, ClientLog};
//! # use anasazi_protocol::{GroupId, MemberId, id::content_hash};
//! # let (me, sender) = (MemberId::default(), MemberId::default());
//! let mut log = ClientLog::create("client-1.jsonl".as_ref())?;
//! let group = GroupId::of("chat");
//! // On a message event of the session whose identity is `me`:
//! let hash = content_hash(b"text");
//! log.write(me, ClientEntry::Message { group, sender, sequence: 1, hash })?;
//! # std::io::Result::Ok(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anasazi_protocol::record::list;
use anasazi_protocol::{GroupId, Incarnation, MemberId, Process, ViewCause, ViewId};
use serde::{Deserialize, Serialize};

/// One line of a client's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRecord {
    /// The session, as it was called then; after `Resumed` it has another identity.
    pub client: MemberId,
    /// Position in the history of that identity, from 0 without gaps.
    pub index: u64,
    /// Unix time in nanoseconds; nothing is concluded from it.
    pub time: u64,
    /// What.
    pub entry: ClientEntry,
}

/// What a client program saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientEntry {
    /// A view, or the transitional signal.
    View {
        /// Of this group.
        group: GroupId,
        /// As the event says.
        id: ViewId,
        /// It is the signal.
        transitional: bool,
        /// Why.
        cause: ViewCause,
        /// This list and those that follow are in the order of the event.
        members: Vec<MemberId>,
        /// Not in the view before.
        joined: Vec<MemberId>,
        /// In the view before, and gone.
        left: Vec<MemberId>,
        /// Came here with the client.
        together: Vec<MemberId>,
        /// Per member: the set it came with; 0 is the client's.
        sets: Vec<u32>,
    },
    /// A message.
    Message {
        /// To this group.
        group: GroupId,
        /// From.
        sender: MemberId,
        /// In the view; 0 without order.
        sequence: u64,
        /// [`content_hash`](anasazi_protocol::id::content_hash) of its content.
        hash: u64,
    },
    /// A message to more than one group of the session.
    Several {
        /// Those groups, in the order of the event.
        groups: Vec<GroupId>,
        /// From.
        sender: MemberId,
        /// In the first group's view; 0 without order.
        sequence: u64,
        /// Of its content.
        hash: u64,
    },
    /// A message to the session alone.
    Unicast {
        /// From.
        sender: MemberId,
        /// Of its content.
        hash: u64,
    },
    /// The membership ended; the last event of the group unless it is joined again.
    Left {
        /// Which.
        group: GroupId,
    },
    /// The engine was lost; this identity sees nothing more.
    Suspended,
    /// The session has this new identity.
    Resumed,
    /// The session ended.
    Closed,
    /// The program has not written down what it saw here.
    Lost,
}

impl ClientRecord {
    /// The process that served the session: its incarnation is the upper part of the session id.
    pub fn process(&self) -> Process {
        let incarnation = Incarnation(self.client.session.0 >> 24);
        Process { node: self.client.node, incarnation }
    }
}

impl fmt::Display for ClientRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7}  {}", self.index, self.entry)
    }
}

impl fmt::Display for ClientEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View {
                group,
                id,
                transitional,
                cause,
                members,
                joined,
                left,
                together,
                sets,
            } => {
                let what = if *transitional { "transitional signal" } else { "view" };
                let (members, together) = (list(members), list(together));
                let (joined, left) = (list(joined), list(left));
                let group = group.0;
                let (ring, ordinal, sub) = (id.ring, id.ordinal, id.sub);
                write!(f, "{what} of group {group:x}, id {ring}:{ordinal}.{sub}, {cause:?}, ")?;
                write!(f, "members {members}, joined {joined}, left {left}, ")?;
                write!(f, "together {together}, sets {sets:?}")
            }
            Self::Message { group, sender, sequence, hash } => {
                write!(f, "group {:x} gets {sequence} of {sender} [{hash:x}]", group.0)
            }
            Self::Several { groups, sender, sequence, hash } => {
                let groups: Vec<_> = groups.iter().map(|g| format!("{:x}", g.0)).collect();
                let groups = groups.join(" ");
                write!(f, "groups {groups} get {sequence} of {sender} [{hash:x}]")
            }
            Self::Unicast { sender, hash } => write!(f, "alone gets one of {sender} [{hash:x}]"),
            Self::Left { group } => write!(f, "left group {:x}", group.0),
            Self::Suspended => write!(f, "SUSPENDED"),
            Self::Resumed => write!(f, "RESUMED under this identity"),
            Self::Closed => write!(f, "CLOSED"),
            Self::Lost => write!(f, "not written down"),
        }
    }
}

/// Writes a client's log, a line at a time and unbuffered: a kill cuts at most the last line.
#[derive(Debug)]
pub struct ClientLog {
    file: File,
    next: BTreeMap<MemberId, u64>,
}

impl ClientLog {
    /// Begins a new file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, next: BTreeMap::new() })
    }

    /// Adds what the session of this identity saw.
    ///
    /// # Errors
    /// The disk is full, for one. The log cannot be used any more.
    pub fn write(&mut self, client: MemberId, entry: ClientEntry) -> io::Result<()> {
        let next = self.next.entry(client).or_insert(0);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = ClientRecord { client, index: *next, time: unix.as_nanos() as u64, entry };
        *next += 1;
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}
