//! The token that has arrived and waits for the data that it covers. It may overtake them: taken at
//! once, it would make this member ask for what is about to arrive; taken too late, it would slow
//! the ring. It is taken when everything that it covers is here; when the transport has nothing
//! more to read; when the predecessor's packets show that the token was sent before them (they were
//! sent behind it, so whatever was sent before it should be here); and after a bounded time in any
//! case, so that a flood of data cannot hold up the order.

use core::time::Duration;

use super::Ring;
use crate::node::Node;
use crate::time::Instant;
use crate::wire::{Data, Token};

/// A token waits for data at most so long.
const WAIT_MAX: Duration = Duration::from_millis(1);

/// A token that was accepted and not yet used.
#[derive(Clone, Debug, Hash)]
pub(super) struct Arrived {
    token: Token,
    at: Instant,
    /// Data packets that came since.
    data: u32,
}

impl Ring {
    /// Keeps an accepted token until `take_token` gives it out.
    pub(crate) fn keep(&mut self, node: &Node, token: Token) {
        self.arrived = Some(Arrived { token, at: node.now, data: 0 });
    }

    /// The waiting token, if it is time to use it. `drained`: the transport has nothing to read.
    pub(crate) fn take_token(&mut self, node: &Node, drained: bool) -> Option<Token> {
        let arrived = self.arrived.as_ref()?;
        let ready = drained
            || self.aru >= arrived.token.seq
            || self.token_first
            || arrived.data > 2 * node.window()
            || arrived.at + WAIT_MAX <= node.now;
        if !ready {
            return None;
        }
        self.token_first = false;
        self.arrived.take().map(|arrived| arrived.token)
    }

    /// When the waiting token is used at the latest.
    pub(super) fn token_due_at(&self) -> Option<Instant> {
        self.arrived.as_ref().map(|arrived| arrived.at + WAIT_MAX)
    }

    /// Looks at a data packet: does it say that the token comes before what follows?
    pub(super) fn watch_for_token(&mut self, data: &Data, from_predecessor: bool) {
        if let Some(arrived) = &mut self.arrived {
            arrived.data = arrived.data.saturating_add(1);
        }
        let waiting = self.arrived.as_ref().map(|a| a.token.token_sequence);
        let current = waiting.unwrap_or(self.accepted + 1);
        if data.post && !data.repeated && from_predecessor && data.token_sequence >= current {
            self.token_first = true;
        }
    }
}
