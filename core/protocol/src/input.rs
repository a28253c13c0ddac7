//! Everything that can happen to a [`Core`](crate::Core).

use bytes::Bytes;
use core::net::SocketAddr;

use crate::id::{GroupId, Process, SessionId};
use crate::service::{Audience, Priority, Service};

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// A datagram arrived. Anything may be in it.
    Datagram {
        /// The address it was sent from.
        from: SocketAddr,
        /// It came in through the multicast group, not by unicast.
        multicast: bool,
        /// The whole datagram; kept by reference where it is stored.
        bytes: Bytes,
    },
    /// The transport has nothing more to read at the moment. To be given after each batch of
    /// datagrams that emptied it: a token that overtook its data waits for this, though never for
    /// long.
    Drained,
    /// The deadline that the core asked for has passed. Harmless when early.
    Timeout,
    /// A local session wants something.
    Command(Command),
    /// A `Persist` output is durable, or failed.
    Persisted {
        /// The ticket of that output.
        ticket: u64,
        /// The record is on disk; otherwise the core goes on without storage and says so.
        durable: bool,
    },
    /// The transport learned something about a peer.
    Evidence(Evidence),
    /// Leave cleanly: `Output::Stopped` ends it.
    Shutdown,
}

/// Facts from outside the protocol: a process is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A host answered that nobody listens there (ICMP port unreachable). About whom is not said:
    /// the answer may be late, and another process may listen there by now.
    Unreachable {
        /// Where.
        address: SocketAddr,
    },
    /// This very process has ended, as its liveness connection proves.
    Ended {
        /// Which.
        process: Process,
    },
}

/// What local sessions ask for, in each session's order.
#[derive(Clone, Debug)]
pub enum Command {
    /// Become a member of a group; answered by the view that contains the session.
    Join {
        /// Who.
        session: SessionId,
        /// 1 to 255 bytes of UTF-8 (checked before it gets here).
        name: String,
    },
    /// Stop being a member; answered by the view without the session.
    Leave {
        /// Who.
        session: SessionId,
        /// Which group.
        group: GroupId,
    },
    /// The session ended: leave all its groups, in order, with cause disconnect.
    Disconnect {
        /// Who.
        session: SessionId,
    },
    /// Have the senders of these groups wait, wherever they are, as far as this node's ring
    /// reaches: its sessions cannot read as fast. A packet that may be lost; to be repeated.
    /// Answered by [`Output::Held`](crate::Output::Held), at this node too.
    Hold {
        /// At most [`limits::HOLD_GROUPS_MAX`](crate::limits::HOLD_GROUPS_MAX).
        groups: Vec<GroupId>,
        /// At most [`limits::HOLD_MS_MAX`](crate::limits::HOLD_MS_MAX); 0: no longer.
        for_ms: u16,
    },
    /// Tell all engines of the ring something, in the order, agreed; it is about no session.
    /// Answered by [`Output::Notice`](crate::Output::Notice), at this node too. What is longer than
    /// [`limits::NOTICE_LEN_MAX`](crate::limits::NOTICE_LEN_MAX) is dropped.
    Notice {
        /// What.
        content: Bytes,
    },
    /// Send; the sender need not be a member. A message without order that cannot go out now, or
    /// is longer than [`limits::UNORDERED_LEN_MAX`](crate::limits::UNORDERED_LEN_MAX), is dropped.
    Send {
        /// Who.
        session: SessionId,
        /// To whom.
        to: Audience,
        /// How.
        service: Service,
        /// Before or behind what else waits of this session. Without meaning for a message without
        /// order, which does not wait here.
        priority: Priority,
        /// Do not deliver to the sending session.
        no_self: bool,
        /// Given back with the sender's own delivery, or with the message's fate.
        tag: u64,
        /// The message.
        payload: Bytes,
    },
}
