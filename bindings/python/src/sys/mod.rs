//! Where memory is lent to Python, which needs `unsafe`.

mod message;

pub(crate) use message::Message;
