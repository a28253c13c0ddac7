//! Settings, as strings.

use std::ptr;

use crate::generated::{
    anz_config, anz_config_free, anz_config_load, anz_config_new, anz_config_set,
};
use crate::status::{Failure, c_text, explained};

/// Settings of an engine or a session.
#[derive(Debug)]
pub struct Config(*mut anz_config);

// SAFETY: a handle, which the library looks up; calls at the same time answer ANZ_EBUSY.
unsafe impl Send for Config {}
// SAFETY: as above.
unsafe impl Sync for Config {}

impl Config {
    /// The defaults.
    ///
    /// # Errors
    /// `ANZ_ENOMEM`.
    pub fn new() -> Result<Self, Failure> {
        let mut made = ptr::null_mut();
        // SAFETY: a place for the handle.
        explained(|_| unsafe { anz_config_new(&raw mut made) }).map(|()| Self(made))
    }

    /// Sets one key.
    ///
    /// # Errors
    /// `ANZ_ECONFIG`: the message names key, value and what is allowed.
    pub fn set(&self, key: &str, value: &str) -> Result<(), Failure> {
        let (key, value) = (c_text("key", key)?, c_text("value", value)?);
        // SAFETY: texts that end with 0, and a place for the reason.
        explained(|error| unsafe { anz_config_set(self.0, key.as_ptr(), value.as_ptr(), error) })
    }

    /// Takes what a TOML file says. Blocks.
    ///
    /// # Errors
    /// `ANZ_ECONFIG`: the message names file, line, key and what is allowed.
    pub fn load(&self, path: &str) -> Result<(), Failure> {
        let path = c_text("path", path)?;
        // SAFETY: text that ends with 0, and a place for the reason.
        explained(|error| unsafe { anz_config_load(self.0, path.as_ptr(), error) })
    }

    pub(crate) fn handle(of: Option<&Self>) -> *const anz_config {
        of.map_or(ptr::null(), |config| config.0.cast_const())
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: a handle of our own, not used again.
        unsafe { anz_config_free(self.0) }
    }
}
