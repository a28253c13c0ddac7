//! A domain with a thread of its own. That thread turns it; the engine's looks in now and then, for
//! one command or one question at a time. What the domain has to say waits beside it, so that the
//! engine hears it without going in.

use std::any::Any;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anasazi_protocol::Instant;
use anasazi_transport::Transport;
use parking_lot::{Mutex, MutexGuard};

use super::limits::{SAID_LEN_MAX, SAID_MAX, STEP_BATCH_MAX};
use super::{Domain, Upward};
use crate::storage::Storage;
use crate::sys::poll::{Waker, now_ns};

/// Who drops the engine waits so long for a thread that is inside. It is longer only in a child
/// that was forked meanwhile: nobody is inside there, and nobody comes out.
const TAKE_BACK_TIME_MAX: Duration = Duration::from_secs(1);

/// A domain that two threads use.
pub(crate) struct Shared<T, S> {
    state: Mutex<State<T, S>>,
    said: Mutex<Said>,
    /// Something was said that nobody has heard.
    has_said: AtomicBool,
    /// The core took commands when it was left last.
    accepts_sends: AtomicBool,
    /// As much was said as may wait to be heard.
    is_full: AtomicBool,
    /// The engine has it no more, though it could not take it back.
    is_over: AtomicBool,
    wakers: Wakers,
    /// When its own thread has to have come by, in nanoseconds.
    due: AtomicU64,
    /// The longest that its own thread, and the engine's, had to wait for the other one, in
    /// nanoseconds.
    waited: [AtomicU64; 2],
}

/// Who is woken for the other one's sake.
pub(crate) struct Wakers {
    /// The domain's own thread.
    pub(crate) own: Waker,
    /// The engine's.
    pub(crate) engine: Waker,
}

struct State<T, S> {
    /// Until the engine takes it back.
    domain: Option<Box<Domain<T, S>>>,
    /// When its own thread comes by itself.
    sleeps_until: Option<Instant>,
}

/// What was said and not heard yet, in order.
#[derive(Default)]
struct Said {
    items: VecDeque<Upward>,
    /// Bytes of messages in it.
    len: usize,
}

/// What the domain's own thread is to do next.
pub(crate) struct Step {
    /// Comes back at once, if it is certain that there is more, or then.
    pub(crate) more: bool,
    pub(crate) deadline: Option<Instant>,
    /// Datagrams are left where they are, until the engine has heard what was said.
    pub(crate) is_deaf: bool,
}

const OWN: usize = 0;
const ENGINE: usize = 1;

impl Said {
    fn is_full(&self) -> bool {
        self.items.len() >= SAID_MAX || self.len >= SAID_LEN_MAX
    }
}

impl<T, S> Shared<T, S> {
    pub(crate) fn new(domain: Box<Domain<T, S>>, wakers: Wakers) -> Self {
        let accepts_sends = AtomicBool::new(domain.core.accepts_sends());
        // Whoever comes first has something to do.
        let state = State { domain: Some(domain), sleeps_until: None };
        Self {
            state: Mutex::new(state),
            said: Mutex::default(),
            has_said: AtomicBool::new(false),
            accepts_sends,
            is_full: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            wakers,
            due: AtomicU64::new(now_ns()),
            waited: Default::default(),
        }
    }

    /// There is room for commands, and for what they bring about; not asked of the core, in which
    /// its thread may be.
    pub(crate) fn accepts_sends(&self) -> bool {
        self.accepts_sends.load(Ordering::Acquire) && !self.is_full.load(Ordering::Acquire)
    }

    /// There is something to be heard.
    pub(crate) fn has_said(&self) -> bool {
        self.has_said.load(Ordering::Acquire)
    }

    /// Appends what was said first, at most `max` items.
    pub(crate) fn hear(&self, max: usize, out: &mut Vec<Upward>) {
        if !self.has_said() {
            return;
        }
        let mut said = self.said.lock();
        let was_full = said.is_full();
        let count = said.items.len().min(max);
        out.extend(said.items.drain(..count));
        said.len -= out[out.len() - count..].iter().map(Upward::len).sum::<usize>();
        self.has_said.store(!said.items.is_empty(), Ordering::Release);
        self.is_full.store(said.is_full(), Ordering::Release);
        let hears_again = was_full && !said.is_full();
        drop(said);
        if hears_again {
            self.wakers.own.wake();
        }
    }

    /// The longest that its own thread, and the engine's, had to wait for the other one.
    pub(crate) fn waited(&self) -> [Duration; 2] {
        self.waited.each_ref().map(|ns| Duration::from_nanos(ns.load(Ordering::Relaxed)))
    }

    /// For how long its own thread should have come by and has not.
    pub(crate) fn lateness(&self) -> Duration {
        Duration::from_nanos(now_ns().saturating_sub(self.due.load(Ordering::Relaxed)))
    }

    fn set_due(&self, at: Option<Instant>) {
        self.due.store(at.map_or(u64::MAX, |Instant(ns)| ns), Ordering::Relaxed);
    }

    fn lock(&self, who: usize) -> MutexGuard<'_, State<T, S>> {
        self.state.try_lock().unwrap_or_else(|| {
            let begin = now_ns();
            let state = self.state.lock();
            self.waited[who].fetch_max(now_ns() - begin, Ordering::Relaxed);
            state
        })
    }

    /// The domain is left, with what it has said since. True if the engine has to know.
    fn publish(&self, domain: &mut Domain<T, S>) -> bool {
        let accepts = domain.core.accepts_sends();
        let opens = !self.accepts_sends.swap(accepts, Ordering::AcqRel) && accepts;
        if domain.up.is_empty() {
            return opens;
        }
        let mut said = self.said.lock();
        said.len += domain.up.iter().map(Upward::len).sum::<usize>();
        said.items.extend(domain.up.drain(..));
        self.is_full.store(said.is_full(), Ordering::Release);
        !self.has_said.swap(true, Ordering::AcqRel) || opens
    }

    /// From now on its thread has no part in it, and ends. `None`: it is inside for longer than
    /// that, and drops the domain when it comes out.
    fn take_back(&self, wait: Duration) -> Option<Box<Domain<T, S>>> {
        self.is_over.store(true, Ordering::Release);
        let domain = self.state.try_lock_for(wait).and_then(|mut state| state.domain.take());
        self.wakers.own.wake();
        domain
    }
}

