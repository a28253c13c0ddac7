//! From a connection to a session: who may come in, and how many.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use anasazi_protocol::{Instant, MemberId, SessionId};
use anasazi_queue::status::Status;

use super::backlog::Backlog;
use super::connection::Connection;
use super::handshake::{self, Greeting, Offer, Refusal, Waiting};
use super::limits::{HELLO_TIMEOUT, WAITING_MAX};
use super::{Readiness, Sessions, Slot};
use crate::domains::DomainId;
use crate::sys::memory::ClientWaker;
use crate::sys::nudge::Nudger;
use crate::sys::poll::now_ns;
use crate::sys::socket::{self, Peer, Way};

impl Sessions {
    /// A connection came in, of whom the kernel says.
    pub fn accept(&mut self, socket: OwnedFd, readiness: &dyn Readiness, now: Instant) {
        if let Ok(peer) = socket::peer(socket.as_fd()) {
            self.accept_of(peer, socket, readiness, now);
        }
    }

    /// A connection came in, of that peer.
    pub fn accept_of(
        &mut self,
        peer: Peer,
        socket: OwnedFd,
        readiness: &dyn Readiness,
        now: Instant,
    ) {
        self.bury(readiness);
        let refusal = self.refuse_stranger(&peer);
        // Its hello may be there by now.
        if self.waiting.len() >= WAITING_MAX
            && let Some(oldest) = self.waiting.front().copied()
        {
            self.greet(oldest, readiness);
        }
        if self.waiting.len() >= WAITING_MAX
            && let Some(oldest) = self.waiting.front().copied()
        {
            let text = "too many connections that say nothing; this one was the oldest: try again";
            self.turn_away(oldest, &Refusal::new(Status::EAGAIN, text), readiness);
        }
        let slot = self.vacant_slot();
        if let Err(error) = readiness.add(socket.as_raw_fd(), self.key(slot)) {
            let text = format!("the engine cannot watch another connection: {error}");
            Refusal::new(Status::ENOMEM, text).send(&socket);
            return;
        }
        let deadline = now + HELLO_TIMEOUT;
        self.slots[slot] = Slot::Waiting(Box::new(Waiting { socket, peer, refusal, deadline }));
        self.waiting.push_back(slot);
        self.greet(slot, readiness);
    }

