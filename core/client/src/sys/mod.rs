//! Where the client touches memory by address and the kernel by system call: the only files of this
//! crate with `unsafe`.
//!
//! Everything above this folder is safe code over what is exported here.

#[cfg(test)]
pub(crate) mod fake_engine;
pub mod fork;
pub(crate) mod frame;
#[cfg(test)]
pub(crate) mod like_c;
pub(crate) mod link;
pub(crate) mod links;
pub(crate) mod lost;
pub(crate) mod notifier;
pub(crate) mod poll;
mod release;
pub(crate) mod socket;
pub mod table;
pub(crate) mod tokens;
