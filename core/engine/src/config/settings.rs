//! Values collected from defaults, files and calls. Whatever came last counts, and every value
//! knows where it came from.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConfigError, Origin, Problem};
use super::file;
use super::keys::{KEYS, Key};
use super::kind::Value;
use super::valid::ValidConfig;

/// A configuration in the making. Each value is checked when it is set;
/// [`validate`](Self::validate) checks how they go together. A refused call changes nothing.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<&'static str, Setting>,
}

#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) key: &'static Key,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A value in force, as text, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The key.
    pub key: &'static str,
    /// The value, in the form in which [`Settings::set`] takes it.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    /// The defaults of an engine inside an application.
    pub fn new() -> Self {
        Self::from_defaults(|key| key.default)
    }

    /// The defaults of the daemon: it listens for sessions.
    pub fn for_daemon() -> Self {
        Self::from_defaults(|key| key.daemon_default.unwrap_or(key.default))
    }

    /// Sets a key from text: numbers in decimal, `true` or `false`, lists separated by commas,
    /// sizes also as `4 MiB`.
    ///
    /// Errors: the key is not known; the value is not allowed for it.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.set_from(key, value, Origin::Call)
    }

    /// As [`set`](Self::set), for a value that came from elsewhere than from a call.
    pub fn set_from(&mut self, key: &str, value: &str, origin: Origin) -> Result<(), ConfigError> {
        let Some(known) = Key::find(key) else {
            return Err(Problem::of_key(key, origin, file::unknown(key, false)).into());
        };
        match known.kind.read_text(value) {
            Ok(value) => {
                self.values.insert(known.name, Setting { key: known, value, origin });
                Ok(())
            }
            Err(refusal) => {
                let text = format!("{refusal}; allowed: {}", known.kind.allowed());
                Err(Problem::of_key(key, origin, text).into())
            }
        }
    }

    /// Sets everything that the TOML file at `path` names. Reads the file: may block.
    ///
    /// Errors: the file cannot be read, or anything in it is refused; all problems are reported
    /// together.
    pub fn load_file(&mut self, path: impl AsRef<Path>) -> Result<(), ConfigError> {
        let path = path.as_ref();
        let text = file::read(path)?;
        self.load_text(&text, &path.to_string_lossy())
    }

    /// As [`load_file`](Self::load_file), from text that error messages call `name`.
    pub fn load_text(&mut self, text: &str, name: &str) -> Result<(), ConfigError> {
        let (entries, problems) = file::parse(text, name);
        ConfigError::unless_none(problems)?;
        for file::Entry { key, value, origin } in entries {
            self.values.insert(key.name, Setting { key, value, origin });
        }
        Ok(())
    }

    /// The typed configuration.
    ///
    /// Errors: values that do not go together, each with both keys and where they were set.
    pub fn validate(&self) -> Result<ValidConfig, ConfigError> {
        ValidConfig::new(self)
    }

    /// Every key with its value and origin, in the order of [`KEYS`].
    pub fn effective(&self) -> Vec<Effective> {
        KEYS.iter()
            .map(|key| {
                let setting = self.setting(key.name);
                let value = key.kind.show(&setting.value);
                Effective { key: key.name, value, origin: setting.origin.clone() }
            })
            .collect()
    }

    pub(super) fn setting(&self, name: &'static str) -> &Setting {
        &self.values[name]
    }

    fn from_defaults(default: impl Fn(&'static Key) -> &'static str) -> Self {
        let setting = |key: &'static Key| match key.kind.read_text(default(key)) {
            Ok(value) => Setting { key, value, origin: Origin::Default },
            Err(refusal) => unreachable!("default of {}: {refusal}", key.name),
        };
        Self { values: KEYS.iter().map(|key| (key.name, setting(key))).collect() }
    }
}
