//! The public face of a session.

use std::ffi::{CStr, CString};
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anasazi_queue::hello::{DOMAIN_NAME_LEN_MAX, slow};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{JOIN_SEND_ONLY, Member, QueryRecord, request};
use anasazi_queue::ring::PushError;
use anasazi_queue::status::Status;

use crate::connector::Connector;
use crate::core::{Core, GROUP_NAME_LEN_MAX, Phase};
use crate::event::{Event, Hold};
use crate::failure::Failure;
use crate::group::{DEFAULT_DOMAIN, Group, GroupHandle, GroupStage, split_name};
use crate::sys::link::Link;
use crate::sys::notifier::Call;
use crate::sys::poll::{self, EdgeWatch, Waited, now_ns};

/// How a session is to be.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Bytes of the ring to the engine: a power of two from 64 KiB to 256 MiB. A message may be a
    /// quarter of it.
    pub send_ring_len: u32,
    /// Bytes of the ring from the engine: a power of two from 64 KiB to 256 MiB.
    pub receive_ring_len: u32,
    /// How long the first connection may take, and how long each later attempt.
    pub connect_timeout: Duration,
    /// Do not wait for the first connection: a `Resumed` or `Closed` event tells how it went.
    pub connect_async: bool,
    /// What the engine does when the program does not read as fast as it is sent to.
    pub slow: SlowPolicy,
}

/// What becomes of a session that does not read as fast as it is sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowPolicy {
    /// It is closed: `ESLOW`.
    #[default]
    Disconnect,
    /// The senders to its groups wait for it.
    Throttle,
    /// It misses messages, and is told how many: `Gap` events.
    Gap,
}

/// A client session with an engine. All calls but [`receive`](Session::receive) may be made by any
/// thread at any time; no call waits for another thread. Dropping it closes it.
pub struct Session {
    core: Arc<Core>,
}

/// What a session has done so far, and how full its rings are, those of all its lanes together.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "said by their names")]
pub struct SessionStats {
    pub sent_messages: u64,
    pub sent_bytes: u64,
    /// Sends refused with `EAGAIN`.
    pub send_again: u64,
    pub received_messages: u64,
    pub received_bytes: u64,
    pub views: u64,
    pub send_ring_used: u64,
    pub send_ring_size: u64,
    pub receive_ring_used: u64,
    pub receive_ring_size: u64,
    /// How long something has waited to be received, at most; 0 if nothing waits.
    pub lag_ns: u64,
    pub reconnects: u64,
}

impl SlowPolicy {
    /// The one with this name in a configuration; else the default.
    pub fn named(name: &str) -> Self {
        match name {
            "throttle" => Self::Throttle,
            "gap" => Self::Gap,
            _ => Self::Disconnect,
        }
    }

    /// As it is said to an engine.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Disconnect => slow::DISCONNECT,
            Self::Throttle => slow::THROTTLE,
            Self::Gap => slow::GAP,
        }
    }
}

impl Session {
    /// Opens a session. Waits for the engine's answer, at most `connect_timeout`, unless
    /// `connect_async` is set.
    ///
    /// # Errors
    /// What the connector says; the engine's own reason if it refuses; `ETIMEDOUT` if it does not
    /// answer; `EINVAL` for ring sizes that are none; `ENOMEM` if there are no descriptors or no
    /// memory to be had.
    pub fn open(connector: Arc<dyn Connector>, options: SessionOptions) -> Result<Self, Failure> {
        let session = Self { core: Core::new(connector, options)? };
        let core = &session.core;
        let busy = |status| Failure::new(status, "the session is in use");
        core.own(|receiver| receiver.start(core)).map_err(busy)?;
        if core.options.connect_async {
            return Ok(session);
        }
        loop {
            let (online, failure) = core
                .own(|receiver| {
                    receiver.turn(core);
                    let (online, failure) = (receiver.is_online(), receiver.take_failure());
                    // It may be gone again after that: who receives is told.
                    if online {
                        receiver.settle(core);
                    }
                    (online, failure)
                })
                .map_err(busy)?;
            match failure {
                // Too many connect at once: the next attempt is on its way.
                Some((failure, true)) if failure.status == Status::EAGAIN => {}
                Some((failure, _)) => return Err(failure),
                None if online => return Ok(session),
                None => {}
            }
            core.connector.turn();
            // Short, since the engine may be one that only runs in `turn`.
            let until_ns = now_ns().saturating_add(TURN_NS);
            poll::wait([core.poll.as_raw_fd(), core.interrupt.as_raw_fd()], until_ns);
        }
    }

