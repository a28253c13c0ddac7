//! Datagrams that only holders of a key can make, read or repeat.
//!
//! [`Sealed`] wraps a transport: what goes out is sealed, what comes in is opened, and what does
//! not open is counted and goes no further. Nobody behind it parses a byte that was not
//! authenticated.
//!
//! ```text
//!   sealed.rs    the transport, with greetings between engines that do not know each other yet
//!   sealer.rs    own datagrams: boot id, counter, key   opener.rs   those of others
//!   header.rs    the 32 bytes in front                  window.rs   what has been seen
//!   suite.rs     the ciphers, and which key each gets   boots.rs    who is believed to be alive
//!   keys.rs      the keys that there are                file.rs     as they are written down
//!   rotation.rs  when a new key is sealed with          mismatch.rs who seals in another way
//!   sys/         memory that is not swapped
//! ```
//!
//! Time, randomness and files are the caller's: a boot id is an argument.
#![deny(unsafe_code)]

mod boots;
mod counters;
mod file;
mod header;
mod keys;
mod limits;
mod mismatch;
mod opener;
mod rotation;
mod sealed;
mod sealer;
mod suite;
mod sys;
mod window;

pub use boots::Boot;
pub use counters::SealCounters;
pub use file::KeyFileError;
pub use header::{is_sealed, nonce_of};
pub use keys::{KeyId, KeyInfo, KeyRing};
pub use limits::{KEY_FILE_LEN_MAX, OVERHEAD_LEN};
pub use mismatch::Mismatch;
pub use rotation::{Rotation, RotationError, RotationOutput};
pub use sealed::{Seal, Sealed};
pub use suite::Mode;
pub use sys::secret::{Secret, SecretError};
