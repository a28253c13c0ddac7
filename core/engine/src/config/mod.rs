//! Configuration: parsed once into a typed [`ValidConfig`]; nothing after that looks at text again.
//!
//! | file | what |
//! |---|---|
//! | `keys` | the table of every key: type, range, default, effect, danger |
//! | `kind` | the types that a key can have, and how text becomes a value |
//! | `bridge` | tables of bridges |
//! | `domain` | tables of domains, and what they inherit |
//! | `presets` | sets of values for kinds of networks |
//! | `settings` | values collected from defaults, files and calls, each with its origin |
//! | `file` | TOML files, with line and column of every entry |
//! | `reader` | settings, read as what they are |
//! | `relations` | how values go together |
//! | `valid` | the typed result |
//! | `error` | what is wrong, where, and what to do about it |
//! | `nearest` | the key that was probably meant |

mod bridge;
mod domain;
mod error;
mod file;
mod keys;
mod kind;
mod nearest;
mod presets;
mod reader;
mod relations;
mod running;
mod settings;
mod valid;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use bridge::{BridgeConfig, BridgeEnd};
pub use error::{ConfigError, Origin, Problem};
pub use keys::{KEYS, Key, TakesEffect};
pub use kind::{Kind, StreamAddress, Value};
pub use settings::{Effective, Settings};
pub use valid::{
    AccessConfig, ClientConfig, ConnectConfig, DomainConfig, LogConfig, MessageConfig, NodeConfig,
    RingConfig, SealConfig, SessionConfig, StateConfig, ThreadConfig, TransportConfig, ValidConfig,
};
