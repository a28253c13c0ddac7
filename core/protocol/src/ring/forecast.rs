//! Who is likely to send next, and so the one to keep the token of an idle ring: whoever sent after
//! this member the last time. Only who sends says so, on the token: all members know the same, also
//! one that got the packets in another order.

/// What one member knows of that.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Forecast {
    /// The last packet of this member.
    mine: u64,
    /// Nobody has sent since.
    is_last: bool,
    /// Who was first to send after this member's last but one visit.
    next: Option<usize>,
}

impl Forecast {
    /// Another member has sent.
    pub(super) fn other_sent(&mut self, member: usize, ordinal: u64) {
        if self.is_last && ordinal > self.mine {
            (self.next, self.is_last) = (Some(member), false);
        }
    }

    /// This member has sent at a visit, up to `ordinal`: who will be next.
    pub(super) fn sent(&mut self, me: usize, ordinal: u64) -> usize {
        if self.is_last {
            self.next = Some(me);
        }
        (self.mine, self.is_last) = (ordinal, true);
        self.next.unwrap_or(me)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sent_next_will_again() {
        let mut forecast = Forecast::default();
        assert_eq!(forecast.sent(0, 10), 0, "nothing is known");
        // The first one counts, and only of later packets.
        forecast.other_sent(1, 9);
        forecast.other_sent(2, 11);
        forecast.other_sent(3, 12);
        assert_eq!(forecast.sent(0, 20), 2);
        // Nobody else: it was this one.
        assert_eq!(forecast.sent(0, 30), 0);
        forecast.other_sent(3, 31);
        assert_eq!(forecast.sent(0, 40), 3);
    }
}
