//! Flow control: how many packets a member may order at one visit of the token, how the bound on
//! that follows what the network can carry, and how many of them go behind the token.

use core::ops::Range;

use super::pace::Pace;
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
    /// A fair share of what the others leave of the window; at least one, so that nobody starves
    /// (axiom L6); nothing while the gap is at its bound.
    pub(crate) fn allowed(&self) -> u32 {
        let room = limits::GAP_MAX.saturating_sub(self.gap).min(u64::from(u32::MAX)) as u32;
        let share = u64::from(self.window) * u64::from(self.backlog);
        let fair = share.div_ceil(u64::from(self.backlog_total.max(1))) as u32;
        self.window.saturating_sub(self.others).min(fair).max(1).min(room)
    }
}

/// Rotations over which losses are looked at.
const ROTATIONS: u32 = 16;
/// A window is too large if, at each of the others, one packet in so many had to be repeated. A bad
/// link loses one in a hundred by itself, which a smaller window does not cure, and a packet that
/// is late is asked for now and then; buffers that run over lose far more.
const LOSS_ONE_IN: u64 = 30;
/// Packets that a new ring begins with, at least.
const START: u32 = 16;

/// What the representative saw of a rotation that has just ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    pub(super) sent: u32,
    pub(super) repeated: u32,
    /// Packets waiting everywhere.
    pub(super) backlog: u32,
    pub(super) pace: Pace,
}

/// The representative's hand on the window.
///
/// - A new ring begins with little and grows quickly until packets have to be repeated: what its
///   network carries is not known yet, and a window that is too large for it loses the token behind
///   the data.
/// - It becomes smaller when packets had to be repeated, and from then on grows slowly above that.
///   Losses that a smaller window does not cure (a bad cable) must not close it, so they count for
///   nothing below an eighth of its bound.
/// - It is halved when a rotation was slow, and does not grow when the next one would be.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Tuner {
    window: u32,
    /// It grows quickly up to here.
    proven: u32,
    rotations: u32,
    sent: u64,
    repeated: u64,
}

/// What a ring's window may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    least: u32,
    /// Below this it does not fall for losses.
    lossy: u32,
    most: u32,
    /// Members that receive a packet.
    receivers: u64,
}

impl Bounds {
    /// In a ring of so many members, whose buffers take `most`.
    pub(super) fn new(members: usize, most: u32) -> Self {
        let most = most.max(1);
        let least = (2 * members as u32).min(most);
        let receivers = (members as u64).max(2) - 1;
        Self { least, lossy: (most / 8).max(least), most, receivers }
    }

    fn is_too_much(self, sent: u64, repeated: u64) -> bool {
        repeated * LOSS_ONE_IN > sent * self.receivers
    }

    /// What a new ring begins with.
    pub(super) fn start(self) -> u32 {
        START.clamp(self.least, self.most)
    }
}

impl Tuner {
    /// A rotation ended; returns the window for the next one.
    pub(super) fn rotation(&mut self, bounds: Bounds, of: Rotation) -> u32 {
        if self.window == 0 {
            (self.window, self.proven) = (bounds.start(), bounds.most);
        }
        self.rotations += 1;
        self.sent += u64::from(of.sent);
        self.repeated += u64::from(of.repeated);
        let lost = bounds.is_too_much(u64::from(of.sent), u64::from(of.repeated));
        if lost && self.window >= bounds.lossy {
            self.proven = self.proven.min(self.window);
        }
        let quick_below = self.proven.max(bounds.lossy);
        // What was not made use of proves nothing.
        let used = of.sent.saturating_add(of.repeated);
        let wants_more = of.backlog > 0 && used >= self.window / 2;
        if of.pace == Pace::Slow {
            self.window /= 2;
            self.begin_again();
        } else if of.pace == Pace::Quick && self.window < quick_below {
            let proven = if of.backlog > 0 { used.min(self.window) } else { 0 };
            self.window = self.window.max((proven + proven.div_ceil(2)).min(quick_below));
            self.begin_again();
        } else if self.rotations >= ROTATIONS {
            if bounds.is_too_much(self.sent, self.repeated) {
                let less = self.window - self.window / 5;
                self.window = less.max(bounds.lossy).min(self.window);
                self.proven = self.window;
            } else if wants_more && of.pace == Pace::Quick {
                self.window += (self.window / 64).max(1);
            }
            self.begin_again();
        }
        self.window = self.window.clamp(bounds.least, bounds.most);
        self.window
    }