    /// A descriptor that is readable exactly when [`receive`](Self::receive) would do something. It
    /// stays the same for the session's life, and belongs to it.
    pub fn fd(&self) -> RawFd {
        self.core.poll.as_raw_fd()
    }

    /// Who this session is; a new connection brings a new identity. All zero before the first
    /// connection.
    pub fn identity(&self) -> Member {
        self.core.identity()
    }

    /// Joins a group. It is done at the view that has this session; if it is refused, the handle's
    /// `Left` says why. The name has 1 to 255 bytes; up to its first slash it says in which domain
    /// the group is, without one that is `default`. With [`JOIN_SEND_ONLY`] the handle is an
    /// address to send to: no views, no messages. Each domain but `default` has a lane of its own
    /// to the engine, which [`receive`](Self::receive) makes when the first group of the domain is
    /// joined; sends get `EAGAIN` until then.
    ///
    /// # Errors
    /// `EINVAL`: name or flags. `EEXIST`: this session has a handle for it. `ECLOSED`, `EFORKED`.
    /// `ENOMEM`: sixteen million groups.
    pub fn join(&self, name: &str, flags: u32, user_data: usize) -> Result<GroupHandle, Status> {
        self.check_open()?;
        if name.is_empty() || name.len() > GROUP_NAME_LEN_MAX || flags & !JOIN_SEND_ONLY != 0 {
            return Err(Status::EINVAL);
        }
        let domain = split_name(name).map(|(domain, _)| domain);
        self.add_group((domain, name), (flags, None), user_data)
    }

    /// An address for one session in a domain: messages to it are ordered with all others there,
    /// and it alone gets them. It must be a member of some group there when they are reached, else
    /// their receipts say `ENOTMEMBER`. If the engine has no such domain, the handle's `Left` says
    /// so.
    ///
    /// # Errors
    /// `EINVAL`: no session, or no domain, has such a name. `EEXIST`: this session has an address
    /// for it already. `ECLOSED`, `EFORKED`, `ENOMEM`.
    pub fn peer(&self, domain: &str, to: Member, user_data: usize) -> Result<GroupHandle, Status> {
        let is_no_one = to.session == 0 || !(1..=u64::from(u32::MAX)).contains(&to.node);
        if is_no_one || domain.is_empty() || domain.len() > DOMAIN_NAME_LEN_MAX {
            return Err(Status::EINVAL);
        }
        self.check_open()?;
        let is_default = domain.as_bytes() == DEFAULT_DOMAIN.to_bytes();
        let name = match is_default {
            true => format!("{}/{}", to.node, to.session),
            false => format!("{domain}/{}/{}", to.node, to.session),
        };
        self.add_group((Some(domain), &name), (0, Some(to)), user_data)
    }

    fn add_group(
        &self,
        (domain, name): (Option<&str>, &str),
        kind: (u32, Option<Member>),
        user_data: usize,
    ) -> Result<GroupHandle, Status> {
        let core = self.check_open()?;
        let named = domain.map(CString::new).transpose().map_err(|_| Status::EINVAL)?;
        let domain: Arc<CStr> = named.map_or_else(|| DEFAULT_DOMAIN.into(), Into::into);
        let (mut exists, mut lane) = (false, None);
        GroupHandle::each_of(core, |_, group| {
            exists |= group.is_same(&domain, name, kind.1) && group.stage() == GroupStage::Live;
            lane = lane.or_else(|| group.lane_for(&domain));
        });
        if exists {
            return Err(Status::EEXIST);
        }
        let group = Group::new(Arc::clone(core), (domain, name), kind, user_data);
        // That may just have ended: who receives looks whether it is the right one.
        lane.into_iter().for_each(|lane| group.set_lane(lane));
        let handle = GroupHandle::insert(group).ok_or(Status::ENOMEM)?;
        // Closed meanwhile: then nobody would end this handle.
        if let Err(status) = self.check_open() {
            handle.remove();
            return Err(status);
        }
        core.tend_now(handle);
        Ok(handle)
    }

