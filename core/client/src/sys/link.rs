//! One connection's rings: the memory, the ends that are ours, and the descriptors that wake either
//! side.

use std::ffi::CStr;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use crate::group::GroupHandle;
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{SendRecord, request};
use anasazi_queue::ring::{Claim, Consumer, Corrupt, Direction, Layout, Producer, PushError};
use anasazi_stream::memory::Mapping;

use super::frame::{Content, Frame};
use super::poll::EventFd;
use super::table::{Pinned, Table};
use super::tokens::Tokens;

/// The client's half of a connection. Lives as long as anybody uses it, also when the engine has
/// long gone.
pub(crate) struct Link {
    producer: Producer,
    consumer: Consumer,
    wake_engine: EventFd,
    wake_client: EventFd,
    /// Counts the connections of a session, from 1.
    serial: u64,
    /// The name of its lane's domain.
    domain: Arc<CStr>,
    tokens: Tokens,
    /// The engine went away with messages of this connection.
    is_lost: AtomicBool,
    /// So that what is in an open claim is in no message by chance.
    claim_key: u64,
    /// How far the send ring was looked through for what the engine took, or will never take.
    looked_to: AtomicU64,
    frames: Table<Frame>,
    frames_len: AtomicUsize,
    /// Dropped last: the ends above point into it.
    _mapping: Mapping,
}

/// A record given out: for the owner to show, and to release unless its reader keeps it.
#[derive(Clone, Copy)]
pub(crate) struct Taken<'a> {
    pub(crate) token: u64,
    pub(crate) kind: u16,
    /// 8-byte aligned.
    pub(crate) bytes: &'a [u8],
}

/// Room in the ring for a message, to be filled in by its sender and then committed or aborted.
#[derive(Clone, Copy, Debug)]
pub struct OpenClaim {
    /// Where to put the message.
    pub data: *mut u8,
    /// Bytes of the message.
    pub len: usize,
    /// For the call that ends the claim.
    pub token: u64,
}

/// A message that is being put into the ring.
pub(crate) struct Writing<'a> {
    link: &'a Link,
    claim: Claim,
    at: usize,
}

impl Writing<'_> {
    /// Puts the next bytes in.
    pub(crate) fn put(&mut self, part: &[u8]) {
        self.link.fill(&self.claim, self.at, part);
        self.at = self.at.saturating_add(part.len());
    }

    /// The same of so few that nothing has to be called for it: in a loop compilers make a call of
    /// an address in a register, of which no test can tell where it goes.
    pub(crate) fn put_few<const LEN: usize>(&mut self, part: [u8; LEN]) {
        let end = self.at.saturating_add(LEN);
        if end <= self.claim.len {
            // SAFETY: inside the claim, which is ours until it is committed.
            unsafe { self.claim.data.add(self.at).cast::<[u8; LEN]>().write_unaligned(part) };
        }
        self.at = end;
    }
}

impl Link {
    /// Makes memory and descriptors for a connection, and what the engine has to get of the memory.
    pub(crate) fn create(
        layout: Layout,
        serial: u64,
        (lane, domain): (usize, Arc<CStr>),
        token_base: u64,
    ) -> io::Result<(Self, OwnedFd)> {
        let (mapping, memory) = Mapping::create(layout.len())?;
        // SAFETY: a fresh, zero, page-aligned mapping of the layout's length, which lives as long
        // as these two; no other such ends are made on our side.
        let (producer, consumer) = unsafe {
            (
                Producer::attach(mapping.base(), layout, Direction::Send),
                Consumer::attach(mapping.base(), layout, Direction::Receive),
            )
        };
        let link = Self {
            producer,
            consumer,
            wake_engine: EventFd::new()?,
            wake_client: EventFd::new()?,
            serial,
            domain,
            tokens: Tokens::new(lane, token_base),
            is_lost: AtomicBool::new(false),
            claim_key: RandomState::new().hash_one(serial),
            looked_to: AtomicU64::new(0),
            frames: Table::new(FRAME_TAG),
            frames_len: AtomicUsize::new(0),
            _mapping: mapping,
        };
        Ok((link, memory))
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn lane(&self) -> usize {
        self.tokens.lane()
    }

    /// The name of its domain, which stays where it is as long as records of it are held.
    pub(crate) fn domain(&self) -> &CStr {
        &self.domain
    }

    /// Descriptors that the engine gets beside the memory: the one that wakes it, the one that
    /// wakes us.
    pub(crate) fn wake_fds(&self) -> [RawFd; 2] {
        [self.wake_engine.as_raw_fd(), self.wake_client.as_raw_fd()]
    }

    // ---- sending: everything here is safe in a signal handler

    /// Puts a message in and wakes the engine if it sleeps. The parts are copied.
    pub(crate) fn send<'a>(
        &self,
        head: SendRecord,
        len: usize,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), PushError> {
        let claim = self.claim(len)?;
        self.fill(&claim, 0, head.as_bytes());
        let mut at = SEND_HEAD_LEN;
        for part in parts {
            self.fill(&claim, at, part);
            at = at.saturating_add(part.len());
        }
        self.commit(claim);
        Ok(())
    }

