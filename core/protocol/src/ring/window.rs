//! Flow control: how many packets a member may order at one visit of the token, how the bound on
//! that follows what the network can carry, and how many of them go behind the token.

use core::ops::Range;

use crate::limits;

/// What the token says about everybody's sending.
pub(crate) struct Flow {
    /// Packets that all members together may order per rotation.
    pub(crate) window: u32,
    /// Packets that the others ordered in the last rotation.
    pub(crate) others: u32,
    /// Packets waiting here.
    pub(crate) backlog: u32,
    /// Packets waiting everywhere.
    pub(crate) backlog_total: u32,
    /// Ordinals given out beyond those that every member is known to hold.
    pub(crate) gap: u64,
}

impl Flow {
    /// A fair share of what the others leave of the window; at least one, so that nobody starves;
    /// nothing while the gap is at its bound.
    pub(crate) fn allowed(&self) -> u32 {
        let room = limits::GAP_MAX.saturating_sub(self.gap).min(u64::from(u32::MAX)) as u32;
        let share = u64::from(self.window) * u64::from(self.backlog);
        let fair = share.div_ceil(u64::from(self.backlog_total.max(1))) as u32;
        self.window.saturating_sub(self.others).min(fair).max(1).min(room)
    }
}

/// Rotations over which losses are looked at.
const ROTATIONS: u32 = 16;
/// One repeated packet in so many is a window that is too large.
const LOSS_ONE_IN: u64 = 500;

/// The representative's hand on the window: smaller when packets had to be repeated, larger again
/// while none had and somebody has more to send. Losses that a smaller window does not cure (a bad
/// cable) must not close it, so it never falls below an eighth of its bound.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Tuner {
    window: u32,
    rotations: u32,
    sent: u64,
    repeated: u64,
}

impl Tuner {
    /// A rotation ended; returns the window for the next one.
    pub(super) fn rotation(
        &mut self,
        bounds: (u32, u32),
        sent: u32,
        repeated: u32,
        backlog: u32,
    ) -> u32 {
        let (least, most) = bounds;
        if self.window == 0 {
            self.window = most;
        }
        self.rotations += 1;
        self.sent += u64::from(sent);
        self.repeated += u64::from(repeated);
        if self.rotations >= ROTATIONS {
            if self.repeated * LOSS_ONE_IN > self.sent {
                self.window -= self.window / 5;
            } else if backlog > 0 {
                self.window += (self.window / 64).max(1);
            }
            (self.rotations, self.sent, self.repeated) = (0, 0, 0);
        }
        self.window = self.window.clamp(least, most);
        self.window
    }

    /// The bounds of the window in a ring of so many members.
    pub(super) fn bounds(members: usize, most: u32) -> (u32, u32) {
        let most = most.max(1);
        ((most / 8).max(2 * members as u32).min(most), most)
    }
}

/// Packets sent behind the token, at first.
const POST_START: u32 = 8;
/// Packets sent behind the token, at most.
const POST_MAX: u32 = 24;
/// So many visits without a wrong request allow one more.
const POST_VISITS: u32 = 32;

/// How many packets a member sends behind the token: the more, the sooner the next member can
/// begin; too many, and the token outruns its data, so that members ask for what is on its way
/// (accelerated ring: Babay and Amir, 2016).
#[derive(Clone, Debug, Hash)]
pub(super) struct Acceleration {
    packets: u32,
    visits: u32,
    /// Ordinals that were sent behind the token at the last two visits: nobody asks for a packet
    /// before the round after the one in which it was sent.
    behind: [Range<u64>; 2],
}

impl Default for Acceleration {
    fn default() -> Self {
        Self { packets: POST_START, visits: 0, behind: [0..0, 0..0] }
    }
}

impl Acceleration {
    /// How many of `expected` packets go behind the token. A short burst goes before it: it holds
    /// nobody up, and everybody has it one rotation earlier.
    pub(super) fn of(&self, expected: u32) -> u32 {
        self.packets.min(expected / 2)
    }

    /// A visit ended.
    pub(super) fn visited(&mut self, sent_behind: Range<u64>) {
        self.behind.swap(0, 1);
        self.behind[1] = sent_behind;
        self.visits += 1;
        if self.visits >= POST_VISITS {
            self.visits = 0;
            self.packets = (self.packets + 1).min(POST_MAX);
        }
    }

    /// Somebody asks for this ordinal.
    pub(super) fn requested(&mut self, ordinal: u64) {
        if self.behind.iter().any(|range| range.contains(&ordinal)) {
            self.visits = 0;
            self.packets = (self.packets - self.packets / 4).max(1);
            self.behind = [0..0, 0..0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Flow = Flow { window: 100, others: 0, backlog: 10, backlog_total: 10, gap: 0 };

    #[test]
    fn a_lone_sender_gets_the_window_and_equal_senders_share_it() {
        assert_eq!(QUIET.allowed(), 100);
        assert_eq!(Flow { backlog_total: 40, others: 75, ..QUIET }.allowed(), 25);
    }

    #[test]
    fn nobody_starves_and_the_gap_is_a_hard_bound() {
        assert_eq!(Flow { others: 500, backlog: 1, backlog_total: 5_000, ..QUIET }.allowed(), 1);
        assert_eq!(Flow { gap: limits::GAP_MAX, ..QUIET }.allowed(), 0);
        assert_eq!(Flow { gap: limits::GAP_MAX - 3, ..QUIET }.allowed(), 3);
    }

    #[test]
    fn losses_close_the_window_to_its_floor_and_clean_rotations_open_it_again() {
        let (bounds, mut tuner) = (Tuner::bounds(4, 512), Tuner::default());
        assert_eq!(tuner.rotation(bounds, 512, 0, 9), 512);
        let after = |tuner: &mut Tuner, rotations: u32, repeated: u32, backlog: u32| {
            (0..rotations).map(|_| tuner.rotation(bounds, 512, repeated, backlog)).last()
        };
        assert_eq!(after(&mut tuner, 15, 5, 9), Some(410));
        assert_eq!(after(&mut tuner, 800, 50, 9), Some(64));
        assert_eq!(after(&mut tuner, 16, 0, 0), Some(64), "nobody wants more");
        assert_eq!(after(&mut tuner, 16, 0, 9), Some(65));
        assert_eq!(after(&mut tuner, 16_000, 0, 9), Some(512));
        assert_eq!(Tuner::bounds(9, 8), (8, 8), "a bound below the floor holds");
    }

    #[test]
    fn a_request_for_what_was_sent_behind_the_token_sends_less_behind_it() {
        let mut acceleration = Acceleration::default();
        assert_eq!((acceleration.of(1), acceleration.of(7), acceleration.of(500)), (0, 3, 8));
        acceleration.visited(10..18);
        acceleration.requested(9);
        assert_eq!(acceleration.of(500), 8);
        acceleration.requested(17);
        acceleration.requested(16);
        assert_eq!(acceleration.of(500), 6, "once for a visit");
        (0..POST_VISITS * 100).for_each(|_| acceleration.visited(0..0));
        assert_eq!(acceleration.of(500), POST_MAX);
    }
}
