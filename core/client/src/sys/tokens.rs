//! The names of records in a session's receive rings: which lane, and where in all that came over
//! it. They go on from one connection of a lane to the next.

use std::sync::atomic::{AtomicU64, Ordering};

use super::links::LANES_MAX;

/// The tokens of one connection. Any thread may look them up; only the session's owner gives them
/// out.
///
/// A token is the lane, then a place in units of 8 bytes, which begins again from 0 when there are
/// no more bits, then a bit that no other number has that means nothing to release. Of 64 bits it
/// uses the lower 56.
pub(crate) struct Tokens {
    lane: usize,
    /// The place of position 0.
    base: u64,
    /// Above the places given out so far.
    end: AtomicU64,
}

impl Tokens {
    /// Of a connection of that lane, from this place on.
    pub(crate) fn new(lane: usize, base: u64) -> Self {
        Self { lane, base, end: AtomicU64::new(base) }
    }

    pub(crate) fn lane(&self) -> usize {
        self.lane
    }

    /// Gives the record at this position a token.
    pub(crate) fn give(&self, position: u64) -> u64 {
        let place = self.base.wrapping_add(position / UNIT);
        // Who releases it has got it from here.
        self.end.store(place.wrapping_add(1), Ordering::Release);
        (self.lane as u64) << LANE_SHIFT | (place & PLACES) << 1 | 1
    }

    /// Whether the token is of this connection.
    pub(crate) fn gave_out(&self, token: u64) -> bool {
        let (place, end) = self.place_of(token);
        lane_of(token) == self.lane && token & 1 == 1 && (self.base..end).contains(&place)
    }

    /// Where the record lies that has this token, which was given out.
    pub(crate) fn position_of(&self, token: u64) -> u64 {
        self.place_of(token).0.wrapping_sub(self.base).wrapping_mul(UNIT)
    }

    /// The first place of the connection after this one.
    pub(crate) fn after(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The last such place until now, and the end of all until now.
    fn place_of(&self, token: u64) -> (u64, u64) {
        let end = self.end.load(Ordering::Acquire);
        let behind = end.wrapping_sub(token >> 1) & PLACES;
        (end.wrapping_sub(behind), end)
    }
}

/// The lane of which a token is, if it is one.
pub(crate) fn lane_of(token: u64) -> usize {
    (token >> LANE_SHIFT) as usize
}

/// Records lie at multiples of so many bytes.
const UNIT: u64 = 8;
const LANE_SHIFT: u32 = 50;
/// The bits of a place.
const PLACES: u64 = (1 << (LANE_SHIFT - 1)) - 1;
// The upper 8 bits are for others.
const _: () = assert!((LANES_MAX as u64 - 1) << LANE_SHIFT < 1 << 56);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_connection_of_one_lane_and_leads_to_its_record() {
        let before = Tokens::new(3, 0);
        let old = [0, 8, 400].map(|position| before.give(position));
        let after = Tokens::new(3, before.after());
        let new = [0, 8, 400].map(|position| after.give(position));
        let other = Tokens::new(4, 0);
        let others = [0, 8, 400].map(|position| other.give(position));
        for (tokens, of) in [(&old, &before), (&new, &after), (&others, &other)] {
            assert_eq!(tokens.map(|token| of.position_of(token)), [0, 8, 400]);
            for all in [&before, &after, &other] {
                let own = std::ptr::eq(all, of);
                assert!(tokens.iter().all(|token| all.gave_out(*token) == own), "{tokens:?}");
            }
        }
        assert!(!after.gave_out(new[2] + 2) && !after.gave_out(0) && !after.gave_out(new[2] - 1));
    }

    #[test]
    fn places_begin_again_and_old_ones_are_still_known() {
        let tokens = Tokens::new(0, PLACES - 1);
        let given = [0, 8, 16, 24].map(|position| tokens.give(position));
        assert!(given[2] < given[1] && given.iter().all(|token| *token != 0));
        assert_eq!(given.map(|token| tokens.position_of(token)), [0, 8, 16, 24]);
        assert!(given.iter().all(|token| tokens.gave_out(*token)));
        let next = Tokens::new(0, tokens.after());
        let fresh = next.give(0);
        assert!(next.gave_out(fresh) && !tokens.gave_out(fresh) && !next.gave_out(given[3]));
    }
}
