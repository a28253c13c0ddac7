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

use crate::limits::{LINGER, ROUNDS_MAX};
use crate::mirror::{Ended, Mirror};
use crate::stream::Stream;
use crate::sys::seqpacket;

/// A session's stream, its rings, and the socket whose end is the session's end.
pub(crate) struct Carrier {
    stream: Stream,
    mirror: Mirror,
    /// `None` once its user has closed it.
    door: Option<OwnedFd>,
    /// Written to by who uses the rings.
    wake: OwnedFd,
    ending: Option<Ending>,
}

struct Ending {
    deadline: Instant,
    has_left: bool,
}

/// What a carrier has become.
#[derive(Debug)]
pub(crate) enum Step {
    /// It waits for its descriptors, or its deadline.
    Idle,
    /// It has more to do.
    More,
    /// Drop it, after [`Carrier::deregister`].
    Over,
}

/// Tokens of a carrier's descriptors, from the first one on.
pub(crate) const TOKENS: usize = 4;
pub(crate) const DOOR: usize = 1;
const WAKE: usize = 2;

impl Carrier {
    pub(crate) fn new(stream: Stream, mirror: Mirror, door: OwnedFd, wake: OwnedFd) -> Self {
        Self { stream, mirror, door: Some(door), wake, ending: None }
    }

    /// Watches the ring's wake-up and the socket that ends the session. The stream may be watched
    /// already, under the first token.
    pub(crate) fn register(&self, registry: &Registry, first: usize) -> io::Result<()> {
        let door = self.door.as_ref().map(AsRawFd::as_raw_fd);
        watch(registry, door.into_iter(), first + DOOR)?;
        watch(registry, [self.wake.as_raw_fd()].into_iter(), first + WAKE)
    }

    /// The same for the stream.
    pub(crate) fn register_stream(&mut self, registry: &Registry, first: usize) -> io::Result<()> {
        self.stream.register(registry, Token(first))
    }

    /// Others hold copies of what was watched: closing it does not end that.
    pub(crate) fn deregister(&self, registry: &Registry) {
        let door = self.door.as_ref().map(AsRawFd::as_raw_fd);
        for fd in door.into_iter().chain([self.wake.as_raw_fd()]) {
            _ = SourceFd(&fd).deregister(registry);
        }
    }

    /// A descriptor is ready, that many tokens from the first.
    pub(crate) fn ready(&mut self, which: usize, now: Instant) {
        if which == DOOR && self.ending.is_none() && self.is_left() {
            self.end(now, LINGER);
        }
    }

    /// It ends within this time.
    pub(crate) fn end(&mut self, now: Instant, within: Duration) {
        let deadline = now + within;
        let ending = self.ending.get_or_insert(Ending { deadline, has_left: false });
        ending.deadline = ending.deadline.min(deadline);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ending.as_ref().map(|ending| ending.deadline)
    }

    /// Does what can be done.
    pub(crate) fn turn(&mut self, now: Instant) -> Step {
        let moved = match &mut self.ending {
            None => self.mirror.turn(&mut self.stream),
            Some(ending) if ending.deadline <= now => return Step::Over,
            Some(ending) => {
                let left = match ending.has_left {
                    true => Ok(true),
                    false => self.mirror.drain(&mut self.stream),
                };
                if matches!(left, Ok(true)) && !ending.has_left {
                    ending.has_left = true;
                    self.stream.end_writing();
                }
                left.and_then(|_| self.discard())
            }
        };
        match moved {
            Ok(true) => Step::More,
            Ok(false) => Step::Idle,
            Err(Ended::Closed) => Step::Over,
            Err(Ended::Failed(error)) => {
                tracing::debug!(%error, "a session's stream has ended");
                Step::Over
            }
            Err(Ended::Broken(what)) => {
                tracing::warn!(
                    "a session's stream was cut: {what}; its peer is no release of Anasazi, or \
                     something between them changes bytes"
                );
                Step::Over
            }
        }
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
        let Some(door) = &self.door else { return true };
        match seqpacket::receive(door.as_fd(), &mut [0; 1]) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

fn watch(registry: &Registry, fds: impl Iterator<Item = i32>, token: usize) -> io::Result<()> {
    for fd in fds {
        SourceFd(&fd).register(registry, Token(token), Interest::READABLE)?;
    }
    Ok(())
}
