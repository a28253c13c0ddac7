//! How long rotations take, and what that says about how much one member may send at a visit.

use core::time::Duration;

use crate::time::Instant;

/// After so long the shortest rotation is forgotten, up to twice: paths change.
const FORGET_AFTER: Duration = Duration::from_secs(30);
/// Bytes on its link that a member begins with.
const START: u64 = 64 * 1024;
/// Bytes of packets, full ones of the usual size, that a member may send in any case.
const FLOOR_PACKETS: u64 = 2;

/// Of a token that was passed on nothing is heard: it is sent again after so many of the quickest
/// rotations, and so many of the last one, whichever is later.
const REPEAT_AFTER_QUICKEST: u32 = 4;
const REPEAT_AFTER_LAST: u32 = 2;
/// But not sooner than after this part of the time that is configured: a processor has other things
/// to do now and then.
const REPEAT_SOONEST: u32 = 8;
/// Each further wait is twice as long, up to so many times what is configured.
const REPEAT_LATEST: u32 = 4;

/// How long a rotation took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Quick,
    /// One with half as much again to carry would be slow.
    AlmostSlow,
    /// Data hold the token up: it took half of the time after which it counts as lost, and more
    /// than twice as long as it can; or three quarters of that time, whatever it can.
    Slow,
}

/// The rotations of a ring, as one member sees them.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Rotations {
    /// The shortest one of the last while, and of the while that has begun.
    least: [Option<Duration>; 2],
    /// When that while began.
    since: Instant,
    /// The last one that the token did not rest in.
    last: Option<Duration>,
}

impl Rotations {
    /// A rotation ended, if the token did not rest: how long it took. A token that takes `loss`
    /// counts as lost.
    pub(super) fn pace(&mut self, now: Instant, took: Option<Duration>, loss: Duration) -> Pace {
        let Some(took) = took else { return Pace::Quick };
        self.last = Some(took);
        if now.since(self.since) >= FORGET_AFTER {
            (self.since, self.least) = (now, [self.least[1], None]);
        }
        self.least[1] = Some(self.least[1].map_or(took, |least| least.min(took)));
        let least = self.least().unwrap_or(took);
        let slow = (loss / 2).max(2 * least).min(loss * 3 / 4);
        match took {
            _ if took > slow => Pace::Slow,
            _ if took > slow * 2 / 3 => Pace::AlmostSlow,
            _ => Pace::Quick,
        }
    }

    /// How long to wait for a word of a token that was passed on, or that was asked for, and after
    /// so many `repeats` of that: at first what rotations take, within the time that is configured
    /// for paths of which nothing is known. Data that hold the token up make the last rotation
    /// long, and what is only late needs no repeating.
    pub(super) fn repeat_after(&self, configured: Duration, repeats: u32) -> Duration {
        let after = match (self.least(), self.last) {
            (Some(least), Some(last)) => {
                (least * REPEAT_AFTER_QUICKEST).max(last * REPEAT_AFTER_LAST)
            }
            _ => configured,
        };
        let first = after.clamp(configured / REPEAT_SOONEST, configured);
        let doublings = repeats.min((REPEAT_SOONEST * REPEAT_LATEST).ilog2());
        (first * (1 << doublings)).min(configured * REPEAT_LATEST)
    }

    fn least(&self) -> Option<Duration> {
        self.least.into_iter().flatten().min()
    }
}

/// What this member's own link carries in a rotation, in bytes: each copy counts, and what is sent
/// again. The ring's window is for all members together: when one of them has nearly all there is
/// to send, a window that the links of many have carried is too much for its link alone, and the
/// token waits there behind the data.
#[derive(Clone, Debug, Hash)]
pub(super) struct Outlet {
    /// What it may send at a visit.
    bytes: u64,
    /// What it has sent since the token came last.
    sent: u64,
}

impl Default for Outlet {
    fn default() -> Self {
        Self { bytes: START, sent: 0 }
    }
}

impl Outlet {
    /// The token came back. `packet`: bytes of a full packet, with all its copies.
    pub(super) fn rotation(&mut self, pace: Pace, packet: u64) {
        let sent = core::mem::take(&mut self.sent);
        let proven = match pace {
            Pace::Quick => self.bytes.max(sent + sent / 2),
            // Others may be the cause: who begins late must not be left with little for good.
            Pace::AlmostSlow => self.bytes.max(sent + packet),
            Pace::Slow if sent > self.bytes / 4 => sent / 2,
            Pace::Slow => self.bytes,
        };
        self.bytes = proven.max(FLOOR_PACKETS * packet);
    }

    /// It may go on sending.
    pub(super) fn is_open(&self) -> bool {
        self.sent < self.bytes
    }

    /// It sent something: with all copies.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSS: Duration = Duration::from_millis(250);
    const PACKET: u64 = 1_400;

