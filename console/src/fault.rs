//! What went wrong, and the exit codes. They are part of the interface: `--help` lists them.

use std::process::ExitCode;

use anasazi_client::{Failure, Status};
use anasazi_engine::EngineError;
use anasazi_engine::config::ConfigError;
use serde_json::json;

/// How the console ends when it could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Refused by the engine, or failed.
    Failed = 1,
    /// The command line or the configuration; nothing was tried.
    Usage = 2,
    /// No engine to talk to.
    Unreachable = 3,
    /// The time is over; as timeout(1).
    TimedOut = 124,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What went wrong: for scripts, and in a sentence.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) exit: Exit,
    text: String,
}

impl Fault {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(Exit::Failed, text)
    }

    pub(crate) fn timed_out(text: &str) -> Self {
        Self::new(Exit::TimedOut, format!("the time is over: {text}"))
    }

    /// A call of the session, named by `what`, gave this status.
    pub(crate) fn of_status(what: &str, status: Status) -> Self {
        Self::new(exit_of(status), format!("{what}: {} ({})", status.text(), status.name()))
    }

    /// Opening a session failed.
    pub(crate) fn of_opening(failure: Failure) -> Self {
        let exit = match failure.status {
            Status::EINVAL | Status::ECONFIG => Exit::Usage,
            Status::EACCES | Status::ENOTSUP | Status::EVERSION => Exit::Failed,
            _ => Exit::Unreachable,
        };
        Self::new(exit, failure.message)
    }

    /// The engine refused, or gave no answer. A refusal has its words in JSON.
    pub(crate) fn of_question(failure: Failure) -> Self {
        let answer = serde_json::from_str::<serde_json::Value>(&failure.message).ok();
        let words = answer.as_ref().and_then(|answer| answer["error"].as_str());
        Self::new(exit_of(failure.status), words.unwrap_or(&failure.message))
    }

    /// What the engine answered is not what engines answer.
    pub(crate) fn of_answer(error: serde_json::Error) -> Self {
        Self::failed(format!("the engine's answer is no JSON: {error}"))
    }

    /// In a sentence.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Says it on standard error.
    pub(crate) fn report(&self, as_json: bool) {
        if as_json {
            eprintln!("{}", json!({ "error": self.text, "exit": self.exit as u8 }));
        } else {
            eprintln!("anasazi: {}", self.text);
        }
    }
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error.to_string())
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        let exit = match error {
            EngineError::Config(_) => Exit::Usage,
            _ => Exit::Unreachable,
        };
        Self::new(exit, format!("an engine of this process cannot start: {error}"))
    }
}

fn exit_of(status: Status) -> Exit {
    match status {
        Status::ECONNREFUSED => Exit::Unreachable,
        Status::ETIMEDOUT => Exit::TimedOut,
        _ => Exit::Failed,
    }
}
