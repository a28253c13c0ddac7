//! The extension module below the Python package `anasazi`: sessions, groups and engines of
//! `libanasazi.so.1`, and events in batches as Python objects. What an application sees is Python
//! on top of it (`anasazi/`).
//!
//! | module | what |
//! |---|---|
//! | `errors` | failures become exceptions |
//! | `configuration`, `engine` | settings, and engines in this process |
//! | `numbers` | arguments that are numbers |
//! | `session` | sessions and groups |
//! | `waiter` | what somebody waits for in asyncio |
//! | `turn` | whose turn it is with a connection |
//! | `receiving` | a batch of events, as objects, sorted into queues |
//! | `queue` | what nobody has taken yet |
//! | `again` | what has to be done again if an exception strikes |
//! | `sys` | messages, which lend their memory to Python, also across a fork |
//!
//! Nothing here waits but what says so, and that lets other threads run. No thread of the library
//! ever comes here. All classes may be used by several threads at once.

mod again;
mod configuration;
mod engine;
mod errors;
mod numbers;
mod queue;
mod receiving;
mod session;
mod sys;
mod turn;
mod waiter;

use pyo3::exceptions::{PyImportError, PyMemoryError};
use pyo3::prelude::*;

use anasazi_sys::generated;

// Classes change only behind locks and atomic numbers: no global lock is needed around them.
#[pymodule(gil_used = false)]
#[pyo3(name = "_anasazi")]
fn extension(module: &Bound<'_, PyModule>) -> PyResult<()> {
    if !anasazi_sys::is_compatible() {
        return Err(PyImportError::new_err(format!(
            "this package is made for C API {}.{} of libanasazi.so.1, and {} is loaded",
            generated::ANZ_VERSION_MAJOR,
            generated::ANZ_VERSION_MINOR,
            in_words(anasazi_sys::version()),
        )));
    }
    if !sys::watch_forks() {
        return Err(PyMemoryError::new_err("no memory to be told of forks"));
    }
    module.add_class::<again::Again>()?;
    module.add_class::<configuration::Config>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<queue::Backlog>()?;
    module.add_class::<queue::Queue>()?;
    module.add_class::<queue::Taking>()?;
    module.add_class::<session::Group>()?;
    module.add_class::<session::Session>()?;
    module.add_class::<turn::Turn>()?;
    module.add_class::<waiter::LoopWaiter>()?;
    module.add_class::<sys::Message>()?;
    module.add("OWN_TAG", receiving::OWN_TAG)?;
    for function in [
        wrap_pyfunction!(has, module)?,
        wrap_pyfunction!(library_version, module)?,
        wrap_pyfunction!(status_name, module)?,
        wrap_pyfunction!(status_text, module)?,
    ] {
        module.add_function(function)?;
    }
    Ok(())
}

fn in_words(version: u32) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
}

/// Whether the library that is loaded has a feature.
#[pyfunction]
fn has(feature: &str) -> bool {
    anasazi_sys::has(feature)
}

/// The version of the C API of the library that is loaded, and, in brackets, the release.
#[pyfunction]
fn library_version() -> String {
    anasazi_sys::version_text()
}

/// "ANZ_EAGAIN", for its number.
#[pyfunction]
fn status_name(code: i32) -> String {
    anasazi_sys::Status(code).name()
}

/// A status in words.
#[pyfunction]
fn status_text(code: i32) -> String {
    anasazi_sys::Status(code).describe()
}
