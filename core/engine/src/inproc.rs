//! Engines of this process by name: `inproc:NAME` means the same engine to everybody in the
//! process, in whatever language. The first who names one starts it, in a thread of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::config::{ConfigError, ValidConfig};
use crate::engine::{Engine, EngineHandle};
use crate::error::EngineError;

/// An error: the name is out of use, since an invariant broke while its engine started.
static ENGINES: Mutex<BTreeMap<String, Result<EngineHandle, EngineError>>> =
    Mutex::new(BTreeMap::new());

/// The engine with this name; started with `config` if there is none, or if it was stopped.
///
/// # Errors
/// The configuration is not valid, or the engine cannot start. `EngineError::Broken` if one of this
/// name ever was: a new one in its place would hide that.
pub fn engine(
    name: &str,
    config: impl FnOnce() -> Result<ValidConfig, ConfigError>,
) -> Result<EngineHandle, EngineError> {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    match engines.get(name) {
        Some(Ok(handle)) if !handle.has_ended() => return Ok(handle.clone()),
        Some(Ok(handle)) => handle.broken().map_or(Ok(()), |broken| Err(broken.clone()))?,
        Some(Err(broken)) => return Err(broken.clone()),
        None => {}
    }
    let started = Engine::new(config()?).and_then(|engine| engine.spawn("anasazi-engine"));
    if matches!(started, Ok(_) | Err(EngineError::Broken(_))) {
        engines.insert(name.to_owned(), started.clone());
    }
    started
}
