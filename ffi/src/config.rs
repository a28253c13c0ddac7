//! Settings: string keys, so that they can grow for ever.
#![allow(non_camel_case_types, reason = "C names")]

use std::ffi::{c_char, c_int, c_void};
use std::sync::Mutex;

use anasazi_client::sys::table::Table;
use anasazi_client::{Failure, Status};
use anasazi_engine::config::{ConfigError, Settings, ValidConfig};

use crate::abi::{
    ANZ_LOG_ERROR, ANZ_LOG_TRACE, anz_config_t, anz_error_t, anz_log_fn, anz_loop_ops_t,
    anz_status_t,
};
use crate::fence::{explained, guarded, out, pin, pointer, text};
use crate::host::LoopOps;
use crate::log::LogSink;

/// What a handle stands for.
#[derive(Clone, Default)]
pub(crate) struct Config {
    settings: Settings,
    pub(crate) log: Option<LogSink>,
    pub(crate) host: Option<LoopOps>,
}

/// ---- configuration ----
/// Settings are string keys with string values; OPERATIONS.md has them all. MT-Safe NB; *out
/// is set on success only
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_config_new(out: *mut *mut anz_config_t) -> anz_status_t {
    guarded(|| {
        // SAFETY: the caller passes NULL or a place.
        let place = unsafe { self::out(out) }?;
        let handle = CONFIGS.insert(Mutex::default()).ok_or(Status::ENOMEM)?;
        place.write(pointer(handle));
        Ok(())
    })
}

/// MT-Safe NB; what was made with it stays as it is
#[unsafe(no_mangle)]
pub extern "C" fn anz_config_free(cfg: *mut anz_config_t) {
    guarded(|| {
        CONFIGS.remove(cfg.addr() as u64);
        Ok(())
    });
}

/// MT-Owner NB
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_config_set(
    cfg: *mut anz_config_t,
    key: *const c_char,
    value: *const c_char,
    err: *mut anz_error_t,
) -> anz_status_t {
    // SAFETY: the caller passes NULL or valid pointers.
    unsafe {
        explained(err, || {
            let (key, value) = (argument("key", key)?, argument("value", value)?);
            with_settings(cfg, |settings| settings.set(key, value).map_err(|e| refused(&e)))
        })
    }
}

/// MT-Owner BLK; a TOML file
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_config_load(
    cfg: *mut anz_config_t,
    path: *const c_char,
    err: *mut anz_error_t,
) -> anz_status_t {
    // SAFETY: the caller passes NULL or valid pointers.
    unsafe {
        explained(err, || {
            let path = argument("path", path)?;
            with_settings(cfg, |settings| settings.load_file(path).map_err(|e| refused(&e)))
        })
    }
}

/// Log lines of the engine made with this configuration go to fn (NULL: nowhere) up to this level
/// (ANZ_LOG_*). Engines behind "inproc:" are shared and do not log. MT-Owner NB
#[unsafe(no_mangle)]
pub extern "C" fn anz_config_set_log(
    cfg: *mut anz_config_t,
    r#fn: anz_log_fn,
    level: c_int,
    user_data: *mut c_void,
) -> anz_status_t {
    guarded(|| {
        let config = pin(&CONFIGS, cfg)?;
        if !(ANZ_LOG_ERROR..=ANZ_LOG_TRACE).contains(&level) {
            return Err(Status::EINVAL);
        }
        let log = r#fn.is_some().then_some(LogSink { function: r#fn, level, user_data });
        config.try_lock().map_err(|_| Status::EBUSY)?.log = log;
        Ok(())
    })
}

/// Level-2 embedding: engines made with this configuration have each of their sockets and their
/// timer watched by the host's own loop, which calls anz_engine_process_fd(). Both functions are
/// called on the thread that drives the engine: from anz_engine_new(), anz_engine_process_fd(),
/// anz_engine_connect() and anz_engine_free(). Engines behind "inproc:" have threads of their own
/// and do without. ANZ_EINVAL: a function is missing. MT-Owner NB
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_config_set_loop(
    cfg: *mut anz_config_t,
    ops: *const anz_loop_ops_t,
    user_data: *mut c_void,
) -> anz_status_t {
    guarded(|| {
        let config = pin(&CONFIGS, cfg)?;
        // SAFETY: the caller passes NULL or a struct that starts with its size.
        let host = unsafe { LoopOps::read(ops, user_data) }?;
        config.try_lock().map_err(|_| Status::EBUSY)?.host = Some(host);
        Ok(())
    })
}

impl Config {
    /// A copy of what a handle stands for; defaults for NULL.
    pub(crate) fn of(cfg: *const anz_config_t) -> Result<Self, Failure> {
        if cfg.is_null() {
            return Ok(Self::default());
        }
        let config = pin(&CONFIGS, cfg).map_err(no_config)?;
        let config = config.try_lock().map_err(|_| no_config(Status::EBUSY))?;
        Ok(config.clone())
    }

    pub(crate) fn validate(&self) -> Result<ValidConfig, Failure> {
        self.settings.validate().map_err(|error| refused(&error))
    }

    pub(crate) fn into_settings(self) -> Settings {
        self.settings
    }
}

fn with_settings(
    cfg: *mut anz_config_t,
    work: impl FnOnce(&mut Settings) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let config = pin(&CONFIGS, cfg).map_err(no_config)?;
    let mut config = config.try_lock().map_err(|_| no_config(Status::EBUSY))?;
    work(&mut config.settings)
}

fn no_config(status: Status) -> Failure {
    let message = match status {
        Status::EINVAL => "the configuration is NULL",
        Status::EBUSY => "another thread is using this configuration",
        _ => "this configuration was freed, or is none",
    };
    Failure::new(status, message)
}

/// # Safety
/// As [`text`].
unsafe fn argument<'a>(name: &str, value: *const c_char) -> Result<&'a str, Failure> {
    // SAFETY: by contract.
    unsafe { text(value) }
        .map_err(|status| Failure::new(status, format!("the {name} is NULL or not UTF-8")))
}

fn refused(error: &ConfigError) -> Failure {
    let mut failure = Failure::new(Status::ECONFIG, error.to_string());
    failure.os_errno = error.os_error().unwrap_or(0);
    failure
}

static CONFIGS: Table<Mutex<Config>> = Table::new(0xA1);
