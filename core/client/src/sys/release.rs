//! Giving back events whose bytes were kept.

use anasazi_queue::status::Status;

use super::tokens;
use crate::session::Session;

impl Session {
    /// Gives kept events back, by their tokens, from any thread and in any order; possible as well
    /// after the session was closed. Tokens that are not of kept events (anymore) are ignored.
    ///
    /// # Errors
    /// `EFORKED` in a child process.
    ///
    /// # Safety
    /// Nobody uses the data and views of these events any more.
    pub unsafe fn release(&self, tokens: impl Iterator<Item = u64>) -> Result<(), Status> {
        let core = self.core();
        core.check_fork()?;
        let in_use = core.links.enter();
        let mut all = tokens.filter(|token| !core.lost.release(*token)).peekable();
        // Most are of one lane's present connection: these go back in one go.
        let first = all.peek().map_or(0, |token| tokens::lane_of(*token));
        let Some(link) = in_use.current(first) else {
            all.for_each(|token| release_one(&in_use, token));
            return Ok(());
        };
        link.release(all.filter(|token| {
            let present = link.gave_out(*token);
            if !present {
                release_one(&in_use, *token);
            }
            present
        }));
        Ok(())
    }
}

fn release_one(in_use: &super::links::InUse<'_>, token: u64) {
    if let Some(link) = in_use.of_token(token) {
        link.release(std::iter::once(token));
    }
}
