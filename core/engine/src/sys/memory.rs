//! A session's memory: checked, mapped, and used as hostile ground. And the descriptor that wakes
//! its client.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use anasazi_queue::ring::{Consumer, Corrupt, Direction, Layout, Producer, PushError};
use anasazi_queue::wake;
use anasazi_stream::memory::Mapping;
use bytes::{Bytes, BytesMut};

use super::nudge::Nudger;
use super::order::{Next, Order};

/// Bytes of a record's header.
const HEADER_LEN: usize = 8;
/// Bytes of a ring that are given back in one go: they are zeroed.
const RELEASE_LEN_MAX: u64 = 4 << 20;

/// Both rings of a session, as the engine uses them.
pub struct Lane {
    incoming: Consumer,
    order: Order,
    outgoing: Producer,
    /// Something was put in since the client was last looked at.
    has_pushed: Cell<bool>,
    _mapping: Mapping,
}

/// A record copied out of the send ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What it is.
    pub kind: u16,
    /// Bytes of its payload; more than were copied if it exceeded the limit.
    pub len: usize,
    /// Bytes of the ring that it took to get here, what was skipped included.
    pub cost: usize,
    /// Where it lies.
    pub position: u64,
}

impl Lane {
    /// Maps what a client sent. Its bytes must still be all zero.
    ///
    /// # Errors
    /// What is wrong with the memory, in words for the client's author.
    pub fn map(memory: &OwnedFd, layout: Layout) -> io::Result<Self> {
        check_memory(memory, layout)?;
        let mapping = Mapping::of(memory, layout.len()).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot map the memory: {error}"))
        })?;
        let base = mapping.base();
        // SAFETY: page-aligned and mapped while the mapping lives, which is as long as the ends.
        // Its seals keep it from being shrunk. These are this process' only ends.
        let (incoming, outgoing) = unsafe {
            (
                Consumer::attach(base, layout, Direction::Send),
                Producer::attach(base, layout, Direction::Receive),
            )
        };
        let (order, has_pushed) = (Order::default(), Cell::new(false));
        Ok(Self { incoming, order, outgoing, has_pushed, _mapping: mapping })
    }

    /// A session's turn begins: what came since the last one may go first.
    pub fn begin_turn(&mut self) {
        self.order.begin();
    }

    /// Copies the next record's payload, at most `len_max` bytes of it, to the end of `into`.
    ///
    /// # Errors
    /// The client broke the ring.
    pub fn take(&mut self, into: &mut BytesMut, len_max: usize) -> Result<Option<Taken>, Corrupt> {
        let Some(next) = self.order.next(&self.incoming)? else { return Ok(None) };
        self.order.took(&next);
        let record = next.record;
        let copied = record.len.min(len_max);
        into.reserve(copied);
        // SAFETY: the source is inside the ring, which is mapped; the target has room for as much.
        // The client may write meanwhile: then these bytes are nonsense, and only the copy is
        // looked at.
        unsafe {
            let room = into.spare_capacity_mut().as_mut_ptr().cast::<u8>();
            std::ptr::copy_nonoverlapping(record.data, room, copied);
            into.set_len(into.len() + copied);
        }
        let (kind, len, position) = (record.kind, record.len, record.position);
        let cost = len + HEADER_LEN + self.order.skipped() as usize;
        Ok(Some(Taken { kind, len, cost, position }))
    }

    /// What the next record is. It stays the next one until it is taken, or a turn begins.
    ///
    /// # Errors
    /// The client broke the ring.
    pub fn next_kind(&mut self) -> Result<Option<u16>, Corrupt> {
        Ok(self.order.next(&self.incoming)?.map(|next| next.record.kind))
    }

    /// Copies the start of the next record's payload, at most `len_max` bytes, and says what it is.
    /// The client may change it before it is taken.
    ///
    /// # Errors
    /// The client broke the ring.
    pub fn peek(&mut self, into: &mut Vec<u8>, len_max: usize) -> Result<Option<u16>, Corrupt> {
        let Some(Next { record, .. }) = self.order.next(&self.incoming)? else { return Ok(None) };
        let copied = record.len.min(len_max);
        into.clear();
        into.reserve(copied);
        // SAFETY: the source is inside the ring, which is mapped; the target has room for as much.
        // The client may write meanwhile: then these bytes are nonsense, and only the copy is
        // looked at.
        unsafe {
            std::ptr::copy_nonoverlapping(record.data, into.as_mut_ptr(), copied);
            into.set_len(copied);
        }
        Ok(Some(record.kind))
    }

    /// Everything in the send ring before this position was taken.
    pub fn taken_to(&self) -> u64 {
        self.order.taken_to(&self.incoming)
    }

    /// Gives back to the client what lies before everything that waits, some of it at a time. True:
    /// the client waits for the room, wake it.
    #[must_use = "the client sleeps on"]
    pub fn release_taken(&mut self) -> bool {
        self.incoming.release_some(self.taken_to(), RELEASE_LEN_MAX);
        self.incoming.room_wanted()
    }

    /// There is more to be given back.
    pub fn owes_room(&self) -> bool {
        self.taken_to() > self.incoming.released_to()
    }

    /// There is something in the send ring that was looked at and not taken.
    pub fn has_waiting(&self) -> bool {
        self.order.has_waiting()
    }

    /// Says that nobody looks at the send ring from now on, until the client's wake-up. False:
    /// there is something in it.
    #[must_use = "false: there is something to take"]
    pub fn sleep(&self) -> bool {
        !self.order.has_waiting() && self.incoming.prepare_sleep()
    }

    /// What is next is not taken for now: asks to be woken by what might go before it. False: there
    /// is something to look at.
    #[must_use = "false: there is something to look at"]
    pub fn sleep_before_next(&self) -> bool {
        self.order.is_blocked() || self.incoming.prepare_sleep()
    }

    /// Puts a record in: `head`, then `pieces`. Leaves `spare` bytes free.
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn push(
        &self,
        spare: u32,
        kind: u16,
        head: &[u8],
        pieces: &[Bytes],
    ) -> Result<(), PushError> {
        let len = pieces.iter().fold(head.len(), |sum, piece| sum.saturating_add(piece.len()));
        let claim = self.outgoing.claim_sparing(spare, kind, 0, len)?;
        let mut room = claim.data;
        for part in std::iter::once(head).chain(pieces.iter().map(AsRef::as_ref)) {
            // SAFETY: the claim is as long as all parts together, and ours alone.
            unsafe {
                std::ptr::copy_nonoverlapping(part.as_ptr(), room, part.len());
                room = room.add(part.len());
            }
        }
        self.outgoing.commit(claim);
        self.has_pushed.set(true);
        Ok(())
    }

    /// After [`PushError::Full`]: asks the client to tell when there is room. True: there is room
    /// now.
    #[must_use = "true: nobody will tell"]
    pub fn want_room(&self, len: usize, spare: u32) -> bool {
        self.outgoing.want_room(len.saturating_add(spare as usize))
    }

    /// The client sleeps beside what was put in since the last call: wake it.
    #[must_use = "the client sleeps on"]
    pub fn wake_needed(&self) -> bool {
        self.has_pushed.take() && self.outgoing.wake_needed()
    }

    /// Where the client has claimed the next record of the send ring and not committed it.
    pub fn open_claim(&self) -> Option<u64> {
        self.incoming.open_claim()
    }

    /// Bytes used of the send ring, and its capacity.
    pub fn send_fill(&self) -> (u64, u64) {
        (self.incoming.used(), self.incoming.capacity())
    }

    /// How far the client has given the receive ring back: what it says beyond that is no room.
    pub fn read_to(&self) -> u64 {
        self.outgoing.released_to()
    }

    /// Bytes used of the receive ring, and its capacity.
    pub fn receive_fill(&self) -> (u64, u64) {
        (self.outgoing.used(), self.outgoing.capacity())
    }
}

