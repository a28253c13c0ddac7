//! What cannot be had safely: libuv, and memory that JavaScript sees.

pub mod external;
mod uv;
pub mod watch;
