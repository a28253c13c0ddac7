//! Rules for single datagrams: which one, and what becomes of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;

use crate::cluster::{Cluster, Happening, Passing};

use super::words::{Nodes, Time, Words};

/// Kinds of datagrams, as `anasazi_protocol::wire_kind` names them.
const KINDS: [&str; 25] = [
    "any",
    "data",
    "token",
    "token-ack",
    "wake",
    "join",
    "propose",
    "state",
    "plan",
    "plan-ack",
    "beacon",
    "bye",
    "duplicate",
    "part",
    "unordered",
    "probe",
    "probe-answer",
    "decline",
    "size-probe",
    "size-answer",
    "outdated",
    "gauge",
    "gauged",
    "not-admitted",
    "hold",
];
/// How long a datagram takes that is sent by a rule, in nanoseconds.
const TRIP: u64 = 100_000;
/// Between two datagrams that are sent again, in nanoseconds.
const AGAIN: u64 = 200_000;

/// Which datagrams, and what becomes of them.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    fate: Fate,
    kind: Option<&'static str>,
    from: Nodes,
    to: Nodes,
    which: Which,
    seen: u64,
    /// Where it stands.
    line: usize,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Drop,
    /// So many copies in all.
    Duplicate(u64),
    Delay(Time),
    Hold,
    /// Once at once, and again after this time.
    Replay(Time),
    /// One bit is turned.
    Corrupt,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Range(u64, u64),
    Every(u64),
}

impl Rule {
    /// `drop KIND FROM -> TO [which]`, the first word being taken already.
    pub(crate) fn parse(verb: &str, words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("a kind of datagram")?;
        let kind = KINDS.iter().find(|kind| **kind == word).ok_or_else(|| {
            format!("`{word}` is no kind of datagram; they are {}", KINDS.join(", "))
        })?;
        let (from, to, both) = words.route()?;
        if both {
            return Err("a datagram goes one way: `->`".to_owned());
        }
        let which = which(words)?;
        let fate = match verb {
            "drop" => Fate::Drop,
            "hold" => Fate::Hold,
            "corrupt" => Fate::Corrupt,
            "duplicate" => {
                words.must("times")?;
                Fate::Duplicate(words.number("a number of copies")?)
            }
            "delay" => {
                words.must("by")?;
                Fate::Delay(words.time()?)
            }
            _ => {
                words.must("after")?;
                Fate::Replay(words.time()?)
            }
        };
        let kind = (*kind != "any").then_some(*kind);
        Ok(Self { fate, kind, from, to, which, seen: 0, line: 0 })
    }

    /// Counts the datagram, if it is meant, and says whether it is one of those.
    fn hits(&mut self, passing: &Passing<'_>) -> bool {
        let among = |nodes: &Nodes, node| nodes.0.as_ref().is_none_or(|n| n.contains(&node));
        let meant = passing.from != passing.to
            && self.kind.is_none_or(|kind| kind == passing.kind())
            && among(&self.from, passing.from)
            && among(&self.to, passing.to);
        if !meant {
            return false;
        }
        self.seen += 1;
        match self.which {
            Which::Range(first, last) => (first..=last).contains(&self.seen),
            Which::Every(step) => self.seen.is_multiple_of(step),
        }
    }
}

/// `3`, `2..5`, `every 3`, or nothing for all.
fn which(words: &mut Words<'_>) -> Result<Which, String> {
    if words.take("every") {
        return Ok(Which::Every(words.number("a step")?.max(1)));
    }
    if !words.peek().is_some_and(|w| w.starts_with(|c: char| c.is_ascii_digit())) {
        return Ok(Which::Range(1, u64::MAX));
    }
    words.range("datagrams").map(|(first, last)| Which::Range(first, last))
}

#[derive(Clone)]
struct Packet {
    from: usize,
    to: usize,
    multicast: bool,
    bytes: Bytes,
}

/// All rules, and what they did.
#[derive(Default)]
pub(crate) struct Post {
    rules: Vec<Rule>,
    held: Vec<Packet>,
    /// To be delivered at these times.
    due: Vec<(u64, Packet)>,
    recorded: Option<Vec<Packet>>,
    /// Datagrams of each kind, each receiver counted.
    pub(crate) sent: BTreeMap<&'static str, u64>,
    /// Lines of rules that had something to do.
    pub(crate) applied: BTreeSet<usize>,
    swept: u64,
}

impl Post {
    /// Watches all datagrams of a cluster.
    pub(crate) fn watch(cluster: &mut Cluster, swept: u64) -> Rc<RefCell<Self>> {
        let post = Rc::new(RefCell::new(Self { swept, ..Self::default() }));
        let filter = Rc::clone(&post);
        cluster.filter = Some(Box::new(move |passing| filter.borrow_mut().pass(passing)));
        post
    }

    pub(crate) fn add(&mut self, line: usize, rule: Rule) {
        self.rules.push(Rule { line, ..rule });
    }

    /// No rules any more; what is held stays so.
    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What is held arrives now.
    pub(crate) fn release(&mut self, now: u64) {
        let held = std::mem::take(&mut self.held);
        let due = held.into_iter().zip(now + TRIP..).map(|(packet, time)| (time, packet));
        self.due.extend(due);
    }

    pub(crate) fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// What these nodes said since `record` is said again.
    pub(crate) fn again(&mut self, now: u64, from: &[usize]) {
        let said = self.recorded.take().unwrap_or_default();
        let chosen = said.into_iter().filter(|packet| from.contains(&packet.from));
        self.due.extend(chosen.enumerate().map(|(i, p)| (now + AGAIN * (i as u64 + 1), p)));
    }

    /// Plans what the rules want to arrive.
    pub(crate) fn deliver(&mut self, cluster: &mut Cluster) {
        for (time, packet) in self.due.drain(..) {
            let Packet { from, to, multicast, bytes } = packet;
            let from = cluster.nodes[from].address;
            let wait = time.saturating_sub(cluster.now);
            cluster.plan_in(wait, Happening::Arrive { to, from, multicast, bytes });
        }
    }

    fn pass(&mut self, passing: &Passing<'_>) -> bool {
        *self.sent.entry(passing.kind()).or_default() += 1;
        let (from, to, multicast) = (passing.from, passing.to, passing.multicast);
        let packet = Packet { from, to, multicast, bytes: passing.bytes.clone() };
        if let Some(recorded) = &mut self.recorded {
            recorded.push(packet.clone());
        }
        let mut fate = None;
        for rule in &mut self.rules {
            if rule.hits(passing) && fate.is_none() {
                fate = Some(rule.fate);
                self.applied.insert(rule.line);
            }
        }
        let Some(fate) = fate else { return true };
        self.decide(passing.now, fate, packet)
    }

    /// Whether the network carries it, too.
    fn decide(&mut self, now: u64, fate: Fate, packet: Packet) -> bool {
        match fate {
            Fate::Drop => false,
            Fate::Hold => {
                self.held.push(packet);
                false
            }
            Fate::Duplicate(copies) => {
                self.due.extend((1..copies).map(|i| (now + TRIP * i, packet.clone())));
                true
            }
            Fate::Delay(time) => {
                self.due.push((now + TRIP + time.nanoseconds(self.swept), packet));
                false
            }
            Fate::Replay(time) => {
                self.due.push((now + TRIP + time.nanoseconds(self.swept), packet));
                true
            }
            Fate::Corrupt => {
                let mut bytes = packet.bytes.to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                self.due.push((now + TRIP, Packet { bytes: bytes.into(), ..packet }));
                false
            }
        }
    }
}
