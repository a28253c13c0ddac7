//! The state machine behind `receive`: connecting, showing events, losing the engine, finding it
//! again, ending.
//!
//! ```text
//!              timer                  welcome                socket ends
//!   Idle ---------------> Greeting ------------> Online --------------------> Hangup
//!    ^  ^                    |                                                   | ring empty
//!    |  +--------------------+ failed, or time is up                             |
//!    +-----------------------------------------------(Suspended)-----------------+
//!
//!   any --(refused for good, cut off)--> Ended        any --(application closes)--> Down
//! ```
//!
//! That is the session's own connection, the lane of `default`. Those of other domains come and go
//! beside it (`lanes`), and none of them is there when it is not.
//!
//! One thread at a time is in here, and it never waits: what cannot be done now will make the
//! session's descriptor readable.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anasazi_queue::hello::{Hello, MAGIC, Welcome};
use anasazi_queue::record::{Member, SESSION_VERSION, request};
use anasazi_queue::status::Status;

use crate::core::{Core, Phase};
use crate::event::{Event, Hold};
use crate::failure::{Failure, may_pass};
use crate::group::{DEFAULT_DOMAIN, GroupHandle, GroupStage};
use crate::owned::OwnedEvent;
use crate::sys::link::Link;
use crate::sys::links::LANES_MAX;
use crate::sys::poll::{Key, now_ns};
use crate::sys::socket::{self, Answer};
use lanes::Side;
use underway::UnderWay;

mod lanes;
mod show;
mod underway;

/// What only the thread that receives may touch.
pub(crate) struct Receiver {
    stage: Stage,
    /// Events that are not from the ring; they come before it.
    local: VecDeque<Local>,
    /// What is read from the lanes, by their numbers; the first is the session's own connection.
    flows: Vec<Flow>,
    /// The lanes after that one.
    sides: Vec<Side>,
    /// What these have to show.
    lane_key: u64,
    /// The lane that is read first in the next round.
    turn_of: usize,
    /// Handles whose `Left` was shown: stale from the next call on.
    ended: Vec<GroupHandle>,
    /// Why those ended that were shown in the present call.
    words: Vec<Arc<str>>,
    /// Why the session ended; written once.
    reason: String,
    /// Why the latest attempt to connect failed.
    failure: Option<Failure>,
    /// Events that a caller who waited for something else has put aside.
    pub(crate) put_aside: VecDeque<OwnedEvent>,
    /// Connections made so far.
    serial: u64,
    attempts: u32,
    /// Until when the first connection must stand, by the monotonic clock.
    give_up_ns: i64,
    was_online: bool,
    /// The descriptor is readable because we made it so.
    nudged: bool,
}

/// What is read from a lane.
struct Flow {
    under_way: UnderWay,
    /// What the engine said before it hung up.
    last_word: Option<(Status, String)>,
    /// The ring holds nonsense.
    is_broken: bool,
    /// From where on the next connection gives out tokens.
    tokens_from: u64,
}

enum Stage {
    /// No connection; the timer runs.
    Idle,
    /// Connected; the engine's answer is awaited.
    Greeting {
        socket: OwnedFd,
        link: Box<Link>,
    },
    Online {
        socket: OwnedFd,
    },
    /// The engine is gone; what it left in the ring is shown first.
    Hangup,
    /// `Closed` is among the local events, or was shown.
    Ended,
    /// Closed by the application.
    Down,
}

