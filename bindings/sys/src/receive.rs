//! Receiving: events in batches, and messages that are held where they lie.

use std::slice;

use crate::generated::{
    ANZ_EV_CLOSED, ANZ_EV_GAP, ANZ_EV_LEFT, ANZ_EV_MESSAGE, ANZ_EV_RECEIPT, ANZ_EV_REPLY,
    ANZ_EV_RESUMED, ANZ_EV_SUSPENDED, ANZ_EV_TRANSITIONAL, ANZ_EV_VIEW, ANZ_EV_WRITABLE,
    ANZ_EVF_MORE, ANZ_EVF_MULTI, anz_event, anz_event_groups, anz_member, anz_receipt, anz_recv,
    anz_release, anz_view, anz_view_id,
};
use crate::session::{Member, Session};
use crate::status::{Status, text};

/// Takes events from a session; one at a time is of use for each.
#[derive(Debug)]
pub struct Receiver {
    session: Session,
    events: Box<[anz_event]>,
}

// SAFETY: between two calls nothing is in the places for events.
unsafe impl Send for Receiver {}

impl Receiver {
    /// Takes up to `most` events at once.
    pub fn new(session: &Session, most: usize) -> Self {
        // SAFETY: numbers and pointers, for which 0 is one.
        let empty: anz_event = unsafe { std::mem::zeroed() };
        Self { session: session.clone(), events: vec![empty; most.max(1)].into() }
    }

    /// What is there; without waiting.
    ///
    /// # Errors
    /// `ANZ_ECLOSED`: after the last event; `ANZ_EBUSY`: another thread receives; `ANZ_EFORKED`.
    pub fn receive(&mut self) -> Result<Batch<'_>, Status> {
        self.receive_up_to(usize::MAX)
    }

    /// As [`receive`](Self::receive), at most so many.
    ///
    /// # Errors
    /// The same.
    pub fn receive_up_to(&mut self, most: usize) -> Result<Batch<'_>, Status> {
        let conn = self.session.borrow()?;
        self.events[0].struct_size = size_of::<anz_event>() as u32;
        let most = most.min(self.events.len());
        // SAFETY: a handle and so many places.
        match Status::check(unsafe { anz_recv(conn, self.events.as_mut_ptr(), most) }) {
            Ok(received) => {
                Ok(Batch { session: &self.session, events: &mut self.events[..received as usize] })
            }
            Err(status) => {
                self.session.give_back();
                Err(status)
            }
        }
    }
}

/// Events of one call. They are given back when this goes, but for messages that are held.
#[derive(Debug)]
pub struct Batch<'a> {
    session: &'a Session,
    events: &'a mut [anz_event],
}

impl Batch<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// One of them; it is a bug of the caller's if there are fewer.
    pub fn event(&self, at: usize) -> Event<'_> {
        Event { raw: &self.events[at], session: self.session }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        (0..self.len()).map(|at| self.event(at))
    }

    /// Keeps a message where it lies, without a copy; `None` if too much is held already (a quarter
    /// of the session's receive ring), or nothing is to be held: then copy it.
    ///
    /// The ring is used again in order: a message that is still held when it has gone round stops
    /// the session. So it is not to be held for longer than a part of the ring is received.
    pub fn hold(&mut self, at: usize) -> Option<Held> {
        let event = &mut self.events[at];
        if u32::from(event.type_) != ANZ_EV_MESSAGE || event.token == 0 {
            return None;
        }
        if !self.session.hold(event.len) {
            return None;
        }
        if self.session.borrow().is_err() {
            self.session.unhold(event.len);
            return None;
        }
        let held = Held { session: self.session.clone(), event: *event, process: process() };
        // Not given back with the batch.
        event.token = 0;
        Some(held)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for ended in self.events.iter().filter(|event| u32::from(event.type_) == ANZ_EV_LEFT) {
            self.session.forget(ended.group.addr());
        }
        // SAFETY: events of this session, not looked at again; those held have no token.
        unsafe {
            anz_release(self.session.borrowed(), self.events.as_ptr(), self.events.len());
        }
        self.session.give_back();
    }
}

