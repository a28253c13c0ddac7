//! What has to be done again if an exception strikes.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// A handler of a signal may strike again, and again; whoever does so for ever means it.
const ATTEMPTS_MAX: usize = 1000;

/// For `with`: has a function called if the block ends with an exception, until that went well. No
/// handler of a signal runs between the exception and the call.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Again(Py<PyAny>);

#[pymethods]
impl Again {
    #[new]
    fn new(function: Py<PyAny>) -> Self {
        Self(function)
    }

    fn __enter__(&self) {}

    #[pyo3(signature = (*what))]
    fn __exit__(&self, what: &Bound<'_, PyTuple>) {
        let py = what.py();
        if what.get_item(0).is_ok_and(|kind| kind.is_none()) {
            return;
        }
        for _ in 0..ATTEMPTS_MAX {
            if self.0.call0(py).is_ok() {
                return;
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}