    fn begin_again(&mut self) {
        (self.rotations, self.sent, self.repeated) = (0, 0, 0);
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

    /// The window after so many rotations of 512 packets.
    fn after(tuner: &mut Tuner, rotations: u32, repeated: u32, backlog: u32) -> u32 {
        let (bounds, of) =
            (Bounds::new(4, 512), Rotation { sent: 512, repeated, backlog, pace: Pace::Quick });
        (0..rotations).map(|_| tuner.rotation(bounds, of)).last().unwrap_or(0)
    }

    fn open() -> Tuner {
        let mut tuner = Tuner::default();
        assert_eq!(after(&mut tuner, 100, 0, 9), 512);
        tuner
    }

    #[test]
    fn losses_close_the_window_to_an_eighth_and_clean_rotations_open_it_again() {
        let mut tuner = open();
        let rest = ROTATIONS - tuner.rotations;
        after(&mut tuner, rest, 0, 0);
        assert_eq!(after(&mut tuner, 16, 15, 0), 512, "one in a hundred is lost on its way");
        assert_eq!(after(&mut tuner, 16, 51, 0), 512, "now and then");
        assert_eq!(after(&mut tuner, 16, 52, 9), 410);
        assert_eq!(after(&mut tuner, 800, 99, 9), 64);
        assert_eq!(after(&mut tuner, 16, 0, 0), 64, "nobody wants more");
        assert_eq!(after(&mut tuner, 16, 0, 9), 65);
        assert_eq!(after(&mut tuner, 16_000, 0, 9), 512);
        let tiny = Bounds::new(9, 8);
        assert_eq!((tiny.least, tiny.lossy, tiny.start()), (8, 8, 8), "the bound holds");
    }

    #[test]
    fn a_new_ring_opens_its_window_quickly_until_something_is_lost() {
        let mut tuner = Tuner::default();
        let mut windows = |repeated| after(&mut tuner, 1, repeated, 9);
        assert_eq!(
            [windows(0), windows(99), windows(99)],
            [24, 36, 54],
            "an eighth is always open"
        );
        assert_eq!([windows(0), windows(52), windows(0)], [81, 81, 81]);
        let (mut unused, bounds) = (Tuner::default(), Bounds::new(4, 512));
        let mut window = |sent| {
            let of = Rotation { sent, repeated: 0, backlog: 9, pace: Pace::Quick };
            unused.rotation(bounds, of)
        };
        assert_eq!([window(7), window(10), window(11), window(17)], [16, 16, 17, 26]);
    }

    #[test]
    fn slow_rotations_halve_the_window_and_almost_slow_ones_keep_it() {
        let bounds = Bounds::new(4, 512);
        let of = |pace| Rotation { sent: 99, repeated: 0, backlog: 9, pace };
        let mut tuner = open();
        let mut window = |pace| tuner.rotation(bounds, of(pace));
        use Pace::{AlmostSlow, Quick, Slow};
        assert_eq!([window(Quick), window(Slow), window(Slow)], [512, 256, 128]);
        assert_eq!([window(AlmostSlow), window(Quick)], [128, 149]);
        (0..9).for_each(|_| _ = window(Slow));
        assert_eq!([window(Slow), window(Quick), window(Quick)], [8, 12, 18]);
    }

    #[test]
    fn losses_count_while_rotations_are_almost_slow() {
        let bounds = Bounds::new(4, 512);
        let mut tuner = open();
        let of = |repeated| Rotation { sent: 512, repeated, backlog: 9, pace: Pace::AlmostSlow };
        tuner.begin_again();
        let mut windows = |repeated| (0..32).map(|_| tuner.rotation(bounds, of(repeated))).last();
        assert_eq!((windows(0), windows(60)), (Some(512), Some(328)));
        assert_eq!(windows(0), Some(328), "and it does not grow");
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
