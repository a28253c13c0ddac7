//! Where the client touches memory by address and the kernel by system call: the only files of this crate with `unsafe`.
//!
//! Everything above this folder is safe code over what is exported here.

pub(crate) mod fork;
pub(crate) mod memory;
pub(crate) mod poll;
pub(crate) mod socket;
pub mod table;