    /// When [`Self::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.hello_deadline(), self.holds.deadline(), self.lanes_deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn hello_deadline(&self) -> Option<Instant> {
        match self.slots.get(*self.waiting.front()?) {
            Some(Slot::Waiting(waiting)) => Some(waiting.deadline),
            _ => None,
        }
    }

    /// Gives up on connections that said nothing in time.
    pub fn expire(&mut self, readiness: &dyn Readiness, now: Instant) {
        self.bury(readiness);
        while self.hello_deadline().is_some_and(|deadline| deadline <= now)
            && let Some(oldest) = self.waiting.front().copied()
        {
            let text = format!("no hello within {} ms", HELLO_TIMEOUT.as_millis());
            self.turn_away(oldest, &Refusal::new(Status::ETIMEDOUT, text), readiness);
        }
    }

    pub(super) fn greet(&mut self, slot: usize, readiness: &dyn Readiness) {
        let Some(Slot::Waiting(waiting)) = self.slots.get(slot) else { return };
        match waiting.greet(&self.limits) {
            Greeting::NotYet => {}
            Greeting::Gone => drop(self.stop_waiting(slot, readiness)),
            Greeting::Refused(refusal) => self.turn_away(slot, &refusal, readiness),
            Greeting::Offered(offer) => match self.identify(&offer, &waiting.peer) {
                Ok(as_what) => self.open(slot, *offer, as_what, readiness),
                Err(refusal) => self.turn_away(slot, &refusal, readiness),
            },
        }
    }

    /// Whose lane of which domain an offer is to be, if it may.
    fn identify(&self, offer: &Offer, peer: &Peer) -> Result<(SessionId, DomainId), Refusal> {
        if let Some(lane) = &offer.lane_of {
            return Ok((lane.session, self.check_lane(lane, peer)?));
        }
        if self.count() >= self.limits.sessions_max {
            let text = format!(
                "the engine serves {} sessions already, as many as client.sessions_max allows",
                self.limits.sessions_max
            );
            return Err(Refusal::new(Status::ENOMEM, text));
        }
        Ok((self.next_id, DomainId::DEFAULT))
    }

    fn open(
        &mut self,
        slot: usize,
        offer: Offer,
        (id, domain): (SessionId, DomainId),
        readiness: &dyn Readiness,
    ) {
        let Some(Slot::Waiting(waiting)) = self.slots.get(slot) else { return };
        // The descriptors of a stream are of this process.
        let is_trusted = waiting.peer.way != Way::Memory || self.trusts(waiting.peer.uid);
        let wake_engine = offer.wake_engine;
        let life = waiting.peer.life.fd();
        let waker = self.client_waker(offer.wake_client, is_trusted).and_then(|waker| {
            life.map_or(Ok(()), |life| readiness.add(life, self.key(slot)))?;
            readiness.add_edge(wake_engine.as_raw_fd(), self.key(slot) + 1).map(|()| waker)
        });
        let waker = match waker {
            Ok(waker) => waker,
            Err(error) => {
                let text = format!("the engine cannot serve another session: {error}");
                return self.turn_away(slot, &Refusal::new(Status::ENOMEM, text), readiness);
            }
        };
        let Slot::Waiting(waiting) = std::mem::replace(&mut self.slots[slot], Slot::Free) else {
            return;
        };
        self.waiting.retain(|waiting| *waiting != slot);
        let is_lane = domain != DomainId::DEFAULT;
        if !is_lane {
            let next = SessionId(id.0 + 1);
            // The engine's own has the number 0.
            self.next_id = if next.number() == 0 { SessionId(next.0 + 1) } else { next };
        }
        let of_domain = Arc::clone(&self.domains[domain.index()].kept);
        let totals = [Arc::clone(&self.backlog_total), of_domain];
        let backlog = Backlog::new(self.limits.backlog_len_max, totals);
        let wakers = (wake_engine, waker);
        let (lane, policy) = (offer.lane, offer.policy);
        let place = (domain, Arc::clone(&self.domains[domain.index()].name));
        let connection = Connection::new(id, place, *waiting, (lane, policy), wakers, backlog);
        let connection = Box::new(connection);
        let identity = MemberId { node: self.identity.node, session: id };
        let message_len_max = self.limits.message_len_max;
        let lane_key = if is_lane { 0 } else { self.lane_key(id) };
        let told = handshake::welcome(&connection.socket, (identity, lane_key), message_len_max);
        if told.is_err() {
            self.dead.push(connection); // nobody is there to be welcomed
            return;
        }
        let Peer { pid, way, .. } = &connection.peer;
        let name = connection.domain_name();
        tracing::debug!(session = %identity, pid, %way, domain = name, "session opened");
        self.enter(&connection, slot);
        self.put_back(connection, slot);
        self.activate(slot);
    }

    fn trusts(&self, uid: u32) -> bool {
        self.trusted_uids.contains(&uid)
    }

    /// How to wake a client without being blocked by it.
    fn client_waker(&mut self, fd: OwnedFd, is_trusted: bool) -> std::io::Result<ClientWaker> {
        if is_trusted {
            return Ok(ClientWaker::Trusted(fd));
        }
        let nudger = match &self.nudger {
            Some(nudger) => Arc::clone(nudger),
            None => Arc::clone(self.nudger.insert(Arc::new(Nudger::new()?))),
        };
        Ok(ClientWaker::Stranger(fd, nudger))
    }

    fn turn_away(&mut self, slot: usize, refusal: &Refusal, readiness: &dyn Readiness) {
        let Some(waiting) = self.stop_waiting(slot, readiness) else { return };
        if let Some(withheld) = self.refusals.next(Instant(now_ns())) {
            tracing::info!(
                pid = waiting.peer.pid,
                uid = waiting.peer.uid,
                way = %waiting.peer.way,
                status = refusal.status.name(),
                reason = refusal.reason,
                withheld,
                "connection refused"
            );
        }
        refusal.send(&waiting.socket);
    }

    fn stop_waiting(&mut self, slot: usize, readiness: &dyn Readiness) -> Option<Box<Waiting>> {
        let waiting = match std::mem::replace(&mut self.slots[slot], Slot::Free) {
            Slot::Waiting(waiting) => waiting,
            other => {
                self.slots[slot] = other;
                return None;
            }
        };
        self.waiting.retain(|waiting| *waiting != slot);
        readiness.remove(waiting.socket.as_raw_fd());
        waiting.peer.life.fd().into_iter().for_each(|life| readiness.remove(life));
        Some(waiting)
    }
}
