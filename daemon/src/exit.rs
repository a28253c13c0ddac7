//! The exit codes. They are part of the interface: docs/OPERATIONS.md lists them.

use std::process::ExitCode;

/// How the daemon ends. Ended by a second signal, its code is 128 plus that signal's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Left the cluster, or did what was asked.
    Clean = 0,
    /// A fault of the engine, or a failing system call.
    Engine = 1,
    /// The command line or the configuration; nothing was started.
    Configuration = 2,
    /// The state file cannot be read, written or trusted.
    State = 3,
    /// The address, the port or the interface.
    Network = 4,
    /// The socket at which programs open sessions.
    Socket = 5,
    /// An invariant broke: a bug. The flight recorder was written.
    Broken = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
