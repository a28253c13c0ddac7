//! The lanes of other domains than `default`: each is made when the first group of its domain is
//! joined, and is there as long as the session's own connection, or until the engine ends it.
//!
//! ```text
//!           at the time              welcome             socket ends, ring empty
//!   Idle ----------------> Greeting ---------> Online ----------------------------> (Vacant)
//!    ^                        | failed           |   with a word: its groups end
//!    +---- and may pass ------+                  +-> Silent: so does the session, or is lost
//! ```

use std::ffi::CStr;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anasazi_queue::status::Status;

use super::{Flow, Local, Receiver, check, hello};
use crate::core::Core;
use crate::failure::Failure;
use crate::group::{Group, GroupHandle, GroupStage};
use crate::sys::link::Link;
use crate::sys::links::LANES_MAX;
use crate::sys::poll::{Key, now_ns};
use crate::sys::socket::{self, Answer};

/// A lane beside the session's own connection.
pub(super) struct Side {
    domain: Arc<CStr>,
    stage: SideStage,
    attempts: u32,
    /// Until when it must stand, by the monotonic clock.
    give_up_ns: i64,
}

enum SideStage {
    /// No group needs it.
    Vacant,
    /// It is tried at this time.
    Idle(i64),
    /// The engine's answer is awaited until that time.
    Greeting(OwnedFd, Box<Link>, i64),
    Online(OwnedFd),
    /// The engine has closed it; what it left in the ring is shown first.
    Hangup,
    /// The engine has closed it without a word, as it does with all of a session: the end of the
    /// session's own connection is awaited until that time.
    Silent(i64),
}

impl Side {
    fn is_of(&self, group: &Group) -> bool {
        self.domain == group.domain && !matches!(self.stage, SideStage::Vacant)
    }
}

impl Receiver {
    /// Whether the lane that the group has is that of its domain.
    pub(super) fn is_in_lane(&self, group: &Group) -> bool {
        match group.lane() {
            0 => true,
            lane => self.sides.get(lane - 1).is_some_and(|side| side.is_of(group)),
        }
    }

    /// A group gets the lane of its domain.
    pub(super) fn find_lane(&mut self, core: &Core, handle: GroupHandle, group: &Group) {
        if let Some(at) = self.sides.iter().position(|side| side.is_of(group)) {
            return group.set_lane(at + 1);
        }
        let is_vacant = |side: &Side| matches!(side.stage, SideStage::Vacant);
        let at = self.sides.iter().position(is_vacant).unwrap_or(self.sides.len());
        if at + 1 >= LANES_MAX {
            let words = format!("a session can use {LANES_MAX} domains: leave the groups of one");
            if group.end() {
                self.local.push_back(Local::Left(handle, Status::ENOMEM, Arc::from(words)));
            }
            return;
        }
        let side = Side {
            domain: Arc::clone(&group.domain),
            stage: SideStage::Idle(0),
            attempts: 0,
            give_up_ns: time_limit(core),
        };
        if at < self.sides.len() {
            self.sides[at] = side;
        } else {
            self.sides.push(side);
            self.flows.push(Flow::new());
        }
        group.set_lane(at + 1);
    }

    /// What the lanes are to do. Their rings have been emptied before.
    pub(super) fn tend_lanes(&mut self, core: &Arc<Core>, spoke: bool) {
        if self.sides.is_empty() {
            return;
        }
        for lane in 1..=self.sides.len() {
            if !self.is_online() {
                return;
            }
            self.tend_lane(core, lane, spoke);
        }
        let deadline = |side: &Side| match side.stage {
            SideStage::Idle(at) | SideStage::Greeting(_, _, at) | SideStage::Silent(at) => Some(at),
            SideStage::Vacant | SideStage::Online(_) | SideStage::Hangup => None,
        };
        if let (true, Some(at)) = (self.is_online(), self.sides.iter().filter_map(deadline).min()) {
            let left = at.saturating_sub(now_ns()).max(0).unsigned_abs();
            core.poll.set_timer(Some(Duration::from_nanos(left)));
        }
    }

    pub(super) fn any_lane_hung_up(&self) -> bool {
        self.sides.iter().any(|side| matches!(side.stage, SideStage::Hangup))
    }

