//! Whether the machine has slept, or was copied and goes on somewhere else: then its clocks no
//! longer go together as they did. Whoever seals datagrams has to become somebody else, since the
//! other copy counts on from where this one does.

use crate::sys::poll::{Clock, now_of};

/// Clocks are compared so often, in nanoseconds.
const LOOK_EVERY: u64 = 100_000_000;
/// By so much they may differ from what they differed by, in nanoseconds: who sets a clock right
/// does it in smaller steps, or slowly.
const JUMP: u64 = 2_000_000_000;

/// How much a clock is ahead of the one that stands still while the machine sleeps.
pub(crate) struct Jumps {
    ahead: [u64; 2],
    looked_at: u64,
}

impl Jumps {
    pub(crate) fn new() -> Self {
        let (now, clocks) = read();
        Self { ahead: ahead(now, clocks), looked_at: now }
    }

    /// True if a clock has jumped since the last time.
    pub(crate) fn look(&mut self) -> bool {
        let (now, clocks) = read();
        self.compare(now, clocks)
    }

    fn compare(&mut self, now: u64, clocks: [u64; 2]) -> bool {
        if now.saturating_sub(self.looked_at) < LOOK_EVERY {
            return false;
        }
        self.looked_at = now;
        let before = std::mem::replace(&mut self.ahead, ahead(now, clocks));
        let jumped = |(is, was): (&u64, &u64)| {
            let by = is.wrapping_sub(*was);
            by.min(by.wrapping_neg()) > JUMP
        };
        self.ahead.iter().zip(&before).any(jumped)
    }
}

fn read() -> (u64, [u64; 2]) {
    (now_of(Clock::Monotonic), [now_of(Clock::Boot), now_of(Clock::Wall)])
}

fn ahead(now: u64, clocks: [u64; 2]) -> [u64; 2] {
    clocks.map(|clock| clock.wrapping_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_machine_that_slept_or_was_set_back_is_noticed_and_a_clock_set_right_is_not() {
        let mut jumps = Jumps { ahead: ahead(10 * S, [10 * S, 1_000 * S]), looked_at: 10 * S };
        assert!(!jumps.compare(20 * S, [20 * S, 1_010 * S]));
        assert!(!jumps.compare(21 * S, [21 * S, 1_012 * S]), "set by a second");
        assert!(jumps.compare(22 * S, [82 * S, 1_073 * S]), "slept for a minute");
        assert!(!jumps.compare(23 * S, [83 * S, 1_074 * S]), "told once");
        assert!(jumps.compare(24 * S, [84 * S, 9_000 * S]), "restored hours later");
        assert!(jumps.compare(25 * S, [85 * S, 500 * S]), "set back");
        assert!(!jumps.compare(25 * S + 1, [85 * S, 5 * S]), "not looked at so soon");
    }

    #[test]
    fn clocks_that_just_go_do_not_jump() {
        let mut jumps = Jumps::new();
        jumps.looked_at = 0;
        assert!(!jumps.look());
    }
}