/// A message that was not copied. What it takes up in the session's receive ring is given back when
/// it goes; the session's memory stays until then, even if it is closed.
#[derive(Debug)]
pub struct Held {
    session: Session,
    event: anz_event,
    process: u32,
}

// SAFETY: the message does not change, and may be given back from any thread.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// The message; `None` in a child that was forked since: it is not mapped there.
    pub fn data(&self) -> Option<&[u8]> {
        // Numbers of processes are given out again, in a namespace of their own even the same one.
        let is_here = self.process == process() && !self.session.is_inherited();
        // SAFETY: so much is there until it is released, in this process.
        is_here.then(|| unsafe { bytes(&self.event) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: one event of this session, not looked at again. In a forked child the library
        // leaves it alone.
        unsafe { anz_release(self.session.borrowed(), &raw const self.event, 1) };
        self.session.unhold(self.event.len);
        self.session.give_back();
    }
}

/// What an event is: `ANZ_EV_*`, with what is particular to each in [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in the header")]
pub enum Kind {
    Message,
    View,
    Transitional,
    Writable,
    Left,
    Suspended,
    Resumed,
    Closed,
    Receipt,
    Reply,
    Gap,
    /// Of a newer library.
    Unknown(u16),
}

/// One event, as long as its batch is there.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    raw: &'a anz_event,
    session: &'a Session,
}

impl<'a> Event<'a> {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match u32::from(self.raw.type_) {
            ANZ_EV_MESSAGE => Kind::Message,
            ANZ_EV_VIEW => Kind::View,
            ANZ_EV_TRANSITIONAL => Kind::Transitional,
            ANZ_EV_WRITABLE => Kind::Writable,
            ANZ_EV_LEFT => Kind::Left,
            ANZ_EV_SUSPENDED => Kind::Suspended,
            ANZ_EV_RESUMED => Kind::Resumed,
            ANZ_EV_CLOSED => Kind::Closed,
            ANZ_EV_RECEIPT => Kind::Receipt,
            ANZ_EV_REPLY => Kind::Reply,
            ANZ_EV_GAP => Kind::Gap,
            _ => Kind::Unknown(self.raw.type_),
        }
    }

    /// The key of its group; `None` for events of the session, and messages to it alone.
    pub fn group(&self) -> Option<usize> {
        Some(self.raw.group.addr()).filter(|key| *key != 0)
    }

    /// `Message`: sent to several groups.
    pub fn is_to_several(&self) -> bool {
        self.raw.flags & ANZ_EVF_MULTI != 0
    }

    /// The keys of all own groups that a message was sent to.
    pub fn groups(&self) -> Vec<usize> {
        if !self.is_to_several() {
            return self.group().into_iter().collect();
        }
        let mut groups = [std::ptr::null_mut(); 64];
        // SAFETY: an event that is not released, and so many places.
        let all = unsafe { anz_event_groups(self.raw, groups.as_mut_ptr(), groups.len()) };
        groups.iter().take(all).map(|group| group.addr()).collect()
    }

    /// Why, for those that end something.
    pub fn status(&self) -> Status {
        Status(self.raw.status)
    }

    /// `Message`: its service level.
    pub fn service(&self) -> u32 {
        u32::from(self.raw.service)
    }

    /// `Message`: who sent it. `Resumed`: our new identity.
    pub fn sender(&self) -> Member {
        self.raw.sender.into()
    }

    /// `Message`: its place in the group's order within the view, from 1; 0 if it has none.
    pub fn sequence(&self) -> u64 {
        self.raw.seq
    }

    /// Own messages, receipts and replies: the tag given to the call.
    pub fn tag(&self) -> u64 {
        self.raw.tag
    }

    /// `Reply`: further parts follow.
    pub fn has_more(&self) -> bool {
        self.raw.flags & ANZ_EVF_MORE != 0
    }

    /// The message, the part of a reply, or the reason in words.
    pub fn data(&self) -> &'a [u8] {
        // SAFETY: so much is there until the batch is given back.
        unsafe { bytes(self.raw) }
    }

    /// The reason in words, of `Left`, `Suspended`, `Closed`.
    pub fn reason(&self) -> String {
        String::from_utf8_lossy(self.data()).into_owned()
    }

    /// `View` and `Transitional`.
    pub fn view(&self) -> Option<View<'a>> {
        // SAFETY: NULL, or a view that is there until the batch is given back.
        unsafe { self.raw.view.as_ref() }.map(View)
    }

    /// `Receipt`: what became of the message with this tag.
    pub fn outcome(&self) -> Option<Status> {
        let is_whole = self.kind() == Kind::Receipt && self.raw.len >= size_of::<anz_receipt>();
        // SAFETY: the data of a receipt is one.
        is_whole.then(|| unsafe { (*self.raw.data.cast::<anz_receipt>()).status }).map(Status)
    }

    /// `Gap`: how many messages were skipped.
    pub fn skipped(&self) -> u64 {
        self.data().first_chunk().map_or(0, |number| u64::from_ne_bytes(*number))
    }

    /// Its session.
    pub fn session(&self) -> &'a Session {
        self.session
    }
}