    fn tend_lane(&mut self, core: &Arc<Core>, lane: usize, spoke: bool) {
        let is_broken = self.flows[lane].is_broken;
        match &self.sides[lane - 1].stage {
            SideStage::Idle(at) if *at <= now_ns() => self.attempt_lane(core, lane),
            SideStage::Greeting(..) if spoke => self.read_lane_answer(core, lane),
            SideStage::Greeting(_, _, until) if *until <= now_ns() => {
                let words = core.connector.no_answer(core.options.connect_timeout);
                self.fail_lane(core, lane, Failure::new(Status::ETIMEDOUT, words));
            }
            SideStage::Online(socket) => {
                let says = || !matches!(socket::receive(socket.as_raw_fd()), Answer::Nothing);
                if is_broken || spoke && says() {
                    self.hang_up_lane(core, lane);
                }
            }
            SideStage::Hangup => self.end_lane(core, lane),
            SideStage::Silent(until) if *until <= now_ns() => self.hang_up(core),
            SideStage::Vacant | SideStage::Idle(_) | SideStage::Greeting(..) => {}
            SideStage::Silent(_) => {}
        }
    }

    // ---- connecting

    fn attempt_lane(&mut self, core: &Arc<Core>, lane: usize) {
        match self.greet_lane(core, lane) {
            Ok((socket, link)) => {
                let side = &mut self.sides[lane - 1];
                side.stage = SideStage::Greeting(socket, link, time_limit(core));
            }
            Err(failure) => self.fail_lane(core, lane, failure),
        }
    }

    fn greet_lane(
        &mut self,
        core: &Arc<Core>,
        lane: usize,
    ) -> Result<(OwnedFd, Box<Link>), Failure> {
        let domain = Arc::clone(&self.sides[lane - 1].domain);
        let (name, session) = (domain.to_str().unwrap_or_default(), core.identity().session);
        let hello = hello(core).into_lane(name, session, self.lane_key);
        let hello = hello.filter(|_| !name.is_empty()).ok_or_else(|| {
            let words = format!("no domain is called {name:?}: a name has 1 to 32 bytes");
            Failure::new(Status::EINVAL, words)
        })?;
        let socket = core.connector.open()?;
        let greeted = self
            .say_hello(core, &socket, (lane, domain), &hello)
            .and_then(|link| core.poll.watch(socket.as_raw_fd(), Key::LaneSocket).map(|()| link));
        let link = greeted.map_err(|error| {
            let advice = "see ulimit -n and the memory limits of this process";
            match error.kind() {
                // Closed before it was heard: there are many at the door.
                BrokenPipe | ConnectionReset => {
                    Failure::new(Status::EAGAIN, "the engine closed the connection unheard")
                }
                _ => Failure::system("setting a connection up", &error, advice),
            }
        })?;
        Ok((socket, link))
    }

    fn read_lane_answer(&mut self, core: &Arc<Core>, lane: usize) {
        let SideStage::Greeting(socket, ..) = &self.sides[lane - 1].stage else { return };
        let failure = match socket::receive(socket.as_raw_fd()) {
            Answer::Nothing => return,
            Answer::Welcome(welcome) => match check(&welcome) {
                Ok(()) => return self.open_lane(core, lane),
                Err(failure) => failure,
            },
            Answer::Nonsense => {
                let words =
                    "what listens there does not speak the session protocol of this library";
                Failure::new(Status::EVERSION, words)
            }
            Answer::Closed => core.connector.failure().unwrap_or_else(|| {
                Failure::new(Status::EAGAIN, "the engine closed the connection without a word")
            }),
        };
        self.fail_lane(core, lane, failure);
    }

    fn open_lane(&mut self, core: &Arc<Core>, lane: usize) {
        let stage = std::mem::replace(&mut self.sides[lane - 1].stage, SideStage::Vacant);
        let SideStage::Greeting(socket, link, _) = stage else { return };
        self.collect_links(core);
        let [_, wake_client] = link.wake_fds();
        let watched = core.poll.watch(wake_client, Key::Wake);
        // Before anything can go wrong with it, so that it is let go of in one way.
        self.sides[lane - 1].stage = SideStage::Online(socket);
        if watched.is_err() || !core.links.install(link) {
            let words = "events of too many earlier connections are still held: release them";
            return self.fail_lane(core, lane, Failure::new(Status::EBUSY, words));
        }
        core.groups_wait.store(true, Ordering::SeqCst);
        // The engine does not know yet that it should wake us; and threads that wait for room look
        // again.
        self.nudge(core);
    }

