//! Messages that lie where they were received: in the session's ring, which is used again in order,
//! so that one that stays there stops what comes behind it once the ring has gone round. So none
//! stays for long: when much was received since, it is copied after all, unless Python has a view.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use anasazi_sys::Held;

use super::fork::Lent;

/// What was received since may be this part of the ring, then a message is copied.
const RING_PART: usize = 4;

/// One message.
pub(crate) struct Holding(Mutex<State>);

struct State {
    /// While Python has views of what is held.
    seen_by_children: Option<Lent>,
    held: Option<Arc<Held>>,
    /// Of what is not held any more; never changes.
    copy: Box<[u8]>,
    /// How many views Python has.
    lent: usize,
}

impl Holding {
    /// Calls with the bytes; `None` in a child that was forked since.
    pub(super) fn with<R>(&self, call: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.lock().bytes().map(call)
    }

    /// Whether it was not copied.
    pub(super) fn is_held(&self) -> bool {
        self.lock().held.is_some()
    }

    /// Where the bytes are, and will be until `take_back()`, to which it is counted if there are
    /// some; `None` in a child.
    pub(super) fn lend(&self) -> Option<(*const u8, usize)> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let bytes = state.bytes()?;
        let there = (bytes.as_ptr(), bytes.len());
        if let (Some(held), None) = (&state.held, &state.seen_by_children) {
            state.seen_by_children = Some(Lent::new(held.clone()));
        }
        state.lent += 1;
        Some(there)
    }

    pub(super) fn take_back(&self) {
        let mut state = self.lock();
        state.lent = state.lent.saturating_sub(1);
        if state.lent == 0 {
            state.seen_by_children = None;
        }
    }

    /// Copies it and lets go; `false` if Python has a view, or looks at it just now.
    fn let_go(&self) -> bool {
        let Ok(mut state) = self.0.try_lock() else { return false };
        if state.lent > 0 {
            return false;
        }
        let Some(held) = state.held.take() else { return true };
        state.copy = held.data().unwrap_or_default().into();
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bytes(&self) -> Option<&[u8]> {
        self.held.as_ref().map_or(Some(&*self.copy), |held| held.data())
    }
}

/// Those of one session.
#[derive(Default)]
pub(crate) struct Holdings {
    /// Each with how much had been received when it was.
    all: VecDeque<(u64, Weak<Holding>)>,
    received: u64,
    /// What was received before is not to stay.
    oldest: u64,
}

impl Holdings {
    /// So many bytes more were received: copies what has been there for too long.
    pub(crate) fn begin(&mut self, bytes: usize, ring_len: usize) {
        self.received += bytes as u64;
        self.oldest = self.received.saturating_sub((ring_len / RING_PART) as u64);
        let oldest = self.oldest;
        let is_done = |(at, holding): &(u64, Weak<Holding>)| match holding.upgrade() {
            Some(holding) => *at < oldest && holding.let_go(),
            None => true,
        };
        self.all.retain(|one| !is_done(one));
    }

    /// Whether one that is followed by so many bytes that were received may stay.
    pub(crate) fn has_room(&self, followed_by: usize) -> bool {
        self.received.saturating_sub(followed_by as u64) >= self.oldest
    }

    /// Keeps one, which is followed by so many bytes.
    pub(crate) fn add(&mut self, held: Held, followed_by: usize) -> Arc<Holding> {
        let state = State {
            held: Some(Arc::new(held)),
            copy: Box::default(),
            lent: 0,
            seen_by_children: None,
        };
        let holding = Arc::new(Holding(Mutex::new(state)));
        let at = self.received.saturating_sub(followed_by as u64);
        self.all.push_back((at, Arc::downgrade(&holding)));
        holding
    }
}
