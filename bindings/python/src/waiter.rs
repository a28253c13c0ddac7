//! What somebody waits for in asyncio: a future, that can be settled again where a handler of a
//! signal ended that.
//!
//! Those of asyncio tell whoever waits by code that is written in Python. A handler that raises in
//! there leaves one that is done, and of which nobody ever hears. These know whom they have told,
//! and no other code of theirs is Python's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A future, as far as tasks need one.
#[pyclass(frozen, weakref, module = "anasazi._anasazi")]
pub(crate) struct LoopWaiter {
    event_loop: Py<PyAny>,
    is_blocking: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    end: Option<End>,
    callbacks: Vec<Callback>,
}

struct Callback {
    /// Until it is called.
    function: Option<Py<PyAny>>,
    context: Option<Py<PyAny>>,
    /// Whether the loop will call it.
    is_told: bool,
}

enum End {
    Result(Py<PyAny>),
    Error(Py<PyAny>),
    Cancelled(Option<Py<PyAny>>),
}

impl LoopWaiter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was not known before.
    fn end(&self, end: End) -> bool {
        let mut state = self.state();
        let is_first = state.end.is_none();
        if is_first {
            state.end = Some(end);
        }
        is_first
    }
}

#[pymethods]
impl LoopWaiter {
    #[new]
    fn new(event_loop: Py<PyAny>) -> Self {
        Self { event_loop, is_blocking: AtomicBool::new(false), state: Mutex::default() }
    }

    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    #[getter(_asyncio_future_blocking)]
    fn is_blocking(&self) -> bool {
        self.is_blocking.load(Ordering::Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, is_blocking: bool) {
        self.is_blocking.store(is_blocking, Ordering::Relaxed);
    }

    fn done(&self) -> bool {
        self.state().end.is_some()
    }

    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let message = match &self.state().end {
            Some(End::Result(result)) => return Ok(result.clone_ref(py)),
            Some(End::Error(error)) => return Err(PyErr::from_value(error.bind(py).clone())),
            Some(End::Cancelled(message)) => message.as_ref().map(|message| message.clone_ref(py)),
            None => return Err(PyRuntimeError::new_err("it is not known yet")),
        };
        let cancelled = py.import("asyncio")?.getattr("CancelledError")?;
        Err(PyErr::from_value(match message {
            Some(message) => cancelled.call1((message,))?,
            None => cancelled.call0()?,
        }))
    }

    #[pyo3(signature = (function, *, context=None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        function: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let callback = Callback { function: Some(function), context, is_told: false };
        slf.get().state().callbacks.push(callback);
        Self::tell(slf)
    }

    /// Has the loop call what it does not know of yet, if there is something to tell.
    fn tell(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        for at in 0.. {
            let context = match this.state() {
                state if state.end.is_none() => return Ok(()),
                state => match state.callbacks.get(at) {
                    None => return Ok(()),
                    Some(Callback { is_told: true, .. }) => continue,
                    Some(Callback { context, .. }) => context.as_ref().map(|one| one.clone_ref(py)),
                },
            };
            let named = PyDict::new(py);
            named.set_item(intern!(py, "context"), context)?;
            let call = Bound::new(py, Call { waiter: slf.clone().unbind(), at })?;
            this.event_loop.call_method(py, intern!(py, "call_soon"), (call,), Some(&named))?;
            this.state().callbacks[at].is_told = true;
        }
        Ok(())
    }

    fn set_result(slf: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        slf.get().end(End::Result(result));
        Self::tell(slf)
    }

    fn set_exception(slf: &Bound<'_, Self>, error: Py<PyAny>) -> PyResult<()> {
        slf.get().end(End::Error(error));
        Self::tell(slf)
    }

    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let is_first = slf.get().end(End::Cancelled(msg));
        if is_first {
            Self::tell(slf)?;
        }
        Ok(is_first)
    }

    fn __await__(slf: Py<Self>) -> Awaiting {
        Awaiting { waiter: slf }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        match &state.end {
            Some(End::Result(value) | End::Error(value)) => visit.call(value)?,
            Some(End::Cancelled(message)) => visit.call(message)?,
            None => {}
        }
        state.callbacks.iter().try_for_each(|callback| {
            visit.call(&callback.function)?;
            visit.call(&callback.context)
        })
    }

    fn __clear__(&self) {
        let state = std::mem::take(&mut *self.state());
        drop(state);
    }
}

/// A call of a callback, once, by the loop.
#[pyclass(frozen, module = "anasazi._anasazi")]
struct Call {
    waiter: Py<LoopWaiter>,
    at: usize,
}

#[pymethods]
impl Call {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.waiter.get().state();
        let function = state.callbacks.get_mut(self.at).and_then(|one| one.function.take());
        drop(state);
        function.map_or(Ok(()), |function| function.call1(py, (&self.waiter,)).map(drop))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.waiter)
    }
}

/// What `await` goes over.
#[pyclass(frozen, module = "anasazi._anasazi")]
struct Awaiting {
    waiter: Py<LoopWaiter>,
}

#[pymethods]
impl Awaiting {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<LoopWaiter>> {
        let waiter = self.waiter.get();
        if waiter.done() {
            return Err(PyStopIteration::new_err((waiter.result(py)?,)));
        }
        if waiter.is_blocking.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("a task of asyncio waits for this, nobody else"));
        }
        Ok(self.waiter.clone_ref(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.waiter)
    }
}
