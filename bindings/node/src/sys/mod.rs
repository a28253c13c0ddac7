//! What cannot be had safely: libuv.

mod uv;
pub mod watch;