/// Who is in a group now: `anz_view_t`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a>(&'a anz_view);

impl<'a> View<'a> {
    /// Equal ids: equal members, at every member. Ring sequence, representative, its incarnation,
    /// ordinal, and place below that.
    pub fn id(&self) -> (u64, u64, u64, u64, u32) {
        let anz_view_id { ring_seq, ring_rep, ring_incarnation, ordinal, sub, .. } = self.0.id;
        (ring_seq, ring_rep, ring_incarnation, ordinal, sub)
    }

    /// `ANZ_CAUSE_*`.
    pub fn cause(&self) -> u32 {
        self.0.cause
    }

    /// Everybody.
    pub fn members(&self) -> Vec<Member> {
        self.list(self.0.members, self.0.members_len)
    }

    /// Not in the view before.
    pub fn joined(&self) -> Vec<Member> {
        self.list(self.0.joined, self.0.joined_len)
    }

    /// In the view before, and gone.
    pub fn left(&self) -> Vec<Member> {
        self.list(self.0.left, self.0.left_len)
    }

    /// Came here with us from our last view.
    pub fn together(&self) -> Vec<Member> {
        self.list(self.0.together, self.0.together_len)
    }

    /// For each member which set it came with; 0: ours.
    pub fn sets(&self) -> Vec<u32> {
        if self.0.vs_set.is_null() {
            return Vec::new();
        }
        // SAFETY: one for each member, there as long as the view.
        unsafe { slice::from_raw_parts(self.0.vs_set, self.0.members_len) }.to_vec()
    }

    /// Who, why and on what evidence, in one sentence.
    pub fn reason(&self) -> String {
        // SAFETY: NULL or text that ends with 0, there as long as the view.
        unsafe { text(self.0.reason) }
    }

    fn list(&self, first: *const anz_member, len: usize) -> Vec<Member> {
        if first.is_null() {
            return Vec::new();
        }
        // SAFETY: so many members, there as long as the view.
        unsafe { slice::from_raw_parts(first, len) }.iter().copied().map(Member::from).collect()
    }
}

/// # Safety
/// The event's data is still there.
unsafe fn bytes(event: &anz_event) -> &[u8] {
    if event.data.is_null() {
        return &[];
    }
    // SAFETY: by contract.
    unsafe { slice::from_raw_parts(event.data.cast(), event.len) }
}

fn process() -> u32 {
    std::process::id()
}