/// Events that the client makes itself.
enum Local {
    Closed(Status),
    /// With the reason in words.
    Left(GroupHandle, Status, Arc<str>),
    Resumed(Member),
    Suspended(&'static str),
    /// A message with this tag to the group with that number.
    Lost(u32, u64),
    Writable(GroupHandle),
}

impl Stage {
    fn is_over(&self) -> bool {
        matches!(self, Self::Ended | Self::Down)
    }
}

impl Flow {
    /// Nothing was read yet.
    fn new() -> Self {
        let under_way = UnderWay::default();
        Self { under_way, last_word: None, is_broken: false, tokens_from: 0 }
    }
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            stage: Stage::Idle,
            local: VecDeque::new(),
            flows: vec![Flow::new()],
            sides: Vec::new(),
            lane_key: 0,
            turn_of: 0,
            ended: Vec::new(),
            words: Vec::new(),
            reason: String::new(),
            failure: None,
            put_aside: VecDeque::new(),
            serial: 0,
            attempts: 0,
            give_up_ns: 0,
            was_online: false,
            nudged: false,
        }
    }

    /// Makes the first attempt to connect; those that follow, and all else, happen in
    /// [`Self::turn`].
    pub(crate) fn start(&mut self, core: &Arc<Core>) {
        let timeout_ns = core.options.connect_timeout.as_nanos();
        self.give_up_ns = now_ns().saturating_add(i64::try_from(timeout_ns).unwrap_or(i64::MAX));
        self.attempt(core);
    }

    pub(crate) fn is_online(&self) -> bool {
        matches!(self.stage, Stage::Online { .. })
    }

    /// Why the latest attempt failed, if it did; once. And whether there will be another one.
    pub(crate) fn take_failure(&mut self) -> Option<(Failure, bool)> {
        let again = !self.is_over();
        self.failure.take().map(|failure| (failure, again))
    }

    /// Shows up to `max` events. See [`Session::receive`](crate::Session::receive).
    pub(crate) fn receive(
        &mut self,
        core: &Arc<Core>,
        max: usize,
        sink: &mut dyn FnMut(&Event<'_>) -> Hold,
    ) -> Result<usize, Status> {
        for handle in self.ended.drain(..) {
            handle.remove();
        }
        self.words.clear();
        core.links.enter().present().for_each(Link::stay_awake);
        let mut shown = 0;
        loop {
            shown += self.show_local(core, max - shown, sink);
            shown += self.show_rings(core, max - shown, sink);
            let nothing_more = self.is_over() && self.local.is_empty();
            if core.phase() >= Phase::Closing || nothing_more {
                core.poll.take();
                self.nudged = false;
                return if shown == 0 { Err(Status::ECLOSED) } else { Ok(shown) };
            }
            if shown == max {
                self.nudge(core);
                return Ok(shown);
            }
            if !self.turn(core) && may_sleep(core) {
                core.emptied_ns.store(now_ns(), Ordering::Relaxed);
                return Ok(shown);
            }
        }
    }

    /// Does what the descriptors ask for; true if that may have made events. The rings have been
    /// emptied before.
    pub(crate) fn turn(&mut self, core: &Arc<Core>) -> bool {
        let ready = core.poll.take();
        if ready.has(Key::Nudge) {
            self.nudged = false;
        }
        match &self.stage {
            Stage::Idle if ready.has(Key::Timer) => self.attempt(core),
            Stage::Greeting { .. } if ready.has(Key::Socket) => self.read_answer(core),
            Stage::Greeting { .. } if ready.has(Key::Timer) => {
                let message = core.connector.no_answer(core.options.connect_timeout);
                self.fail(core, Failure::new(Status::ETIMEDOUT, message), false);
            }
            Stage::Online { socket } => {
                let spoke = || !matches!(socket::receive(socket.as_raw_fd()), Answer::Nothing);
                if self.flows[0].is_broken || ready.has(Key::Socket) && spoke() {
                    self.hang_up(core);
                }
            }
            Stage::Hangup => self.suspend(core),
            _ => {}
        }
        self.tend_groups(core);
        self.tend_lanes(core, ready.has(Key::LaneSocket));
        // Over those that stand since then.
        self.tend_groups(core);
        self.look_for_room(core);
        self.collect_links(core);
        !self.local.is_empty() || matches!(self.stage, Stage::Hangup) || self.any_lane_hung_up()
    }

    /// Does what a new connection is still to do: from now on the descriptor is readable for events
    /// only.
    pub(crate) fn settle(&mut self, core: &Arc<Core>) {
        if self.turn(core) || !may_sleep(core) {
            self.nudge(core);
        }
    }

    /// Takes everything down for an application that closes its session.
    pub(crate) fn take_down(&mut self, core: &Arc<Core>) {
        if core.phase() == Phase::Down {
            return;
        }
        if let Some(link) = core.links.enter().main() {
            // If there is no room even for this, the end of the socket says it, less nicely.
            _ = link.request(request::CLOSE, &[]);
        }
        self.disconnect(core, Stage::Down);
        core.poll.set_timer(None);
        self.local.clear();
        self.put_aside.clear();
        core.set_phase(Phase::Down);
        GroupHandle::remove_all_of(core);
    }

    /// Makes the descriptor readable until the next turn.
    pub(crate) fn nudge(&mut self, core: &Core) {
        if !self.nudged {
            self.nudged = true;
            core.poll.nudge();
        }
    }

    /// Whether nothing but local events can come.
    fn is_over(&self) -> bool {
        self.stage.is_over()
    }

    // ---- connecting

    fn attempt(&mut self, core: &Arc<Core>) {
        let socket = match core.connector.open() {
            Ok(socket) => socket,
            Err(failure) => return self.fail_to_connect(core, failure),
        };
        match self.greet(core, socket) {
            Ok(stage) => {
                self.stage = stage;
                core.poll.set_timer(Some(core.options.connect_timeout));
            }
            // Closed before it was heard: there are many at the door.
            Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                let message = "the engine closed the connection unheard; trying again";
                self.fail(core, Failure::new(Status::EAGAIN, message), false);
            }
            Err(error) => {
                let advice = "see ulimit -n and the memory limits of this process";
                let failure = Failure::system("setting a connection up", &error, advice);
                self.fail(core, failure, false);
            }
        }
    }

    fn fail_to_connect(&mut self, core: &Arc<Core>, failure: Failure) {
        let first = !self.was_online && !failure.retryable;
        let for_good = failure.status == Status::ECLOSED || first;
        self.fail(core, failure, for_good);
    }

    fn greet(&mut self, core: &Core, socket: OwnedFd) -> std::io::Result<Stage> {
        let link = self.say_hello(core, &socket, (0, DEFAULT_DOMAIN.into()), &hello(core))?;
        core.poll.watch(socket.as_raw_fd(), Key::Socket)?;
        Ok(Stage::Greeting { socket, link })
    }

    /// Makes the rings of a lane, and offers them over a socket.
    fn say_hello(
        &mut self,
        core: &Core,
        socket: &OwnedFd,
        lane: (usize, Arc<CStr>),
        hello: &Hello,
    ) -> std::io::Result<Box<Link>> {
        let from = self.flows[lane.0].tokens_from;
        let (link, memory) = Link::create(core.layout, self.serial + 1, lane, from)?;
        self.serial += 1;
        let [wake_engine, wake_client] = link.wake_fds();
        let fds = [memory.as_raw_fd(), wake_engine, wake_client];
        socket::send_hello(socket.as_raw_fd(), hello, fds)?;
        Ok(Box::new(link))
    }

    fn read_answer(&mut self, core: &Arc<Core>) {
        let Stage::Greeting { socket, .. } = &self.stage else { return };
        let failure = match socket::receive(socket.as_raw_fd()) {
            Answer::Nothing => return,
            Answer::Welcome(welcome) => match check(&welcome) {
                Ok(()) => return self.go_online(core, &welcome),
                Err(failure) => failure,
            },
            Answer::Nonsense => {
                let message =
                    "what listens there does not speak the session protocol of this library";
                Failure::new(Status::EVERSION, message)
            }
            // If it is really gone, the next attempt says so.
            Answer::Closed => {
                if let Some(failure) = core.connector.failure() {
                    return self.fail_to_connect(core, failure);
                }
                let message = "the engine closed the connection without a word; is it shutting \
                               down, or out of file descriptors (LimitNOFILE)?";
                Failure::new(Status::EAGAIN, message)
            }
        };
        let for_good = !failure.retryable;
        self.fail(core, failure, for_good);
    }

    fn go_online(&mut self, core: &Arc<Core>, welcome: &Welcome) {
        let Stage::Greeting { socket, link } = std::mem::replace(&mut self.stage, Stage::Idle)
        else {
            return;
        };
        self.collect_links(core);
        let [_, wake_client] = link.wake_fds();
        let watched = core.poll.watch(wake_client, Key::Wake);
        if watched.is_err() || !core.links.install(link) {
            core.poll.forget(socket.as_raw_fd());
            let message = "events of too many earlier connections are still held: release them";
            return self.fail(core, Failure::new(Status::EBUSY, message), false);
        }
        let member = Member { node: welcome.node, session: welcome.session };
        core.set_identity(member);
        core.message_len_max.store(welcome.message_len_max, Ordering::SeqCst);
        core.poll.set_timer(None);
        self.stage = Stage::Online { socket };
        self.lane_key = welcome.lane_key;
        self.renew_lanes(core);
        self.flows[0].is_broken = false;
        self.attempts = 0;
        if self.was_online || core.options.connect_async {
            self.local.push_back(Local::Resumed(member));
        }
        if self.was_online {
            core.counters.reconnects.fetch_add(1, Ordering::Relaxed);
        }
        self.was_online = true;
        core.groups_wait.store(true, Ordering::SeqCst);
        // The engine does not know yet that it should wake us; and threads that wait for room look
        // again.
        core.poll.nudge();
        self.nudged = true;
    }

    /// An attempt failed. Ends the session, or sets the timer for the next one.
    fn fail(&mut self, core: &Arc<Core>, failure: Failure, for_good: bool) {
        let out_of_time = !self.was_online && now_ns() >= self.give_up_ns;
        let lost = core.connector.lost();
        let for_good = for_good || lost.is_some();
        let mut failure = lost.unwrap_or(failure);
        if out_of_time && failure.status == Status::EAGAIN {
            failure.status = Status::ETIMEDOUT;
        }
        let (status, message) = (failure.status, failure.message.clone());
        self.failure = Some(failure);
        self.disconnect(core, Stage::Idle);
        if for_good || out_of_time {
            return self.end(core, status, message);
        }
        let delay = (ATTEMPT_DELAY_MIN * (1 << self.attempts.min(10))).min(ATTEMPT_DELAY_MAX);
        self.attempts = self.attempts.saturating_add(1);
        core.poll.set_timer(Some(delay));
    }

    // ---- losing the engine

    /// The socket has ended: what is in the ring will be shown, then the session is suspended.
    fn hang_up(&mut self, core: &Core) {
        if let Stage::Online { socket } = &self.stage {
            core.poll.forget(socket.as_raw_fd());
            self.stage = Stage::Hangup;
        }
    }

    fn suspend(&mut self, core: &Arc<Core>) {
        let was_broken = self.flows.iter().any(|flow| flow.is_broken);
        let lost = self.lose(core);
        self.disconnect(core, Stage::Idle);
        if let Some((status, reason)) = self.flows[0].last_word.take()
            && is_about_the_session(status)
        {
            self.local.extend(lost);
            return self.end(core, status, reason);
        }
        let reason = if was_broken {
            "the engine broke the session's memory; connecting again"
        } else {
            "the engine closed the connection or ended; connecting again"
        };
        self.local.push_back(Local::Suspended(reason));
        self.local.extend(lost);
        GroupHandle::each_of(core, |handle, group| {
            let leaves = matches!(group.stage(), GroupStage::LeaveWanted | GroupStage::Leaving);
            if leaves && group.end() {
                self.local.push_back(Local::Left(handle, Status::OK, Arc::from("")));
            }
        });
        core.poll.set_timer(Some(Duration::ZERO));
        // Threads that wait for room on the old connection look again.
        core.poll.nudge();
    }

    /// Lets go of the connection, in whatever state it is.
    fn disconnect(&mut self, core: &Core, next: Stage) {
        if let Stage::Greeting { socket, .. } | Stage::Online { socket } = &self.stage {
            core.poll.forget(socket.as_raw_fd());
            // A child may have a copy of it, which would keep the session alive.
            socket::shut(socket.as_raw_fd());
        }
        self.disconnect_lanes(core);
        self.retire(core, 0);
        self.stage = next;
        self.collect_links(core);
    }

    /// Lets go of the link of a lane.
    fn retire(&mut self, core: &Core, lane: usize) {
        let flow = &mut self.flows[lane];
        if let Some(link) = core.links.enter().current(lane) {
            let [_, wake_client] = link.wake_fds();
            core.poll.forget(wake_client);
            flow.tokens_from = link.tokens_after();
        }
        core.links.retire(lane);
        flow.under_way.clear();
        flow.is_broken = false;
    }

    /// The session is over: every group ends, then the session.
    fn end(&mut self, core: &Arc<Core>, status: Status, reason: String) {
        self.disconnect(core, Stage::Ended);
        core.poll.set_timer(None);
        let words: Arc<str> = Arc::from(&reason[..]);
        self.reason = reason;
        GroupHandle::each_of(core, |handle, group| {
            if group.end() {
                self.local.push_back(Local::Left(handle, status, Arc::clone(&words)));
            }
        });
        self.local.push_back(Local::Closed(status));
        self.nudge(core);
    }

    // ---- groups and room

    /// Joins and leaves that the engine does not know of yet.
    fn tend_groups(&mut self, core: &Arc<Core>) {
        if !core.groups_wait.swap(false, Ordering::SeqCst) {
            return;
        }
        let in_use = core.links.enter();
        GroupHandle::each_of(core, |handle, group| {
            if group.stage() == GroupStage::Live && !self.is_in_lane(group) {
                self.find_lane(core, handle, group);
            }
            let link = in_use.current(group.lane());
            if let Some(link) = link {
                core.tend(link, handle, group);
            }
            // Never joined here, so there is nothing to leave.
            let known = link.is_some_and(|link| group.is_join_undertaken(link.serial()));
            if group.stage() == GroupStage::LeaveWanted && !known && group.end() {
                self.local.push_back(Local::Left(handle, Status::OK, Arc::from("")));
            }
        });
    }

    /// Tells the groups that were refused for want of room, if there is room now in their lanes.
    fn look_for_room(&mut self, core: &Arc<Core>) {
        let wanted = core.room_wanted.load(Ordering::SeqCst);
        if wanted == 0 {
            return;
        }
        let in_use = core.links.enter();
        let has_room = |link: &&Link| {
            let len = core.room_len[link.lane()].load(Ordering::SeqCst);
            wanted & 1 << link.lane() != 0 && link.want_room(len)
        };
        let lanes = in_use.present().filter(has_room).fold(0, |lanes, l| lanes | 1_u64 << l.lane());
        if lanes == 0 {
            return;
        }
        core.room_wanted.fetch_and(!lanes, Ordering::SeqCst);
        let with_room = (0..LANES_MAX).filter(|lane| lanes & 1 << lane != 0);
        with_room.for_each(|lane| core.room_len[lane].store(0, Ordering::SeqCst));
        GroupHandle::each_of(core, |handle, group| {
            let lane = group.lane();
            let Some(link) = in_use.current(lane).filter(|_| lanes & 1 << lane != 0) else {
                return;
            };
            if group.is_joined_on(link.serial()) && group.saw_full.swap(false, Ordering::SeqCst) {
                self.local.push_back(Local::Writable(handle));
            } else if group.saw_full.load(Ordering::SeqCst) {
                // Its join waits for room itself; it looks again when that is in.
                core.room_wanted.fetch_or(1 << lane, Ordering::SeqCst);
            }
        });
    }
}

