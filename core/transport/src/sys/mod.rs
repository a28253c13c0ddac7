//! System calls that the standard library and socket2 do not have, behind safe functions.
#![allow(unsafe_code)]

pub(crate) mod address;
pub(crate) mod epoll;
pub(crate) mod error_queue;
pub(crate) mod interfaces;
pub(crate) mod options;
pub(crate) mod receive;

pub(crate) mod send;
