//! The core: the one entrance and the one exit.

use crate::{Boot, CoreConfig, Input, Instant, Output, Stats};

/// One domain's protocol on one node. See the crate's first page for the contract.
pub struct Core {
    stats: Stats,
}

impl Core {
    /// A core that has just booted. Drain its outputs.
    pub fn new(_config: CoreConfig, _boot: Boot, _now: Instant) -> Self {
        Self { stats: Stats::default() }
    }

    /// Takes one input; drain `poll` afterwards.
    pub fn handle(&mut self, _now: Instant, _input: Input) {}

    /// The next output, if any.
    pub fn poll(&mut self) -> Option<Output> {
        None
    }

    /// When to give `Input::Timeout`, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Room for more sends; while false, leave commands in the sessions' rings (joins and leaves too, for their order).
    pub fn accepts_sends(&self) -> bool {
        false
    }

    /// Counters and gauges.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
