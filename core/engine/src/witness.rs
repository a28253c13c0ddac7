//! Who sees what a core does as it does it: trace files, the oracle of the simulator.

use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Event, Instant};

/// Watches one domain. Called within a turn, in the order in which things happen, and therefore
/// must not wait.
pub trait Witness: Send {
    /// An entry of the core's log; only with `CoreConfig::trace`.
    fn trace(&mut self, now: Instant, trace: &Trace);

    /// What was told so far is complete, and what it caused leaves now: several times a turn.
    fn flush(&mut self) {}

    /// Something that operators may want to know.
    fn event(&mut self, _now: Instant, _event: &Event) {}
}
