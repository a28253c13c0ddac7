//! Who wants to know when a token comes here: what a contract says of holds is measured so
//! (`contract::measure`).

use crate::contract::Question;

/// The question that is open, if one is.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Asked(Option<Question>);

impl Asked {
    /// Whether that token has come; `accepted`: the last one that has. `None`: in a ring of so many
    /// members there cannot be such a token yet.
    pub(super) fn ask(
        &mut self,
        question: Question,
        accepted: u64,
        members: usize,
    ) -> Option<bool> {
        if question.token_sequence > accepted + 2 * members as u64 {
            return None;
        }
        let has_come = question.token_sequence <= accepted;
        // The first question about a token is answered when that comes.
        let is_newer = |open: Question| question.token_sequence > open.token_sequence;
        if !has_come && self.0.is_none_or(is_newer) {
            self.0 = Some(question);
        }
        Some(has_come)
    }

    /// A token has come: whose question that answers.
    pub(super) fn come(&mut self, accepted: u64) -> Option<Question> {
        self.0.take_if(|open| open.token_sequence <= accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Process;

    fn about(token_sequence: u64, number: u32) -> Question {
        Question { to: Process::default(), token_sequence, number }
    }

    #[test]
    fn the_first_question_about_a_token_is_answered_when_it_comes() {
        let mut asked = Asked::default();
        assert_eq!(asked.ask(about(12, 1), 10, 4), Some(false));
        assert_eq!(asked.ask(about(12, 2), 10, 4), Some(false));
        assert_eq!(asked.ask(about(10, 3), 10, 4), Some(true), "that one is here");
        assert_eq!(asked.ask(about(11, 4), 10, 4), Some(false), "an older one");
        assert_eq!(asked.come(11), None);
        assert_eq!(asked.come(12), Some(about(12, 1)));
        assert_eq!(asked.come(13), None, "once");
        assert_eq!(asked.ask(about(14, 5), 13, 4), Some(false));
        assert_eq!(asked.ask(about(15, 6), 13, 4), Some(false));
        assert_eq!(asked.come(16), Some(about(15, 6)), "a newer one, and it was passed over");
    }

    #[test]
    fn a_token_that_cannot_be_is_not_waited_for() {
        let mut asked = Asked::default();
        assert_eq!(asked.ask(about(u64::MAX, 1), 10, 4), None);
        assert_eq!(asked.ask(about(19, 2), 10, 4), None);
        assert_eq!(asked.ask(about(18, 3), 10, 4), Some(false));
        assert_eq!(asked.come(18), Some(about(18, 3)));
    }
}
