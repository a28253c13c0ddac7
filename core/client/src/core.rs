//! What all threads of a session share.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, Mutex, TryLockError};

use anasazi_queue::plain::Plain;
use anasazi_queue::record::{JoinRecord, LeaveRecord, Member, PeerRecord, request};
use anasazi_queue::ring::{Layout, PushError};
use anasazi_queue::status::Status;

use crate::connector::Connector;
use crate::failure::Failure;
use crate::group::{DEFAULT_DOMAIN, Group, GroupHandle, GroupStage};
use crate::receiver::Receiver;
use crate::session::SessionOptions;
use crate::sys::fork;
use crate::sys::link::Link;
use crate::sys::links::{LANES_MAX, Links};
use crate::sys::lost::Lost;
use crate::sys::notifier::{Call, Notification};
use crate::sys::poll::{EventFd, Poll, now_ns};

/// The shared part of a session. All but `receiver` may be used by any thread at any time, without
/// waiting.
pub(crate) struct Core {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) options: SessionOptions,
    pub(crate) layout: Layout,
    pub(crate) links: Links,
    pub(crate) lost: Lost,
    /// Only ever tried, but by who sets it. Dropped before the descriptor that it watches.
    notification: Mutex<Option<Notification>>,
    pub(crate) poll: Poll,
    /// Ends a wait.
    pub(crate) interrupt: EventFd,
    pub(crate) counters: Counters,
    /// When everything that there was had been received, last.
    pub(crate) emptied_ns: AtomicI64,
    /// Largest message that the engine takes; 0 until it said so.
    pub(crate) message_len_max: AtomicU32,
    /// Somebody was refused for want of room; the receiver looks for it, for messages of
    /// `room_len`. A bit and a length for each lane.
    pub(crate) room_wanted: AtomicU64,
    pub(crate) room_len: [AtomicUsize; LANES_MAX],
    /// Some group is to be joined or left, and the engine does not know yet.
    pub(crate) groups_wait: AtomicBool,
    identity: [AtomicU64; 2],
    phase: AtomicU8,
    fork_mark: u64,
    /// For the one thread that receives. Only ever tried: nobody waits for it.
    receiver: Mutex<Receiver>,
}

/// What an application can ask about a session's traffic.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) sent_messages: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) send_again: AtomicU64,
    pub(crate) received_messages: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) views: AtomicU64,
    pub(crate) reconnects: AtomicU64,
}

/// How far a session is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Phase {
    Open,
    /// Its last event was shown.
    Over,
    /// The application closed it; the owner of the receiver, whoever that is, has to take it down.
    Closing,
    /// Nothing is left.
    Down,
}

impl Core {
    pub(crate) fn new(
        connector: Arc<dyn Connector>,
        options: SessionOptions,
    ) -> Result<Arc<Self>, Failure> {
        let layout = Layout::new(options.send_ring_len, options.receive_ring_len);
        let layout = layout.ok_or_else(|| {
            let message = "session.send_ring_len and session.receive_ring_len must be powers of \
                           two from 64 KiB to 256 MiB";
            Failure::new(Status::EINVAL, message)
        })?;
        let made = || -> io::Result<_> { Ok((Poll::new()?, EventFd::new()?)) };
        let (poll, interrupt) = made().map_err(|error| {
            Failure::system("making a session's descriptors", &error, "see ulimit -n")
        })?;
        Ok(Arc::new(Self {
            connector,
            options,
            layout,
            links: Links::new(),
            lost: Lost::new(),
            poll,
            interrupt,
            counters: Counters::default(),
            emptied_ns: AtomicI64::new(now_ns()),
            message_len_max: AtomicU32::new(0),
            room_wanted: AtomicU64::new(0),
            room_len: [const { AtomicUsize::new(0) }; LANES_MAX],
            groups_wait: AtomicBool::new(false),
            notification: Mutex::default(),
            identity: [const { AtomicU64::new(0) }; 2],
            phase: AtomicU8::new(Phase::Open as u8),
            fork_mark: fork::mark(),
            receiver: Mutex::new(Receiver::new()),
        }))
    }

