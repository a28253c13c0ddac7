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

/// Records that are looked at ahead for one that is taken, and bytes without meaning that are
/// passed then.
const LOOKS_MAX: usize = 64;
const SKIPPED_MAX: u64 = 64 << 10;
/// Records of other priorities that are passed for one that is taken.
const STEPS_MAX: usize = 1_024;

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
    /// What was shown to be next, until it is taken or the turn is over.
    shown: Option<Next>,
    /// Bytes without meaning that were passed, and of which nobody was told.
    skipped: u64,
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

impl Order {
    /// The record that goes next: the same one until it is taken, or a turn begins. `None` also if
    /// it takes longer to find it, see [`Self::has_waiting`].
    ///
    /// # Errors
    /// The client broke the ring, and everything before that place was taken.
    pub(super) fn next(&mut self, ring: &Consumer) -> Result<Option<Next>, Corrupt> {
        if self.shown.is_none() {
            self.shown = self.choose(ring)?;
        }
        Ok(self.shown)
    }

    /// A turn begins: what came meanwhile may go first.
    pub(super) fn begin(&mut self) {
        self.shown = None;
    }

    fn choose(&mut self, ring: &Consumer) -> Result<Option<Next>, Corrupt> {
        self.look_ahead(ring);
        let end = ring.position();
        if let Some(record) = self.high {
            return Ok(Some(Next { record, end, priority: Some(Priority::High) }));
        }
        for priority in [Priority::Normal, Priority::Bulk] {
            let place = self.place(priority);
            if let Some((record, end)) = place.find(priority, ring) {
                return Ok(Some(Next { record, end, priority: Some(priority) }));
            }
            if place.waiting > 0 {
                return Ok(None);
            }
        }
        match self.last {
            Some(record) => Ok(Some(Next { record, end, priority: None })),
            None if self.is_broken => Err(Corrupt),
            None => Ok(None),
        }
    }

    /// Something was seen that was not taken.
    pub(super) fn has_waiting(&self) -> bool {
        let ahead = self.high.is_some() || self.last.is_some();
        ahead || self.normal.waiting > 0 || self.bulk.waiting > 0
    }

    /// Whatever comes into the ring now cannot go next.
    pub(super) fn is_blocked(&self) -> bool {
        self.high.is_some() || self.last.is_some() || self.is_broken
    }

    /// Bytes without meaning that were passed since this was last asked.
    pub(super) fn skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// It was taken.
    pub(super) fn took(&mut self, next: &Next) {
        self.shown = None;
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
        let enough = self.skipped + SKIPPED_MAX;
        for _ in 0..LOOKS_MAX {
            if self.is_blocked() || self.skipped >= enough {
                return;
            }
            let before = ring.position();
            let found = ring.next();
            let record = found.ok().flatten();
            self.skipped +=
                record.map_or_else(|| ring.position(), |record| record.position) - before;
            match (record, found) {
                (Some(record), _) => match priority(&record) {
                    None => self.last = Some(record),
                    Some(Priority::High) => self.high = Some(record),
                    Some(priority) => self.place(priority).saw(record.position),
                },
                (None, Err(Corrupt)) => self.is_broken = true,
                (None, _) => return,
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

    /// The first one that waits, and where the one behind it is. `None` while some wait: it is
    /// further away than one look goes.
    fn find(&mut self, wanted: Priority, ring: &Consumer) -> Option<(Record, u64)> {
        if self.waiting == 0 {
            return None;
        }
        for _ in 0..STEPS_MAX {
            let Some((record, end)) = ring.again(self.at) else {
                // Somebody has changed it.
                self.waiting = 0;
                return None;
            };
            if priority(&record) == Some(wanted) {
                return Some((record, end));
            }
            self.at = end;
        }
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
