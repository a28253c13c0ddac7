//! How long rotations take, and what that says about how much one member may send at a visit.

use core::time::Duration;

/// Rotations after which the shortest one is forgotten: paths change.
const FORGET_AFTER: u32 = 1_024;
/// A rotation that takes longer than this part of the time after which a token counts as lost is
/// slow.
const SLOW_ONE_IN: u32 = 2;
/// Bytes that a member begins with.
const START: u64 = 64 * 1024;
/// More than any window is.
const BYTES_MAX: u64 = 1 << 40;

/// How long a rotation took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Quick,
    /// One with half as much again to carry would be slow.
    AlmostSlow,
    /// Data hold the token up: it took half of the time after which it counts as lost, and more
    /// than twice as long as it can.
    Slow,
}

/// The rotations of a ring, as one member sees them.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Rotations {
    /// The shortest one of the last while, and of the while that has begun.
    least: [Option<Duration>; 2],
    timed: u32,
}

impl Rotations {
    /// A rotation ended, if the token did not rest: how long it took. A token that takes `loss`
    /// counts as lost.
    pub(super) fn pace(&mut self, took: Option<Duration>, loss: Duration) -> Pace {
        let Some(took) = took else { return Pace::Quick };
        self.timed += 1;
        if self.timed >= FORGET_AFTER {
            (self.timed, self.least) = (0, [self.least[1], None]);
        }
        self.least[1] = Some(self.least[1].map_or(took, |least| least.min(took)));
        let least = self.least.into_iter().flatten().min().unwrap_or(took);
        let slow = (loss / SLOW_ONE_IN).max(2 * least);
        match took {
            _ if took > slow => Pace::Slow,
            _ if took > slow * 2 / 3 => Pace::AlmostSlow,
            _ => Pace::Quick,
        }
    }
}

/// What this member's own link carries in a rotation. The ring's window is for all members
/// together: when one of them has nearly all there is to send, a window that the links of many have
/// carried is too much for its link alone, and the token waits there behind the data.
#[derive(Clone, Debug, Hash)]
pub(super) struct Outlet {
    /// Bytes that it may send at a visit.
    bytes: u64,
    /// Bytes that it sent at the last one.
    sent: u64,
}

impl Default for Outlet {
    fn default() -> Self {
        Self { bytes: START, sent: 0 }
    }
}

impl Outlet {
    /// The token came back. What was not made use of proves nothing.
    pub(super) fn rotation(&mut self, pace: Pace, packet_len: u64) {
        let sent = core::mem::take(&mut self.sent);
        if sent + packet_len <= self.bytes / 2 {
            return;
        }
        let bytes = match pace {
            Pace::Quick => self.bytes + self.bytes / 2,
            // Others may be the cause: who begins late must not be left with little for good.
            Pace::AlmostSlow => self.bytes + packet_len,
            Pace::Slow => self.bytes / 2,
        };
        self.bytes = bytes.clamp(packet_len, BYTES_MAX);
    }

    /// Packets of this size that it may send now; one at least.
    pub(super) fn packets(&self, packet_len: u64) -> u32 {
        (self.bytes / packet_len).clamp(1, u64::from(u32::MAX)) as u32
    }

    /// It sent a packet.
    pub(super) fn sent(&mut self, len: usize) {
        self.sent += len as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSS: Duration = Duration::from_millis(250);
    const PACKET: u64 = 1_400;

    #[test]
    fn a_rotation_is_slow_if_data_hold_it_up_a_long_way_is_none() {
        let paces = |rotations: &mut Rotations, took: &[u64]| -> Vec<Pace> {
            let ms = took.iter().map(|ms| Some(Duration::from_millis(*ms)));
            ms.map(|took| rotations.pace(took, LOSS)).collect()
        };
        use Pace::{AlmostSlow, Quick, Slow};
        let mut near = Rotations::default();
        assert_eq!(
            paces(&mut near, &[5, 83, 84, 125, 126]),
            [Quick, Quick, AlmostSlow, AlmostSlow, Slow]
        );
        assert_eq!(near.pace(None, LOSS), Quick, "it rested");
        let mut far = Rotations::default();
        assert_eq!(
            paces(&mut far, &[80, 106, 107, 160, 161]),
            [Quick, Quick, AlmostSlow, AlmostSlow, Slow]
        );
        // A way that has become a long one is no load.
        let later = paces(&mut near, &[200; 2 * FORGET_AFTER as usize]);
        assert_eq!((later[0], later.last()), (Slow, Some(&Quick)));
    }

    /// Visits at which all that it may send is sent.
    fn full(outlet: &mut Outlet, pace: Pace, visits: u32) -> u64 {
        for _ in 0..visits {
            outlet.sent((outlet.packets(PACKET) as u64 * PACKET) as usize);
            outlet.rotation(pace, PACKET);
        }
        outlet.bytes
    }

    #[test]
    fn an_outlet_opens_as_far_as_it_is_made_use_of_and_rotations_are_quick() {
        let mut outlet = Outlet::default();
        assert_eq!(outlet.packets(PACKET), 46);
        outlet.sent(30_000);
        outlet.rotation(Pace::Quick, PACKET);
        assert_eq!(outlet.bytes, START, "too little to prove anything");
        assert_eq!(full(&mut outlet, Pace::Quick, 2), START * 9 / 4);
        assert_eq!(full(&mut outlet, Pace::AlmostSlow, 1), START * 9 / 4 + PACKET);
        outlet.rotation(Pace::Slow, PACKET);
        assert_eq!(outlet.bytes, START * 9 / 4 + PACKET, "others held it up");
        assert_eq!(full(&mut outlet, Pace::Slow, 100), PACKET);
        assert_eq!(outlet.packets(PACKET), 1, "nobody starves");
        assert_eq!(outlet.packets(9_000), 1);
        assert_eq!(full(&mut outlet, Pace::Quick, 100), BYTES_MAX);
    }
}
