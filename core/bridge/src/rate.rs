//! How much may be sent: an even stream, with short bursts.

use std::time::Duration;

use anasazi_protocol::Instant;

/// What was not sent within this may be sent at once.
const BURST: Duration = Duration::from_millis(50);

/// Messages and bytes in a second; 0: as many as there are.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    messages_per_s: u64,
    bytes_per_s: u64,
    /// When the next one may go.
    next_at: Instant,
}

impl Rate {
    pub(crate) fn new(messages_per_s: u64, bytes_per_s: u64) -> Self {
        Self { messages_per_s, bytes_per_s, next_at: Instant::default() }
    }

    pub(crate) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// One of so many bytes goes now.
    pub(crate) fn spend(&mut self, now: Instant, len: usize) {
        let share = |count: u64, per_s: u64| match per_s {
            0 => Duration::ZERO,
            _ => Duration::from_nanos(count.saturating_mul(1_000_000_000) / per_s),
        };
        let cost = share(1, self.messages_per_s).max(share(len as u64, self.bytes_per_s));
        self.next_at = self.next_at.max(now - BURST) + cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 1,000 bytes go within a second.
    fn sent(mut rate: Rate) -> u64 {
        let begin = 1_000_000_000;
        let mut count = 0;
        for ms in 0..1_000 {
            let now = Instant(begin + ms * 1_000_000);
            while rate.next_at() <= now && count < 100_000 {
                rate.spend(now, 1_000);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn it_is_kept() {
        assert!((100..=107).contains(&sent(Rate::new(100, 0))));
        assert!((200..=212).contains(&sent(Rate::new(0, 200_000))));
        assert!((50..=55).contains(&sent(Rate::new(50, 200_000))));
        assert_eq!(sent(Rate::new(0, 0)), 100_000);
    }

    #[test]
    fn what_was_not_sent_for_a_moment_may_go_at_once() {
        let (mut rate, now) = (Rate::new(100, 0), Instant(1_000_000_000));
        let mut count = 0;
        while rate.next_at() <= now {
            rate.spend(now, 1);
            count += 1;
        }
        assert_eq!(count, BURST.as_millis() / 10 + 1);
    }
}
