//! The simulated network: what becomes of a datagram between two nodes.

use bytes::Bytes;

use crate::options::{Multicast, NetworkOptions};
use crate::random::Random;

const US: u64 = 1_000;

/// A one-way connection between two nodes.
#[derive(Clone, Debug, Default)]
struct Link {
    /// So many faults cut it.
    cuts: u32,
    /// Nothing arrives before this time.
    clogged_until: u64,
    /// Nearly all is lost before this time.
    bad_until: u64,
    /// One of the cuts stays.
    for_good: bool,
    /// What kind of datagrams is lost, and until when.
    kind_lost: (u8, u64),
    carries: Carries,
    /// Of the last datagram that was not free to overtake.
    last_arrival: u64,
    /// Multicast passes, as far as the network itself is concerned.
    multicast: bool,
    /// A fault keeps multicast from passing.
    outage: bool,
}

/// What becomes of large datagrams on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carries {
    /// Those of so many bytes arrive in one piece; larger ones in fragments, unless they must not
    /// be fragmented.
    pub len: usize,
    /// Larger ones do not arrive at all.
    pub silent: bool,
}

impl Default for Carries {
    fn default() -> Self {
        Self { len: usize::MAX, silent: false }
    }
}

/// How far away a node is for a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Far {
    /// Added to the way of each datagram to it and from it, in nanoseconds.
    pub delay_ns: u64,
    /// So many of a thousand of these are lost.
    pub loss: u32,
}

/// What stays cut after everything else is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Nothing.
    None,
    /// Everything between sets of nodes.
    Sets,
    /// Single links.
    Links,
}

/// All connections between the nodes.
#[derive(Debug)]
pub struct Network {
    /// May change during a run.
    pub options: NetworkOptions,
    random: Random,
    nodes: usize,
    links: Vec<Link>,
    /// When each node's own link is free for the next datagram.
    sender_free: Vec<u64>,
    /// Until when half of what each node sends gets no buffer.
    sends_fail_until: Vec<u64>,
    far: Vec<Far>,
    /// Packet faults so far: lost, doubled, damaged, repeated, held up.
    pub faults: u64,
}

/// A datagram that will arrive.
#[derive(Debug)]
pub struct Arrival {
    /// When, in nanoseconds.
    pub time: u64,
    /// What is left of it.
    pub bytes: Bytes,
}

impl Network {
    /// A network without cuts.
    pub fn new(options: NetworkOptions, nodes: usize, mut random: Random) -> Self {
        let mut links = vec![Link { multicast: true, ..Link::default() }; nodes * nodes];
        for (index, link) in links.iter_mut().enumerate() {
            link.multicast = index / nodes == index % nodes
                || match options.multicast {
                    Multicast::On => true,
                    Multicast::Off | Multicast::Silent => false,
                    Multicast::Partial => random.permille(700),
                };
        }
        Self {
            options,
            random,
            nodes,
            links,
            sender_free: vec![0; nodes],
            sends_fail_until: vec![0; nodes],
            far: vec![Far::default(); nodes],
            faults: 0,
        }
    }

