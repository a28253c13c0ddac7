//! This process did not run for a while: it was suspended, or its machine had no time for it. What
//! it did not hear meanwhile says nothing about others, so nobody is blamed for that: every timer
//! that would end in a verdict begins again, and what waits in the socket is read before it can
//! run out.
//!
//! Packets that waited there are late ones. Each state judges those anyway, since a network may
//! keep a packet for as long as it likes: a Join counts only with a newer counter than the last
//! membership packet of its sender, and in an attempt only if it is of the newest attempt; a
//! Propose only with the number of this node's present attempt, a Plan only with this node's answer
//! in it; a token only with a number above the last one's. If the ring went on without this
//! node, its members' Joins say so, or no token comes within half of the loss time from now.

use super::State;
use crate::event::Event;
use crate::node::Node;

impl State {
    /// To be called before an input is worked on, and before the node's time is set.
    pub(crate) fn notice_own_pause(&mut self, node: &mut Node, now: crate::Instant) {
        // All that arrives together has one time.
        if now == node.now {
            return;
        }
        let patience = node.config.timers.token_loss / 2;
        // Whoever has just worked on something was not away.
        if now.since(node.now) <= patience {
            return;
        }
        let Some(deadline) = self.deadline(node) else { return };
        let late = now.since(deadline);
        if late <= patience {
            return;
        }
        node.now = now;
        node.out.stats.own_pauses += 1;
        node.out.event(Event::OwnPause { late_ms: late.as_millis() as u64 });
        match self {
            Self::Operational(s) => s.blame_nobody(node),
            Self::Gather(s) => s.blame_nobody(node),
            Self::Commit(s) => s.blame_nobody(node),
            Self::Recovery(s) => s.blame_nobody(node),
            Self::Probation(_) | Self::Stopped => {}
        }
    }
}
