//! Where connections come in, and how fast: whatever knocks, most of the engine's time is left to
//! the sessions that are there.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use anasazi_protocol::Instant;

use crate::config::ClientConfig;
use crate::error::EngineError;
use crate::session::limits::{
    TAKE_IN_BURST, TAKE_IN_COST_MAX, TAKE_IN_PAUSE, TAKE_IN_SHARE, TURN_AWAY_COST,
};
use crate::session::{Listener, Readiness};
use crate::sys::socket::Peer;
use crate::watches::Watches;

/// Its key in the epoll set: transports first, then this, then sessions.
pub(crate) const LISTENER_KEY: u64 = 1 << 16;

/// How often it is told that connections cannot be taken in, at most.
const TELL_TURNED_AWAY_EVERY: Duration = Duration::from_secs(1);

/// A connection, and of whom it is, unless the kernel is to say.
pub(crate) type Connection = (OwnedFd, Option<Peer>);

/// The listener, and those who come over streams. They are let in in turn: a flood of the one does
/// not keep the other out.
pub(crate) struct Door {
    listener: Option<Listener>,
    knocking: Knocking,
    /// Behind streams; that thread lets so many come as have not been answered yet.
    coming: VecDeque<Connection>,
    /// The last one that was let in came over a stream.
    stream_was_last: bool,
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
            stream_was_last: false,
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

    /// This one has come over a stream.
    pub(crate) fn come(&mut self, connection: Connection) {
        self.coming.push_back(connection);
    }

    /// One to be let in now, if one waits and it is time for it. What that took is to be said
    /// afterwards: [`spent`](Self::spent).
    pub(crate) fn next(&mut self, watches: &Watches, now: Instant) -> Option<Connection> {
        while self.pace.allows(now) {
            let knocks = self.knocking != Knocking::No && self.listener.is_some();
            if !(knocks && self.stream_was_last)
                && let Some(connection) = self.coming.pop_front()
            {
                self.stream_was_last = true;
                return Some(connection);
            }
            if !knocks {
                return None;
            }
            self.stream_was_last = false;
            if let Some(socket) = self.accept(watches, now) {
                return Some((socket, None));
            }
        }
        self.look_away(watches);
        None
    }

    /// So long the engine was busy with one that was let in.
    pub(crate) fn spent(&mut self, time: Duration, now: Instant) {
        self.pace.spend(time.min(TAKE_IN_COST_MAX), now);
    }

    /// When one that waits can be let in.
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

    /// The next one of the listener's queue.
    fn accept(&mut self, watches: &Watches, now: Instant) -> Option<OwnedFd> {
        let listener = self.listener.as_mut()?;
        let accepted = listener.accept();
        let turned_away = listener.take_turned_away();
        self.accepted(accepted, turned_away, watches, now)
    }

