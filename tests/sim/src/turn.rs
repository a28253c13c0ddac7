//! One turn of a node: the engine's own, and then what it wanted goes where it belongs.

use anasazi_engine::EngineError;
use anasazi_oracle::Entry;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Event, MemberId, SessionId};
use anasazi_queue::status::Status;
use anasazi_transport::Target;
use bytes::Bytes;

use crate::cluster::{Cluster, Happening, Observed, Passing};
use crate::cuts::Cut;
use crate::engine::Seen;
use crate::node::Node;
use crate::seen::Sent;
use crate::session::Session;
use crate::story::{Failure, describe};

/// What has more to do goes on after this, in nanoseconds.
const TICK: u64 = 1_000;

impl Cluster {
    /// Lets a node's engine do what there is to do, now or as soon as it can.
    pub(crate) fn turn(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        if n.paused {
            return; // it finds everything when it goes on
        }
        if n.busy_until > self.now {
            let at = n.busy_until;
            return self.plan_turn(node, at);
        }
        let now = n.clock.read(self.now);
        let Some(turn) = &mut n.turn else { return };
        for key in n.ready.drain(..) {
            turn.session_ready(key, &n.watch);
        }
        let arrived = turn.transport_mut().has_arrived();
        turn.transport_mut().hesitates = arrived && self.random.permille(300);
        let result = turn.run(now, arrived, 0, &n.watch);
        let more = turn.transport_mut().waiting() > 0 || result == Ok(true);
        self.counts.turns += 1;
        self.follow(node);
        if let Some(result) = self.nodes[node].turn.as_ref().and_then(|t| t.ended().cloned()) {
            if let Err(EngineError::Broken(what)) = &result {
                self.fail(Failure::Panicked(format!("n{}: {what}", node + 1)));
            }
            if let Err(EngineError::Outdated(known)) = result {
                return self.begin_again(node, known);
            }
            return self.stopped(node, result.err().map(|error| error.to_string()));
        }
        self.take_time(node);
        if self.serve_clients(node, None) || more {
            let at = self.now + TICK;
            self.plan_turn(node, at);
        }
        self.arm(node);
    }

    /// Carries out what an engine wanted during its turn.
    fn follow(&mut self, node: usize) {
        let mut seen = std::mem::take(&mut self.seen);
        self.nodes[node].log.swap(&mut seen);
        for seen in seen.drain(..) {
            match seen {
                Seen::Event(event) => self.event(node, &event),
                Seen::Trace(trace) => self.trace(node, trace),
            }
        }
        self.seen = seen;
        self.nodes[node].sessions.iter_mut().for_each(Session::settle);
        let Some(turn) = &mut self.nodes[node].turn else { return };
        let asked = std::mem::take(&mut turn.storage_mut().asked);
        let mut sent = std::mem::take(&mut self.sent);
        turn.transport_mut().swap_sent(&mut sent);
        for (ticket, stored) in asked {
            self.persist(node, ticket, stored.ring_sequence_reserved);
        }
        for (to, bytes) in sent.drain(..) {
            self.transmit(node, to, &bytes);
        }
        self.sent = sent;
    }

    /// The engine is busy for a while, if its machine is slow.
    fn take_time(&mut self, node: usize) {
        let mean = self.nodes[node].turn_ns;
        if mean > 0 {
            self.nodes[node].busy_until = self.now + self.random.around(mean);
        }
    }

    /// Plans a turn, unless there is one at that time or before.
    pub(crate) fn plan_turn(&mut self, node: usize, at: u64) {
        let at = at.max(self.nodes[node].busy_until);
        let n = &mut self.nodes[node];
        if n.turn_at.is_some_and(|planned| planned <= at) {
            return;
        }
        n.turn_at = Some(at);
        let life = n.life;
        self.schedule.plan(at, Happening::Turn { node, life, at });
    }

    /// A turn that was planned.
    pub(crate) fn planned_turn(&mut self, node: usize, at: u64) {
        if self.nodes[node].turn_at == Some(at) {
            self.nodes[node].turn_at = None;
            self.turn(node);
        }
    }

