//! Messages with tags that the engine has taken and said nothing more of: what is lost if it goes
//! away.

use std::collections::{BTreeSet, VecDeque};

use anasazi_queue::plain::Plain;
use anasazi_queue::record::{DoneRecord, MessageRecord, MultiRecord, ReceiptRecord};
use anasazi_queue::record::{TakenEntry, TakenRecord, event};
use anasazi_queue::ring::Corrupt;

use super::{Local, Receiver};
use crate::core::Core;
use crate::sys::link::{Link, Taken};

#[derive(Default)]
pub(super) struct UnderWay {
    /// In the order in which they were taken; those of one priority end in that order, too.
    taken: VecDeque<TakenEntry>,
    /// Places in the send ring of messages that were taken ahead of others, which lie there as long
    /// as those.
    ahead: BTreeSet<u64>,
}

impl UnderWay {
    /// Looks at a record from the engine before it is shown.
    #[inline]
    pub(super) fn look_at(&mut self, link: &Link, taken: &Taken<'_>) -> Result<(), Corrupt> {
        if self.taken.is_empty() && taken.kind != event::TAKEN {
            return Ok(());
        }
        self.look_closely_at(link, taken)
    }

    fn look_closely_at(&mut self, link: &Link, taken: &Taken<'_>) -> Result<(), Corrupt> {
        let bytes = taken.bytes;
        let ended = match taken.kind {
            event::TAKEN => return self.take(link, bytes),
            event::DONE => DoneRecord::split_from(bytes).map(|(record, _)| (record.tag, 0)),
            event::RECEIPT => {
                ReceiptRecord::split_from(bytes).map(|(record, _)| (record.tag, record.handle))
            }
            event::MULTI => MultiRecord::split_from(bytes).map(|(record, _)| (record.tag, 0)),
            event::MESSAGE | event::UNICAST => {
                MessageRecord::split_from(bytes).map(|(record, _)| (record.tag, record.handle))
            }
            _ => None,
        };
        if let Some((tag, handle)) = ended.filter(|(tag, _)| *tag != 0) {
            self.end(tag, handle);
        }
        Ok(())
    }

    /// One with this tag, of this group if there are several.
    fn end(&mut self, tag: u64, handle: u32) {
        let exactly = self.taken.iter().position(|e| (e.tag, e.handle) == (tag, handle));
        let index = exactly.or_else(|| self.taken.iter().position(|entry| entry.tag == tag));
        index.and_then(|index| self.taken.remove(index));
    }

    fn take(&mut self, link: &Link, bytes: &[u8]) -> Result<(), Corrupt> {
        let (record, mut rest) = TakenRecord::split_from(bytes).ok_or(Corrupt)?;
        while !rest.is_empty() {
            let (entry, after) = TakenEntry::split_from(rest).ok_or(Corrupt)?;
            if let Some(units) = entry.ahead.checked_sub(1) {
                self.ahead.insert(record.up_to.wrapping_add(8 * u64::from(units)));
            }
            self.taken.push_back(entry);
            rest = after;
        }
        self.ahead = self.ahead.split_off(&record.up_to);
        link.note_taken(record.up_to);
        Ok(())
    }

    /// Nothing is awaited any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Receiver {
    /// The engine is gone: all that it had taken and said nothing of, and all that it had not, is
    /// lost. To be told after the engine's own end.
    pub(super) fn lose(&mut self, core: &Core) -> Vec<Local> {
        (0..self.flows.len()).flat_map(|lane| self.lose_lane(core, lane)).collect()
    }

    /// The same of one lane.
    pub(super) fn lose_lane(&mut self, core: &Core, lane: usize) -> Vec<Local> {
        let UnderWay { taken, ahead } = std::mem::take(&mut self.flows[lane].under_way);
        let mut lost: Vec<Local> =
            taken.into_iter().map(|entry| Local::Lost(entry.handle, entry.tag)).collect();
        if let Some(link) = core.links.enter().current(lane) {
            link.note_lost();
            link.each_left_behind(|position, handle, tag| {
                if !ahead.contains(&position) {
                    lost.push(Local::Lost(handle, tag));
                }
            });
        }
        lost
    }

    /// Frees old connections. What senders put in when they had not noticed the end is lost, too.
    pub(super) fn collect_links(&mut self, core: &Core) {
        let (local, is_over) = (&mut self.local, self.stage.is_over());
        let mut look = |link: &Link| {
            if link.is_lost() && !is_over {
                link.each_left_behind(|_, handle, tag| local.push_back(Local::Lost(handle, tag)));
            }
        };
        core.links.enter().all().for_each(&mut look);
        core.links.collect(look);
    }
}
