//! Why a run ends before its time.

use std::fmt;
use std::io;

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The histories break an axiom: the text shows them.
    Violation(String),
    /// What has to come in bounded time did not come, or a process ended by itself.
    Stuck(String),
    /// The test itself cannot go on: a command failed, a file cannot be written.
    Setup(String),
    /// SIGINT or SIGTERM.
    Interrupted,
}

impl Trouble {
    pub(crate) fn io(what: &str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Setup(format!("{what}: {error}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(text) => write!(f, "VIOLATION: {text}"),
            Self::Stuck(text) => write!(f, "STUCK: {text}"),
            Self::Setup(text) => write!(f, "cannot go on: {text}"),
            Self::Interrupted => write!(f, "interrupted"),
        }
    }
}