/// The eventfd on which a client sleeps.
#[derive(Debug)]
pub enum ClientWaker {
    /// Of one who could stop this process anyway: written to.
    Trusted(OwnedFd),
    /// Of anybody else, who may have made it block.
    Stranger(OwnedFd, Arc<Nudger>),
}

impl ClientWaker {
    /// Ends the client's sleep.
    pub fn wake(&self) {
        match self {
            Self::Trusted(fd) => wake::wake(fd.as_raw_fd()),
            Self::Stranger(fd, nudger) => nudger.nudge(fd.as_fd()),
        }
    }
}

/// Refuses what is not a non-blocking eventfd.
///
/// # Errors
/// Says so.
pub fn check_eventfd(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 || flags & libc::O_NONBLOCK == 0 || flags & libc::O_ACCMODE != libc::O_RDWR {
        return Err(invalid("a wake-up descriptor is not in non-blocking mode"));
    }
    match std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())) {
        Ok(link) if link.as_os_str() != "anon_inode:[eventfd]" => {
            Err(invalid("a wake-up descriptor is not an eventfd"))
        }
        // Without /proc the mode has to do.
        _ => Ok(()),
    }
}

/// Whether the memory can be trusted to stay: nobody can shrink it. Where the system lends memory,
/// touching it never raises SIGBUS: if there is none left, the system ends some process for that.
/// Where it lends none, a page may be refused when it is touched; nothing that is done here would
/// help, for the client may give pages back at any time.
fn check_memory(memory: &OwnedFd, layout: Layout) -> io::Result<()> {
    // SAFETY: no pointers.
    let seals = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_GET_SEALS) };
    let needed = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    if seals < 0 || seals & needed != needed {
        return Err(invalid(
            "the memory is not a memfd sealed against shrinking, growing and sealing",
        ));
    }
    let mut system = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: room for a statfs.
    let result = unsafe { libc::fstatfs(memory.as_raw_fd(), system.as_mut_ptr()) };
    // SAFETY: read only if the call filled it in.
    if result != 0 || unsafe { system.assume_init_ref() }.f_type != libc::TMPFS_MAGIC {
        // Huge pages can run out under a mapping.
        return Err(invalid("the memory is not a memfd of ordinary pages"));
    }
    let mut file = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: room for a stat.
    let result = unsafe { libc::fstat(memory.as_raw_fd(), file.as_mut_ptr()) };
    // SAFETY: read only if the call filled it in.
    let size = (result == 0).then(|| unsafe { file.assume_init_ref() }.st_size);
    if size != i64::try_from(layout.len()).ok() {
        let text = format!("the memory's size is not {} bytes, as its rings need", layout.len());
        return Err(invalid(&text));
    }
    Ok(())
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
