//! Configuration: parsed once into a typed [`ValidConfig`]; nothing after that looks at text again.
//!
//! | file | what |
//! |---|---|
//! | `keys` | the table of every key: type, range, default, effect, danger |
//! | `kind` | the types that a key can have, and how text becomes a value |
//! | `settings` | values collected from defaults, files and calls, each with its origin |
//! | `file` | TOML files, with line and column of every entry |
//! | `valid` | the typed result, and the relations between keys |
//! | `error` | what is wrong, where, and what to do about it |
//! | `nearest` | the key that was probably meant |

mod error;
mod file;
mod keys;
mod kind;
mod nearest;
mod settings;
mod valid;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Origin, Problem};
pub use keys::{KEYS, Key, TakesEffect};
pub use kind::{Kind, StreamAddress, Value};
pub use settings::{Effective, Settings};
pub use valid::{
    ClientConfig, ConnectConfig, LogConfig, MessageConfig, NodeConfig, RingConfig, SessionConfig,
    StateConfig, ThreadConfig, TransportConfig, ValidConfig,
};
