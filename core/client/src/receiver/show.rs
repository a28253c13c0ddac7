//! From records and own doings to events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    ClosedRecord, GapRecord, LeftRecord, MessageRecord, MultiRecord, ReceiptRecord, ReplyRecord,
    event,
};
use anasazi_queue::ring::Corrupt;
use anasazi_queue::status::Status;

use super::{Local, Receiver};
use crate::core::{Core, Phase};
use crate::event::{Event, EventKind, Hold};
use crate::group::{Group, GroupHandle, GroupStage};
use crate::sys::frame::{Content, Frame, Receipt, View};
use crate::sys::link::{Link, Taken};
use crate::sys::table::Pinned;

/// A group of this session, which stays where it is meanwhile.
type Found = (GroupHandle, Pinned<'static, Group>);
type Sink<'a> = &'a mut dyn FnMut(&Event<'_>) -> Hold;

impl Receiver {
    /// Shows up to `max` of the events that the client made itself.
    pub(super) fn show_local(&mut self, core: &Arc<Core>, max: usize, sink: Sink<'_>) -> usize {
        let mut shown = 0;
        while shown < max && core.phase() < Phase::Closing {
            let Some(local) = self.local.pop_front() else { break };
            if self.show_one_local(core, local, sink) {
                shown += 1;
            }
        }
        shown
    }

    fn show_one_local(&mut self, core: &Arc<Core>, local: Local, sink: Sink<'_>) -> bool {
        let event = match local {
            Local::Closed(status) => {
                core.set_phase(Phase::Over);
                if self.end_late_groups(core, status) {
                    return false;
                }
                Event { status, data: self.reason.as_bytes(), ..Event::bare(EventKind::Closed) }
            }
            Local::Left(handle, status, reason) => {
                let Some(group) = handle.pin() else { return false };
                self.ended.push(handle);
                self.words.push(reason);
                let data = self.words.last().map_or(&[][..], |words| words.as_bytes());
                let event = Event { status, data, ..of_group(EventKind::Left, handle, &group) };
                // Nothing to release.
                _ = sink(&event);
                return true;
            }
            Local::Lost(number, tag) => return show_lost(core, number, tag, sink),
            Local::Resumed(sender) => Event { sender, ..Event::bare(EventKind::Resumed) },
            Local::Suspended(reason) => {
                Event { data: reason.as_bytes(), ..Event::bare(EventKind::Suspended) }
            }
            Local::Writable(handle) => match handle.pin() {
                Some(group) if group.stage() == GroupStage::Live => {
                    _ = sink(&of_group(EventKind::Writable, handle, &group));
                    return true;
                }
                _ => return false,
            },
        };
        // Nothing to release.
        _ = sink(&event);
        true
    }

    /// Groups that were joined while the session ended. True if there are any: their ends come
    /// first.
    fn end_late_groups(&mut self, core: &Arc<Core>, status: Status) -> bool {
        GroupHandle::each_of(core, |handle, group| {
            if group.end() {
                self.local.push_back(Local::Left(handle, status, Arc::from(&self.reason[..])));
            }
        });
        let any = !self.local.is_empty();
        if any {
            self.local.push_back(Local::Closed(status));
        }
        any
    }

    /// Shows up to `max` events from the rings: a few of each lane in turn, until all are empty.
    pub(super) fn show_rings(&mut self, core: &Arc<Core>, max: usize, sink: Sink<'_>) -> usize {
        if self.sides.is_empty() {
            return self.show_ring(core, 0, max, sink);
        }
        let (mut shown, mut empty) = (0, 0);
        while shown < max && empty < self.flows.len() {
            let lane = self.turn_of % self.flows.len();
            let most = (max - shown).min(TURN_EVENTS);
            let of_lane = self.show_ring(core, lane, most, sink);
            shown += of_lane;
            empty = if of_lane == 0 { empty + 1 } else { 0 };
            self.turn_of = lane + 1;
        }
        shown
    }

    /// Shows up to `max` events from the ring of a lane.
    fn show_ring(&mut self, core: &Arc<Core>, lane: usize, max: usize, sink: Sink<'_>) -> usize {
        let in_use = core.links.enter();
        let Some(link) = in_use.current(lane) else { return 0 };
        let (mut shown, mut last) = (0, None);
        while shown < max && !self.flows[lane].is_broken && core.phase() == Phase::Open {
            match link.next() {
                Ok(None) => break,
                Ok(Some(taken)) => match self.show_record((core, link), taken, &mut last, sink) {
                    Ok(true) => shown += 1,
                    Ok(false) => link.release(std::iter::once(taken.token)),
                    Err(Corrupt) => {
                        link.release(std::iter::once(taken.token));
                        self.flows[lane].is_broken = true;
                    }
                },
                Err(Corrupt) => self.flows[lane].is_broken = true,
            }
        }
        shown
    }

    /// True if it was an event to show; false if not, and its record is to be released.
    fn show_record(
        &mut self,
        (core, link): (&Arc<Core>, &Link),
        taken: Taken<'_>,
        last: &mut Option<Found>,
        sink: Sink<'_>,
    ) -> Result<bool, Corrupt> {
        self.flows[link.lane()].under_way.look_at(link, &taken)?;
        match taken.kind {
            event::MESSAGE => show_message((core, link), taken, last, sink),
            event::UNICAST => show_unicast(core, link, taken, sink),
            event::MULTI => show_multi(core, link, taken, sink),
            event::VIEW => show_view(core, link, taken, sink),
            event::LEFT => self.show_left(core, link, taken, sink),
            event::REPLY => show_reply(link, taken, sink),
            event::RECEIPT => show_receipt(core, link, taken, sink),
            event::GAP => show_gap(core, link, taken, sink),
            event::CLOSED => {
                let (record, reason) = ClosedRecord::split_from(taken.bytes).ok_or(Corrupt)?;
                let reason = String::from_utf8_lossy(reason).into_owned();
                self.flows[link.lane()].last_word = Some((Status(record.status), reason));
                match link.lane() {
                    0 => self.hang_up(core),
                    lane => self.hang_up_lane(core, lane),
                }
                Ok(false)
            }
            // Of a later version; it cannot matter to us.
            _ => Ok(false),
        }
    }

    fn show_left(
        &mut self,
        core: &Arc<Core>,
        link: &Link,
        taken: Taken<'_>,
        sink: Sink<'_>,
    ) -> Result<bool, Corrupt> {
        let (record, data) = LeftRecord::split_from(taken.bytes).ok_or(Corrupt)?;
        let Some((handle, group)) = find(record.handle, (core, link)) else { return Ok(false) };
        if !group.end() {
            return Ok(false);
        }
        self.ended.push(handle);
        let status = Status(record.status);
        let event = Event { status, data, ..of_group(EventKind::Left, handle, &group) };
        hand_out(link, taken, event, sink);
        Ok(true)
    }
}

/// The group is often that of the message before: `last`.
fn show_message(
    (core, link): (&Arc<Core>, &Link),
    taken: Taken<'_>,
    last: &mut Option<Found>,
    sink: Sink<'_>,
) -> Result<bool, Corrupt> {
    let (record, data) = MessageRecord::split_from(taken.bytes).ok_or(Corrupt)?;
    if last.as_ref().is_none_or(|(handle, _)| handle.number() != record.handle) {
        *last = find(record.handle, (core, link));
    }
    let live = last.as_ref().filter(|(_, group)| group.stage() != GroupStage::Ended);
    let Some((handle, group)) = live else { return Ok(false) };
    count(core, data);
    let event = Event {
        sender: record.sender,
        service: record.service,
        sequence: record.sequence,
        tag: record.tag,
        data,
        ..of_group(EventKind::Message, *handle, group)
    };
    hand_out(link, taken, event, sink);
    Ok(true)
}

/// A message for this session alone.
fn show_unicast(
    core: &Core,
    link: &Link,
    taken: Taken<'_>,
    sink: Sink<'_>,
) -> Result<bool, Corrupt> {
    let (record, data) = MessageRecord::split_from(taken.bytes).ok_or(Corrupt)?;
    count(core, data);
    let event = Event {
        sender: record.sender,
        service: record.service,
        tag: record.tag,
        data,
        ..Event::bare(EventKind::Message)
    };
    hand_out(link, taken, event, sink);
    Ok(true)
}

/// A message to several groups, some of which are ours.
fn show_multi(
    core: &Arc<Core>,
    link: &Link,
    taken: Taken<'_>,
    sink: Sink<'_>,
) -> Result<bool, Corrupt> {
    let (record, rest) = MultiRecord::split_from(taken.bytes).ok_or(Corrupt)?;
    let list_len = (record.handles as usize).checked_mul(size_of::<u32>()).ok_or(Corrupt)?;
    let padded = list_len.checked_next_multiple_of(8).ok_or(Corrupt)?;
    let (list, data) = rest.split_at_checked(padded).ok_or(Corrupt)?;
    let numbers = list[..list_len].chunks_exact(size_of::<u32>());
    let numbers = numbers.map(|b| b.try_into().map_or(0, u32::from_ne_bytes));
    let mut groups: Vec<_> = numbers.map(|number| find(number, (core, link))).collect();
    // The position is that in the first; without it, there is none.
    let sequence = if groups.first().is_some_and(Option::is_some) { record.sequence } else { 0 };
    groups.retain(Option::is_some);
    let Some(Some((handle, group))) = groups.first() else { return Ok(false) };
    let multi = groups.len() > 1;
    if multi {
        let handles = groups.iter().flatten().map(|(handle, _)| *handle).collect();
        let frame = Frame { token: taken.token, content: Content::Groups(handles) };
        link.keep(frame).ok_or(Corrupt)?;
    }
    count(core, data);
    let event = Event {
        sender: record.sender,
        service: record.service,
        sequence,
        tag: record.tag,
        data,
        multi,
        ..of_group(EventKind::Message, *handle, group)
    };
    hand_out(link, taken, event, sink);
    Ok(true)
}

fn count(core: &Core, data: &[u8]) {
    // Only the session's owner counts here: no need to keep others from doing so.
    let add = |counter: &AtomicU64, more| {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    };
    add(&core.counters.received_messages, 1);
    add(&core.counters.received_bytes, data.len() as u64);
}

fn show_view(
    core: &Arc<Core>,
    link: &Link,
    taken: Taken<'_>,
    sink: Sink<'_>,
) -> Result<bool, Corrupt> {
    let (record, view) = View::of(taken.bytes).ok_or(Corrupt)?;
    let Some((handle, group)) = find(record.handle, (core, link)) else { return Ok(false) };
    let frame = Frame { token: taken.token, content: Content::View(view) };
    let kept = link.keep(frame).ok_or(Corrupt)?;
    let Content::View(view) = &kept.content else { return Err(Corrupt) };
    let kind = if record.transitional == 0 { EventKind::View } else { EventKind::Transitional };
    core.counters.views.fetch_add(1, Ordering::Relaxed);
    if kind == EventKind::View {
        group.views.fetch_add(1, Ordering::SeqCst);
    }
    let event = Event { view: Some(view), ..of_group(kind, handle, &group) };
    hand_out(link, taken, event, sink);
    Ok(true)
}

fn show_reply(link: &Link, taken: Taken<'_>, sink: Sink<'_>) -> Result<bool, Corrupt> {
    let (record, data) = ReplyRecord::split_from(taken.bytes).ok_or(Corrupt)?;
    let event = Event {
        status: Status(record.status),
        more: record.more != 0,
        tag: record.tag,
        data,
        ..Event::bare(EventKind::Reply)
    };
    hand_out(link, taken, event, sink);
    Ok(true)
}

/// Messages that were skipped, of a group or to this session alone.
fn show_gap(
    core: &Arc<Core>,
    link: &Link,
    taken: Taken<'_>,
    sink: Sink<'_>,
) -> Result<bool, Corrupt> {
    let (record, _) = GapRecord::split_from(taken.bytes).ok_or(Corrupt)?;
    let bare = if record.handle == 0 {
        Event::bare(EventKind::Gap)
    } else {
        let Some((handle, group)) = find(record.handle, (core, link)) else { return Ok(false) };
        Event { group: Some(handle), user_data: group.user_data, ..Event::bare(EventKind::Gap) }
    };
    let data = &taken.bytes[size_of::<GapRecord>() - size_of::<u64>()..size_of::<GapRecord>()];
    hand_out(link, taken, Event { data, ..bare }, sink);
    Ok(true)
}

fn show_receipt(
    core: &Arc<Core>,
    link: &Link,
    taken: Taken<'_>,
    sink: Sink<'_>,
) -> Result<bool, Corrupt> {
    let (record, _) = ReceiptRecord::split_from(taken.bytes).ok_or(Corrupt)?;
    let Some((handle, group)) = find(record.handle, (core, link)) else { return Ok(false) };
    let frame = Frame { token: taken.token, content: Content::Receipt(Receipt::of(record)) };
    let kept = link.keep(frame).ok_or(Corrupt)?;
    let Content::Receipt(receipt) = &kept.content else { return Err(Corrupt) };
    let event = Event {
        status: Status(record.status),
        tag: record.tag,
        data: receipt.as_bytes(),
        ..of_group(EventKind::Receipt, handle, &group)
    };
    hand_out(link, taken, event, sink);
    Ok(true)
}

/// A message that was lost with the engine. Its group may be ending: then that comes after this.
fn show_lost(core: &Arc<Core>, number: u32, tag: u64, sink: Sink<'_>) -> bool {
    let Some((handle, group)) = GroupHandle::of_number(number, core) else { return false };
    let Some((token, kept)) = core.lost.add(number, tag, &group.domain) else { return false };
    let Content::Lost(receipt, domain) = &kept.content else { return false };
    let event = Event {
        status: Status::ELOST,
        tag,
        data: receipt.as_bytes(),
        token,
        domain: Some(domain),
        ..of_group(EventKind::Receipt, handle, &group)
    };
    if sink(&event) == Hold::Release {
        core.lost.release(token);
    }
    true
}

/// Shows an event that lies in the ring.
fn hand_out(link: &Link, taken: Taken<'_>, event: Event<'_>, sink: Sink<'_>) {
    // A reply is of the whole session.
    let domain = (event.kind != EventKind::Reply).then(|| link.domain());
    let event = Event { token: taken.token, domain, ..event };
    if sink(&event) == Hold::Release {
        link.release(std::iter::once(taken.token));
    }
}

/// The group that the engine means, as long as it has not ended and is of the lane.
fn find(number: u32, (core, link): (&Arc<Core>, &Link)) -> Option<Found> {
    GroupHandle::of_number(number, core)
        .filter(|(_, group)| group.stage() != GroupStage::Ended && group.lane() == link.lane())
}

fn of_group(kind: EventKind, handle: GroupHandle, group: &Group) -> Event<'_> {
    let domain = Some(&*group.domain);
    Event { group: Some(handle), user_data: group.user_data, domain, ..Event::bare(kind) }
}

/// Events of one lane before the next one's turn.
const TURN_EVENTS: usize = 16;
