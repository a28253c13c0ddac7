//! Looked at every second: claims that a client keeps open. What it has sent since then waits
//! behind them, and somebody should know why.

use std::time::Duration;

use anasazi_protocol::Instant;

use super::connection::Connection;
use super::{Sessions, Slot};
use crate::sys::socket::Way;

/// How often all sessions are looked at, if there is a turn, and how long a claim is open before it
/// is told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A place in a send ring that was claimed and is not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenClaim {
    position: u64,
    /// When it was first seen.
    pub(super) since: Instant,
    is_told: bool,
}

impl Sessions {
    /// What is to be told of claims that have been open for more than a second, of sessions that
    /// miss messages, and of those that no longer do so: for the operator, in words.
    pub fn watch(&mut self, now: Instant) -> Vec<String> {
        if now.since(self.claims_seen_at) < LOOK_EVERY {
            return Vec::new();
        }
        self.claims_seen_at = now;
        let open = self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Open(connection) => Some(connection),
            _ => None,
        });
        open.flat_map(|connection| [connection.watch_claim(now), connection.watch_gap()])
            .flatten()
            .collect()
    }
}

impl Connection {
    fn watch_claim(&mut self, now: Instant) -> Option<String> {
        let before = self.open_claim;
        let position = self.lane.open_claim();
        if let (Some(claim), Some(position)) = (&mut self.open_claim, position)
            && claim.position == position
        {
            return (!core::mem::replace(&mut claim.is_told, true)).then(|| self.is_held_up(now));
        }
        self.open_claim =
            position.map(|position| OpenClaim { position, since: now, is_told: false });
        let ended = before.filter(|claim| claim.is_told)?;
        Some(format!(
            "{} goes on after a claim that was open for {:.1} s",
            self.name(),
            now.since(ended.since).as_secs_f64()
        ))
    }

    fn is_held_up(&self, now: Instant) -> String {
        let since = self.open_claim.map_or(now, |claim| claim.since);
        format!(
            "{} keeps a claim open for {:.1} s and more: what it sends after it waits. A thread of \
             it was stopped within anz_mcast(), or it neither commits nor aborts what it claimed \
             with anz_claim()",
            self.name(),
            now.since(since).as_secs_f64()
        )
    }

    pub(super) fn name(&self) -> String {
        let (number, place) = (self.id.number(), self.place());
        match self.peer.way {
            Way::Tcp(address) => format!("session {number} from {address}{place}"),
            _ => format!("session {number} of process {}{place}", self.peer.pid),
        }
    }
}
