//! Events that were received, and that nobody has taken yet: of a connection, and of each group.
//!
//! No handler of a signal runs in here, so that what is in a queue is there once, and is counted,
//! whatever handlers raise. What takes events is an iterator: after a call of a function Python
//! looks for signals, and drops what was returned if a handler raises; after `for` has got a value
//! it does not.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anasazi_sys::Status;
use anasazi_sys::generated::ANZ_EFORKED;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::errors::explained;
use crate::turn::has_turn;

/// So many events of a connection's life are kept for who never iterates over the connection.
const LIVES_MAX: usize = 16;

/// What is in all queues of a connection, and how much may be.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Backlog(Arc<Counts>);

struct Counts {
    len_max: usize,
    bytes_max: usize,
    len: AtomicUsize,
    bytes: AtomicUsize,
    taken: AtomicUsize,
}

impl Counts {
    fn add(&self, len: usize, bytes: usize) {
        self.len.fetch_add(len, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, len: usize, bytes: usize) {
        self.len.fetch_sub(len, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[pymethods]
impl Backlog {
    #[new]
    fn new(len_max: usize, bytes_max: usize) -> Self {
        let none = AtomicUsize::default;
        Self(Arc::new(Counts { len_max, bytes_max, len: none(), bytes: none(), taken: none() }))
    }

    /// Whether no more is to be read.
    fn is_full(&self) -> bool {
        self.0.len() >= self.0.len_max || self.0.bytes() >= self.0.bytes_max
    }

    /// How many events there are.
    #[getter]
    fn len(&self) -> usize {
        self.0.len()
    }

    /// Of how many bytes.
    #[getter]
    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Grows with every event that is taken.
    #[getter]
    fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }
}

/// An event, what it counts for, and whether it is of a connection's life.
struct Entry {
    event: Py<PyAny>,
    bytes: usize,
    is_life: bool,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// So many since there is a queue.
    pushed: usize,
    /// So many of them were taken.
    popped: usize,
    is_over: bool,
    is_discarded: bool,
}

/// Events in order. Iterating takes them, and ends where there are none now.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Queue {
    state: Mutex<State>,
    counts: Arc<Counts>,
    session: anasazi_sys::Session,
    is_taken: Arc<AtomicBool>,
    /// Whether somebody is to be told that there are events.
    is_touched: AtomicBool,
    pub(crate) is_address: bool,
}

impl Queue {
    pub(crate) fn new(
        backlog: &Backlog,
        session: anasazi_sys::Session,
        is_taken: Arc<AtomicBool>,
        is_address: bool,
    ) -> Self {
        let counts = Arc::clone(&backlog.0);
        let (state, is_touched) = (Mutex::default(), AtomicBool::new(false));
        Self { state, counts, session, is_taken, is_touched, is_address }
    }

    /// Nothing is dropped that Python may have something to do for while this is held.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends; gives how many were pushed since there is a queue.
    pub(crate) fn push(&self, events: Vec<(Bound<'_, PyAny>, usize)>) -> usize {
        let mut state = self.state();
        if state.is_over || state.is_discarded {
            drop(state);
            return self.state().pushed;
        }
        let (len, bytes) = (events.len(), events.iter().map(|(_, bytes)| bytes).sum());
        state.entries.extend(events.into_iter().map(|(event, bytes)| Entry {
            event: event.unbind(),
            bytes,
            is_life: false,
        }));
        state.bytes += bytes;
        state.pushed += len;
        self.counts.add(len, bytes);
        state.pushed
    }

    /// Appends what may come again and again to a queue that nobody may ever look at: the oldest of
    /// its kind is forgotten.
    pub(crate) fn push_life(&self, event: &Bound<'_, PyAny>) {
        let mut forgotten = None;
        let mut state = self.state();
        if state.is_over || state.is_discarded {
            return;
        }
        let mut lives = (0..state.entries.len()).filter(|at| state.entries[*at].is_life);
        let oldest = lives.next();
        if lives.count() + 1 >= LIVES_MAX {
            forgotten = oldest.and_then(|at| state.entries.remove(at));
            self.counts.subtract(1, 0);
        }
        state.entries.push_back(Entry { event: event.clone().unbind(), bytes: 0, is_life: true });
        state.pushed += 1;
        self.counts.add(1, 0);
        drop(state);
        drop(forgotten);
    }

    /// Whether it is the first time since [`told`](Self::told).
    pub(crate) fn touch(&self) -> bool {
        !self.is_touched.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn told(&self) {
        self.is_touched.store(false, Ordering::Relaxed);
    }

    fn take(&self, most: usize) -> Vec<Py<PyAny>> {
        let mut state = self.state();
        let len = most.min(state.entries.len());
        let mut bytes = 0;
        let taken = state.entries.drain(..len).map(|entry| {
            bytes += entry.bytes;
            entry.event
        });
        let taken = taken.collect();
        state.bytes -= bytes;
        state.popped += len;
        self.counts.taken.fetch_add(len, Ordering::Relaxed);
        if !state.is_over {
            self.counts.subtract(len, bytes);
        }
        taken
    }

    /// Raises where what was received is not for who asks.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.session.is_inherited() {
            return Err(explained(py, Status(ANZ_EFORKED), "this connection"));
        }
        if self.is_taken.load(Ordering::Acquire) { Err(has_turn(py)) } else { Ok(()) }
    }
}

#[pymethods]
impl Queue {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.check(py)?;
        let mut state = self.state();
        let Some(Entry { event, bytes, .. }) = state.entries.pop_front() else { return Ok(None) };
        state.bytes -= bytes;
        state.popped += 1;
        self.counts.taken.fetch_add(1, Ordering::Relaxed);
        if !state.is_over {
            self.counts.subtract(1, bytes);
        }
        Ok(Some(event))
    }

    /// All events at once, or so many of them: to be iterated over, which gives one list, or none.
    #[pyo3(signature = (most=None))]
    fn batch(slf: Py<Self>, most: Option<usize>) -> Taking {
        Taking { queue: slf, most: most.unwrap_or(usize::MAX) }
    }

    fn __len__(&self) -> usize {
        self.state().entries.len()
    }

    /// How many events were taken since there is a queue.
    #[getter]
    fn popped(&self) -> usize {
        self.state().popped
    }

    /// Whether no more will come.
    #[getter]
    fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Whether nobody takes any.
    #[getter]
    fn is_discarded(&self) -> bool {
        self.state().is_discarded
    }

    /// Whether there is room to receive more once so many are taken.
    #[pyo3(signature = (most=None))]
    fn makes_room(&self, most: Option<usize>) -> bool {
        let state = self.state();
        if state.is_over {
            return false;
        }
        let len = most.unwrap_or(usize::MAX).min(state.entries.len());
        let bytes: usize = state.entries.iter().take(len).map(|entry| entry.bytes).sum();
        self.counts.len() < self.counts.len_max + len
            && self.counts.bytes() < self.counts.bytes_max + bytes
    }

    /// No more will come: what there is goes with the queue, and counts no more.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        if !state.is_over {
            state.is_over = true;
            self.counts.subtract(state.entries.len(), state.bytes);
        }
    }

    /// Nobody will take any, or, `begins_again`, of those that are there.
    #[pyo3(signature = (begins_again=false))]
    fn discard(&self, begins_again: bool) {
        let dropped = self.take(usize::MAX);
        self.state().is_discarded = !begins_again;
        drop(dropped);
    }
}

/// See `Queue.batch()`.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Taking {
    queue: Py<Queue>,
    most: usize,
}

#[pymethods]
impl Taking {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let queue = self.queue.get();
        queue.check(py)?;
        let taken = queue.take(self.most);
        if taken.is_empty() { Ok(None) } else { PyList::new(py, taken).map(Some) }
    }
}