    fn accepted(
        &mut self,
        accepted: io::Result<Option<OwnedFd>>,
        turned_away: u64,
        watches: &Watches,
        now: Instant,
    ) -> Option<OwnedFd> {
        let times = u32::try_from(turned_away).unwrap_or(u32::MAX);
        self.pace.spend(TURN_AWAY_COST * times, now);
        self.tell_turned_away(turned_away, now);
        match accepted {
            Ok(Some(socket)) => return Some(socket),
            // More may wait.
            Ok(None) if turned_away > 0 => {}
            Ok(None) => self.look_again(watches, now),
            // It stays readable: without a pause the engine would run in circles.
            Err(_) => self.pace.rest(TAKE_IN_PAUSE, now),
        }
        None
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
            return self.pace.rest(TAKE_IN_PAUSE, now);
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

/// A share of the time; what was not used of it adds up to one burst.
#[derive(Debug, Default)]
struct Pace {
    /// What was spent is paid for at this time.
    paid_at: Instant,
}

impl Pace {
    fn allows(&self, now: Instant) -> bool {
        self.next() <= now
    }

    fn spend(&mut self, time: Duration, now: Instant) {
        let saved = now - TAKE_IN_BURST * TAKE_IN_SHARE;
        self.paid_at = self.paid_at.max(saved) + time * TAKE_IN_SHARE;
    }

    fn rest(&mut self, time: Duration, now: Instant) {
        self.paid_at = now + time;
    }

    fn next(&self) -> Instant {
        self.paid_at
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::path::Path;

    use anasazi_client::{Connector, SocketFile};

    use super::*;
    use crate::config::Settings;
    use crate::sys::socket::pair;

    const START: Instant = Instant(1_000_000_000_000);
    const COST: Duration = Duration::from_micros(100);

    #[test]
    fn after_a_burst_it_is_a_share_of_the_time() {
        let (mut pace, mut now, mut let_in) = (Pace::default(), START, 0);
        while now.since(START) < Duration::from_secs(1) {
            if pace.allows(now) {
                now = now + COST;
                pace.spend(COST, now);
                let_in += 1;
            } else {
                now = now + Duration::from_micros(10);
            }
        }
        let share = Duration::from_secs(1) / TAKE_IN_SHARE + TAKE_IN_BURST;
        let expected = u32::try_from(share.as_micros() / COST.as_micros()).unwrap();
        assert!((expected - 50..=expected + 1).contains(&let_in), "{let_in} of {expected}");
    }

    #[test]
    fn what_is_saved_up_is_one_burst() {
        let mut pace = Pace::default();
        let mut let_in = 0_u32;
        while pace.allows(START) {
            pace.spend(COST, START);
            let_in += 1;
        }
        assert_eq!(COST * (let_in - 1), TAKE_IN_BURST);
    }

    fn door(path: &Path) -> (Door, Watches) {
        let mut settings = Settings::default();
        settings.set("client.listen", &path.display().to_string()).unwrap();
        let config = settings.validate().unwrap();
        let watches = Watches::new(None).unwrap();
        (Door::open(&config.client, &watches).unwrap(), watches)
    }

    fn over_a_stream() -> Connection {
        (pair().unwrap().0, Some(Peer::remote(([127, 0, 0, 1], 1).into(), "tcp:".into())))
    }

    #[test]
    fn a_process_that_was_stopped_meanwhile_lets_in_soon_again() {
        let place = tempfile::tempdir().unwrap();
        let (mut door, watches) = door(&place.path().join("door"));
        let now = START + Duration::from_secs(3_600);
        door.spent(Duration::from_secs(3_600), now);
        door.come(over_a_stream());
        let soon = now + TAKE_IN_COST_MAX * TAKE_IN_SHARE;
        assert!(door.next(&watches, soon).is_some());
    }

    #[test]
    fn a_listener_that_fails_is_left_alone_for_a_while() {
        let place = tempfile::tempdir().unwrap();
        let (mut door, watches) = door(&place.path().join("door"));
        door.knock();
        assert!(door.accepted(Err(ErrorKind::OutOfMemory.into()), 0, &watches, START).is_none());
        assert!(door.next(&watches, START).is_none());
        assert_eq!(door.deadline(), Some(START + TAKE_IN_PAUSE));
        assert!(door.knocking == Knocking::Unwatched);
    }

    #[test]
    fn streams_and_the_listener_are_let_in_in_turn() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("door");
        let (mut door, watches) = door(&path);
        let clients = [(); 2].map(|()| SocketFile(path.clone()).open().unwrap());
        (0..4).for_each(|_| door.come(over_a_stream()));
        door.knock();
        let let_in = std::iter::from_fn(|| door.next(&watches, START));
        let by_stream: Vec<bool> = let_in.map(|(_, peer)| peer.is_some()).collect();
        assert_eq!(by_stream, [true, false, true, false, true, true]);
        drop(clients);
    }

    #[test]
    fn a_rest_is_a_rest() {
        let mut pace = Pace::default();
        pace.rest(TAKE_IN_PAUSE, START);
        assert!(!pace.allows(START + TAKE_IN_PAUSE / 2));
        assert!(pace.allows(START + TAKE_IN_PAUSE));
    }
}
