//! One open session on its stream, from the welcome to the end.
//!
//! ```text
//!                 the user of the ring has closed its socket
//!   Open  ------------------------------------------------------>  Ending: what is in the ring
//!     |                                                            leaves, then no more is written
//!     | the stream has ended                                         |  the other side closes, or
//!     v                                                              v  time is up
//!   Over  <----------------------------------------------------------+
//! ```

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::engine::Importance;
use crate::limits::{LINGER, LINGER_MAX, ROUNDS_MAX};
use crate::mirror::{Drained, Ended, Mirror};
use crate::stream::Stream;
use crate::sys::seqpacket;

/// A session's stream, its rings, and the socket whose end is the session's end.
pub(crate) struct Carrier {
    stream: Stream,
    mirror: Mirror,
    /// Closed by its user at the end of the session.
    door: OwnedFd,
    /// Whose stream it is, for people.
    peer: String,
    /// Written to by who uses the rings.
    wake: OwnedFd,
    ending: Option<Ending>,
}

struct Ending {
    /// Until when it has to make progress, and to be done.
    deadline: Instant,
    last: Instant,
    has_left: bool,
}

/// What a carrier has become.
#[derive(Debug)]
pub(crate) enum Step {
    /// It waits for its descriptors, or its deadline.
    Idle,
    /// It has more to do.
    More,
    /// [`Carrier::close`] it, and tell why if there is something to tell.
    Over(Option<(Importance, String)>),
}

/// Tokens of a carrier's descriptors, from the first one on.
pub(crate) const TOKENS: usize = 4;
pub(crate) const DOOR: usize = 1;
const WAKE: usize = 2;

impl Carrier {
    /// Carries a session whose stream belongs to `peer`, until `door` is closed. Whoever uses the
    /// rings writes to `wake`.
    pub(crate) fn new(
        (stream, peer): (Stream, String),
        mirror: Mirror,
        door: OwnedFd,
        wake: OwnedFd,
    ) -> Self {
        Self { stream, mirror, door, peer, wake, ending: None }
    }

    /// Watches the ring's wake-up and the socket that ends the session. The stream may be watched
    /// already, under the first token.
    pub(crate) fn register(&self, registry: &Registry, first: usize) -> io::Result<()> {
        watch(registry, &self.door, first + DOOR)?;
        watch(registry, &self.wake, first + WAKE)
    }

    /// The same for the stream.
    pub(crate) fn register_stream(&mut self, registry: &Registry, first: usize) -> io::Result<()> {
        self.stream.register(registry, Token(first))
    }

    /// Ends it. Others, children too, hold copies of its descriptors: closing them would neither
    /// end that they are watched nor tell anybody.
    pub(crate) fn close(self, registry: &Registry) {
        for fd in [&self.door, &self.wake] {
            _ = SourceFd(&fd.as_raw_fd()).deregister(registry);
        }
        self.stream.shut();
        // Before the mirror goes: who is woken by that finds the door shut.
        seqpacket::shut(self.door.as_fd());
    }

    /// A descriptor is ready, that many tokens from the first.
    pub(crate) fn ready(&mut self, which: usize, now: Instant) {
        if which == DOOR && self.ending.is_none() && self.is_left() {
            self.end(now, LINGER, LINGER_MAX);
        }
    }

    /// It ends: so long after the last progress, and within so long altogether.
    pub(crate) fn end(&mut self, now: Instant, idle: Duration, within: Duration) {
        let (deadline, last) = (now + idle, now + within);
        let ending = self.ending.get_or_insert(Ending { deadline, last, has_left: false });
        ending.deadline = ending.deadline.min(deadline);
        ending.last = ending.last.min(last);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ending.as_ref().map(|ending| ending.deadline)
    }

    /// How far its user has read is to be looked at now and then.
    pub(crate) fn is_watched(&self) -> bool {
        self.ending.is_none() && self.mirror.is_watched()
    }

    /// Does what can be done.
    pub(crate) fn turn(&mut self, now: Instant) -> Step {
        let moved = match &self.ending {
            None => self.mirror.turn(&mut self.stream),
            Some(ending) if ending.deadline <= now => return Step::Over(None),
            Some(_) => self.finish(now),
        };
        match moved {
            Ok(true) => Step::More,
            Ok(false) => Step::Idle,
            Err(Ended::Closed) => Step::Over(None),
            Err(Ended::Failed(error)) => {
                let text = format!("the stream of a session from {} has ended: {error}", self.peer);
                Step::Over(Some((Importance::Detail, text)))
            }
            Err(Ended::Broken(what)) => {
                let text = format!(
                    "the stream of a session from {} was cut: {what}; the other end is no release \
                     of Anasazi, or something between changes bytes",
                    self.peer
                );
                Step::Over(Some((Importance::Notice, text)))
            }
        }
    }

    /// What is in the ring leaves, then the other side sees the end; true: there is more to do.
    fn finish(&mut self, now: Instant) -> Result<bool, Ended> {
        let Some(ending) = &mut self.ending else { return Ok(false) };
        let mut more = false;
        if !ending.has_left {
            let before = self.mirror.sent();
            let drained = self.mirror.drain(&mut self.stream)?;
            if self.mirror.sent() > before {
                ending.deadline = (now + LINGER).min(ending.last);
            }
            more = drained == Drained::More;
            ending.has_left = drained == Drained::All;
            if ending.has_left {
                self.stream.end_writing();
            }
        }
        Ok(self.discard()? || more)
    }

    /// What still comes is for nobody; but closing a socket with unread bytes would take back what
    /// has left.
    fn discard(&mut self) -> Result<bool, Ended> {
        let mut bytes = [0; 4_096];
        for _ in 0..ROUNDS_MAX {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(Ended::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Ended::Failed(error)),
            }
        }
        Ok(true)
    }

    /// The user of the rings has closed its socket, or says what nobody says there.
    fn is_left(&self) -> bool {
        match seqpacket::receive(self.door.as_fd(), &mut [0; 1]) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

fn watch(registry: &Registry, fd: &OwnedFd, token: usize) -> io::Result<()> {
    SourceFd(&fd.as_raw_fd()).register(registry, Token(token), Interest::READABLE)
}
