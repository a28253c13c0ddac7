//! Whether a client that was cut off for not reading had left enough unread.

use std::time::Duration;

use anasazi_client::SlowPolicy;

use crate::cluster::Cluster;
use crate::seen::Sight;
use crate::session::{RECORD_LEN_MIN, Session};

/// What telling a client costs that a request was taken which is in its ring still, at most.
const PER_REQUEST: u64 = 200;
/// What a receipt costs, at most.
const RECEIPT: u64 = 170;
/// Clocks drift, and turns take time.
const HELD_AT_LEAST: f64 = 0.99;

/// What a session is still to get, as its engine counts it or a little more, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    /// Messages.
    pub(crate) messages: u64,
    /// What is never skipped.
    pub(crate) others: u64,
}

impl Due {
    /// All of it.
    pub(crate) fn all(self) -> u64 {
        self.messages + self.others
    }

    /// One more of these.
    pub(crate) fn add(&mut self, sight: &Sight) {
        let entry = match sight {
            Sight::Message(letter) => {
                let groups = 16 * letter.groups.len() as u64;
                self.messages += letter.len as u64 + groups + 256;
                // Of an own one that it misses it is told.
                if letter.tag == 0 { 0 } else { RECEIPT }
            }
            Sight::View { members, .. } => 64 * *members as u64 + 700,
            Sight::Left { .. } => 600,
            Sight::Receipt { .. } => RECEIPT,
        };
        self.others += entry;
    }
}

impl Session {
    /// What it is still to get.
    pub(crate) fn due(&self) -> Due {
        let (mut due, (_, requests)) = (self.ledger.due(), self.waiting());
        due.others += requests / RECORD_LEN_MIN * PER_REQUEST;
        due
    }
}

impl Cluster {
    /// What is wrong with the end of a session that was cut off for being slow. `due_to_all`: what
    /// all sessions of the node were still to get.
    pub(crate) fn cut_in_vain(
        &self,
        node: usize,
        session: &Session,
        due_to_all: u64,
    ) -> Option<String> {
        let reason = session.closed.as_ref().map_or("", |(_, reason)| reason);
        let machine = &self.options.machine;
        if !session.lagged {
            return Some("though it reads".to_owned());
        }
        if reason.contains("client.hold_max_ms") {
            let most = Duration::from_millis(machine.hold_max_ms).mul_f64(HELD_AT_LEAST);
            // It reads of its end when it has read what was in its ring then.
            let idle = Duration::from_nanos(session.idle);
            let holds = session.policy == SlowPolicy::Throttle;
            let wrong = !holds || idle < most;
            return wrong.then(|| format!("and read every {} ms at least", idle.as_millis()));
        }
        if reason.contains("client.backlog_total") {
            let wrong = due_to_all < machine.backlog_total_max as u64;
            return wrong
                .then(|| format!("where all of n{} wait for {due_to_all} bytes", node + 1));
        }
        let (due, most) = (session.due(), machine.backlog_len_max as u64);
        let wrong = match session.policy {
            // Messages take three quarters at most; each of the others may follow upon a gap.
            SlowPolicy::Gap => 2 * due.others < most / 4,
            _ => due.all() < most,
        };
        wrong.then(|| format!("where it waits for {due:?}"))
    }
}
