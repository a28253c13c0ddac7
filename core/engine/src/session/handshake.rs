//! Before a session exists: one hello, one answer.

use std::os::fd::{AsFd, OwnedFd};

use anasazi_protocol::{Instant, MemberId, SessionId};
use anasazi_queue::hello::{Hello, HelloStart, MAGIC, Welcome};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::SESSION_VERSION;
use anasazi_queue::ring::{CAPACITY_MAX, CAPACITY_MIN, Direction, Layout};
use anasazi_queue::status::Status;

use super::SessionLimits;
use super::slow::Policy;
use crate::sys::memory::{Lane, check_eventfd};
use crate::sys::socket::{self, Peer};

/// A connection that has not said hello yet.
pub(super) struct Waiting {
    pub(super) socket: OwnedFd,
    pub(super) peer: Peer,
    /// Decided already; told when the hello is there, since closing a socket with unread bytes
    /// loses the answer.
    pub(super) refusal: Option<Refusal>,
    /// When to give up on it.
    pub(super) deadline: Instant,
}

/// No session, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) reason: String,
}

/// What a good hello brings.
pub(super) struct Offer {
    pub(super) lane: Lane,
    pub(super) wake_engine: OwnedFd,
    pub(super) wake_client: OwnedFd,
    pub(super) policy: Policy,
    /// What it is to be a lane of, if it is no session of its own.
    pub(super) lane_of: Option<LaneOf>,
}

/// The lane that a hello asks for.
pub(super) struct LaneOf {
    pub(super) session: SessionId,
    pub(super) key: u64,
    /// The name of its domain.
    pub(super) domain: String,
}

/// What became of a look at the socket.
pub(super) enum Greeting {
    NotYet,
    Gone,
    Refused(Refusal),
    Offered(Box<Offer>),
}

impl Refusal {
    pub(super) fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// Tells the client; if that fails there is nobody to tell.
    pub(super) fn send(&self, socket: &OwnedFd) {
        let answer = Welcome::refusal(self.status, &self.reason);
        let _ = socket::send(socket.as_fd(), answer.as_bytes());
    }
}

impl Waiting {
    /// Looks for the hello.
    pub(super) fn greet(&self, limits: &SessionLimits) -> Greeting {
        // One byte more than a hello: a longer message shows.
        let mut buffer = [0; size_of::<Hello>() + 1];
        let received = match socket::receive(self.socket.as_fd(), &mut buffer) {
            Ok(received) if received.len == 0 && received.fds.is_empty() => return Greeting::Gone,
            Ok(received) => received,
            Err(error) if is_early(&error) => return Greeting::NotYet,
            Err(_) => return Greeting::Gone,
        };
        if let Some(refusal) = &self.refusal {
            return Greeting::Refused(refusal.clone());
        }
        let offered = if let Err(refusal) = check_version(&buffer[..received.len]) {
            Err(refusal)
        } else if received.truncated || received.fds_lost && received.fds.len() > 3 {
            Err(garbled("it is too long, or brings too many descriptors"))
        } else if received.fds_lost {
            let text = "the engine is out of file descriptors: raise the limit of its process \
                        (LimitNOFILE, ulimit -n), or lower client.sessions_max";
            Err(Refusal::new(Status::ENOMEM, text))
        } else {
            examine(&buffer[..received.len], received.fds, limits)
        };
        offered.map_or_else(Greeting::Refused, |offer| Greeting::Offered(Box::new(offer)))
    }
}

/// Tells the client that it is served.
pub(super) fn welcome(
    socket: &OwnedFd,
    (identity, lane_key): (MemberId, u64),
    message_len_max: usize,
) -> std::io::Result<()> {
    let answer = Welcome {
        magic: MAGIC,
        version: SESSION_VERSION,
        reason_len: 0,
        status: Status::OK.0,
        message_len_max: u32::try_from(message_len_max).unwrap_or(u32::MAX),
        node: u64::from(identity.node.0),
        session: identity.session.0,
        reason: [0; _],
        lane_key,
    };
    socket::send(socket.as_fd(), answer.as_bytes())
}

