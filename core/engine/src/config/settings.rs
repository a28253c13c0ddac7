//! Values collected from defaults, files and calls. Whatever came last counts, and every value
//! knows where it came from.

use std::collections::BTreeMap;
use std::path::Path;

use super::bridge;
use super::domain::{self, Named};
use super::error::{ConfigError, Origin, Problem};
use super::file;
use super::keys::{KEYS, Key};
use super::kind::Value;
use super::valid::ValidConfig;

/// A configuration in the making. Each value is checked when it is set;
/// [`validate`](Self::validate) checks how they go together. A refused call changes nothing.
#[derive(Clone, Debug)]
pub struct Settings {
    values: Values,
    /// What domains have of their own, by name.
    domains: BTreeMap<String, Values>,
    /// What was set for bridges, by name.
    bridges: BTreeMap<String, Values>,
}

/// Whose a setting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The top level's.
    Top,
    Domain(String),
    Bridge(String),
}

/// Settings by the names of their keys.
pub(super) type Values = BTreeMap<&'static str, Setting>;

#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) key: &'static Key,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A value in force, as text, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The key; of a domain with its table, as `domain.NAME.ring.window`.
    pub key: String,
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
        let Named::Key(owner, known) = domain::look_up(key) else {
            return Err(Problem::of_key(key, origin, file::unknown(key, false)).into());
        };
        if let Some(refusal) = owner.refuse_name() {
            return Err(Problem::of_key(key, origin, refusal).into());
        }
        match known.kind.read_text(value) {
            Ok(value) => {
                self.insert(owner, Setting { key: known, value, origin });
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
        for entry in entries {
            match entry {
                file::Entry::Value { owner, setting } => self.insert(owner, setting),
                file::Entry::Owner(owner) => _ = self.values_of(owner),
            }
        }
        Ok(())
    }

    fn insert(&mut self, owner: Owner, setting: Setting) {
        self.values_of(owner).insert(setting.key.name, setting);
    }

    fn values_of(&mut self, owner: Owner) -> &mut Values {
        match owner {
            Owner::Top => &mut self.values,
            Owner::Domain(name) => self.domains.entry(name).or_default(),
            Owner::Bridge(name) => self.bridges.entry(name).or_default(),
        }
    }

    /// The typed configuration.
    ///
    /// Errors: values that do not go together, each with both keys and where they were set.
    pub fn validate(&self) -> Result<ValidConfig, ConfigError> {
        ValidConfig::new(self, true)
    }

    /// The same of an engine that runs, which may have lost domains to which bridges lead.
    pub(super) fn validate_running(&self) -> Result<ValidConfig, ConfigError> {
        ValidConfig::new(self, false)
    }

    /// Every key with its value and origin, in the order of [`KEYS`]; then those of the domains and
    /// of the bridges.
    pub fn effective(&self) -> Vec<Effective> {
        let row = |prefix: &str, setting: &Setting| Effective {
            key: format!("{prefix}{}", setting.key.name),
            value: setting.key.kind.show(&setting.value),
            origin: setting.origin.clone(),
        };
        let mut rows: Vec<_> = KEYS.iter().map(|key| row("", &self.values[key.name])).collect();
        for name in self.domains() {
            let (values, prefix) = (self.of_domain(name), format!("{}.{name}.", domain::TABLE));
            rows.extend(domain::keys().map(|key| row(&prefix, &values[key.name])));
        }
        for name in self.bridges() {
            let (values, prefix) = (self.of_bridge(name), format!("{}.{name}.", bridge::TABLE));
            rows.extend(bridge::KEYS.iter().map(|key| row(&prefix, &values[key.name])));
        }
        rows
    }

    /// The values of the top level.
    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// The domains that are named, in order.
    pub(super) fn domains(&self) -> impl ExactSizeIterator<Item = &str> {
        self.domains.keys().map(String::as_str)
    }

    /// The values in force in one of them.
    pub(super) fn of_domain(&self, name: &str) -> Values {
        domain::values(&self.values, &self.domains[name], name)
    }

    /// The bridges that are named, in order.
    pub(super) fn bridges(&self) -> impl Iterator<Item = &str> {
        self.bridges.keys().map(String::as_str)
    }

    /// The values in force of one of them.
    pub(super) fn of_bridge(&self, name: &str) -> Values {
        bridge::values(&self.bridges[name])
    }

    /// What was set for a domain.
    pub(super) fn own_of_domain(&self, name: &str) -> impl Iterator<Item = &Setting> {
        self.domains.get(name).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn add_domain(&mut self, name: &str) {
        self.domains.entry(name.to_owned()).or_default();
    }

    pub(super) fn remove_domain(&mut self, name: &str) {
        self.domains.remove(name);
    }

    fn from_defaults(default: impl Fn(&'static Key) -> &'static str) -> Self {
        let setting = |key: &'static Key| (key.name, Setting::read(key, default(key)));
        let values = KEYS.iter().map(setting).collect();
        Self { values, domains: BTreeMap::new(), bridges: BTreeMap::new() }
    }
}

impl Setting {
    /// What a key is when nobody has set it.
    pub(super) fn default_of(key: &'static Key) -> Self {
        Self::read(key, key.default)
    }

    fn read(key: &'static Key, default: &str) -> Self {
        match key.kind.read_text(default) {
            Ok(value) => Self { key, value, origin: Origin::Default },
            Err(refusal) => unreachable!("default of {}: {refusal}", key.name),
        }
    }
}
