//! The client of a node, with a lane in each of its domains: it sends in bursts, and reads all that
//! there is.

use anasazi_client::SlowPolicy;
use anasazi_client::raw::{RawRecord, RawSession};
use anasazi_engine::sys::socket;
use anasazi_protocol::{Instant, SessionId, content_hash};
use anasazi_queue::hello::Welcome;
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{JoinRecord, MessageRecord, SendRecord, event, request};
use anasazi_queue::ring::CAPACITY_MIN;
use anasazi_queue::status::Status;

use super::bridges::{Got, engine_of, is_engine};
use super::world::{Deed, FAST, Happening, NAMES, SLOW, World};

const SAFE: u32 = 5;
const AGREED: u32 = 4;

impl World {
    /// The client of a node joins its group in a domain, over a lane of its one session.
    pub(super) fn connect(&mut self, domain: usize, node: usize) {
        if self.machines[node].session.is_none() {
            let session = self.greet(node, None);
            self.machines[node].session = session;
        }
        let Some((lane, _)) = self.greet(node, Some(NAMES[domain])) else { return };
        let machine = &mut self.machines[node];
        let key = machine.watch.last_keys().1;
        let name = format!("{}/g", NAMES[domain]);
        let record = JoinRecord { handle: 1, flags: 0 };
        lane.request(request::JOIN, &[record.as_bytes(), name.as_bytes()]).expect("an empty ring");
        machine.ready.push(key);
        machine.place(domain).client = Some((lane, key));
        self.turn(node);
    }

    /// A connection to the engine of a node: a session, or its lane of a domain.
    fn greet(&mut self, node: usize, lane_of: Option<&str>) -> Option<(RawSession, Welcome)> {
        let now = Instant(self.now);
        let machine = &mut self.machines[node];
        let turn = machine.turn.as_mut().expect("it was just made");
        let (near, far) = socket::pair().expect("descriptors: see ulimit -n");
        let lens = (CAPACITY_MIN * 4, CAPACITY_MIN * 4);
        let raw = match (lane_of, &machine.session) {
            (Some(domain), Some((_, session))) => {
                RawSession::greet_lane(near, lens, SlowPolicy::Disconnect, (session, domain))
            }
            _ => RawSession::greet(near, lens, SlowPolicy::Disconnect),
        };
        let raw = raw.expect("memory");
        turn.accept(far, &machine.watch, now);
        let answer = raw.answer().expect("an engine answers at once");
        if answer.status != Status::OK.0 {
            let reason = String::from_utf8_lossy(&answer.reason).into_owned();
            self.fail(format!("n{}: turned away: {reason}", node + 1));
            return None;
        }
        Some((raw, answer))
    }

    pub(super) fn plan_deed(&mut self, domain: usize, node: usize) {
        let mean =
            if domain == FAST { self.plan.fast_traffic_us } else { self.plan.slow_traffic_us };
        let wait = self.deeds[domain].around(mean * 1_000) + 1_000;
        let life = self.machines[node].life;
        self.schedule.plan(self.now + wait, Happening::Act { domain, node, life });
    }

    /// A client sends something.
    pub(super) fn act(&mut self, domain: usize, node: usize) {
        if !self.traffic_on {
            return;
        }
        self.plan_deed(domain, node);
        let random = &mut self.deeds[domain];
        let most = if domain == SLOW { self.plan.slow_burst } else { 3 };
        let (count, len, safe) = (random.between(1, most), random.between(24, 900), random.coin());
        self.send((domain, node), count, len, if safe { SAFE } else { AGREED });
    }

    /// All clients send once more; what bridges have to do with that is judged at the end.
    pub(super) fn say_last_words(&mut self) {
        self.is_over = true;
        for node in 0..self.machines.len() {
            for domain in [FAST, SLOW] {
                if self.machines[node].places[domain].is_some() {
                    self.send((domain, node), 3, 24, AGREED);
                }
            }
        }
    }

    fn send(&mut self, (domain, node): (usize, usize), count: u64, len: u64, service: u32) {
        let process = self.machines[node].process;
        let place = self.machines[node].place(domain);
        let Some((raw, key)) = &place.client else { return };
        for _ in 0..count {
            place.sent += 1;
            let mut payload = vec![domain as u8; len as usize];
            payload[..8].copy_from_slice(&place.sent.to_be_bytes());
            payload[8..16].copy_from_slice(&process.incarnation.0.to_le_bytes());
            payload[16..20].copy_from_slice(&process.node.0.to_le_bytes());
            let head = SendRecord { handle: 1, service, ..SendRecord::default() };
            let content = content_hash(&payload);
            self.judge.sent(domain, (content, &payload), self.is_over);
            // A full ring is no failure: then it is not sent.
            let _ = raw.request(request::SEND, &[head.as_bytes(), &payload]);
        }
        let key = *key;
        self.machines[node].ready.push(key);
        self.turn(node);
    }

    /// What waits behind full rings comes too.
    pub(super) fn read_to_the_end(&mut self) {
        for node in 0..self.machines.len() {
            let mut is_read = true;
            while std::mem::take(&mut is_read) {
                let machine = &mut self.machines[node];
                let clients = machine.places.iter().flatten().filter_map(|of| of.client.as_ref());
                machine.ready.extend(clients.map(|(_, key)| *key));
                let before = self.records_read;
                self.turn(node);
                is_read = self.records_read > before;
            }
        }
    }

    /// All clients of a node read all that there is.
    pub(super) fn read(&mut self, node: usize) {
        let process = self.machines[node].process;
        for domain in [FAST, SLOW] {
            let Some(place) = &mut self.machines[node].places[domain] else { continue };
            let Some((raw, _)) = &mut place.client else { continue };
            loop {
                match raw.take(|record| (record.kind, content_hash(record.bytes), got(&record))) {
                    Ok(Some((kind, content, got))) => {
                        self.records_read += 1;
                        if domain == FAST && !self.is_over {
                            self.fast.push(Deed::Read { time: self.now, node, kind, content });
                        }
                        if let Some(got) = got {
                            self.busy_at = self.now;
                            self.judge.got(domain, process, got);
                        }
                    }
                    Ok(None) => break,
                    Err(_) => {
                        let broken = || format!("n{}: a broken ring", node + 1);
                        self.failure.get_or_insert_with(broken);
                        break;
                    }
                }
            }
        }
    }
}

/// What came over a bridge.
fn got(record: &RawRecord<'_>) -> Option<Got> {
    match record.kind {
        event::GAP => Some(Got::Gap),
        event::MESSAGE => {
            let (head, payload) = MessageRecord::split_from(record.bytes)?;
            let sender = head.sender;
            let is_forward = is_engine(SessionId(sender.session));
            let gateway = engine_of(sender.node, sender.session);
            is_forward.then(|| Got::Message { content: content_hash(payload), gateway })
        }
        _ => None,
    }
}