    /// Plans the engine's next timeout, if it is not planned already.
    pub(crate) fn arm(&mut self, node: usize) {
        let late = self.random.below(self.options.machine.timer_late_us * 1_000 + 1);
        let n = &mut self.nodes[node];
        let Some(deadline) = n.turn.as_ref().and_then(|t| t.deadline()) else { return };
        let at = n.clock.when(deadline).max(self.now + TICK) + late;
        if n.paused || n.timer_at.is_some_and(|planned| planned <= at) {
            return;
        }
        n.timer_at = Some(at);
        let life = n.life;
        self.schedule.plan(at, Happening::Timer { node, life, at });
    }

    /// A timer goes off. It may be one that is not due any more.
    pub(crate) fn timer(&mut self, node: usize, at: u64) {
        if self.nodes[node].timer_at != Some(at) || self.nodes[node].paused {
            return;
        }
        self.nodes[node].timer_at = None;
        let now = self.nodes[node].clock.read(self.now);
        let due = |n: &Node| n.core().and_then(|c| c.deadline()).is_some_and(|d| d <= now);
        if !due(&self.nodes[node]) && self.nodes[node].deadline().is_none_or(|d| d > now) {
            self.arm(node);
            return;
        }
        self.turn(node);
        let spinning = due(&self.nodes[node]) && self.nodes[node].busy_until <= self.now;
        let node_now = &mut self.nodes[node];
        node_now.spins = if spinning { node_now.spins + 1 } else { 0 };
        if node_now.spins > SPINS_MAX {
            let what = format!("n{} has a deadline that Timeout does not move", node + 1);
            self.fail(Failure::Stuck(what));
        }
    }

    fn transmit(&mut self, from: usize, to: Target, bytes: &Bytes) {
        if let Some(digest) = &mut self.digest {
            digest.add(&(self.now, from, to, bytes));
        }
        if self.options.seal.mode.is_some() {
            self.check_nonce(from, bytes);
        }
        let Some(left) = self.network.leave(self.now, from, bytes.len()) else { return };
        match to {
            Target::Multicast => {
                for receiver in 0..self.nodes.len() {
                    let route = (from, receiver);
                    let fits = self.network.fits(route, bytes.len(), false);
                    if (receiver != from || self.options.network.loopback) && fits {
                        self.send(left, route, bytes, true);
                    }
                }
            }
            Target::Unicast(address) | Target::Probe(address) => {
                let whole = matches!(to, Target::Probe(_));
                let receiver = self.nodes.iter().position(|n| n.address == address);
                if let Some(receiver) = receiver
                    && self.network.fits((from, receiver), bytes.len(), whole)
                {
                    self.send(left, (from, receiver), bytes, false);
                }
            }
        }
    }

    fn send(&mut self, left: u64, route: (usize, usize), bytes: &Bytes, multicast: bool) {
        let (from, to) = route;
        self.counts.datagrams += 1;
        self.counts.holds += u64::from(crate::cluster::kind_name(bytes) == "hold");
        let passing = Passing { now: self.now, from, to, multicast, bytes };
        if self.filter.as_mut().is_some_and(|filter| !filter(&passing))
            || self.is_held_back(&passing)
        {
            return;
        }
        let from = self.nodes[from].address;
        for arrival in self.network.carry(left, route, bytes, multicast) {
            let bytes = arrival.bytes;
            self.schedule.plan(arrival.time, Happening::Arrive { to, from, multicast, bytes });
        }
    }

    fn event(&mut self, node: usize, event: &Event) {
        if let Event::Installed { multicast, .. } = event {
            self.nodes[node].by_unicast = !multicast;
        }
        if let Event::State { row, from, to, on, .. } = event {
            self.rows.insert(row);
            self.cells.insert((row, from, on));
            if row.ends_with("-contradiction") && !self.liars {
                self.fail(Failure::Contradicted(format!("n{}: {row}", node + 1)));
            }
            self.nodes[node].state = to;
            self.lie_in_wait(node);
            self.step_on_trap(node, to);
        }
        self.judge_demotion(node, event);
        if let Some(tap) = &mut self.tap {
            tap(node, Observed::Event(event));
        }
        self.tell(Some(node), &describe(event));
    }

