//! Whose turn it is with a connection that is for one thread at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anasazi_sys::generated::ANZ_EBUSY;
use anasazi_sys::{Failure, Status};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors::exception;

/// A turn, for `with`. Taking it makes this object and its end gives it back, each within one call:
/// whichever instruction KeyboardInterrupt comes after, the object goes with what was on Python's
/// stack. So it is not to be kept in a variable, which a traceback would keep alive.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Turn {
    is_taken: Arc<AtomicBool>,
    is_over: AtomicBool,
}

impl Turn {
    /// `None` if somebody has it.
    pub(crate) fn take(is_taken: &Arc<AtomicBool>) -> Option<Self> {
        if is_taken.swap(true, Ordering::Acquire) {
            return None;
        }
        Some(Self { is_taken: is_taken.clone(), is_over: AtomicBool::new(false) })
    }

    fn give_back(&self) {
        if !self.is_over.swap(true, Ordering::AcqRel) {
            self.is_taken.store(false, Ordering::Release);
        }
    }
}

/// Somebody else has it.
pub(crate) fn has_turn(py: Python<'_>) -> PyErr {
    let sentence = "another thread waits for this connection: one at a time may";
    exception(py, Failure { message: sentence.to_owned(), ..Status(ANZ_EBUSY).into() })
}

#[pymethods]
impl Turn {
    fn __enter__(&self) {}

    #[pyo3(signature = (*_what))]
    fn __exit__(&self, _what: &Bound<'_, PyTuple>) {
        self.give_back();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.give_back();
    }
}
