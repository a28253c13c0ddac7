//! Where memory is lent to Python, which needs `unsafe`.

mod fork;
mod holding;
mod message;

pub(crate) use fork::watch_forks;
pub(crate) use holding::Holdings;
pub(crate) use message::Message;
