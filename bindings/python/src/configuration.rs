//! Settings of engines and sessions.

use pyo3::prelude::*;

use crate::errors::exception;

/// Settings, as strings.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Config(pub(crate) anasazi_sys::Config);

#[pymethods]
impl Config {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        anasazi_sys::Config::new().map(Self).map_err(|failure| exception(py, failure))
    }

    /// Sets one key.
    fn set(&self, py: Python<'_>, key: &str, value: &str) -> PyResult<()> {
        self.0.set(key, value).map_err(|failure| exception(py, failure))
    }

    /// Takes what a TOML file says.
    fn load(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        py.detach(|| self.0.load(path)).map_err(|failure| exception(py, failure))
    }
}