    /// Leaves a group; done at its `Left`. Messages sent before are sent.
    ///
    /// # Errors
    /// As [`GroupHandle::leave`].
    pub fn leave(&self, group: GroupHandle) -> Result<(), Status> {
        group.leave()
    }

    /// Sends a message. See [`GroupHandle::send`].
    ///
    /// # Errors
    /// As [`GroupHandle::send`].
    pub fn send(
        &self,
        group: GroupHandle,
        service: u32,
        parts: &[&[u8]],
        tag: u64,
    ) -> Result<(), Status> {
        group.send(service, tag, parts.iter().copied())
    }

    /// Asks the engine something, in JSON; `Reply` events with the same tag answer.
    ///
    /// # Errors
    /// `EAGAIN`: no room now, or no connection; the descriptor tells. `EMSGSIZE`, `ECLOSED`,
    /// `EFORKED`.
    pub fn query(&self, json: &[u8], tag: u64) -> Result<(), Status> {
        let core = self.check_open()?;
        let in_use = core.links.enter();
        let Some(link) = in_use.main() else { return Err(Status::EAGAIN) };
        let record = QueryRecord { tag };
        link.request(request::QUERY, &[record.as_bytes(), json]).map_err(|error| match error {
            PushError::TooLong => Status::EMSGSIZE,
            PushError::Full | PushError::Corrupt => {
                core.note_full(link.lane(), Some(link), json.len());
                Status::EAGAIN
            }
        })
    }

