//! How much the sessions of this node may send in a domain per time, so that a domain takes no more
//! of a link than its share. What is over that waits in the sessions' rings.

use core::time::Duration;

use crate::limits::SEND_BURST;
use crate::time::Instant;

/// A bound on bytes per time, met on the average: what is sent moves the time up to which the rate
/// is used up, and that may be ahead of now by [`SEND_BURST`] and one message.
#[derive(Clone, Debug, Hash)]
pub(crate) struct SendRate {
    /// Bytes a second; 0: any number.
    len_per_s: u64,
    used_up_to: Instant,
}

impl SendRate {
    pub(crate) fn new(len_per_s: u64) -> Self {
        Self { len_per_s, used_up_to: Instant::default() }
    }

    pub(crate) fn has_room(&self, now: Instant) -> bool {
        self.used_up_to <= now + SEND_BURST
    }

    /// When there is room again, if there is none.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        (!self.has_room(now)).then(|| Instant(self.used_up_to.0 - SEND_BURST.as_nanos() as u64))
    }

    /// So many bytes are sent.
    pub(crate) fn take(&mut self, len: usize, now: Instant) {
        if self.len_per_s > 0 {
            let takes = len as u128 * 1_000_000_000 / u128::from(self.len_per_s);
            let takes = Duration::from_nanos(u64::try_from(takes).unwrap_or(u64::MAX / 4));
            self.used_up_to = self.used_up_to.max(now) + takes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn it_is_met_on_the_average_whatever_the_sizes_are() {
        for size in [1, 100, 10_000, 1_000_000] {
            let mut rate = SendRate::new(1_000_000);
            let (mut sent, mut now) = (0, Instant(5));
            for _ in 0..1_000 {
                while rate.has_room(now) {
                    rate.take(size, now);
                    sent += size;
                }
                now = rate.deadline(now).unwrap_or(now + Duration::from_millis(1));
            }
            let seconds = (now.0 - 5) as f64 / 1e9;
            let least = seconds * 1e6;
            let most = least + SEND_BURST.as_secs_f64() * 1e6 + 2.0 * size as f64;
            assert!((least..=most).contains(&(sent as f64)), "{sent} in {seconds} s, by {size}");
        }
    }

    #[test]
    fn there_is_room_again_when_it_says() {
        let mut rate = SendRate::new(1_000);
        let now = Instant(7 * MS);
        assert!(rate.has_room(now) && rate.deadline(now).is_none());
        rate.take(1_000, now);
        let burst = SEND_BURST.as_nanos() as u64;
        assert_eq!(rate.deadline(now), Some(Instant(1_007 * MS - burst)));
        assert!(!rate.has_room(Instant(1_007 * MS - burst - 1)));
        assert!(rate.has_room(Instant(1_007 * MS - burst)));
    }

    #[test]
    fn without_a_bound_there_is_always_room() {
        let mut rate = SendRate::new(0);
        (0..1_000).for_each(|_| rate.take(1 << 30, Instant(1)));
        assert!(rate.has_room(Instant(1)) && rate.deadline(Instant(1)).is_none());
    }
}