    #[test]
    fn a_rotation_is_slow_if_data_hold_it_up_a_long_way_is_none() {
        use Pace::{AlmostSlow, Quick, Slow};
        let paces = |rotations: &mut Rotations, took: &[u64]| -> Vec<Pace> {
            let ms = took.iter().map(|ms| Some(Duration::from_millis(*ms)));
            ms.map(|took| rotations.pace(Instant(1), took, LOSS)).collect()
        };
        let mut near = Rotations::default();
        let expected = [Quick, Quick, AlmostSlow, AlmostSlow, Slow];
        assert_eq!(paces(&mut near, &[5, 83, 84, 125, 126]), expected);
        assert_eq!(near.pace(Instant(1), None, LOSS), Quick, "it rested");
        let mut far = Rotations::default();
        assert_eq!(paces(&mut far, &[80, 106, 107, 160, 161]), expected);
        // What nearly loses the token is slow in any case.
        assert_eq!(
            paces(&mut Rotations::default(), &[150, 187, 188]),
            [AlmostSlow, AlmostSlow, Slow]
        );
        // A way that has become a long one is no load.
        let long = Some(Duration::from_millis(140));
        let mut after = |s: u64| near.pace(Instant(s * 1_000_000_000), long, LOSS);
        assert_eq!([after(1), after(31), after(61)], [Slow, Slow, AlmostSlow]);
    }

    /// Visits at which all that it may send is sent.
    fn full(outlet: &mut Outlet, pace: Pace, packet: u64, visits: u32) -> u64 {
        for _ in 0..visits {
            while outlet.is_open() {
                outlet.sent(packet);
            }
            outlet.rotation(pace, PACKET);
        }
        outlet.bytes
    }

    #[test]
    fn a_token_is_repeated_the_sooner_the_quicker_it_goes_round() {
        let configured = Duration::from_millis(10);
        let mut rotations = Rotations::default();
        assert_eq!(rotations.repeat_after(configured, 0), configured, "nothing is known yet");
        let mut after_us = |took_us| {
            rotations.pace(Instant(1), Some(Duration::from_micros(took_us)), LOSS);
            rotations.repeat_after(configured, 0).as_micros()
        };
        assert_eq!(after_us(9_000), 10_000);
        assert_eq!(after_us(1_000), 4_000);
        assert_eq!(after_us(1_500), 4_000, "the quickest counts");
        assert_eq!(after_us(3_000), 6_000, "and the last one");
        assert_eq!(after_us(10), 1_250);
    }

    #[test]
    fn each_wait_for_a_token_is_twice_the_one_before_up_to_four_times_what_is_configured() {
        let configured = Duration::from_millis(10);
        let waits = |rotations: &Rotations| {
            [0, 1, 2, 3, 4, 5, 6, 99].map(|n| rotations.repeat_after(configured, n).as_micros())
        };
        let mut rotations = Rotations::default();
        assert_eq!(waits(&rotations)[..4], [10_000, 20_000, 40_000, 40_000]);
        rotations.pace(Instant(1), Some(Duration::from_micros(10)), LOSS);
        let quick = [1_250, 2_500, 5_000, 10_000, 20_000, 40_000, 40_000, 40_000];
        assert_eq!(waits(&rotations), quick);
    }

    #[test]
    fn an_outlet_opens_by_half_of_what_was_sent_while_rotations_are_quick() {
        let mut outlet = Outlet::default();
        outlet.sent(30_000);
        outlet.rotation(Pace::Quick, PACKET);
        assert_eq!(outlet.bytes, START, "too little to prove more");
        outlet.sent(50_000);
        outlet.rotation(Pace::Quick, PACKET);
        assert_eq!(outlet.bytes, 75_000, "never more than half as much again");
        assert!(full(&mut outlet, Pace::Quick, PACKET, 20) > 100_000_000);
    }

    #[test]
    fn small_packets_open_it_as_large_ones_do() {
        for packet in [100, 400, PACKET] {
            let mut outlet = Outlet::default();
            full(&mut outlet, Pace::Slow, packet, 100);
            assert_eq!(outlet.bytes, FLOOR_PACKETS * PACKET, "nobody starves");
            assert!(full(&mut outlet, Pace::AlmostSlow, packet, 100) > 50 * PACKET);
            assert!(full(&mut outlet, Pace::Quick, packet, 12) > 1_000_000);
        }
    }

    #[test]
    fn who_sends_much_closes_it_for_a_slow_rotation() {
        let mut outlet = Outlet::default();
        outlet.sent(START / 4);
        outlet.rotation(Pace::Slow, PACKET);
        assert_eq!(outlet.bytes, START, "others held it up");
        outlet.sent(START / 2);
        outlet.rotation(Pace::Slow, PACKET);
        assert_eq!(outlet.bytes, START / 4);
    }
}
