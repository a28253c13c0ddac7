//! Flow control: how many packets a member may order at one visit of the token.

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
}
