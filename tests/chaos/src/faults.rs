//! The faults, drawn by chance.

use std::fmt;

use crate::network::Link;
use crate::random::Random;

/// One thing that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; started again at the end, some without what they had stored. With all nodes: a cold
    /// start.
    Kill { nodes: Vec<usize>, wiped: bool },
    /// SIGSTOP, SIGCONT at the end.
    Pause { node: usize },
    /// SIGTERM; started again at the end.
    Restart { node: usize },
    /// The first of each pair does not hear the second.
    Cut { shape: &'static str, pairs: Vec<(usize, usize)> },
    /// These nodes lose so many of the datagrams that reach them.
    Loss { nodes: Vec<usize>, percent: u64 },
    /// A cable is out, or an interface down.
    Unlink { node: usize, link: Link },
    /// A thin line out of a node.
    Slow { node: usize, kbit: u64 },
    /// A node's interface carries less than it should.
    SmallMtu { node: usize, mtu: u32 },
    /// No space for the state.
    FullDisk { node: usize },
    /// Processes that only compute.
    Busy { loops: usize },
    /// SIGHUP, again and again.
    Hangups { node: usize },
    /// Clients killed; others in their place at the end.
    KillClients { clients: Vec<usize> },
    /// A client that does not read.
    PauseClient { client: usize },
}

/// A fault with its time in the round, in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Timed {
    pub(crate) fault: Fault,
    pub(crate) from_ms: u64,
    pub(crate) until_ms: u64,
}

/// One to three faults that overlap.
pub(crate) fn draw(random: &mut Random, nodes: usize, clients: usize) -> Vec<Timed> {
    let count = random.between(1..=3);
    (0..count)
        .map(|_| {
            let fault = draw_fault(random, nodes, clients);
            let from_ms = random.between(0..=400);
            // Many are over before anybody notices, some are not.
            let longest = if random.percent(25) { 3_000 } else { 1_200 };
            let shortest = if matches!(fault, Fault::Pause { .. }) { 100 } else { 500 };
            Timed { fault, from_ms, until_ms: from_ms + random.between(shortest..=longest) }
        })
        .collect()
}

fn draw_fault(random: &mut Random, nodes: usize, clients: usize) -> Fault {
    let node = random.index(nodes);
    match random.index(16) {
        0 | 1 => {
            let count = random.between(1..=2) as usize;
            Fault::Kill { nodes: random.choose(count, nodes), wiped: random.percent(25) }
        }
        2 => Fault::Kill { nodes: (0..nodes).collect(), wiped: false },
        3 => Fault::Pause { node },
        4 => Fault::Restart { node },
        5..=7 => draw_cut(random, nodes),
        8 => {
            let count = random.between(1..=nodes as u64) as usize;
            Fault::Loss { nodes: random.choose(count, nodes), percent: random.between(5..=30) }
        }
        9 => {
            let link = if random.percent(50) { Link::Down } else { Link::Unplugged };
            Fault::Unlink { node, link }
        }
        10 => Fault::Slow { node, kbit: random.between(500..=5_000) },
        11 => Fault::SmallMtu { node, mtu: random.between(600..=1_300) as u32 },
        12 => Fault::FullDisk { node },
        13 => Fault::Busy { loops: 4 },
        14 => Fault::Hangups { node },
        _ if random.percent(50) => {
            let count = random.between(1..=4) as usize;
            Fault::KillClients { clients: random.choose(count, clients) }
        }
        _ => Fault::PauseClient { client: random.index(clients) },
    }
}

