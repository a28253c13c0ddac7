//! Bridges: tables `[bridge.NAME]`. Each is one direction; two tables make both.

use std::str::FromStr;

use anasazi_protocol::limits::GROUP_NAME_LEN_MAX;

use super::error::{ConfigError, Origin, Problem};
use super::keys::{Key, TakesEffect};
use super::kind::{Kind, quoted};
use super::nearest::nearest_key;
use super::reader::Reader;
use super::settings::{Owner, Setting, Settings, Values};
use super::valid::{MessageConfig, ValidConfig};
use crate::domains::DEFAULT_NAME;

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeConfig {
    /// What it is called.
    pub name: String,
    /// The group whose messages are forwarded.
    pub from: BridgeEnd,
    /// The group to which they are.
    pub to: BridgeEnd,
    /// What a message begins with that is forwarded.
    pub prefix: String,
    /// Only what was sent as safe.
    pub safe: bool,
    /// `bridge.NAME.latest_key_len`
    pub latest_key_len: usize,
    /// Messages in a second; 0: as many as there are.
    pub rate_per_s: u64,
    /// Bytes of messages in a second; 0: as many as there are.
    pub bytes_per_s: u64,
    /// Messages that wait.
    pub queue_messages: usize,
    /// Bytes of messages that wait.
    pub queue_len: usize,
    /// Bridges that a message may cross.
    pub hops_max: usize,
}

/// A group in a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BridgeEnd {
    /// The domain's name.
    pub domain: String,
    /// What the group is called there.
    pub group: String,
}

impl FromStr for BridgeEnd {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let (domain, group) = name.split_once('/').unwrap_or((DEFAULT_NAME, name));
        let refusal = if name.is_empty() {
            "not given".to_owned()
        } else if group.is_empty() {
            format!("{name:?} names a domain, and no group in it")
        } else if group.len() > GROUP_NAME_LEN_MAX {
            let len = group.len();
            format!("the group's name has {len} bytes; {GROUP_NAME_LEN_MAX} are allowed")
        } else {
            return Ok(Self { domain: domain.to_owned(), group: group.to_owned() });
        };
        Err(format!("{refusal}; allowed: a group such as \"fast/prices\""))
    }
}

impl std::fmt::Display for BridgeEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.domain[..] {
            DEFAULT_NAME => f.write_str(&self.group),
            domain => write!(f, "{domain}/{}", self.group),
        }
    }
}

/// The bridge that a dotted name is about, and the rest of the name.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(TABLE)?.strip_prefix('.')?;
    Some(rest.split_once('.').unwrap_or((rest, "")))
}

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// What to say about a name in a bridge's table that is no key; `None`: the name is not in one.
pub(super) fn unknown(name: &str) -> Option<String> {
    let (bridge, rest) = split(name)?;
    let names = KEYS.iter().map(|key| key.name);
    Some(match nearest_key(rest, names.clone()) {
        Some(meant) => format!("unknown key; did you mean {TABLE}.{bridge}.{meant}?"),
        None => format!("unknown key; a bridge has {}", names.collect::<Vec<_>>().join(", ")),
    })
}

/// The values in force of a bridge.
pub(super) fn values(own: &Values) -> Values {
    let of_key = |key: &'static Key| {
        let setting = own.get(key.name).cloned();
        (key.name, setting.unwrap_or_else(|| Setting::default_of(key)))
    };
    KEYS.iter().map(of_key).collect()
}

/// The bridges, in order. `are_there`: their domains must be among those of the configuration,
/// which a running engine may have lost.
pub(super) fn read_all(
    settings: &Settings,
    config: &ValidConfig,
    are_there: bool,
) -> Result<Vec<BridgeConfig>, ConfigError> {
    let owners: Vec<_> = settings.bridges().collect();
    if owners.len() > BRIDGES_MAX {
        let text = format!("{} bridges are named; allowed: {BRIDGES_MAX}", owners.len());
        return Err(Problem::of_key(TABLE, Origin::Default, text).into());
    }
    let (mut bridges, mut problems) = (Vec::new(), Vec::new());
    for name in owners {
        let values = settings.of_bridge(name);
        let read = Reader { values: &values, prefix: format!("{TABLE}.{name}.") };
        let (from, to) = (read.end("from"), read.end("to"));
        match (from, to) {
            (Ok(from), Ok(to)) => {
                let bridge = read.bridge(name, (from, to));
                problems.extend(read.relations_of_bridge(&bridge, &config.message));
                problems.extend(bridge.circle(&read, &bridges));
                if are_there {
                    problems.extend(bridge.unknown_domains(&read, config));
                }
                bridges.push(bridge);
            }
            (from, to) => problems.extend([from.err(), to.err()].into_iter().flatten()),
        }
    }
    ConfigError::unless_none(problems)?;
    Ok(bridges)
}