    /// It did not come about. What may pass is tried again, for as long as a connection may take.
    fn fail_lane(&mut self, core: &Arc<Core>, lane: usize, failure: Failure) {
        self.let_go_of_lane(core, lane, SideStage::Vacant);
        let now_ns = now_ns();
        // The engine that has the session knows no such session: it is another one by now, and the
        // session hears of that.
        let is_another = failure.status == Status::ESTATE;
        let may_pass = (failure.retryable && failure.status != Status::ENOMEM) || is_another;
        let side = &mut self.sides[lane - 1];
        if may_pass && now_ns < side.give_up_ns {
            let delay = (DELAY_MIN_NS << side.attempts.min(10)).min(DELAY_MAX_NS);
            side.attempts = side.attempts.saturating_add(1);
            side.stage = SideStage::Idle(now_ns.saturating_add(delay).min(side.give_up_ns));
            return;
        }
        let again = failure.status == Status::EAGAIN;
        let status = if again { Status::ETIMEDOUT } else { failure.status };
        self.end_groups_of(core, lane, status, &failure.message);
    }

    // ---- losing it

    pub(super) fn hang_up_lane(&mut self, core: &Core, lane: usize) {
        if let SideStage::Online(socket) = &self.sides[lane - 1].stage {
            core.poll.forget(socket.as_raw_fd());
            self.sides[lane - 1].stage = SideStage::Hangup;
        }
    }

    /// Its ring is empty, and nothing more will come.
    fn end_lane(&mut self, core: &Arc<Core>, lane: usize) {
        let Some((status, reason)) = self.flows[lane].last_word.take() else {
            // A broken ring ends the session, as that of its own connection does.
            let patience = if self.flows[lane].is_broken { 0 } else { SILENCE_NS };
            let until = now_ns().saturating_add(patience);
            self.sides[lane - 1].stage = SideStage::Silent(until);
            return;
        };
        let lost = self.lose_lane(core, lane);
        self.local.extend(lost);
        self.let_go_of_lane(core, lane, SideStage::Vacant);
        self.end_groups_of(core, lane, status, &reason);
        // Threads that wait for room there look again.
        self.nudge(core);
    }

    fn end_groups_of(&mut self, core: &Arc<Core>, lane: usize, status: Status, reason: &str) {
        let (words, none): (Arc<str>, Arc<str>) = (Arc::from(reason), Arc::from(""));
        GroupHandle::each_of(core, |handle, group| {
            if group.lane() != lane || group.domain != self.sides[lane - 1].domain {
                return;
            }
            let leaves = matches!(group.stage(), GroupStage::LeaveWanted | GroupStage::Leaving);
            if group.end() {
                let (status, words) = if leaves { (Status::OK, &none) } else { (status, &words) };
                self.local.push_back(Local::Left(handle, status, Arc::clone(words)));
            }
        });
    }

    /// Lets go of all lanes: those that groups need are tried again when the session has an engine.
    pub(super) fn disconnect_lanes(&mut self, core: &Core) {
        for lane in 1..=self.sides.len() {
            if matches!(self.sides[lane - 1].stage, SideStage::Vacant) {
                continue;
            }
            self.let_go_of_lane(core, lane, SideStage::Idle(0));
            self.flows[lane].last_word = None;
        }
    }

    fn let_go_of_lane(&mut self, core: &Core, lane: usize, next: SideStage) {
        let side = &mut self.sides[lane - 1];
        if let SideStage::Greeting(socket, ..) | SideStage::Online(socket) = &side.stage {
            core.poll.forget(socket.as_raw_fd());
            // A child may have a copy of it, which would keep the lane alive.
            socket::shut(socket.as_raw_fd());
        }
        side.stage = next;
        self.retire(core, lane);
    }

    /// The session has an engine again: lanes are tried afresh, but for those that nobody needs.
    pub(super) fn renew_lanes(&mut self, core: &Arc<Core>) {
        let mut needed = 0_u64;
        GroupHandle::each_of(core, |_, group| {
            if group.stage() != GroupStage::Ended && group.lane() < LANES_MAX {
                needed |= 1 << group.lane();
            }
        });
        for (at, side) in self.sides.iter_mut().enumerate() {
            let is_needed = needed & 1 << (at + 1) != 0;
            side.stage = if is_needed { SideStage::Idle(0) } else { SideStage::Vacant };
            (side.attempts, side.give_up_ns) = (0, time_limit(core));
        }
    }
}

/// Until when a connection that is begun now must stand.
fn time_limit(core: &Core) -> i64 {
    let timeout = i64::try_from(core.options.connect_timeout.as_nanos()).unwrap_or(i64::MAX);
    now_ns().saturating_add(timeout)
}

const DELAY_MIN_NS: i64 = 10_000_000;
const DELAY_MAX_NS: i64 = 1_000_000_000;
/// How long after a lane that ended without a word the session's own connection may end, until it
/// is given up as well.
const SILENCE_NS: i64 = 1_000_000_000;