    fn trace(&mut self, node: usize, trace: Trace) {
        match &trace {
            Trace::Regular { ring, members } => {
                self.nodes[node].ring = Some((*ring, members.clone()));
                self.nodes[node].ring_since = self.now;
                (self.nodes[node].delivered, self.nodes[node].ordered) = (0, 0);
                self.judge_install(node);
                self.judge_readmission(node, members);
            }
            Trace::Packet { ordinal, .. } => {
                let n = &mut self.nodes[node];
                (n.delivered, n.ordered) = (*ordinal, n.ordered.max(*ordinal));
            }
            Trace::Slot { ring, ordinal, .. } => {
                self.nodes[node].ordered = *ordinal;
                self.judge_order(*ring);
            }
            Trace::TokenVisit { ring, .. } => self.judge_visit(node, *ring),
            Trace::Transitional { .. } => self.nodes[node].ring = None,
            _ => {}
        }
        self.tell_sessions(node, &trace);
        self.record(node, Entry::Trace(trace));
    }

    /// What a core does is what its sessions are to see.
    fn tell_sessions(&mut self, node: usize, trace: &Trace) {
        let mut sent = Sent::default();
        match trace {
            // Their readers' nodes do not say from whom some are, nor how long any is.
            Trace::Send { message, session, hash, .. } => {
                let sessions = self.nodes[node].sessions.iter();
                let len = sessions.filter_map(|s| s.ledger.len_of(*hash)).next();
                let sender = MemberId { node: message.origin.node, session: *session };
                self.letters.insert(*message, Sent { sender, len });
            }
            Trace::Unicast { message, .. }
            | Trace::Unordered { message, .. }
            | Trace::Deliver { message, .. } => {
                sent = self.letters.get(message).copied().unwrap_or_default();
            }
            Trace::GroupView { .. } | Trace::GroupMessage { .. } => {}
            _ => return,
        }
        for session in &mut self.nodes[node].sessions {
            session.trace(trace, sent);
        }
    }

    /// Lets a node's clients read and speak: all, or one that acts. Whether their engine has
    /// something to do by it.
    pub(crate) fn serve_clients(&mut self, node: usize, acting: Option<SessionId>) -> bool {
        self.note_ends(node);
        let mut sessions = std::mem::take(&mut self.nodes[node].sessions);
        for session in &mut sessions {
            let acts = acting == Some(session.member.session);
            let read = session.take_in(acts, &self.wild);
            self.counts.records += read.records;
            self.counts.missed += read.missed;
            if let Some(digest) = &mut self.digest {
                digest.add(&(session.member, read.records, session.closed.is_some()));
            }
            if let Err(what) = read.result {
                self.client_fails(node, &what);
            }
            // Who sleeps since it found no room is woken when there is some.
            let looks = acts || read.looked;
            let flushed = looks && !session.queue.is_empty() && session.flush();
            if read.woke_engine || flushed {
                self.nodes[node].ready.push(session.keys.1);
            }
            if read.records > 0 || session.ledger.is_told() {
                session.idle_since = self.now;
            }
            let Some((status, reason)) = &session.closed else { continue };
            let wrong = match *status {
                _ if session.ending => None,
                Status::ESLOW => Cut::new(session).and_then(|cut| cut.wrong(&self.options.machine)),
                _ => Some("for no reason that there is".to_owned()),
            };
            if let Some(wrong) = wrong {
                let (who, name) = (session.member, status.name());
                self.client_fails(node, &format!("{who} was cut {wrong}: {name}, {reason}"));
            }
        }
        let before = sessions.len();
        sessions.retain(|session| session.closed.is_none());
        let gone = before - sessions.len();
        sessions.append(&mut self.nodes[node].sessions);
        self.nodes[node].sessions = sessions;
        self.counts.cut += gone as u64;
        !self.nodes[node].ready.is_empty()
    }

    fn client_fails(&mut self, node: usize, what: &str) {
        let lines: Vec<&str> = self.nodes[node].lines.iter().map(|l| &l[..]).collect();
        let what = format!("n{}: {what}\n    {}", node + 1, lines.join("\n    "));
        self.fail(Failure::Client(what));
    }
}

/// Timeouts in a row that each want the next one at once.
const SPINS_MAX: u32 = 1_000;
