//! Where memory is lent to Python, which needs `unsafe`.

mod holding;
mod message;

pub(crate) use holding::Holdings;
pub(crate) use message::Message;
