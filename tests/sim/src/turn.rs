//! One turn of a node: an input goes into its core, and everything that comes out goes where it
//! belongs.

use anasazi_oracle::Entry;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Destination, GroupView, Input, MessageDelivery, Output, SessionId};
use bytes::Bytes;

use crate::cluster::{Cluster, Happening, Passing};
use crate::session::check_payload;
use crate::story::{Failure, describe};

/// Commands that a node takes from its sessions in one turn.
const COMMANDS_PER_TURN: usize = 32;
/// Until its next turn, in nanoseconds.
const TURN: u64 = 20_000;
/// A core that wants to be called at once is called after this, in nanoseconds.
const TICK: u64 = 1_000;

impl Cluster {
    /// Gives a core an input, carries out what it wants, and lets its sessions speak if there is
    /// room.
    pub(crate) fn feed(&mut self, node: usize, input: Input) {
        self.give(node, input);
        self.pump(node);
    }

    fn give(&mut self, node: usize, input: Input) {
        let now = self.nodes[node].clock.read(self.now);
        let Some(core) = &mut self.nodes[node].core else { return };
        core.handle(now, input);
        self.drain(node);
    }

    /// Carries out what a core wants.
    pub(crate) fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].core.as_mut().and_then(|c| c.poll()) {
            match output {
                Output::Transmit { to, bytes } => self.transmit(node, to, &bytes),
                Output::Persist { ticket, ring_sequence_max } => {
                    self.persist(node, ticket, ring_sequence_max);
                }
                Output::Message(message) => self.message(node, &message),
                Output::View(view) => self.view(node, &view),
                // The clients here look at deliveries alone.
                Output::Ordered { .. } => {}
                Output::JoinRefused { session, reason, .. } => {
                    let what = format!("n{} refuses a join of {:x}: {reason}", node + 1, session.0);
                    self.fail(Failure::Client(what));
                }
                Output::Event(event) => self.event(node, &event),
                Output::Trace(trace) => self.trace(node, trace),
                Output::Stopped { fault } => self.stopped(node, fault),
            }
        }
        self.arm(node);
    }

    /// Plans the core's next timeout, if it is not planned already.
    pub(crate) fn arm(&mut self, node: usize) {
        let late = self.random.below(self.options.machine.timer_late_us * 1_000 + 1);
        let n = &mut self.nodes[node];
        let Some(deadline) = n.core.as_ref().and_then(|c| c.deadline()) else { return };
        let at = n.clock.when(deadline).max(self.now + TICK) + late;
        if n.paused || n.timer_at.is_some_and(|planned| planned <= at) {
            return;
        }
        n.timer_at = Some(at);
        let life = n.life;
        self.schedule.plan(at, Happening::Timer { node, life, at });
    }

    /// Takes what the sessions want, as long as there is room.
    pub(crate) fn pump(&mut self, node: usize) {
        for turn in 0..=COMMANDS_PER_TURN {
            let n = &mut self.nodes[node];
            let room = !n.paused && n.core.as_ref().is_some_and(|c| c.accepts_sends());
            let waiting = n.sessions.iter().position(|s| !s.queue.is_empty());
            let (true, Some(first)) = (room, waiting) else { return };
            if turn == COMMANDS_PER_TURN {
                let life = n.life;
                self.plan_in(TURN, Happening::Pump { node, life });
                return;
            }
            // Whoever waits longest in the list comes first; then it goes to its end.
            let mut session = n.sessions.remove(first);
            let command = session.queue.pop_front();
            if !(session.ending && session.queue.is_empty()) {
                n.sessions.push(session);
            }
            let Some(command) = command else { return };
            self.give(node, Input::Command(command));
        }
    }

    /// A session does something by itself, and plans its next deed.
    pub(crate) fn act(&mut self, node: usize, session: SessionId) {
        if !self.traffic_on || self.nodes[node].leaving {
            return;
        }
        let lens = (self.options.mtu, self.options.message_len_max);
        let sessions = &mut self.nodes[node].sessions;
        let Some(at) = sessions.iter().position(|s| s.member.session == session) else { return };
        let stays = sessions[at].act(&mut self.random, &self.options.traffic, lens);
        let next = if stays {
            session
        } else {
            let opened = self.nodes[node].open_session();
            self.nodes[node].sessions[opened].member.session
        };
        self.pump(node);
        self.plan_deed(node, next);
    }

    /// Plans the next deed of a session.
    pub(crate) fn plan_deed(&mut self, node: usize, session: SessionId) {
        let time = self.random.around(self.options.traffic.interval_us * 1_000) + TICK;
        let life = self.nodes[node].life;
        self.plan_in(time, Happening::Act { node, life, session });
    }

    fn transmit(&mut self, from: usize, to: Destination, bytes: &Bytes) {
        if let Some(digest) = &mut self.digest {
            digest.add(&(self.now, from, to, bytes));
        }
        let Some(left) = self.network.leave(self.now, from, bytes.len()) else { return };
        match to {
            Destination::Multicast => {
                for receiver in 0..self.nodes.len() {
                    if receiver != from || self.options.network.loopback {
                        self.send(left, (from, receiver), bytes, true);
                    }
                }
            }
            Destination::Unicast(address) => {
                let receiver = self.nodes.iter().position(|n| n.address == address);
                if let Some(receiver) = receiver {
                    self.send(left, (from, receiver), bytes, false);
                }
            }
        }
    }

    fn send(&mut self, left: u64, route: (usize, usize), bytes: &Bytes, multicast: bool) {
        let (from, to) = route;
        self.counts.datagrams += 1;
        let passing = Passing { now: self.now, from, to, multicast, bytes };
        if self.filter.as_mut().is_some_and(|filter| !filter(&passing)) {
            return;
        }
        let from = self.nodes[from].address;
        for arrival in self.network.carry(left, route, bytes, multicast) {
            let bytes = arrival.bytes;
            self.schedule.plan(arrival.time, Happening::Arrive { to, from, multicast, bytes });
        }
    }

    fn event(&mut self, node: usize, event: &anasazi_protocol::Event) {
        if let anasazi_protocol::Event::State { row, to, .. } = event {
            self.rows.insert(row);
            self.nodes[node].state = to;
            self.lie_in_wait(node);
        }
        self.tell(Some(node), &describe(event));
    }

    fn trace(&mut self, node: usize, trace: Trace) {
        match &trace {
            Trace::Regular { ring, members } => {
                self.nodes[node].ring = Some((*ring, members.clone()));
            }
            Trace::Transitional { .. } => self.nodes[node].ring = None,
            _ => {}
        }
        self.record(node, Entry::Trace(trace));
    }

    fn message(&mut self, node: usize, message: &MessageDelivery) {
        self.counts.messages += 1;
        let mut result = check_payload(message);
        for session in &mut self.nodes[node].sessions {
            result = result.and_then(|()| session.message(message));
        }
        self.judge(node, result);
    }

    fn view(&mut self, node: usize, view: &GroupView) {
        self.counts.views += 1;
        let mut result = Ok(());
        for session in &mut self.nodes[node].sessions {
            result = result.and_then(|()| session.view(view));
        }
        self.judge(node, result);
    }

    fn judge(&mut self, node: usize, result: Result<(), String>) {
        if let Err(what) = result {
            let lines: Vec<&str> = self.nodes[node].lines.iter().map(|l| &l[..]).collect();
            let what = format!("n{}: {what}\n    {}", node + 1, lines.join("\n    "));
            self.fail(Failure::Client(what));
        }
    }
}
