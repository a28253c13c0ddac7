//! The core's own randomness, from the seed it was given (splitmix64).

use core::time::Duration;

#[derive(Clone, Hash)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[cfg(test)]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From `about` minus a quarter to `about` plus a quarter.
    pub(crate) fn around(&mut self, about: Duration) -> Duration {
        let quarter = (about.as_nanos() as u64 / 4).max(1);
        about - Duration::from_nanos(quarter) + Duration::from_nanos(self.next() % (2 * quarter))
    }
}
