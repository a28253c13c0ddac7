//! Whether a client that was cut off for not reading had left enough unread.

use std::time::Duration;

use anasazi_client::SlowPolicy;
use anasazi_protocol::limits;

use crate::cluster::Cluster;
use crate::options::MachineOptions;
use crate::seen::Sight;
use crate::session::Session;

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
                let len = letter.len.unwrap_or(limits::MESSAGE_LEN_MAX);
                self.messages += len as u64 + groups + 256;
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

/// How things were when an engine no longer served a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// So long something had been there to be read, and it had read nothing.
    idle: Duration,
    /// What its node kept for its other sessions, in bytes, or a little more.
    due_to_others: u64,
}

impl Cluster {
    /// Looks which sessions of a node are not served any more. What comes after that is not for
    /// them.
    pub(crate) fn note_ends(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        let Some(turn) = &n.turn else { return };
        let is_new = |s: &Session| s.ended.is_none() && !turn.sessions().serves(s.member.session);
        if !n.sessions.iter().any(is_new) {
            return;
        }
        let kept = turn.sessions().describe().iter().map(|s| s.backlog_len as u64).sum::<u64>();
        let of_ended = |s: &&Session| is_new(s);
        let due = n.sessions.iter().filter(of_ended).map(Session::due_behind_its_ring);
        let all = kept + due.sum::<u64>();
        for session in n.sessions.iter_mut().filter(|s| is_new(s)) {
            let idle = Duration::from_nanos(self.now - session.idle_since);
            let due_to_others = all - session.due_behind_its_ring();
            session.ended = Some(Ended { idle, due_to_others });
            session.ledger.close();
        }
    }
}

impl Session {
    fn due_behind_its_ring(&self) -> u64 {
        self.ledger.due().all().saturating_sub(self.raw.records_waiting())
    }
}

/// How a session was cut off for being slow.
pub(crate) struct Cut<'a> {
    policy: SlowPolicy,
    /// It did not always read.
    lagged: bool,
    /// What it was still to get besides what was in its ring.
    due: Due,
    ended: Ended,
    /// What it was told.
    reason: &'a str,
}

impl<'a> Cut<'a> {
    /// Of this session, which has read of its end, and so all that was in its ring then.
    pub(crate) fn new(session: &'a Session) -> Option<Self> {
        Some(Self {
            policy: session.policy,
            lagged: session.lagged,
            due: session.ledger.due(),
            ended: session.ended?,
            reason: session.closed.as_ref().map_or("", |(_, reason)| reason),
        })
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn wrong(&self, machine: &MachineOptions) -> Option<String> {
        let Self { due, ended: Ended { idle, due_to_others }, .. } = self;
        if !self.lagged {
            return Some("though it reads".to_owned());
        }
        if self.reason.contains("client.hold_max_ms") {
            let most = Duration::from_millis(machine.hold_max_ms).mul_f64(HELD_AT_LEAST);
            let wrong = self.policy != SlowPolicy::Throttle || *idle < most;
            return wrong.then(|| format!("after {} ms without reading", idle.as_millis()));
        }
        if self.reason.contains("client.backlog_total") {
            let all = due.all() + due_to_others;
            let wrong = all < machine.backlog_total_max as u64;
            return wrong.then(|| format!("where all of its node wait for {all} bytes"));
        }
        let most = machine.backlog_len_max as u64;
        let wrong = match self.policy {
            // Messages take three quarters at most; each of the others may follow upon a gap.
            SlowPolicy::Gap => 2 * due.others < most / 4,
            _ => due.all() < most,
        };
        wrong.then(|| format!("where it waits for {due:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut Cut<'_>)) -> bool {
        let machine = MachineOptions {
            backlog_len_max: 4_000,
            backlog_total_max: 8_000,
            hold_max_ms: 500,
            ..MachineOptions::good()
        };
        let mut cut = Cut {
            policy: SlowPolicy::Disconnect,
            lagged: true,
            due: Due { messages: 3_900, others: 100 },
            ended: Ended { idle: Duration::from_millis(500), due_to_others: 4_000 },
            reason: "client.backlog_len",
        };
        change(&mut cut);
        cut.wrong(&machine).is_some()
    }

    #[test]
    fn a_cut_has_its_reason() {
        assert!(!wrong(|_| {}));
        assert!(wrong(|cut| cut.lagged = false));
        assert!(wrong(|cut| cut.due.messages = 3_800));
        assert!(wrong(|cut| cut.policy = SlowPolicy::Gap), "only messages wait");
        assert!(!wrong(|cut| {
            (cut.policy, cut.due.others) = (SlowPolicy::Gap, 500);
        }));
        for policy in [SlowPolicy::Disconnect, SlowPolicy::Throttle] {
            let held = |idle_ms| {
                wrong(|cut| {
                    (cut.policy, cut.reason) = (policy, "client.hold_max_ms");
                    cut.ended.idle = Duration::from_millis(idle_ms);
                })
            };
            assert_eq!((held(500), held(490)), (policy != SlowPolicy::Throttle, true));
        }
        let others = |bytes| {
            wrong(|cut| {
                (cut.reason, cut.ended.due_to_others) = ("client.backlog_total", bytes);
            })
        };
        assert!(!others(4_000) && others(3_999));
    }
}
