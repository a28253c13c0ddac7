//! Client sessions: what an application does with a group communication engine, wherever the engine
//! is.
//!
//! A [`Session`] talks to an engine through two rings of records in shared memory and one socket
//! whose end is the session's end. It needs no thread: it makes progress inside
//! [`Session::receive`], and its descriptor is readable exactly when that would do something. An
//! engine in the same process is reached in the very same way.
//!
//! | module | what |
//! |---|---|
//! | `session` | the public face: open, join, leave, query, wait, close |
//! | `send` | the send path: safe in a signal handler, no lock, no allocation |
//! | `receiver` | the state machine behind `receive`: connecting, events, loss and return |
//! | `group` | group handles |
//! | `event` | what `receive` shows; `owned` for callers who would rather have copies |
//! | `url`, `connector` | where the engine is, and how to get a socket to it |
//! | `raw` | a connection and nothing above it, for simulators and fuzzers |
//! | `sys` | memory, descriptors, handles: the only `unsafe` |
#![deny(unsafe_code)]

mod connector;
mod core;
mod event;
mod failure;
mod group;
mod owned;
pub mod raw;
mod receiver;
mod send;
mod session;
#[allow(unsafe_code, reason = "the fence around it")]
pub mod sys;
#[cfg(test)]
mod tests;
mod url;

pub use anasazi_stream::client::Address as StreamAddress;
pub use anasazi_stream::thread::spawn_without_signals;
pub use connector::{Connector, SocketFile, Stream};
pub use event::{Event, EventKind, Hold};
pub use failure::Failure;
pub use group::GroupHandle;
pub use owned::{OwnedEvent, OwnedView};
pub use session::{Session, SessionOptions, SessionStats, SlowPolicy};
pub use sys::frame::{Receipt, View};
pub use sys::link::OpenClaim;
pub use sys::notifier::Call;
pub use url::{DAEMON_CONFIGURATION, DAEMON_SOCKET, Url};

/// What both sides say to each other, re-exported: status codes, members, view ids.
pub use anasazi_queue::record::{
    GROUPS_PER_MESSAGE_MAX, JOIN_SEND_ONLY, Member, UNRELIABLE_LEN_MAX, ViewId,
};
pub use anasazi_queue::status::Status;
