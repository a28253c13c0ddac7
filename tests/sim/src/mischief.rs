//! Faults around the network and the processes: clients that die, rave or do not read, machines
//! that sleep or cannot send, links that lose one kind of datagram.

use anasazi_protocol::SessionId;

use crate::cluster::{Cluster, Happening};
use crate::faults::{Kind, Undo};
use crate::session::Reading;

const MS: u64 = 1_000_000;
/// Kinds of datagrams, from 1.
const KINDS: u64 = 21;
/// Of them, what is sent only where some client lets others wait.
const HOLD: u64 = 21;
/// Of them, what has a place in the order.
const DATA: u8 = 1;
/// So much longer a client stands still where some do not end by it.
const PATIENCE: u64 = 10;
/// Places in its memory that a raving client writes to, at most.
const SCRIBBLES_MAX: u64 = 64;
/// A record that no client of this version writes.
const NO_REQUEST: u16 = 999;

impl Cluster {
    pub(crate) fn make_mischief(&mut self, kind: Kind, time: u64) {
        match kind {
            Kind::Suspend => self.suspend(time),
            Kind::KindLost => self.lose_a_kind(time),
            Kind::SendErrors => self.fail_sends(time),
            Kind::ClientDies => self.end_a_client(),
            Kind::Hole => self.make_a_hole(time),
            _ => self.slow_a_client(time),
        }
    }

    /// The whole machine sleeps: its monotonic clock stands still.
    fn suspend(&mut self, time: u64) {
        let Some(node) = self.random_live().filter(|n| !self.nodes[*n].paused) else { return };
        self.pause(node);
        self.nodes[node].clock.stop(self.now);
        self.plan_undo(time, Undo::Resume(node));
    }

    /// Some connections lose everything of one kind.
    fn lose_a_kind(&mut self, time: u64) {
        let most = if self.options.traffic.throttlers > 0 { KINDS } else { HOLD - 1 };
        let kind = self.random.between(1, most) as u8;
        let share = self.random.pick(&[200, 500, 1_000]);
        let n = self.nodes.len();
        let bad: Vec<bool> = (0..n * n).map(|_| self.random.permille(share)).collect();
        let links = self.pairs(|a, b| bad[a * n + b]);
        let name = crate::cluster::kind_name(&[0, kind]);
        let (count, ms) = (links.len(), time / MS);
        self.tell(None, &format!("{count} connections lose every {name} for {ms} ms"));
        let until = self.now + time;
        links.iter().for_each(|(a, b)| self.network.lose_kind(*a, *b, kind, until));
    }

    /// What a node orders reaches nobody, and then it is cut off: a hole in the order, with others'
    /// packets behind it.
    fn make_a_hole(&mut self, time: u64) {
        let Some(node) = self.random_live() else { return };
        let delay = self.options.network.delay_us.max(20) * 1_000;
        let lone = delay * self.nodes.len() as u64 * self.random.between(1, 20);
        let (ms, us) = (time / MS, lone / 1_000);
        self.tell(
            Some(node),
            &format!("orders what nobody gets for {us} us; then cut for {ms} ms"),
        );
        let until = self.now + lone + MS;
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.network.lose_kind(node, other, DATA, until);
        }
        let epoch = self.epoch;
        self.plan_in(lone, Happening::CutOff { epoch, node, time });
    }

    pub(crate) fn cut_off(&mut self, node: usize, time: u64) {
        let cuts = self.pairs(|a, b| a == node || b == node);
        self.tell(None, &format!("n{} is cut off for {} ms", node + 1, time / MS));
        self.cut_for(time, cuts);
    }

    /// Half of what a machine sends gets no buffer.
    fn fail_sends(&mut self, time: u64) {
        let Some(node) = self.random_live() else { return };
        self.tell(
            Some(node),
            &format!("has no buffers for half of its sends for {} ms", time / MS),
        );
        self.network.fail_sends(node, self.now + time);
    }

    fn random_client(&mut self) -> Option<(usize, SessionId)> {
        let all = self.nodes.iter().enumerate();
        let all =
            all.flat_map(|(n, node)| node.sessions.iter().map(move |s| (n, s.member.session)));
        let all: Vec<_> = all.collect();
        (!all.is_empty()).then(|| all[self.random.index(all.len())])
    }

    fn slow_a_client(&mut self, time: u64) {
        let Some((node, session)) = self.random_client() else { return };
        let reading = self.random.pick(&[Reading::Slow, Reading::Stopped]);
        self.tell(Some(node), &format!("client {:x} reads {reading:?}", session.0));
        let found = self.nodes[node].sessions.iter_mut().find(|s| s.member.session == session);
        if let Some(slow) = found {
            slow.read(reading);
        }
        let patient = self.options.traffic.gappers + self.options.traffic.throttlers > 0;
        let time = if patient { time * PATIENCE } else { time };
        self.plan_undo(time, Undo::Read(node, session));
    }

    /// A client dies, says nonsense, or writes all over its memory, in the middle of anything.
    fn end_a_client(&mut self) {
        let Some((node, session)) = self.random_client() else { return };
        let how = self.random.below(3);
        let words = ["dies", "says nonsense", "raves"];
        self.tell(Some(node), &format!("client {:x} {}", session.0, words[how as usize]));
        let at = self.nodes[node].sessions.iter().position(|s| s.member.session == session);
        let Some(at) = at else { return };
        let mut client = self.nodes[node].sessions.remove(at);
        let keys = client.keys;
        match how {
            0 => self.nodes[node].ready.push(keys.0),
            1 => {
                let kind = self.random.pick(&[NO_REQUEST, 1, 2, 3, 4]);
                // Without room for it there is no nonsense.
                let _ = client.raw.request(kind, &[&[0xA5; 5]]);
                self.nodes[node].ready.extend([keys.1, keys.0]);
            }
            _ => {
                self.wild.insert(client.member);
                for _ in 0..self.random.between(1, SCRIBBLES_MAX) {
                    let near = self.random.pick(&[64, 4_096, 1 << 17, u64::MAX]);
                    let place = self.random.below(near) & !7;
                    let word = self.random.pick(&[0, 1, u64::MAX, self.random.clone().next()]);
                    client.scribble(place, word);
                }
                self.nodes[node].ready.extend([keys.1, keys.0]);
            }
        }
        drop(client);
        self.turn(node);
        self.replace_client(node);
    }

    /// Another client comes where one has gone.
    pub(crate) fn replace_client(&mut self, node: usize) {
        if self.traffic_on
            && !self.nodes[node].leaving
            && let Ok(session) = self.connect(node)
        {
            self.plan_deed(node, session);
        }
    }

    /// A client reads again.
    pub(crate) fn read_again(&mut self, node: usize, session: SessionId) {
        self.with_session(node, session, |s| s.read(Reading::Eager));
    }
}