impl<T: Transport, S: Storage> Shared<T, S> {
    /// For the engine's thread: goes in, and waits for as long as the other one takes for a batch
    /// of datagrams.
    pub(crate) fn enter(&self) -> Inside<'_, T, S> {
        Inside { shared: self, state: Some(self.lock(ENGINE)), is_touched: false }
    }

    /// For the domain's own thread: takes in a batch, and does what is due. `arrived`: there may be
    /// datagrams; `is_copy`: this machine may be a copy of another one. `None`: it is over.
    pub(crate) fn step(&self, arrived: bool, is_copy: bool) -> Option<Step> {
        let is_deaf = self.said.lock().is_full();
        let mut state = self.lock(OWN);
        if self.is_over.load(Ordering::Acquire) {
            drop(state.domain.take());
        }
        let domain = state.domain.as_deref_mut()?;
        // Read here: whoever was inside before may have read it later than before the wait.
        let now = Instant(now_ns());
        if is_copy {
            domain.renew_seal();
        }
        if arrived {
            domain.set_arrived();
        }
        if domain.has_arrivals() && !is_deaf {
            domain.receive(STEP_BATCH_MAX, now);
            domain.flush();
        }
        domain.tick(now);
        domain.flush();
        let has_news = self.publish(domain);
        let (is_broken, more) = (domain.recorder.is_broken(), domain.has_arrivals() && !is_deaf);
        let deadline = domain.core.deadline();
        state.sleeps_until = deadline;
        self.set_due(if more { Some(now) } else { deadline });
        // In a flood it would come back before the engine's thread has noticed that it was gone.
        MutexGuard::unlock_fair(state);
        if has_news {
            self.wakers.engine.wake();
        }
        (!is_broken).then_some(Step { more, deadline, is_deaf })
    }

    /// Its own thread panicked, outside the core: as if that had.
    pub(crate) fn broke(&self, panic: &(dyn Any + Send)) {
        let mut state = self.lock(OWN);
        let Some(domain) = state.domain.as_deref_mut() else { return };
        if !domain.recorder.is_broken() {
            let fault = domain.recorder.broke(panic);
            domain.up.push(Upward::Broken { fault });
        }
        self.publish(domain);
        drop(state);
        self.wakers.engine.wake();
    }
}

/// What the engine has of a domain with a thread of its own; without it, the thread ends.
pub(crate) struct Lease<T, S>(Arc<Shared<T, S>>);

impl<T, S> Lease<T, S> {
    pub(crate) fn new(shared: Arc<Shared<T, S>>) -> Self {
        Self(shared)
    }

    /// The engine turns it itself from now on.
    pub(crate) fn end(&self) -> Option<Box<Domain<T, S>>> {
        self.0.take_back(Duration::MAX)
    }
}

impl<T, S> Deref for Lease<T, S> {
    type Target = Shared<T, S>;

    fn deref(&self) -> &Shared<T, S> {
        &self.0
    }
}

impl<T, S> Drop for Lease<T, S> {
    fn drop(&mut self) {
        // Its sockets and files are given back here, not whenever its thread gets to it.
        drop(self.0.take_back(TAKE_BACK_TIME_MAX));
    }
}

/// The engine's thread is in a domain. Whatever it brings about leaves before it does: nobody waits
/// until it comes again.
pub(crate) struct Inside<'a, T: Transport, S: Storage> {
    shared: &'a Shared<T, S>,
    /// Until it is left.
    state: Option<MutexGuard<'a, State<T, S>>>,
    is_touched: bool,
}

impl<T: Transport, S: Storage> Deref for Inside<'_, T, S> {
    type Target = Domain<T, S>;

    fn deref(&self) -> &Domain<T, S> {
        let domain = self.state.as_ref().and_then(|state| state.domain.as_deref());
        domain.unwrap_or_else(|| unreachable!("it was taken back, and is asked for"))
    }
}

impl<T: Transport, S: Storage> DerefMut for Inside<'_, T, S> {
    fn deref_mut(&mut self) -> &mut Domain<T, S> {
        self.is_touched = true;
        let domain = self.state.as_mut().and_then(|state| state.domain.as_deref_mut());
        domain.unwrap_or_else(|| unreachable!("it was taken back, and is asked for"))
    }
}

impl<T: Transport, S: Storage> Drop for Inside<'_, T, S> {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else { return };
        let mut is_early = false;
        let State { domain, sleeps_until } = &mut *state;
        if let Some(domain) = domain.as_deref_mut().filter(|_| self.is_touched) {
            // Who panicked in here ends the engine.
            if !std::thread::panicking() {
                domain.flush();
            }
            self.shared.publish(domain);
            let deadline = domain.core.deadline();
            is_early = deadline.is_some_and(|at| sleeps_until.is_none_or(|until| at < until));
            if is_early {
                *sleeps_until = deadline;
                self.shared.set_due(deadline);
            }
        }
        MutexGuard::unlock_fair(state);
        if is_early {
            self.shared.wakers.own.wake();
        }
    }
}

#[cfg(test)]
mod tests;