/// The rest may be shorter or longer in other versions.
fn check_version(bytes: &[u8]) -> Result<(), Refusal> {
    let Some((start, _)) = HelloStart::split_from(bytes) else {
        return Err(garbled(&format!("it has {} bytes", bytes.len())));
    };
    if start.magic != MAGIC {
        return Err(garbled("it starts with other bytes"));
    }
    if !(start.version_min..=start.version_max).contains(&SESSION_VERSION) {
        let text = format!(
            "the engine speaks session version {SESSION_VERSION}, the client library {} to {}: \
             install the same release of both",
            start.version_min, start.version_max
        );
        return Err(Refusal::new(Status::EVERSION, text));
    }
    Ok(())
}

fn examine(bytes: &[u8], fds: Vec<OwnedFd>, limits: &SessionLimits) -> Result<Offer, Refusal> {
    let Some((hello, [])) = Hello::split_from(bytes) else {
        return Err(garbled(&format!("it has {} bytes", bytes.len())));
    };
    let lane_of = lane_of(&hello)?;
    let Some(policy) = Policy::of(hello.slow) else {
        return Err(garbled(&format!("it asks for the unknown policy {}", hello.slow)));
    };
    if policy == Policy::Throttle && limits.hold_max.is_zero() {
        let text = "session.slow_policy = throttle is not allowed here (client.hold_max_ms = 0)";
        return Err(Refusal::new(Status::EACCES, text));
    }
    let layout = layout(&hello, limits)?;
    let Ok([memory, wake_engine, wake_client]) = <[OwnedFd; 3]>::try_from(fds) else {
        return Err(garbled("it does not bring three descriptors"));
    };
    let invalid = |error: std::io::Error| Refusal::new(Status::EINVAL, error.to_string());
    check_eventfd(&wake_engine).map_err(invalid)?;
    check_eventfd(&wake_client).map_err(invalid)?;
    let lane = Lane::map(&memory, layout).map_err(invalid)?;
    Ok(Offer { lane, wake_engine, wake_client, policy, lane_of })
}

fn lane_of(hello: &Hello) -> Result<Option<LaneOf>, Refusal> {
    let Hello { lane_of, lane_key, domain_len, domain, .. } = *hello;
    if lane_of == 0 {
        let is_plain = lane_key == 0 && domain_len == 0 && domain == [0; _];
        return if is_plain { Ok(None) } else { Err(garbled("it is of a lane of no session")) };
    }
    let name = hello.domain_name().and_then(|name| std::str::from_utf8(name).ok());
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| garbled("it is of a lane whose domain has no name"))?;
    let (session, domain) = (SessionId(lane_of), name.to_owned());
    Ok(Some(LaneOf { session, key: lane_key, domain }))
}

fn layout(hello: &Hello, limits: &SessionLimits) -> Result<Layout, Refusal> {
    let Some(layout) = Layout::new(hello.send_capacity, hello.receive_capacity) else {
        let text = format!(
            "session.send_ring_len = {} and session.receive_ring_len = {}: each must be a power of \
             two from {CAPACITY_MIN} to {CAPACITY_MAX} bytes",
            hello.send_capacity, hello.receive_capacity
        );
        return Err(Refusal::new(Status::EINVAL, text));
    };
    if layout.capacity(Direction::Receive) as usize / 4 < limits.message_len_max {
        let text = format!(
            "session.receive_ring_len = {} is too small: messages may have {} bytes here \
             (message.len_max of the engine), and a ring needs four times that",
            hello.receive_capacity, limits.message_len_max
        );
        return Err(Refusal::new(Status::EINVAL, text));
    }
    Ok(layout)
}

fn garbled(what: &str) -> Refusal {
    Refusal::new(Status::EINVAL, format!("the hello is not one of Anasazi's: {what}"))
}

fn is_early(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted)
}
