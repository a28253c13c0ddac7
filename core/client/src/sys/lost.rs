//! Receipts of messages that were lost with their engine: they lie in no ring, and stay until they
//! are released.

use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anasazi_queue::record::ReceiptRecord;
use anasazi_queue::status::Status;

use super::frame::{Content, Frame, Receipt};
use super::table::{Pinned, Table};

/// The receipts that were shown. Any thread may release them.
pub(crate) struct Lost {
    receipts: Table<Frame>,
    held: AtomicUsize,
}

impl Lost {
    pub(crate) fn new() -> Self {
        Self { receipts: Table::new(TAG), held: AtomicUsize::new(0) }
    }

    /// Makes one, and its token; `None` if there is no room for another sixteen million.
    pub(crate) fn add(
        &self,
        handle: u32,
        tag: u64,
        domain: &CStr,
    ) -> Option<(u64, Pinned<'_, Frame>)> {
        let receipt = Receipt::of(ReceiptRecord { handle, status: Status::ELOST.0, tag });
        let content = Content::Lost(receipt, domain.into());
        let token = self.receipts.insert(Frame { token: 0, content })?;
        self.held.fetch_add(1, Ordering::SeqCst);
        Some((token, self.receipts.pin(token)?))
    }

    /// Gives one back; false if the token is none of these. Tokens of rings count bytes and never
    /// come so far.
    pub(crate) fn release(&self, token: u64) -> bool {
        let released = token >> 56 == u64::from(TAG) && self.receipts.remove(token);
        if released {
            self.held.fetch_sub(1, Ordering::SeqCst);
        }
        released
    }

    /// Whether some are held.
    pub(crate) fn any_held(&self) -> bool {
        self.held.load(Ordering::SeqCst) != 0
    }
}

const TAG: u8 = 0xE1;
