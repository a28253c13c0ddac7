//! Why an engine cannot start or go on, sorted by where the remedy lies.

use std::fmt;

use anasazi_protocol::Incarnation;

/// An engine that cannot start, or had to stop. Each text says what failed, on what, why, and what
/// to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The configuration is not valid.
    Config(String),
    /// The state file cannot be read, written or trusted.
    State(String),
    /// The network: address, port, interface, permission.
    Network(String),
    /// The socket for local clients.
    Socket(String),
    /// The system refused what every engine needs (descriptors, memory, a thread).
    System(String),
    /// The protocol had to stop: the node's id is in use.
    Protocol(String),
    /// An earlier start of this node had a newer incarnation: it has to start again above it.
    Outdated(Incarnation),
    /// An invariant broke, which is a bug; the flight recorder was written.
    Broken(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Config(text)
            | Self::State(text)
            | Self::Network(text)
            | Self::Socket(text)
            | Self::System(text)
            | Self::Protocol(text)
            | Self::Broken(text) => text,
            Self::Outdated(known) => {
                return write!(
                    f,
                    "others know an earlier start of this node, incarnation {:x}, that was newer: \
                     the clock of this machine was set back; set it, or give the node a state.dir",
                    known.0
                );
            }
        };
        f.write_str(text)
    }
}

impl std::error::Error for EngineError {}

impl From<crate::config::ConfigError> for EngineError {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}
