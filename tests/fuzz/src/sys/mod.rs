//! Memory that others write to: the only place in this crate where `unsafe` is allowed.
#![allow(unsafe_code)]

pub(crate) mod ring;