impl Reader<'_> {
    fn end(&self, key: &'static str) -> Result<BridgeEnd, Problem> {
        self.text(key).parse().map_err(|text| self.problem(key, text))
    }

    fn bridge(&self, name: &str, (from, to): (BridgeEnd, BridgeEnd)) -> BridgeConfig {
        BridgeConfig {
            name: name.to_owned(),
            from,
            to,
            prefix: self.text("prefix"),
            safe: self.boolean("safe"),
            latest_key_len: self.integer("latest_key_len") as usize,
            rate_per_s: self.integer("rate_per_s"),
            bytes_per_s: self.integer("bytes_per_s"),
            queue_messages: self.integer("queue_messages") as usize,
            queue_len: self.integer("queue_len") as usize,
            hops_max: self.integer("hops_max") as usize,
        }
    }

    fn relations_of_bridge(&self, bridge: &BridgeConfig, message: &MessageConfig) -> Vec<Problem> {
        let mut problems = Vec::new();
        if bridge.from.domain == bridge.to.domain {
            let text = format!(
                "both ends are in the domain {:?}, see {}; allowed: a group in another domain",
                bridge.to.domain,
                self.describe("from")
            );
            problems.push(self.problem("to", text));
        }
        if bridge.queue_len < message.len_max {
            let text = format!(
                "{} bytes are too little for one message of {} bytes, see message.len_max; \
                 allowed: as much, or more",
                bridge.queue_len, message.len_max
            );
            problems.push(self.problem("queue_len", text));
        }
        problems
    }
}

impl BridgeConfig {
    fn unknown_domains(&self, read: &Reader<'_>, config: &ValidConfig) -> Vec<Problem> {
        let known = || {
            let named = config.domains.iter().map(|of| &of.name[..]);
            std::iter::once(DEFAULT_NAME).chain(named)
        };
        let ends = [("from", &self.from), ("to", &self.to)];
        let unknown = ends.into_iter().filter(|(_, end)| known().all(|name| name != end.domain));
        let problem = |(key, end): (&'static str, &BridgeEnd)| {
            let known = known().collect::<Vec<_>>().join(", ");
            let text = format!("this engine has no domain {:?}; it has: {known}", end.domain);
            read.problem(key, text)
        };
        unknown.map(problem).collect()
    }

    /// The other bridges already lead from one end to the other, in whatever direction: then
    /// messages would come round, or arrive twice. The same way back is no circle, for nothing goes
    /// back where it has come from.
    fn circle<'a>(&'a self, read: &Reader<'_>, others: &'a [Self]) -> Option<Problem> {
        let same = |other: &&Self| (&other.from, &other.to) == (&self.from, &self.to);
        let overlaps = |other: &&Self| {
            other.prefix.starts_with(&self.prefix) || self.prefix.starts_with(&other.prefix)
        };
        if let Some(other) = others.iter().filter(same).find(overlaps) {
            let text = format!(
                "{TABLE}.{} forwards the same to the same group, where it would arrive twice; \
                 allowed: another group, or a prefix such that no message begins with both",
                other.name
            );
            return Some(read.problem("to", text));
        }
        let (from, to) = (&self.from, &self.to);
        let is_other = |other: &&Self| {
            let ends = (&other.from, &other.to);
            ends != (from, to) && ends != (to, from)
        };
        let others: Vec<_> = others.iter().filter(is_other).collect();
        let (verb, way) = if let Some(way) = way(&others, [to, from], Direction::Forward) {
            (format!("lead from {to} back to {from}: a circle, messages would come round"), way)
        } else if let Some(way) = way(&others, [from, to], Direction::Forward) {
            (format!("lead from {from} to {to} already: messages would arrive twice"), way)
        } else {
            let way = way(&others, [from, to], Direction::Any)?;
            (format!("join {from} and {to} already: messages would arrive twice"), way)
        };
        let names: Vec<_> = way.iter().map(|other| &other.name[..]).collect();
        let steps = way.iter().map(|of| format!("{}: {} -> {}", of.name, of.from, of.to));
        let text = format!(
            "bridges {} {verb} ({}); allowed: bridges without a circle",
            names.join(", "),
            steps.collect::<Vec<_>>().join(", ")
        );
        Some(read.problem("to", text))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    /// Bridges are taken backwards as well.
    Any,
}