    /// The same, of what `write` puts in.
    pub(crate) fn send_by(
        &self,
        head: SendRecord,
        len: usize,
        write: impl FnOnce(&mut Writing<'_>),
    ) -> Result<(), PushError> {
        let mut message = Writing { link: self, claim: self.claim(len)?, at: 0 };
        message.put(head.as_bytes());
        write(&mut message);
        self.commit(message.claim);
        Ok(())
    }

    /// Claims room for a message of `len` bytes and what describes it. Its frame is gone when the
    /// rest begins.
    #[inline(never)]
    fn claim(&self, len: usize) -> Result<Claim, PushError> {
        let len = len.checked_add(SEND_HEAD_LEN).ok_or(PushError::TooLong)?;
        self.producer.claim_sparing(CLOSE_LEN, request::SEND, 0, len)
    }

    /// Claims room for a message that its sender fills in himself.
    pub(crate) fn claim_open(&self, handle: u32, len: usize) -> Result<OpenClaim, PushError> {
        let claim = self.claim(len)?;
        let mark = self.open_mark(&claim, handle, len);
        Self::mark_of(&claim).store(mark, Ordering::Release);
        let data = claim.data.wrapping_add(SEND_HEAD_LEN);
        Ok(OpenClaim { data, len, token: claim.position() })
    }

    /// The claim that `claim_open` made, if this is one of this link and nobody has taken it back
    /// so yet, to commit or abort it.
    pub(crate) fn reclaim(&self, handle: u32, open: &OpenClaim) -> Option<Claim> {
        let len = open.len.checked_add(SEND_HEAD_LEN)?;
        let claim = self.producer.reclaim(open.token, request::SEND, 0, len)?;
        if claim.data.wrapping_add(SEND_HEAD_LEN) != open.data {
            return None;
        }
        let (mark, open) = (Self::mark_of(&claim), self.open_mark(&claim, handle, open.len));
        let won = mark.compare_exchange(open, !open, Ordering::AcqRel, Ordering::Relaxed);
        won.is_ok().then_some(claim)
    }

    /// Where an open claim says that it is one.
    fn mark_of(claim: &Claim) -> &AtomicU64 {
        // SAFETY: a record's data are 8-byte aligned and in the ring, which lives as long as the
        // link, and a head is longer than a word. Of those who end a claim, one changes this word
        // as a whole before it writes the rest; who comes with an old token may find what another
        // is writing there as bytes, reads some value of it, and takes none for an open claim's.
        unsafe { AtomicU64::from_ptr(claim.data.cast()) }
    }

    /// What stands there: of this place, this group and this length only.
    fn open_mark(&self, claim: &Claim, handle: u32, len: usize) -> u64 {
        let place = (claim.position() ^ self.claim_key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        place ^ u64::from(handle) << 32 ^ len as u64
    }

    /// Sends a claim.
    pub(crate) fn commit_open(&self, claim: Claim, head: SendRecord) {
        self.fill(&claim, 0, head.as_bytes());
        self.commit(claim);
    }

    /// Gives a claim up.
    pub(crate) fn abort(&self, claim: Claim) {
        self.producer.abort(claim);
        self.wake_engine();
    }

    /// Copies bytes into a claim; what would go over its end is left out.
    fn fill(&self, claim: &Claim, at: usize, bytes: &[u8]) {
        let len = bytes.len().min(claim.len.saturating_sub(at));
        // SAFETY: `at + len` is inside the claim, which is ours until it is committed; `bytes`
        // cannot lie in it, since nobody else knows it.
        unsafe { claim.data.add(at.min(claim.len)).copy_from_nonoverlapping(bytes.as_ptr(), len) };
    }

    #[inline(never)]
    fn commit(&self, claim: Claim) {
        self.producer.commit(claim);
        self.wake_engine();
    }

    /// Puts a record in that is no message.
    pub(crate) fn request(&self, kind: u16, parts: &[&[u8]]) -> Result<(), PushError> {
        let spare = if kind == request::CLOSE { 0 } else { CLOSE_LEN };
        self.producer.push_sparing(spare, kind, 0, parts)?;
        self.wake_engine();
        Ok(())
    }

    /// After [`PushError::Full`] for a payload of `len` bytes: asks to be woken when there is room.
    /// True: there is already.
    pub(crate) fn want_room(&self, len: usize) -> bool {
        self.producer.want_room(len.saturating_add(SEND_HEAD_LEN + CLOSE_LEN as usize))
    }

    /// Longest message that the ring carries.
    pub(crate) fn message_len_max(&self) -> usize {
        self.producer.record_len_max() - SEND_HEAD_LEN
    }

    /// Whether the engine was woken since the last call; whoever asks is the engine's poller.
    pub(crate) fn has_woken_engine(&self) -> bool {
        self.wake_engine.take()
    }

    /// Whether the engine woke this side since the last call; whoever asks is this side's poller.
    pub(crate) fn is_woken(&self) -> bool {
        self.wake_client.take()
    }

    fn wake_engine(&self) {
        if self.producer.wake_needed() {
            self.wake_engine.wake();
        }
    }

    // ---- receiving: the session's owner only, but for `release`

    /// The next record, if any; it stays until it is released.
    pub(crate) fn next(&self) -> Result<Option<Taken<'_>>, Corrupt> {
        let Some(record) = self.consumer.next()? else { return Ok(None) };
        let token = self.tokens.give(record.position);
        // SAFETY: the ring says that the record's bytes lie inside it until it is released, and the
        // ring lives as long as `self`. Who releases it promises (`Session::release`) to have no
        // reference to it any more.
        let bytes = unsafe { slice::from_raw_parts(record.data, record.len) };
        Ok(Some(Taken { token, kind: record.kind, bytes }))
    }

    /// The groups that a held message was sent to, if they are several.
    pub(crate) fn groups_of(&self, token: u64) -> Option<Box<[GroupHandle]>> {
        let mut found = None;
        self.frames.each(|_, frame| {
            if let (true, Content::Groups(groups)) = (frame.token == token, &frame.content) {
                found = Some(groups.clone());
            }
        });
        found
    }

    /// Keeps a struct that describes a record until the record is released.
    pub(crate) fn keep(&self, frame: Frame) -> Option<Pinned<'_, Frame>> {
        let handle = self.frames.insert(frame)?;
        self.frames_len.fetch_add(1, Ordering::SeqCst);
        self.frames.pin(handle)
    }

