//! Memory that is not swapped out, and not in dumps: the only `unsafe` of this crate.
#![allow(unsafe_code)]

pub(crate) mod secret;