fn draw_cut(random: &mut Random, nodes: usize) -> Fault {
    let order = random.choose(nodes, nodes);
    let one_way = |deaf: &[usize], to: &[usize]| -> Vec<(usize, usize)> {
        deaf.iter().flat_map(|x| to.iter().map(move |y| (*x, *y))).collect()
    };
    let both = |a: &[usize], b: &[usize]| [one_way(a, b), one_way(b, a)].concat();
    let half = nodes / 2;
    let (shape, pairs) = match random.index(9) {
        0 => ("halves", both(&order[..half], &order[half..])),
        1 => ("one alone", both(&order[..1], &order[1..])),
        2 => ("one is deaf", one_way(&order[..1], &order[1..])),
        3 => ("one is mute", one_way(&order[1..], &order[..1])),
        // The middle one hears both sides.
        4 => ("bridge", both(&order[..half], &order[half + 1..])),
        5 => ("one half is deaf", one_way(&order[..half], &order[half..])),
        6 => ("one half is mute", one_way(&order[half..], &order[..half])),
        // A link that is dead in one direction.
        7 => ("one way", one_way(&order[..1], &order[1..2])),
        // Each misses one other, so that every majority overlaps with every other.
        _ => {
            let ring = (0..nodes).map(|at| (order[at], order[(at + 1) % nodes]));
            ("overlapping majorities", ring.flat_map(|(a, b)| [(a, b), (b, a)]).collect())
        }
    };
    Fault::Cut { shape, pairs }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |nodes: &[usize]| {
            nodes.iter().map(|node| (node + 1).to_string()).collect::<Vec<_>>().join(" ")
        };
        match self {
            Self::Kill { nodes, wiped: false } => write!(f, "kill {}", names(nodes)),
            Self::Kill { nodes, .. } => write!(f, "kill and wipe {}", names(nodes)),
            Self::Pause { node } => write!(f, "pause {}", node + 1),
            Self::Restart { node } => write!(f, "restart {}", node + 1),
            Self::Cut { shape, pairs } => {
                let pairs: Vec<_> =
                    pairs.iter().map(|(a, b)| format!("{}<{}", a + 1, b + 1)).collect();
                write!(f, "cut ({shape}) {}", pairs.join(" "))
            }
            Self::Loss { nodes, percent } => write!(f, "loss of {percent} % at {}", names(nodes)),
            Self::Unlink { node, link: Link::Down } => write!(f, "interface down at {}", node + 1),
            Self::Unlink { node, .. } => write!(f, "cable out at {}", node + 1),
            Self::Slow { node, kbit } => write!(f, "slow line from {} ({kbit} kbit/s)", node + 1),
            Self::SmallMtu { node, mtu } => write!(f, "MTU {mtu} at {}", node + 1),
            Self::FullDisk { node } => write!(f, "full disk at {}", node + 1),
            Self::Busy { loops } => write!(f, "busy loops: {loops}"),
            Self::Hangups { node } => write!(f, "SIGHUPs to {}", node + 1),
            Self::KillClients { clients } => write!(f, "kill clients {}", names(clients)),
            Self::PauseClient { client } => write!(f, "pause client {}", client + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_of_fault_comes_and_none_stays_too_long() {
        let mut random = Random::new(1);
        let mut kinds = BTreeSet::new();
        for _ in 0..500 {
            let faults = draw(&mut random, 5, 10);
            assert!((1..=3).contains(&faults.len()));
            for timed in faults {
                assert!(timed.until_ms - timed.from_ms <= 3_000, "{timed:?}");
                let text = timed.fault.to_string();
                let words = text.split(|c: char| c.is_ascii_digit());
                kinds.insert(words.collect::<Vec<_>>()[0].trim().to_owned());
            }
        }
        let kinds: Vec<_> = kinds.iter().map(String::as_str).collect();
        assert_eq!(kinds, KINDS);
    }

    #[test]
    fn a_cut_names_nobody_as_deaf_to_himself_and_one_seed_is_one_list() {
        for seed in 0..200 {
            let Fault::Cut { pairs, .. } = draw_cut(&mut Random::new(seed), 5) else { panic!() };
            assert!(!pairs.is_empty() && pairs.iter().all(|(a, b)| a != b && *a < 5 && *b < 5));
            let told = |seed| format!("{:?}", draw(&mut Random::new(seed), 5, 10));
            assert_eq!(told(seed), told(seed));
        }
    }

    const KINDS: [&str; 23] = [
        "MTU",
        "SIGHUPs to",
        "busy loops:",
        "cable out at",
        "cut (bridge)",
        "cut (halves)",
        "cut (one alone)",
        "cut (one half is deaf)",
        "cut (one half is mute)",
        "cut (one is deaf)",
        "cut (one is mute)",
        "cut (one way)",
        "cut (overlapping majorities)",
        "full disk at",
        "interface down at",
        "kill",
        "kill and wipe",
        "kill clients",
        "loss of",
        "pause",
        "pause client",
        "restart",
        "slow line from",
    ];
}
