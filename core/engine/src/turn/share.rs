//! How much one turn takes in: whatever comes next waits meanwhile, a domain's token among it.

/// Bounds of one turn.
pub(crate) struct Share {
    /// Datagrams of a domain before it is another one's turn, for each batch that it weighs.
    pub(crate) batch: usize,
    /// Rounds through all domains, so that a flood cannot keep the timers and the sessions from
    /// their turn.
    pub(crate) rounds: usize,
    /// Requests of sessions, if the caller does not say.
    pub(crate) requests: usize,
    /// Of what a domain with a thread of its own has said, for each batch that it weighs.
    pub(crate) heard: usize,
}

/// A domain that is alone waits for nobody: the larger the batches, the less each costs.
const ALONE: Share = Share { batch: 256, rounds: 4, requests: 1_024, heard: 256 };

/// A token, and what is handed to programs, wait for what the others take in
/// (docs/PERFORMANCE.md).
const BESIDE_OTHERS: Share = Share { batch: 32, rounds: 1, requests: 256, heard: 32 };

impl Share {
    /// Of an engine with so many domains.
    pub(crate) const fn of(domains: usize) -> &'static Self {
        if domains > 1 { &BESIDE_OTHERS } else { &ALONE }
    }
}