/// The bridges of a shortest way from one end to another, one after the other.
fn way<'a>(
    bridges: &[&'a BridgeConfig],
    [from, to]: [&'a BridgeEnd; 2],
    direction: Direction,
) -> Option<Vec<&'a BridgeConfig>> {
    let mut ways = vec![(from, Vec::new())];
    let mut at = 0;
    while let Some((end, way)) = ways.get(at).cloned() {
        if end == to {
            return Some(way);
        }
        for bridge in bridges {
            let next = match direction {
                _ if bridge.from == *end => &bridge.to,
                Direction::Any if bridge.to == *end => &bridge.from,
                _ => continue,
            };
            if ways.iter().all(|(known, _)| *known != next) {
                ways.push((next, [&way[..], &[*bridge]].concat()));
            }
        }
        at += 1;
    }
    None
}

/// Table of the bridges' tables.
pub(super) const TABLE: &str = "bridge";
/// Bridges of one engine.
const BRIDGES_MAX: usize = 64;
/// Longest name of a group with its domain, in bytes.
const END_LEN_MAX: usize = 32 + 1 + GROUP_NAME_LEN_MAX;

/// Why no bridge can have this name.
pub(super) fn refuse_name(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=32).contains(&name.len()) && name.bytes().all(plain);
    let allowed = "allowed: 1 to 32 of a to z, 0 to 9 and -";
    (!fits).then(|| format!("{} is no name for a bridge; {allowed}", quoted(name)))
}

impl Owner {
    /// Why nobody can have this name.
    pub(super) fn refuse_name(&self) -> Option<String> {
        match self {
            Self::Top => None,
            Self::Domain(name) => super::domain::refuse_name(name),
            Self::Bridge(name) => refuse_name(name),
        }
    }
}

/// All keys of a bridge.
pub(super) const KEYS: &[Key] = &[
    Key {
        kind: Kind::Text { len_min: 0, len_max: END_LEN_MAX },
        effect: "The group whose messages are forwarded, as \"fast/prices\"; a bare name is in \
                 default. The engine joins it, so it is among its members. Must be given.",
        danger: "The same on all gateways: others are another bridge, and messages arrive twice.",
        ..key("from", "")
    },
    Key {
        kind: Kind::Text { len_min: 0, len_max: END_LEN_MAX },
        effect: "The group to which they are forwarded, in another domain. The engine joins it, \
                 too. Must be given.",
        danger: "The same on all gateways.",
        ..key("to", "")
    },
    Key {
        kind: Kind::Text { len_min: 0, len_max: 255 },
        effect: "Only messages that begin with this are forwarded. Empty: all.",
        danger: "The same on all gateways: with another one, what arrives depends on which of them \
                 is the active one.",
        ..key("prefix", "")
    },
    Key {
        kind: Kind::Boolean,
        effect: "Only messages that were sent as safe are forwarded: no member that stays in one \
                 part of the source with the gateway lacks one, unless it fails.",
        danger: "The same on all gateways. Others are left out and not marked as missing.",
        ..key("safe", "false")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 1_024, unit: "bytes" },
        effect: "Messages with as many first bytes in common are about the same subject; of those \
                 that wait about one subject only the latest is forwarded. 0: all are.",
        danger: "What is left out so is not marked as missing: only for messages each of which \
                 makes the one before it worthless.",
        ..key("latest_key_len", "0")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 10_000_000, unit: "messages" },
        effect: "Messages that are forwarded in a second at most; 0: no bound.",
        ..key("rate_per_s", "0")
    },
    Key {
        kind: Kind::Integer { min: 0, max: 1 << 40, unit: "bytes" },
        effect: "Bytes of messages that are forwarded in a second at most; 0: no bound.",
        ..key("bytes_per_s", "0")
    },
    Key {
        kind: Kind::Integer { min: 1, max: 10_000_000, unit: "messages" },
        effect: "Messages that wait to be forwarded at most, here or, where this engine stands by, \
                 until the active gateway has forwarded them.",
        ..key("queue_messages", "10000")
    },
    Key {
        kind: Kind::Size { min: 1 << 10, max: 1 << 32, power_of_two: false },
        effect: "Bytes of messages that wait at most; as many as message.len_max at least.",
        ..key("queue_len", "16 MiB")
    },
    Key {
        kind: Kind::Word(&["drop-oldest"]),
        effect: "What is done when more than that wait: the oldest are dropped, and the members of \
                 the target are told by ANZ_EV_GAP where. The source never waits.",
        ..key("overflow", "drop-oldest")
    },
    Key {
        kind: Kind::Integer { min: 1, max: anasazi_bridge::HOPS_MAX as u64, unit: "bridges" },
        effect: "Bridges that a message may have crossed with this one. It never comes to a domain \
                 twice, whatever this says.",
        ..key("hops_max", "4")
    },
];

const fn key(name: &'static str, default: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Boolean,
        default,
        daemon_default: None,
        takes_effect: TakesEffect::EngineStart,
        effect: "",
        danger: "",
    }
}

#[cfg(test)]
mod tests;
