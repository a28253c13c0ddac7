//! Lines of the log that clients can bring about at will: of a flood of them, some and a number.

use std::time::Duration;

use anasazi_protocol::Instant;

/// Lines in a row, after a while of silence.
const BURST: u32 = 20;
/// Later ones.
const PAUSE: Duration = Duration::from_secs(1);

/// How much of it has been said.
#[derive(Debug, Default)]
pub(crate) struct Chatter {
    /// What was said is forgotten at this time.
    quiet_at: Instant,
    withheld: u64,
}

impl Chatter {
    /// Whether one more line may be logged; if so, how many were not since the last one, if any.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Option<u64>> {
        if self.quiet_at > now + PAUSE * (BURST - 1) {
            self.withheld += 1;
            return None;
        }
        self.quiet_at = self.quiet_at.max(now) + PAUSE;
        let withheld = std::mem::take(&mut self.withheld);
        Some((withheld > 0).then_some(withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_some_lines_and_a_number_are_left() {
        let mut chatter = Chatter::default();
        let begin = Instant(77_000_000_000);
        let said = (0..1000).filter(|_| chatter.next(begin) == Some(None)).count();
        assert_eq!(said, 20);
        assert_eq!(chatter.next(begin + PAUSE), Some(Some(980)));
        assert_eq!(chatter.next(begin + PAUSE), None);
        // All of them again only after that long.
        let later = begin + PAUSE * 30;
        assert_eq!(chatter.next(later), Some(Some(1)));
        assert_eq!((0..1000).filter(|_| chatter.next(later) == Some(None)).count(), 19);
    }
}
