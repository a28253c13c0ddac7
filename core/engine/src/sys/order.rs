//! Which record of a send ring goes next. Messages of a higher priority go before the session's
//! others that wait in the ring; what is no message is not overtaken, and overtakes nothing.
//!
//! Every priority has its own place in the ring, up to which its records were taken; the first
//! looks ahead for all. Nothing is copied for that: a record lies where its client has put it, and
//! a client that changes one there may find it taken twice, or never, to nobody's harm but its own.

use std::mem::offset_of;

use anasazi_protocol::Priority;
use anasazi_queue::record::{PRIO_BULK, PRIO_HIGH, SendRecord, request};
use anasazi_queue::ring::{Consumer, Corrupt, Record};

/// Records that are looked at ahead for one that is taken.
const LOOKS_MAX: usize = 64;

/// What is known of the records in a ring.
#[derive(Default)]
pub(super) struct Order {
    /// The first one of the highest priority. Nothing behind it was looked at.
    high: Option<Record>,
    normal: Place,
    bulk: Place,
    /// What is no message. Nothing behind it was looked at.
    last: Option<Record>,
    /// There is no record where one should be, behind all these.
    is_broken: bool,
}

/// Of one priority.
#[derive(Default)]
struct Place {
    /// Records before this place were taken, or are of another priority.
    at: u64,
    /// So many were seen and not taken.
    waiting: u64,
}

/// The next record.
#[derive(Clone, Copy)]
pub(super) struct Next {
    pub(super) record: Record,
    /// Where the one behind it is.
    end: u64,
    /// `None`: it is no message.
    priority: Option<Priority>,
}

// SAFETY: the pointers are into the session's memory, which belongs to no thread.
unsafe impl Send for Order {}

impl Order {
    /// The record that goes next.
    ///
    /// # Errors
    /// The client broke the ring, and everything before that place was taken.
    pub(super) fn next(&mut self, ring: &Consumer) -> Result<Option<Next>, Corrupt> {
        self.look_ahead(ring);
        let end = ring.position();
        if let Some(record) = self.high {
            return Ok(Some(Next { record, end, priority: Some(Priority::High) }));
        }
        for priority in [Priority::Normal, Priority::Bulk] {
            if let Some((record, end)) = self.place(priority).find(priority, ring) {
                return Ok(Some(Next { record, end, priority: Some(priority) }));
            }
        }
        match self.last {
            Some(record) => Ok(Some(Next { record, end, priority: None })),
            None if self.is_broken => Err(Corrupt),
            None => Ok(None),
        }
    }

    /// It was taken.
    pub(super) fn took(&mut self, next: &Next) {
        match next.priority {
            None => self.last = None,
            Some(Priority::High) => self.high = None,
            Some(priority) => {
                let place = self.place(priority);
                place.at = next.end;
                place.waiting = place.waiting.saturating_sub(1);
            }
        }
    }

    /// Everything before this position was taken.
    pub(super) fn taken_to(&self, ring: &Consumer) -> u64 {
        let first = [self.high, self.last].into_iter().flatten().map(|record| record.position);
        let places = [&self.normal, &self.bulk].into_iter().filter(|place| place.waiting > 0);
        first.chain(places.map(|place| place.at)).min().unwrap_or_else(|| ring.position())
    }

    fn look_ahead(&mut self, ring: &Consumer) {
        for _ in 0..LOOKS_MAX {
            if self.high.is_some() || self.last.is_some() || self.is_broken {
                return;
            }
            match ring.next() {
                Ok(Some(record)) => match priority(&record) {
                    None => self.last = Some(record),
                    Some(Priority::High) => self.high = Some(record),
                    Some(priority) => self.place(priority).saw(record.position),
                },
                Ok(None) => return,
                Err(Corrupt) => self.is_broken = true,
            }
        }
    }

    fn place(&mut self, priority: Priority) -> &mut Place {
        if priority == Priority::Bulk { &mut self.bulk } else { &mut self.normal }
    }
}

impl Place {
    fn saw(&mut self, position: u64) {
        if self.waiting == 0 {
            self.at = position;
        }
        self.waiting += 1;
    }

    /// The first one that waits, and where the one behind it is.
    fn find(&mut self, wanted: Priority, ring: &Consumer) -> Option<(Record, u64)> {
        if self.waiting == 0 {
            return None;
        }
        while let Some((record, end)) = ring.again(self.at) {
            if priority(&record) == Some(wanted) {
                return Some((record, end));
            }
            self.at = end;
        }
        // Somebody has changed it.
        self.waiting = 0;
        None
    }
}

/// Of a message; `None` if it is something else.
fn priority(record: &Record) -> Option<Priority> {
    if record.kind != request::SEND {
        return None;
    }
    if record.len < size_of::<SendRecord>() {
        return Some(Priority::Normal); // and malformed
    }
    // SAFETY: so many bytes, 8-byte aligned, inside the ring, which is mapped. The client may write
    // meanwhile; any bits are a number.
    let service =
        unsafe { record.data.add(offset_of!(SendRecord, service)).cast::<u32>().read_volatile() };
    Some(match service {
        service if service & PRIO_HIGH != 0 => Priority::High,
        service if service & PRIO_BULK != 0 => Priority::Bulk,
        _ => Priority::Normal,
    })
}
