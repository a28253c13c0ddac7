//! Engines in this process.

use std::sync::{Arc, Mutex, PoisonError};

use anasazi_sys::generated::ANZ_ECLOSED;
use anasazi_sys::{Failure, Status};
use pyo3::prelude::*;

use crate::configuration::Config;
use crate::errors::{exception, explained};
use crate::numbers::number;
use crate::session::Session;

/// An engine. `free()` gives it back, as does the end of the object.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Engine(Mutex<Option<Arc<anasazi_sys::Engine>>>);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (config=None))]
    fn new(py: Python<'_>, config: Option<&Config>) -> PyResult<Self> {
        let made = py.detach(|| anasazi_sys::Engine::new(config.map(|config| &config.0)));
        let made = made.map_err(|failure| exception(py, failure))?;
        Ok(Self(Mutex::new(Some(Arc::new(made)))))
    }

    /// To be watched for readability.
    fn fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.with(py, "an engine's descriptor", anasazi_sys::Engine::fd)
    }

    /// Drives it a while; whether there is more to do.
    fn process(&self, budget: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = budget.py();
        let budget = number("a budget", u32::BITS, budget)? as u32;
        self.with(py, "driving an engine", |engine| engine.process(budget))
    }

    /// Drives it in a thread of the library.
    fn start_thread(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, "starting an engine's thread", anasazi_sys::Engine::start_thread)
    }

    /// Asks for a clean leave.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, "stopping an engine", anasazi_sys::Engine::stop)
    }

    /// A session with it. Blocks until it answers.
    #[pyo3(signature = (config=None))]
    fn connect(&self, py: Python<'_>, config: Option<&Config>) -> PyResult<Session> {
        let engine = self.get().ok_or(Status(ANZ_ECLOSED));
        let engine = engine.map_err(|status| explained(py, status, "connecting to an engine"))?;
        let made = py.detach(|| engine.connect(config.map(|config| &config.0)));
        // The last owner may wait for the engine to leave.
        py.detach(|| drop(engine));
        made.map(Session::of).map_err(|failure: Failure| exception(py, failure))
    }

    /// Gives it back. Blocks for a second or two.
    fn free(&self, py: Python<'_>) {
        let engine = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        py.detach(|| drop(engine));
    }
}

impl Engine {
    fn get(&self) -> Option<Arc<anasazi_sys::Engine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with<R>(
        &self,
        py: Python<'_>,
        doing: &str,
        call: impl FnOnce(&anasazi_sys::Engine) -> Result<R, Status>,
    ) -> PyResult<R> {
        let engine = self.get().ok_or(Status(ANZ_ECLOSED));
        engine.and_then(|engine| call(&engine)).map_err(|status| explained(py, status, doing))
    }
}
