//! Who is likely to order next, learned from the order itself. Members that have delivered the same
//! have learned the same, but for what they got only when it was sent again: that does not say at
//! which visit it was ordered.

/// So many turns in a row that went as expected make a guess one to rely on ...
const SURE: u8 = 2;
/// ... and so many that did not, beyond these, undo it.
const SCORE_MAX: u8 = 3;

/// For each member, who has had the turn after its own.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Forecast {
    /// Whose turn is the last one, and at which visit of the token it had it.
    last: Option<(usize, u64)>,
    guesses: Vec<Guess>,
}

#[derive(Clone, Copy, Debug, Default, Hash)]
struct Guess {
    member: usize,
    score: u8,
}

impl Forecast {
    /// The next packet of the order, and at which visit its origin ordered it. Packets of one visit
    /// are one turn.
    pub(super) fn note(&mut self, member: usize, visit: u64) {
        if self.last == Some((member, visit)) {
            return;
        }
        if let Some((before, _)) = self.last {
            if before >= self.guesses.len() {
                self.guesses.resize(before + 1, Guess::default());
            }
            let guess = &mut self.guesses[before];
            match (guess.member == member, guess.score) {
                (true, score) => guess.score = (score + 1).min(SCORE_MAX),
                (false, 0) => *guess = Guess { member, score: 0 },
                (false, score) => guess.score = score - 1,
            }
        }
        self.last = Some((member, visit));
    }

    /// Who comes after this member's turn, if that is sure enough.
    pub(super) fn after(&self, member: usize) -> Option<usize> {
        self.guesses.get(member).filter(|guess| guess.score >= SURE).map(|guess| guess.member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns, each at a visit of its own.
    fn learned(turns: impl IntoIterator<Item = usize>) -> Forecast {
        let mut forecast = Forecast::default();
        turns.into_iter().zip(1..).for_each(|(member, visit)| forecast.note(member, visit));
        forecast
    }

    #[test]
    fn a_cycle_is_learned_and_what_comes_rarely_does_not_undo_it() {
        let mut forecast = learned([0, 2, 1].repeat(4));
        assert_eq!([0, 1, 2].map(|at| forecast.after(at)), [Some(2), Some(0), Some(1)]);
        forecast.note(1, 90);
        forecast.note(0, 91);
        assert_eq!(forecast.after(1), Some(0));
    }

    #[test]
    fn one_that_sends_again_and_again_is_followed_by_itself() {
        let forecast = learned([0, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(forecast.after(0), Some(0));
        assert_eq!(forecast.after(3), None);
    }

    #[test]
    fn packets_of_one_visit_are_one_turn() {
        let mut forecast = Forecast::default();
        for visit in 0..8 {
            (0..5).for_each(|_| forecast.note(visit as usize % 2, visit));
        }
        assert_eq!([0, 1].map(|at| forecast.after(at)), [Some(1), Some(0)]);
    }

    #[test]
    fn no_pattern_no_forecast() {
        assert_eq!(learned([0, 1, 0, 2, 0, 1, 0, 2, 0]).after(0), None);
        assert_eq!(learned([]).after(0), None);
    }
}