    /// Shows up to `max` events to `sink`, which says of each what becomes of its bytes. Returns
    /// how many it showed; never blocks. One thread at a time.
    ///
    /// # Errors
    /// `ECLOSED`: the last event was shown, or the session is closed. `EBUSY`: another thread is in
    /// here, or this one in an outer call. `EINVAL`: `max` is 0. `EFORKED`.
    pub fn receive(
        &self,
        max: usize,
        sink: &mut dyn FnMut(&Event<'_>) -> Hold,
    ) -> Result<usize, Status> {
        self.core.check_fork()?;
        if max == 0 {
            return Err(Status::EINVAL);
        }
        if self.core.phase() >= Phase::Closing {
            return Err(Status::ECLOSED);
        }
        self.core.own(|receiver| receiver.receive(&self.core, max, sink))?
    }

    /// Waits until `receive` would do something, or until the monotonic clock shows `deadline_ns`
    /// (negative: for ever).
    ///
    /// # Errors
    /// `ETIMEDOUT`; `EINTR` after [`wake`](Self::wake) or a signal; `ECLOSED`, `EFORKED`.
    pub fn wait(&self, deadline_ns: i64) -> Result<(), Status> {
        let core = self.check_open()?;
        let waited = poll::wait([core.poll.as_raw_fd(), core.interrupt.as_raw_fd()], deadline_ns);
        if core.phase() != Phase::Open {
            return Err(Status::ECLOSED);
        }
        match waited {
            Waited::Ready(ready) if ready & 1 != 0 => Ok(()),
            Waited::Ready(_) => {
                core.interrupt.take();
                Err(Status::EINTR)
            }
            Waited::TimedOut => Err(Status::ETIMEDOUT),
            Waited::Interrupted => Err(Status::EINTR),
        }
    }

    /// Ends another thread's wait, or the next one. Any thread; safe in a signal handler.
    ///
    /// # Errors
    /// `ECLOSED`, `EFORKED`.
    pub fn wake(&self) -> Result<(), Status> {
        self.check_open()?.interrupt.wake();
        Ok(())
    }

    /// Has `call` made on a thread of the library each time that [`fd`](Self::fd) becomes readable,
    /// and once now if it is; `None`: no more. Receive until nothing is left, or there may be no
    /// next time. When this returns, no former call is under way, and none will be made;
    /// [`close`](Self::close) does not wait for one that is.
    ///
    /// # Errors
    /// `EBUSY`: from within such a call, or two threads at a time. `ENOMEM`: no thread or
    /// descriptor. `ECLOSED`, `EFORKED`.
    pub fn set_notify(&self, call: Option<Call>) -> Result<(), Status> {
        self.check_open_or_over()?.set_notification(call)
    }

    /// Closes the session: it leaves its groups, waits end, all its group handles are stale. Never
    /// blocks. Kept events stay readable until they are released or the session is dropped. Closing
    /// twice does nothing.
    pub fn close(&self) {
        let core = &self.core;
        if core.check_fork().is_err() {
            // The session is the parent's: its descriptors, its memory and its engine are not to be
            // touched.
            core.set_phase(Phase::Down);
            return;
        }
        core.set_phase(Phase::Closing);
        core.end_notification();
        core.interrupt.wake();
        core.poll.nudge();
        core.finish_closing();
    }

    /// Whether it has neither ended nor been closed.
    pub fn is_open(&self) -> bool {
        self.core.phase() == Phase::Open
    }

    /// Whether this is still the process that opened it.
    ///
    /// # Errors
    /// `EFORKED`: it is a child of that one.
    pub fn check_fork(&self) -> Result<(), Status> {
        self.core.check_fork()
    }

    /// Whether it was closed by its owner.
    pub fn was_closed(&self) -> bool {
        self.core.phase() >= Phase::Closing
    }

    /// Whether kept events have not been released yet.
    pub fn holds_events(&self) -> bool {
        let core = &self.core;
        core.check_fork().is_ok() && (core.links.any_held() || core.lost.any_held())
    }

    /// Figures of this session. Any thread.
    ///
    /// # Errors
    /// `ECLOSED`, `EFORKED`.
    pub fn stats(&self) -> Result<SessionStats, Status> {
        let core = self.check_open()?;
        let counters = &core.counters;
        let in_use = core.links.enter();
        let levels = in_use.present().map(Link::fill_levels).fold([0; 4], |mut sum, levels| {
            sum.iter_mut().zip(levels).for_each(|(sum, level)| *sum += level);
            sum
        });
        let [send_ring_used, send_ring_size, receive_ring_used, receive_ring_size] = levels;
        Ok(SessionStats {
            sent_messages: counters.sent_messages.load(Ordering::Relaxed),
            sent_bytes: counters.sent_bytes.load(Ordering::Relaxed),
            send_again: counters.send_again.load(Ordering::Relaxed),
            received_messages: counters.received_messages.load(Ordering::Relaxed),
            received_bytes: counters.received_bytes.load(Ordering::Relaxed),
            views: counters.views.load(Ordering::Relaxed),
            send_ring_used,
            send_ring_size,
            receive_ring_used,
            receive_ring_size,
            lag_ns: lag_ns(core, in_use.present().any(Link::has_waiting)),
            reconnects: counters.reconnects.load(Ordering::Relaxed),
        })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// An ended session can still be told not to call.
    fn check_open_or_over(&self) -> Result<&Arc<Core>, Status> {
        self.core.check_fork()?;
        if self.was_closed() { Err(Status::ECLOSED) } else { Ok(&self.core) }
    }

    fn check_open(&self) -> Result<&Arc<Core>, Status> {
        self.core.check_fork()?;
        if self.core.phase() == Phase::Open { Ok(&self.core) } else { Err(Status::ECLOSED) }
    }
}

impl GroupHandle {
    /// Leaves the group; done at its `Left`. Messages sent before are sent.
    ///
    /// # Errors
    /// `ECLOSED`: the handle is stale. `ENOTMEMBER`: it is being left already. `EFORKED`.
    pub fn leave(self) -> Result<(), Status> {
        let group = self.pin().ok_or(Status::ECLOSED)?;
        group.core.check_fork()?;
        if !group.advance(GroupStage::Live, GroupStage::LeaveWanted) {
            let ended = group.stage() == GroupStage::Ended;
            return Err(if ended { Status::ECLOSED } else { Status::ENOTMEMBER });
        }
        group.core.tend_now(self);
        Ok(())
    }

    /// Shows the group's name.
    ///
    /// # Errors
    /// `ECLOSED`: the handle is stale. `EFORKED`.
    pub fn with_name<R>(self, show: impl FnOnce(&str) -> R) -> Result<R, Status> {
        let group = self.pin().ok_or(Status::ECLOSED)?;
        group.core.check_fork()?;
        Ok(show(&group.name))
    }

    /// Waits until there is room to send to the group, at least for a message as long as the
    /// longest that was refused; or until the monotonic clock shows `deadline_ns` (negative: for
    /// ever). Any thread. It brings no lost engine back: [`Session::receive`] does.
    ///
    /// # Errors
    /// `ETIMEDOUT`; `EINTR` after a signal; `ECLOSED`, `ENOTMEMBER`, `EFORKED`; `ENOMEM` if there
    /// is no descriptor to be had.
    pub fn wait_writable(self, deadline_ns: i64) -> Result<(), Status> {
        loop {
            let group = self.pin().ok_or(Status::ECLOSED)?;
            let core = &group.core;
            core.check_fork()?;
            match group.stage() {
                GroupStage::Live => {}
                GroupStage::Ended => return Err(Status::ECLOSED),
                _ => return Err(Status::ENOTMEMBER),
            }
            let in_use = core.links.enter();
            let link = in_use.current(group.lane());
            let wake_client = link.map(|link| link.wake_fds()[1]);
            let fds: Vec<RawFd> = wake_client.into_iter().chain([core.poll.nudge_fd()]).collect();
            let watch = EdgeWatch::new(&fds).map_err(|_| Status::ENOMEM)?;
            watch.clear();
            let joined = link.filter(|link| group.is_joined_on(link.serial()));
            let len = |link: &Link| core.room_len[link.lane()].load(Ordering::SeqCst);
            if joined.is_some_and(|link| link.want_room(len(link))) {
                return Ok(());
            }
            if core.phase() != Phase::Open {
                return Err(Status::ECLOSED);
            }
            match poll::wait([watch.as_raw_fd(), -1], deadline_ns) {
                Waited::Ready(_) => {}
                Waited::TimedOut => return Err(Status::ETIMEDOUT),
                Waited::Interrupted => return Err(Status::EINTR),
            }
        }
    }
}

impl Core {
    /// Tells the engine now what it has to know of a group, if there is a connection and room.
    fn tend_now(&self, handle: GroupHandle) {
        let Some(group) = handle.pin() else { return };
        let in_use = self.links.enter();
        let link = in_use.current(group.lane());
        if let Some(link) = link {
            self.tend(link, handle, &group);
        }
        // Lanes are the business of who receives.
        if group.lane() != 0 || group.stage() == GroupStage::LeaveWanted {
            self.groups_wait.store(true, Ordering::SeqCst);
            self.poll.nudge();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
        if self.core.check_fork().is_err() {
            // What it has open and mapped is the parent's business: never give it back from here.
            mem::forget(Arc::clone(&self.core));
        }
    }
}

/// How long `open` sleeps between two turns of an engine that only runs in them, in nanoseconds.
const TURN_NS: i64 = 2_000_000;

/// How long something has waited, at most: since it was last seen that nothing did.
fn lag_ns(core: &Core, is_waiting: bool) -> u64 {
    let now_ns = now_ns();
    if is_waiting {
        let emptied_ns = core.emptied_ns.load(Ordering::Relaxed);
        return now_ns.saturating_sub(emptied_ns).max(0).unsigned_abs();
    }
    core.emptied_ns.store(now_ns, Ordering::Relaxed);
    0
}