    /// Cuts a connection once more, in one direction.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.link(from, to).cuts += 1;
    }

    /// It is cut, and what was under way is lost with it.
    pub(crate) fn loses_on_the_way(&mut self, from: usize, to: usize) -> bool {
        self.options.cuts_lose && self.link(from, to).cuts > 0
    }

    /// Undoes one cut.
    pub fn join(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        link.cuts = link.cuts.saturating_sub(1);
    }

    /// Cuts a connection, in both directions, so that no healing mends it.
    pub fn cut_for_good(&mut self, a: usize, b: usize) {
        [(a, b), (b, a)].into_iter().for_each(|(from, to)| self.silence_for_good(from, to));
    }

    /// Cuts it in one direction.
    pub fn silence_for_good(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        (link.for_good, link.cuts) = (true, link.cuts + 1);
    }

    /// It was cut for good.
    pub fn is_cut_for_good(&self, from: usize, to: usize) -> bool {
        self.links[from * self.nodes + to].for_good
    }

    /// From now on a connection carries so much; returns what it carried before.
    pub fn set_carries(&mut self, (from, to): (usize, usize), carries: Carries) -> Carries {
        std::mem::replace(&mut self.link(from, to).carries, carries)
    }

    /// A datagram of this length gets through in one piece, or in fragments if it may.
    pub fn fits(&self, (from, to): (usize, usize), len: usize, whole: bool) -> bool {
        let carries = self.links[from * self.nodes + to].carries;
        from == to || len <= carries.len || !(whole || carries.silent)
    }

    /// Holds up everything on a connection until then.
    pub fn clog(&mut self, from: usize, to: usize, until: u64) {
        let link = self.link(from, to);
        link.clogged_until = link.clogged_until.max(until);
    }

    /// Loses nearly everything on a connection until then.
    pub fn spoil(&mut self, from: usize, to: usize, until: u64) {
        self.link(from, to).bad_until = until;
    }

    /// Loses every datagram of one kind on a connection until then.
    pub fn lose_kind(&mut self, from: usize, to: usize, kind: u8, until: u64) {
        self.link(from, to).kind_lost = (kind, until);
    }

    /// Half of what the node sends gets no buffer until then.
    pub fn fail_sends(&mut self, from: usize, until: u64) {
        self.sends_fail_until[from] = until;
    }

    /// From now on a node is so far away from all others.
    pub fn set_far(&mut self, node: usize, far: Far) {
        self.far[node] = far;
    }

    /// Keeps multicast from passing, or not any more.
    pub fn set_outage(&mut self, from: usize, to: usize, outage: bool) {
        self.link(from, to).outage = outage;
    }

    /// No faults from here on. What multicast is like remains, and what fits.
    pub fn heal(&mut self, now: u64) {
        self.options = self.options.healed();
        self.sends_fail_until.fill(0);
        self.far.fill(Far::default());
        for link in &mut self.links {
            link.cuts = u32::from(link.for_good);
            link.outage = false;
            link.clogged_until = link.clogged_until.min(now);
            link.bad_until = link.bad_until.min(now);
            link.kind_lost = (0, 0);
            link.carries.silent = false;
            // What was held up by faults does not hold up what is sent from now on.
            link.last_arrival = link.last_arrival.min(now);
        }
    }

    /// When a datagram of this length has left its sender; it is lost if too much waits there
    /// already.
    pub fn leave(&mut self, now: u64, from: usize, len: usize) -> Option<u64> {
        if now < self.sends_fail_until[from] && self.random.coin() {
            self.faults += 1;
            return None;
        }
        if self.options.bytes_per_ms == 0 {
            return Some(now);
        }
        let start = self.sender_free[from].max(now);
        if start > now + 200_000 * US {
            self.faults += 1;
            return None;
        }
        let end = start + (len as u64 + 42) * 1_000_000 / self.options.bytes_per_ms;
        self.sender_free[from] = end;
        Some(end)
    }

    /// What arrives of a datagram, and when: nothing, once, or several times.
    pub fn carry(
        &mut self,
        left: u64,
        route: (usize, usize),
        bytes: &Bytes,
        multicast: bool,
    ) -> Vec<Arrival> {
        let (from, to) = route;
        let mut arrivals = Vec::new();
        let link = self.link(from, to).clone();
        if link.cuts > 0 || (multicast && (link.outage || !link.multicast)) {
            return arrivals;
        }
        if left < link.kind_lost.1
            && bytes.get(1) == Some(&link.kind_lost.0)
            && !anasazi_seal::is_sealed(bytes)
        {
            self.faults += 1;
            return arrivals;
        }
        let is_lost = from != to
            && (self.random.permille(self.options.loss)
                || self.spoiled(&link, left)
                || self.is_lost_far_away(from)
                || self.is_lost_far_away(to));
        if is_lost {
            self.faults += 1;
            return arrivals;
        }
        let time = self.arrival_time(left, route);
        let damaged = self.random.permille(self.options.corrupt);
        let bytes_now = if damaged { self.damage(bytes) } else { bytes.clone() };
        arrivals.push(Arrival { time, bytes: bytes_now });
        if self.random.permille(self.options.duplicate) {
            self.faults += 1;
            let time = self.arrival_time(left, route) + self.random.around(500 * US);
            arrivals.push(Arrival { time, bytes: bytes.clone() });
        }
        if self.random.permille(self.options.replay) {
            self.faults += 1;
            let time = time + self.random.between(US, 10_000_000 * US);
            arrivals.push(Arrival { time, bytes: bytes.clone() });
        }
        arrivals
    }

    fn is_lost_far_away(&mut self, node: usize) -> bool {
        self.far[node].loss > 0 && self.random.permille(self.far[node].loss)
    }

    fn spoiled(&mut self, link: &Link, now: u64) -> bool {
        now < link.bad_until && self.random.permille(900)
    }

    fn arrival_time(&mut self, left: u64, (from, to): (usize, usize)) -> u64 {
        let options = &self.options;
        let (reorder, late) = (options.reorder, options.late);
        let (delay, jitter) = (options.delay_us * US, options.jitter_us * US);
        let far = self.far[from].delay_ns + self.far[to].delay_ns;
        let mut time =
            left + if from == to { 5 * US } else { delay + self.random.around(jitter) + far };
        if self.random.permille(late.0) {
            self.faults += 1;
            time += self.random.below(late.1 * US + 1);
        }
        let overtakes = self.random.permille(reorder);
        let link = self.link(from, to);
        time = time.max(link.clogged_until);
        if !overtakes {
            time = time.max(link.last_arrival + 1);
            link.last_arrival = time;
        }
        time
    }

    /// Flips a few bits, or cuts the end off. Both are within what the checksum finds with
    /// certainty or nearly so.
    fn damage(&mut self, bytes: &Bytes) -> Bytes {
        self.faults += 1;
        if bytes.is_empty() || self.random.permille(300) {
            return bytes.slice(..self.random.index(bytes.len() + 1));
        }
        let mut damaged = bytes.to_vec();
        for _ in 0..self.random.between(1, 3) {
            let bit = self.random.index(damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        Bytes::from(damaged)
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.nodes + to]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network::new(NetworkOptions::good(), 2, Random::new(1))
    }

    #[test]
    fn a_cut_is_one_way_and_counted() {
        let mut network = network();
        let bytes = Bytes::from_static(b"x");
        network.cut(0, 1);
        network.cut(0, 1);
        network.join(0, 1);
        assert!(network.carry(0, (0, 1), &bytes, false).is_empty());
        assert_eq!(network.carry(0, (1, 0), &bytes, false).len(), 1);
        network.join(0, 1);
        assert_eq!(network.carry(0, (0, 1), &bytes, false).len(), 1);
    }

    #[test]
    fn who_is_far_away_takes_longer_both_ways_and_loses_its_share() {
        let (mut network, bytes) = (network(), Bytes::from_static(b"x"));
        let time = |network: &mut Network, from, to| {
            network.carry(0, (from, to), &bytes, false).first().map(|arrival| arrival.time)
        };
        let near = time(&mut network, 0, 1).expect("it arrives");
        network.set_far(1, Far { delay_ns: 1_000_000_000, loss: 0 });
        for (from, to) in [(0, 1), (1, 0)] {
            let far = time(&mut network, from, to).expect("it arrives");
            assert!(far >= 1_000_000_000 && far < 1_000_000_000 + 2 * near, "{near} {far}");
        }
        assert!(time(&mut network, 1, 1) < Some(1_000_000), "not from itself");
        network.set_far(1, Far { delay_ns: 0, loss: 1_000 });
        assert_eq!(time(&mut network, 0, 1), None);
    }

    #[test]
    fn what_is_too_large_arrives_in_fragments_if_it_may() {
        let mut network = network();
        network.set_carries((0, 1), Carries { len: 1_500, silent: false });
        assert!(network.fits((0, 1), 1_500, true) && network.fits((0, 1), 1_501, false));
        assert!(!network.fits((0, 1), 1_501, true) && network.fits((1, 0), 1_501, true));
        network.set_carries((0, 1), Carries { len: 1_500, silent: true });
        assert!(network.fits((0, 1), 1_500, false) && !network.fits((0, 1), 1_501, false));
        network.heal(0);
        assert!(network.fits((0, 1), 1_501, false) && !network.fits((0, 1), 1_501, true));
    }

    #[test]
    fn without_reordering_the_order_stays() {
        let mut network = network();
        network.options.jitter_us = 5_000;
        let bytes = Bytes::from_static(b"x");
        let times: Vec<u64> =
            (0..100).map(|i| network.carry(i, (0, 1), &bytes, false)[0].time).collect();
        assert!(times.is_sorted());
        network.options.reorder = 1_000;
        let times: Vec<u64> =
            (0..100).map(|i| network.carry(i, (0, 1), &bytes, false)[0].time).collect();
        assert!(!times.is_sorted());
    }

    #[test]
    fn a_clog_delays_and_a_slow_link_queues() {
        let mut network = network();
        network.clog(0, 1, 9_000_000);
        let bytes = Bytes::from_static(&[0; 958]);
        assert!(network.carry(0, (0, 1), &bytes, false)[0].time >= 9_000_000);
        network.options.bytes_per_ms = 1_000;
        assert_eq!(network.leave(0, 0, 958), Some(1_000_000));
        assert_eq!(network.leave(0, 0, 958), Some(2_000_000));
    }
}
