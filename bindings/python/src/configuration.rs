//! Settings of engines and sessions.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::errors::{exception, text};

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
    fn set(&self, key: &Bound<'_, PyString>, value: &Bound<'_, PyString>) -> PyResult<()> {
        let (name, setting) = (text("a key", key)?, text("a setting", value)?);
        self.0.set(&name, &setting).map_err(|failure| exception(key.py(), failure))
    }

    /// Takes what a TOML file says.
    fn load(&self, path: &Bound<'_, PyString>) -> PyResult<()> {
        let (py, path) = (path.py(), text("a path", path)?);
        py.detach(|| self.0.load(&path)).map_err(|failure| exception(py, failure))
    }
}
