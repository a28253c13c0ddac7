//! `name=value`: what the machines, the network and the protocol are like, and what each value may
//! be. What the protocol does not allow is refused here: the engine takes it for granted that its
//! configuration was checked.

use std::fmt;
use std::time::Duration;

use anasazi_protocol::{Contract, CoreConfig, limits};

use crate::network::Lasting;
use crate::options::{Multicast, Options, PAYLOAD_LEN_MIN};

use super::words::{number, time};

/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// Ring numbers that leave room for those that come after them.
const FLOOR_MAX: u64 = limits::RING_SEQUENCE_LEAP_MAX;

const PERMILLE: Allowed = Allowed::Number(0, 1_000);
const BYTES_IN_A_DATAGRAM: Allowed =
    Allowed::Number(PAYLOAD_LEN_MIN as u64, limits::MTU_MAX as u64);
/// Not more than `mtu`: nothing is probed for.
const BYTES_PROBED_FOR: Allowed = Allowed::Number(0, limits::MTU_MAX as u64);
const PACKETS: Allowed = Allowed::Number(1, limits::WINDOW_MAX as u64);

const CONTRACT_TIME: Allowed = Allowed::Time(SECOND / 10_000, 60 * SECOND);

/// Of the cluster. `tests/scenarios/README.md` says what each one does.
const OF_THE_CLUSTER: &[Known] = &[
    ("seed", Allowed::Number(0, u64::MAX)),
    ("multicast", Allowed::Words(&["on", "off", "silent", "partial"])),
    ("sparse", Allowed::Alone),
    ("loopback", Allowed::Alone),
    ("unreachable", Allowed::Alone),
    ("liveness", Allowed::Alone),
    ("cuts-lose", Allowed::Alone),
    ("delay", Allowed::Time(0, 10 * SECOND)),
    ("jitter", Allowed::Time(0, 10 * SECOND)),
    ("late", PERMILLE),
    ("late-by", Allowed::Time(0, 10 * SECOND)),
    ("loss", PERMILLE),
    ("residual-loss", PERMILLE),
    ("duplicate", PERMILLE),
    ("reorder", PERMILLE),
    ("corrupt", PERMILLE),
    ("replay", PERMILLE),
    ("rate", Allowed::Number(0, 1_000_000_000)),
    ("persist", Allowed::Time(0, 60 * SECOND)),
    ("persist-failure", PERMILLE),
    ("boots-cut", PERMILLE),
    ("reserve", Allowed::Number(0, FLOOR_MAX)),
    ("floor", Allowed::Number(0, FLOOR_MAX)),
    ("timer-late", Allowed::Time(0, 60 * SECOND)),
    ("drift", Allowed::Number(0, 100_000)),
    ("turn", Allowed::Time(0, 60 * SECOND)),
    ("slow-nodes", PERMILLE),
    ("backlog", Allowed::Number(1_024, 1 << 32)),
    ("diskless", Allowed::Alone),
    ("mailbox", Allowed::Number(1, 1_000_000)),
    ("timers", Allowed::Number(1, 100)),
    ("mtu", BYTES_IN_A_DATAGRAM),
    ("mtu-max", BYTES_PROBED_FOR),
    ("mixed-mtu", Allowed::Alone),
    ("window", PACKETS),
    ("message", Allowed::Number(1_024, limits::MESSAGE_LEN_MAX as u64)),
    ("bad-links", Allowed::Alone),
    ("contract-round-trip", CONTRACT_TIME),
    ("contract-hold", CONTRACT_TIME),
    ("contract-loss", Allowed::Number(1, 1_000_000)),
    ("contract-lag", CONTRACT_TIME),
    ("contract-patience", Allowed::Time(SECOND / 10, 600 * SECOND)),
    ("contract-readmit", Allowed::Time(SECOND / 10, 600 * SECOND)),
    ("contract-readmit-max", Allowed::Time(SECOND / 10, 600 * SECOND)),
];

/// Of one node alone.
const OF_A_NODE: &[Known] = &[
    ("cluster", Allowed::Number(0, u64::MAX)),
    ("wire", Allowed::Versions),
    ("features", Allowed::Number(0, u32::MAX as u64)),
    ("mtu", BYTES_IN_A_DATAGRAM),
    ("mtu-max", BYTES_PROBED_FOR),
    ("window", PACKETS),
    ("send-rate", Allowed::Number(0, 1 << 40)),
    ("token-loss", Allowed::Time(SECOND / 50, 60 * SECOND)),
    ("consensus", Allowed::Time(SECOND / 100, 60 * SECOND)),
];

/// A setting that exists, and what it may be.
type Known = (&'static str, Allowed);

/// What the value of a setting may be.
#[derive(Clone, Copy, Debug)]
enum Allowed {
    /// There is none: the name says it.
    Alone,
    Words(&'static [&'static str]),
    Number(u64, u64),
    /// In nanoseconds.
    Time(u64, u64),
    /// Of the wire.
    Versions,
}

