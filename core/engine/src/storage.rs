//! What a domain asks of its storage.

use crate::state_file::Stored;

/// Makes the little durable that must outlive a process: who it is, and which ring numbers are used
/// up. Nothing here waits.
pub trait Storage {
    /// Begins to write; its end is told by [`take_written`](Self::take_written). Writes reach the
    /// disk in this order.
    fn write(&mut self, ticket: u64, stored: Stored);

    /// Appends the tickets of writes that ended since the last call, and whether they are durable.
    fn take_written(&mut self, out: &mut Vec<(u64, bool)>);

    /// Why writes failed since the last call, in words for the operator; who calls may not be who
    /// logs.
    fn take_failures(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Nothing will be written any more; true once what was is done, and the file is given back.
    fn close(&mut self) -> bool {
        true
    }
}

/// Without storage a core asks for no writes: all ring numbers are its own from the start.
impl<S: Storage> Storage for Option<S> {
    fn write(&mut self, ticket: u64, stored: Stored) {
        if let Some(storage) = self {
            storage.write(ticket, stored);
        }
    }

    fn take_written(&mut self, out: &mut Vec<(u64, bool)>) {
        if let Some(storage) = self {
            storage.take_written(out);
        }
    }

    fn take_failures(&mut self) -> Vec<String> {
        self.as_mut().map(Storage::take_failures).unwrap_or_default()
    }

    fn close(&mut self) -> bool {
        self.as_mut().is_none_or(Storage::close)
    }
}
