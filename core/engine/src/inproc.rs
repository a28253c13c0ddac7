//! Engines of this process by name: `inproc:NAME` means the same engine to everybody in the
//! process, in whatever language. The first who names one starts it, in a thread of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::config::{ConfigError, ValidConfig};
use crate::engine::{Engine, EngineHandle};
use crate::error::EngineError;

static ENGINES: Mutex<BTreeMap<String, EngineHandle>> = Mutex::new(BTreeMap::new());

/// The engine with this name; started with `config` if there is none, or if it has ended.
///
/// # Errors
/// The configuration is not valid, or the engine cannot start.
pub fn engine(
    name: &str,
    config: impl FnOnce() -> Result<ValidConfig, ConfigError>,
) -> Result<EngineHandle, EngineError> {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = engines.get(name)
        && !handle.has_ended()
    {
        return Ok(handle.clone());
    }
    let handle = Engine::new(config()?)?.spawn("anasazi-engine")?;
    engines.insert(name.to_owned(), handle.clone());
    Ok(handle)
}
