//! Defaults, file, environment and command line, put together.

use std::path::{Path, PathBuf};

use anasazi_engine::config::{ConfigError, Origin, Problem, Settings, ValidConfig};

use crate::options::Options;

/// A valid configuration and the file that it came from.
pub(crate) struct Loaded {
    pub(crate) config: ValidConfig,
    pub(crate) file: Option<PathBuf>,
}

pub(crate) fn load(options: &Options) -> Result<Loaded, ConfigError> {
    let mut settings = Settings::for_daemon();
    if let Some(directory) = systemd_state_directory() {
        settings.set_from("state.dir", &directory, Origin::Environment("STATE_DIRECTORY"))?;
    }
    let file = options.config.clone().or_else(default_file);
    if let Some(file) = &file {
        settings.load_file(file)?;
    }
    if let Ok(level) = std::env::var("ANASAZI_LOG") {
        settings.set_from("log.level", &level, Origin::Environment("ANASAZI_LOG"))?;
    }
    for assignment in &options.set {
        let (key, value) = assignment.split_once('=').ok_or_else(|| no_value(assignment))?;
        settings.set_from(key.trim(), value, Origin::CommandLine("--set"))?;
    }
    Ok(Loaded { config: settings.validate()?, file })
}

/// The default file, unless there is nothing at all of that name: one that cannot be read, or a
/// link to nowhere, is an error that must not go unseen.
fn default_file() -> Option<PathBuf> {
    let path = Path::new(DEFAULT_FILE);
    let absent = path
        .symlink_metadata()
        .is_err_and(|error| matches!(error.kind(), std::io::ErrorKind::NotFound));
    (!absent).then(|| path.to_owned())
}

/// What `StateDirectory=` in the unit made for us; the first, if there are several.
fn systemd_state_directory() -> Option<String> {
    let directories = std::env::var("STATE_DIRECTORY").ok()?;
    directories.split(':').next().map(str::to_owned)
}

fn no_value(assignment: &str) -> ConfigError {
    ConfigError::from(Problem {
        key: Some(assignment.to_owned()),
        origin: Origin::CommandLine("--set"),
        text: "has no value; write KEY=VALUE".to_owned(),
        os_error: None,
    })
}

const DEFAULT_FILE: &str = "/etc/anasazi/anasazi.toml";