fn hello(core: &Core) -> Hello {
    Hello {
        magic: MAGIC,
        version_min: SESSION_VERSION,
        version_max: SESSION_VERSION,
        send_capacity: core.options.send_ring_len,
        receive_capacity: core.options.receive_ring_len,
        slow: core.options.slow.number(),
        ..Hello::default()
    }
}

/// Whether the engine will wake us; false if there is something in a ring.
fn may_sleep(core: &Core) -> bool {
    core.links.enter().present().all(Link::may_sleep)
}

/// Whether the engine's last word ends this session, rather than telling of the engine's own end:
/// then it may come back.
fn is_about_the_session(status: Status) -> bool {
    !matches!(status, Status::OK | Status::ECLOSED | Status::ESTATE) && !may_pass(status)
}

fn check(welcome: &Welcome) -> Result<(), Failure> {
    if welcome.magic != MAGIC {
        let message = "what listens there is no engine of this kind";
        return Err(Failure::new(Status::EVERSION, message));
    }
    if welcome.status == 0 && welcome.version == SESSION_VERSION {
        return Ok(());
    }
    let len = usize::from(welcome.reason_len).min(welcome.reason.len());
    let reason = String::from_utf8_lossy(&welcome.reason[..len]).into_owned();
    if welcome.status != 0 {
        let status = Status(welcome.status);
        let reason = if reason.is_empty() { status.text().to_owned() } else { reason };
        return Err(Failure::new(status, reason));
    }
    let message = format!(
        "the engine wants to speak session version {}, this library speaks {SESSION_VERSION}; use \
         one release for both",
        welcome.version
    );
    Err(Failure::new(Status::EVERSION, message))
}

const ATTEMPT_DELAY_MIN: Duration = Duration::from_millis(10);
const ATTEMPT_DELAY_MAX: Duration = Duration::from_secs(1);