    /// Whether this is still the process that opened the session. Safe in a signal handler.
    pub(crate) fn check_fork(&self) -> Result<(), Status> {
        if fork::is_current(self.fork_mark) { Ok(()) } else { Err(Status::EFORKED) }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Open,
            1 => Phase::Over,
            2 => Phase::Closing,
            _ => Phase::Down,
        }
    }

    /// Goes on to a phase, never back.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
    }

    /// Runs something as the receiver's owner; afterwards takes the session down if that was asked
    /// for meanwhile.
    ///
    /// # Errors
    /// `EBUSY` while another thread, or this one in an outer call, is the owner.
    pub(crate) fn own<R>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Receiver) -> R,
    ) -> Result<R, Status> {
        let result = match self.receiver.try_lock() {
            Ok(mut receiver) => work(&mut receiver),
            // A sink panicked; the receiver's state is good after every step.
            Err(TryLockError::Poisoned(poisoned)) => work(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => return Err(Status::EBUSY),
        };
        self.finish_closing();
        Ok(result)
    }

    /// Takes the session down if it was closed. Who finds the receiver busy leaves it to its owner,
    /// who looks again after letting go of it.
    pub(crate) fn finish_closing(self: &Arc<Self>) {
        if self.phase() != Phase::Closing {
            return;
        }
        match self.receiver.try_lock() {
            Ok(mut receiver) => receiver.take_down(self),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take_down(self),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Has this called each time that the descriptor becomes readable; see
    /// [`Session::set_notify`](crate::Session::set_notify).
    pub(crate) fn set_notification(&self, call: Option<Call>) -> Result<(), Status> {
        let mut present = match self.notification.try_lock() {
            Ok(present) => present,
            Err(TryLockError::Poisoned(present)) => present.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Status::EBUSY),
        };
        if present.as_ref().is_some_and(Notification::is_within) {
            return Err(Status::EBUSY);
        }
        if let Some(before) = present.take() {
            before.end_and_wait();
        }
        if let Some(call) = call {
            let made = Notification::begin(self.poll.as_raw_fd(), call);
            *present = Some(made.map_err(|_| Status::ENOMEM)?);
        }
        drop(present);
        // Closed meanwhile: then whoever closed it may have found this busy.
        if self.phase() >= Phase::Closing {
            self.end_notification();
            return Err(Status::ECLOSED);
        }
        Ok(())
    }

    /// No notifying call begins any more.
    pub(crate) fn end_notification(&self) {
        if let Ok(mut present) = self.notification.try_lock() {
            *present = None;
        }
    }

    pub(crate) fn identity(&self) -> Member {
        let [node, session] = &self.identity;
        Member { node: node.load(Ordering::SeqCst), session: session.load(Ordering::SeqCst) }
    }

    pub(crate) fn set_identity(&self, member: Member) {
        self.identity[0].store(member.node, Ordering::SeqCst);
        self.identity[1].store(member.session, Ordering::SeqCst);
    }

    /// Notes that there was no room in that lane for a payload of that length, and asks for a
    /// wake-up. Safe in a signal handler.
    pub(crate) fn note_full(&self, lane: usize, link: Option<&Link>, len: usize) {
        self.counters.send_again.fetch_add(1, Ordering::Relaxed);
        if let Some(room_len) = self.room_len.get(lane) {
            room_len.fetch_max(len, Ordering::SeqCst);
            self.room_wanted.fetch_or(1 << lane, Ordering::SeqCst);
        }
        if link.is_none_or(|link| link.want_room(len)) {
            self.poll.nudge();
        }
    }

    /// Has the group joined and left on this connection as far as it wants to be and there is room.
    pub(crate) fn tend(&self, link: &Link, handle: GroupHandle, group: &Group) {
        let done = match group.stage() {
            GroupStage::Live => self.push_join(link, handle, group),
            GroupStage::LeaveWanted => self.push_leave(link, handle, group),
            GroupStage::Leaving | GroupStage::Ended => Ok(()),
        };
        if let Err(error) = done {
            self.groups_wait.store(true, Ordering::SeqCst);
            if error == PushError::Full {
                self.note_full(link.lane(), Some(link), JOIN_LEN_MAX);
            }
        }
    }

    fn push_join(&self, link: &Link, handle: GroupHandle, group: &Group) -> Result<(), PushError> {
        let serial = link.serial();
        // The lane of another domain by now: the receiver will find its own.
        if *link.domain() != *group.domain || !group.undertake_join(serial) {
            return Ok(());
        }
        group.views.store(0, Ordering::SeqCst);
        let (handle, flags) = (handle.number(), group.flags);
        let pushed = if let Some(to) = group.peer {
            let is_default = *group.domain == *DEFAULT_DOMAIN;
            let domain = if is_default { &[] } else { group.domain.to_bytes() };
            let record = PeerRecord { handle, reserved: 0, to };
            link.request(request::PEER, &[record.as_bytes(), domain])
        } else {
            let record = JoinRecord { handle, flags };
            link.request(request::JOIN, &[record.as_bytes(), group.name.as_bytes()])
        };
        match pushed {
            Ok(()) => {
                group.set_joined(serial);
                // Refused when it had no lane yet: now it is owed its `Writable`.
                if group.saw_full.load(Ordering::SeqCst) {
                    self.room_wanted.fetch_or(1 << link.lane(), Ordering::SeqCst);
                    self.poll.nudge();
                }
            }
            Err(_) => group.put_join_off(serial),
        }
        // Somebody may have wanted to leave meanwhile, and could not yet.
        if group.stage() == GroupStage::LeaveWanted {
            self.groups_wait.store(true, Ordering::SeqCst);
            self.poll.nudge();
        }
        pushed
    }

    fn push_leave(&self, link: &Link, handle: GroupHandle, group: &Group) -> Result<(), PushError> {
        if !group.is_joined_on(link.serial()) {
            return Ok(());
        }
        let record = LeaveRecord { handle: handle.number(), reserved: 0 };
        if !group.advance(GroupStage::LeaveWanted, GroupStage::Leaving) {
            return Ok(());
        }
        let pushed = link.request(request::LEAVE, &[record.as_bytes()]);
        if pushed.is_err() {
            group.advance(GroupStage::Leaving, GroupStage::LeaveWanted);
        }
        pushed
    }
}

/// Longest name of a group, in bytes.
pub(crate) const GROUP_NAME_LEN_MAX: usize = 255;
const JOIN_LEN_MAX: usize = size_of::<JoinRecord>() + GROUP_NAME_LEN_MAX;