    /// Whether the token is of this connection.
    pub(crate) fn gave_out(&self, token: u64) -> bool {
        self.tokens.gave_out(token)
    }

    /// Gives records back to the engine; any thread. Tokens of records that are not held are
    /// ignored.
    pub(crate) fn release(&self, tokens: impl Iterator<Item = u64>) {
        let mut framed = self.frames_len.load(Ordering::SeqCst) > 0;
        self.consumer.release_each(tokens.map(|token| {
            if framed {
                framed = self.drop_frame(token);
            }
            self.tokens.position_of(token)
        }));
        if self.consumer.room_wanted() {
            self.wake_engine.wake();
        }
    }

    /// Drops the frame of a record that is being released; false if no frames are left.
    fn drop_frame(&self, token: u64) -> bool {
        let mut found = None;
        self.frames.each(|handle, frame| {
            if frame.token == token {
                found = Some(handle);
            }
        });
        if found.is_some_and(|handle| self.frames.remove(handle)) {
            return self.frames_len.fetch_sub(1, Ordering::SeqCst) > 1;
        }
        true
    }

    /// Says that we are about to sleep; false if there is something to take.
    pub(crate) fn may_sleep(&self) -> bool {
        self.consumer.prepare_sleep()
    }

    /// Awake: the engine need not wake us.
    pub(crate) fn stay_awake(&self) {
        self.consumer.cancel_sleep();
    }

    // ---- losing the engine: the session's owner only

    /// The engine has taken what lies in the send ring before this position, and said of what.
    pub(crate) fn note_taken(&self, up_to: u64) {
        self.looked_to.fetch_max(up_to, Ordering::SeqCst);
    }

    /// The engine is gone, and will take nothing more.
    pub(crate) fn note_lost(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
        // Who commits looks at it after a fence: one of the two sees the other.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    /// Shows the messages with tags that lie in the send ring behind all that the engine has taken
    /// in order, each once: its place, the number of the group, and the tag. Senders that have not
    /// noticed yet may add some: look again when none of them is left.
    pub(crate) fn each_left_behind(&self, mut show: impl FnMut(u64, u32, u64)) {
        let mut at = self.looked_to.load(Ordering::SeqCst).max(self.producer.passed());
        while let Some(record) = self.producer.committed_at(at) {
            let position = std::mem::replace(&mut at, record.next);
            if record.kind == request::SEND && record.len >= SEND_HEAD_LEN {
                // SAFETY: so many bytes, 8-byte aligned, inside the ring; the copy may be nonsense
                // if the engine is hostile, but any bytes are such a record.
                let head = unsafe { record.data.cast::<SendRecord>().read() };
                if head.tag != 0 {
                    show(position, head.handle, head.tag);
                }
            }
        }
        self.looked_to.store(at, Ordering::SeqCst);
    }

    /// Whether somebody still reads records of this connection.
    pub(crate) fn is_held(&self) -> bool {
        self.consumer.held() != 0
    }

    /// From where on the connection after this one gives out tokens.
    pub(crate) fn tokens_after(&self) -> u64 {
        self.tokens.after()
    }

    /// Something came from the engine that was not taken yet.
    pub(crate) fn has_waiting(&self) -> bool {
        self.consumer.waiting() > 0
    }

    /// Bytes in use and capacity of the send ring, then of the receive ring.
    pub(crate) fn fill_levels(&self) -> [u64; 4] {
        let (producer, consumer) = (&self.producer, &self.consumer);
        [producer.used(), producer.capacity(), consumer.used(), consumer.capacity()]
    }
}

/// Bytes that every push leaves free, so that a session can always say that it closes.
const CLOSE_LEN: u32 = 8;
const SEND_HEAD_LEN: usize = size_of::<SendRecord>();
const FRAME_TAG: u8 = 0xF7;