/// `name=1..5`, as a list of settings has it.
impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone | Self::Number(0, u64::MAX) => Ok(()),
            Self::Words(words) => write!(f, "={}", words.join("|")),
            Self::Number(low, high) => write!(f, "={low}..{high}"),
            Self::Time(low, high) => write!(f, "={}ms..{}s", low / 1_000_000, high / SECOND),
            Self::Versions => write!(f, "=1..255"),
        }
    }
}

/// A value that was checked.
enum Value {
    /// A number, a time in nanoseconds, or which of the words it is.
    Number(u64),
    Versions(u8, u8),
}

impl Value {
    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Versions(..) => 0,
        }
    }
}

/// A setting of the cluster, checked.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    name: String,
    value: Option<String>,
}

impl Setting {
    /// Takes `name=value` or `name` apart.
    pub(crate) fn parse(word: &str) -> Self {
        match word.split_once('=') {
            Some((name, value)) => Self { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Self { name: word.to_owned(), value: None },
        }
    }

    pub(crate) fn apply(&self, options: &mut Options) -> Result<(), String> {
        let value = self.check(OF_THE_CLUSTER, "setting")?.number();
        // Ranges are narrower than the types below.
        let (few, len, us) = (value as u32, value as usize, value / 1_000);
        let (network, machine) = (&mut options.network, &mut options.machine);
        match &self.name[..] {
            "seed" => options.seed = value,
            "multicast" => {
                let all = [Multicast::On, Multicast::Off, Multicast::Silent, Multicast::Partial];
                network.multicast = all[len];
            }
            "sparse" => network.sparse_peers = true,
            "loopback" => network.loopback = true,
            "unreachable" => network.unreachable = true,
            "liveness" => network.liveness = true,
            "cuts-lose" => network.cuts_lose = true,
            "delay" => network.delay_us = us,
            "jitter" => network.jitter_us = us,
            "late" => network.late.0 = few,
            "late-by" => network.late.1 = us,
            "loss" => network.loss = few,
            "residual-loss" => network.residual_loss = few,
            "duplicate" => network.duplicate = few,
            "reorder" => network.reorder = few,
            "corrupt" => network.corrupt = few,
            "replay" => network.replay = few,
            "rate" => network.bytes_per_ms = value,
            "persist" => machine.persist_us = us,
            "persist-failure" => machine.persist_failure = few,
            "boots-cut" => machine.boots_cut = few,
            "reserve" => machine.reserve = value,
            "floor" => machine.ring_floor = value,
            "timer-late" => machine.timer_late_us = us,
            "drift" => machine.drift_ppm = value,
            "turn" => machine.turn_us = us,
            "slow-nodes" => machine.slow_nodes = few,
            "backlog" => machine.backlog_len_max = len,
            "bad-links" => options.lasting = Lasting::Links,
            "diskless" => machine.diskless = true,
            "mailbox" => machine.mailbox_len_max = len,
            "timers" => options.timer_scale = few,
            "mtu" => options.mtu = len,
            "mtu-max" => options.mtu_max = len,
            "mixed-mtu" => options.mixed_mtu = true,
            "window" => options.window = few,
            "message" => options.message_len_max = len,
            name if name.starts_with("contract-") => contract(&mut options.contract, name, value),
            name => return Err(format!("`{name}` is no setting of a cluster")),
        }
        Ok(())
    }

    /// For one node alone.
    pub(crate) fn configure(&self, config: &mut CoreConfig) -> Result<(), String> {
        let value = self.check(OF_A_NODE, "setting of one node")?;
        let number = value.number();
        match (&self.name[..], value) {
            ("wire", Value::Versions(min, max)) => config.wire = (min, max),
            ("cluster", _) => config.cluster = number,
            ("features", _) => config.features = number as u32,
            ("mtu", _) => config.mtu = number as usize,
            ("mtu-max", _) => config.mtu_max = number as usize,
            ("window", _) => config.window = number as u32,
            ("send-rate", _) => config.send_len_per_s_max = number,
            ("token-loss", _) => config.timers.token_loss = Duration::from_nanos(number),
            ("consensus", _) => config.timers.consensus = Duration::from_nanos(number),
            (name, _) => return Err(format!("`{name}` is no setting of one node")),
        }
        Ok(())
    }

    /// The value, if there is such a setting and it may be that.
    fn check(&self, known: &[Known], what: &str) -> Result<Value, String> {
        let name = &self.name;
        let Some((_, allowed)) = known.iter().find(|(known, _)| known == name) else {
            let all: Vec<String> = known.iter().map(|(name, a)| format!("{name}{a}")).collect();
            return Err(format!("`{name}` is no {what}; they are {}", all.join(", ")));
        };
        let value = match (&self.value, allowed) {
            (None, Allowed::Alone) => return Ok(Value::Number(1)),
            (Some(_), Allowed::Alone) => {
                return Err(format!("`{name}` has no value: without it, it is not so"));
            }
            (None, _) => return Err(format!("`{name}` has a value: {name}{allowed}")),
            (Some(value), _) => value,
        };
        let found = match allowed {
            Allowed::Versions => return versions(value),
            Allowed::Alone => None,
            Allowed::Words(words) => words.iter().position(|w| w == value).map(|at| at as u64),
            Allowed::Number(low, high) => {
                let number = number(value).ok_or_else(|| format!("`{value}` is no number"))?;
                Some(number).filter(|number| (low..=high).contains(&number))
            }
            Allowed::Time(low, high) => Some(time(value)?).filter(|t| (low..=high).contains(&t)),
        };
        let found = found.map(Value::Number);
        found.ok_or_else(|| format!("`{value}` is not allowed for `{name}`: {name}{allowed}"))
    }
}

fn contract(contract: &mut Contract, name: &str, value: u64) {
    let time = Duration::from_nanos(value);
    match name {
        "contract-round-trip" => contract.round_trip = Some(time),
        "contract-hold" => contract.hold = Some(time),
        "contract-loss" => contract.loss_ppm = Some(value as u32),
        "contract-lag" => contract.lag = Some(time),
        "contract-patience" => contract.patience = time,
        "contract-readmit" => contract.readmit = time,
        _ => contract.readmit_max = time,
    }
}

/// `1..3`, or one version.
fn versions(value: &str) -> Result<Value, String> {
    let (min, max) = value.split_once("..").unwrap_or((value, value));
    match (min.parse(), max.parse()) {
        (Ok(min), Ok(max)) if 1 <= min && min <= max => Ok(Value::Versions(min, max)),
        _ => Err(format!("`{value}` are no wire versions; they are 1..3, or 2, up to 255")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation of the language says.
    const README: &str = include_str!("../../../scenarios/README.md");

    fn apply(word: &str) -> Result<(), String> {
        Setting::parse(word).apply(&mut Options::quiet(3))
    }

    fn configure(word: &str) -> Result<(), String> {
        Setting::parse(word).configure(&mut CoreConfig::default())
    }

    #[test]
    fn what_the_protocol_does_not_allow_is_refused_with_what_it_does() {
        let no = "`99` is not allowed for `mtu`: mtu=1200..8900";
        assert_eq!((apply("mtu=99"), configure("mtu=99")), (Err(no.into()), Err(no.into())));
        assert_eq!(apply("window=0").unwrap_err().rsplit(' ').next(), Some("window=1..2048"));
        assert_eq!(
            configure("token-loss=1ms").unwrap_err().rsplit(' ').next(),
            Some("token-loss=20ms..60s")
        );
        // It was cut down to 1 before.
        assert!(apply("loss=4294967297").unwrap_err().ends_with("loss=0..1000"));
        assert!(apply("multicast=no").unwrap_err().ends_with("multicast=on|off|silent|partial"));
        assert!(apply("sparse=no").unwrap_err().contains("no value"));
        assert!(apply("mtu").unwrap_err().contains("mtu=1200..8900"));
        assert!(configure("wire=0..1").is_err());
        assert!(configure("los=1").unwrap_err().contains("they are cluster, wire=1..255"));
    }

    /// Each end of each range can be set, and does something.
    #[test]
    fn every_setting_that_is_known_can_be_set() {
        type Set = fn(&str) -> Result<(), String>;
        let both: [(&[Known], Set); 2] = [(OF_THE_CLUSTER, apply), (OF_A_NODE, configure)];
        for (known, set) in both {
            for (name, allowed) in known {
                let words = match allowed {
                    Allowed::Alone => vec![(*name).to_owned()],
                    Allowed::Words(words) => words.iter().map(|w| format!("{name}={w}")).collect(),
                    Allowed::Number(low, high) => {
                        vec![format!("{name}={low}"), format!("{name}={high}")]
                    }
                    Allowed::Time(low, high) => {
                        vec![
                            format!("{name}={}us", low / 1_000),
                            format!("{name}={}us", high / 1_000),
                        ]
                    }
                    Allowed::Versions => vec![format!("{name}=1..255")],
                };
                words.iter().for_each(|word| assert_eq!(set(word), Ok(()), "{word}"));
            }
        }
    }

    #[test]
    fn the_documentation_has_every_setting_with_what_it_may_be() {
        for (name, allowed) in OF_THE_CLUSTER.iter().chain(OF_A_NODE) {
            let word = format!("`{name}{allowed}`").replace('|', "\\|");
            assert!(README.contains(&word), "tests/scenarios/README.md lacks {word}");
        }
    }
}
