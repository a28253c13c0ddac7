//! Failures of the library become exceptions: `anasazi._errors.make()` knows which.

use anasazi_sys::generated::{ANZ_EBUSY, ANZ_EINVAL};
use anasazi_sys::{Failure, Status};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for a failure.
pub(crate) fn exception(py: Python<'_>, failure: impl Into<Failure>) -> PyErr {
    let failure = failure.into();
    let make = || {
        let make = MAKE.get_or_try_init(py, || {
            Ok::<_, PyErr>(py.import("anasazi._errors")?.getattr("make")?.unbind())
        })?;
        make.bind(py).call1((failure.status.0, failure.message, failure.retryable))
    };
    make().map_or_else(|error| error, PyErr::from_value)
}

/// As `exception()`, where the library says no more than a status: `doing` says on what.
pub(crate) fn explained(py: Python<'_>, status: Status, doing: &str) -> PyErr {
    let mut failure = Failure::from(status);
    failure.message = format!("{doing}: {}", failure.message);
    exception(py, failure)
}

/// Another thread is in a call that is for one at a time.
pub(crate) fn busy(py: Python<'_>, doing: &str) -> PyErr {
    explained(py, Status(ANZ_EBUSY), doing)
}

/// An argument that is not allowed; the sentence says what is.
pub(crate) fn wrong(py: Python<'_>, sentence: &str) -> PyErr {
    let failure = Failure { message: sentence.to_owned(), ..Status(ANZ_EINVAL).into() };
    exception(py, failure)
}

/// A string for the library, which has UTF-8: a Python string may have halves of surrogate pairs.
pub(crate) fn text(what: &str, string: &Bound<'_, PyString>) -> PyResult<String> {
    string.extract().map_err(|_| {
        let shown = string.repr().map_or_else(|_| String::new(), |shown| shown.to_string());
        wrong(string.py(), &format!("{what} is text that UTF-8 has, without surrogates: {shown}"))
    })
}
