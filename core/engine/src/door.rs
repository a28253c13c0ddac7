//! Where connections come in, and how fast: whatever knocks, most of the engine's time is left to
//! the sessions that are there.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use anasazi_protocol::Instant;

use crate::config::ClientConfig;
use crate::error::EngineError;
use crate::session::limits::{TAKE_IN_BURST, TAKE_IN_EVERY};
use crate::session::{Listener, Readiness};
use crate::sys::socket::Peer;
use crate::watches::Watches;

/// Its key in the epoll set: transports first, then this, then sessions.
pub(crate) const LISTENER_KEY: u64 = 1 << 16;

/// How often it is told that connections cannot be taken in, at most.
const TELL_TURNED_AWAY_EVERY: Duration = Duration::from_secs(1);

/// A connection, and of whom it is, unless the kernel is to say.
pub(crate) type Connection = (OwnedFd, Option<Peer>);

/// The listener, and those that have come by other ways.
pub(crate) struct Door {
    listener: Option<Listener>,
    knocking: Knocking,
    /// Of this process, or behind streams.
    coming: VecDeque<Connection>,
    pace: Pace,
    /// For want of descriptors, since that was last told.
    turned_away: u64,
    /// When it was.
    turned_away_told: Instant,
}

/// What is known of the listener's queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Knocking {
    /// Nobody waits; who comes is seen by the epoll set.
    No,
    /// Somebody waits, perhaps.
    Yes,
    /// The same, and the epoll set does not look: it is not time yet.
    Unwatched,
}

impl Door {
    /// Listens where the configuration says, if anywhere.
    ///
    /// # Errors
    /// Says what is in the way, and what to do.
    pub(crate) fn open(config: &ClientConfig, watches: &Watches) -> Result<Self, EngineError> {
        let listen = |path: &PathBuf| -> Result<_, EngineError> {
            let listener = Listener::bind(path, config.listen_mode)
                .map_err(|error| EngineError::Socket(error.to_string()))?;
            watches.add(listener.fd(), LISTENER_KEY).map_err(|error| {
                let path = path.display();
                EngineError::Socket(format!("cannot watch the socket {path}: {error}"))
            })?;
            Ok(listener)
        };
        Ok(Self {
            listener: config.listen.as_ref().map(listen).transpose()?,
            knocking: Knocking::No,
            coming: VecDeque::new(),
            pace: Pace::default(),
            turned_away: 0,
            turned_away_told: Instant::default(),
        })
    }

    /// The listener is readable.
    pub(crate) fn knock(&mut self) {
        if self.knocking == Knocking::No {
            self.knocking = Knocking::Yes;
        }
    }

    /// These have come by other ways.
    pub(crate) fn come(&mut self, connections: Vec<Connection>) {
        self.coming.extend(connections);
    }

    /// One to be taken in now, if one waits and it is time for it.
    pub(crate) fn next(&mut self, watches: &Watches, now: Instant) -> Option<Connection> {
        loop {
            if !self.pace.allows(now) {
                self.look_away(watches);
                return None;
            }
            if let Some(connection) = self.coming.pop_front() {
                self.pace.spend(1, now);
                return Some(connection);
            }
            let listener = self.listener.as_mut().filter(|_| self.knocking != Knocking::No)?;
            let accepted = listener.accept();
            let turned_away = listener.take_turned_away();
            self.pace.spend(turned_away + u64::from(accepted.is_some()), now);
            self.tell_turned_away(turned_away, now);
            match accepted {
                Some(socket) => return Some((socket, None)),
                None if turned_away > 0 => {} // more may wait
                None => {
                    self.look_again(watches, now);
                    return None;
                }
            }
        }
    }

    /// When one that waits can be taken in.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waits = !self.coming.is_empty() || self.knocking == Knocking::Unwatched;
        waits.then(|| self.pace.next())
    }

    /// Nobody is let in any more.
    pub(crate) fn close(&mut self, watches: &Watches) {
        if let Some(listener) = self.listener.take()
            && self.knocking != Knocking::Unwatched
        {
            watches.remove(listener.fd());
        }
        self.coming.clear();
    }

    /// Who knocks at a wrong time would make the engine run in circles.
    fn look_away(&mut self, watches: &Watches) {
        if let Some(listener) = self.listener.as_ref().filter(|_| self.knocking == Knocking::Yes) {
            watches.remove(listener.fd());
            self.knocking = Knocking::Unwatched;
        }
    }

    fn look_again(&mut self, watches: &Watches, now: Instant) {
        let Some(listener) = &self.listener else { return };
        if self.knocking == Knocking::Unwatched && watches.add(listener.fd(), LISTENER_KEY).is_err()
        {
            // No memory: soon again.
            return self.pace.spend(TAKE_IN_BURST, now);
        }
        self.knocking = Knocking::No;
    }

    fn tell_turned_away(&mut self, count: u64, now: Instant) {
        self.turned_away += count;
        if self.turned_away > 0 && now.since(self.turned_away_told) >= TELL_TURNED_AWAY_EVERY {
            self.turned_away_told = now;
            let count = std::mem::take(&mut self.turned_away);
            tracing::warn!(
                "out of file descriptors: {count} connections of clients were closed unheard; \
                 raise the limit of this process (LimitNOFILE, ulimit -n)"
            );
        }
    }
}

/// So many at once after a time of rest, and so many per second in the long run.
#[derive(Debug, Default)]
struct Pace {
    /// Those that were taken in use up the time until here.
    used_until: Instant,
}

impl Pace {
    fn allows(&self, now: Instant) -> bool {
        self.next() <= now
    }

    fn spend(&mut self, count: u64, now: Instant) {
        let times = |count: u64| TAKE_IN_EVERY * u32::try_from(count).unwrap_or(u32::MAX);
        self.used_until = self.used_until.max(now - times(TAKE_IN_BURST)) + times(count);
    }

    fn next(&self) -> Instant {
        self.used_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_in_at_once_and_then_one_after_the_other() {
        let (mut pace, mut now) = (Pace::default(), Instant(1_000_000_000_000));
        let mut let_in = |now| {
            let mut count = 0;
            while pace.allows(now) {
                pace.spend(1, now);
                count += 1;
            }
            count
        };
        assert_eq!(let_in(now), TAKE_IN_BURST + 1);
        assert_eq!(let_in(now), 0);
        for _ in 0..100 {
            now = now + TAKE_IN_EVERY;
            assert_eq!(let_in(now), 1);
        }
        // It does not add up for ever.
        assert_eq!(let_in(now + TAKE_IN_EVERY * 1_000), TAKE_IN_BURST + 1);
    }

    #[test]
    fn those_that_are_turned_away_count_as_well() {
        let (mut pace, now) = (Pace::default(), Instant(1_000_000_000_000));
        pace.spend(TAKE_IN_BURST + 10, now);
        assert!(!pace.allows(now));
        assert_eq!(pace.next(), now + TAKE_IN_EVERY * 10);
    }
}
