//! Domains: tables `[domain.NAME]` with keys of the top level that may differ there. What is not
//! given is as at the top level, unless two domains cannot have it in common.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anasazi_protocol::hash64;

use super::bridge;
use super::error::{ConfigError, Origin, Problem};
use super::file::tables;
use super::keys::{KEYS, Key};
use super::kind::Value;
use super::nearest::nearest_key;
use super::presets::{PRESET, Preset};
use super::reader::Reader;
use super::settings::{Owner, Setting, Settings, Values};
use super::valid::{DomainConfig, TraceConfig, TransportConfig, ValidConfig};
use crate::domains::{DEFAULT_NAME, DOMAINS_MAX};

/// What a dotted name stands for.
pub(super) enum Named {
    /// A key of somebody.
    Key(Owner, &'static Key),
    /// A table of keys, or of domains or bridges.
    Table,
    /// The table of a domain or a bridge.
    Owner(Owner),
    Unknown,
}

/// Looks a dotted name up.
pub(super) fn look_up(name: &str) -> Named {
    if let Some((bridge, rest)) = bridge::split(name) {
        let owner = Owner::Bridge(bridge.to_owned());
        return match bridge::find(rest) {
            _ if rest.is_empty() => Named::Owner(owner),
            Some(key) => Named::Key(owner, key),
            None => Named::Unknown,
        };
    }
    match split(name) {
        Some((domain, "")) => Named::Owner(Owner::Domain(domain.to_owned())),
        Some((domain, rest)) => match find(rest) {
            Some(key) => Named::Key(Owner::Domain(domain.to_owned()), key),
            None if keys().any(|key| key.table() == rest) => Named::Table,
            None => Named::Unknown,
        },
        None => match Key::find(name) {
            Some(key) => Named::Key(Owner::Top, key),
            None if name == TABLE || name == bridge::TABLE => Named::Table,
            None if tables().any(|table| table == name) => Named::Table,
            None => Named::Unknown,
        },
    }
}

/// The domain that a dotted name is about, and the rest of the name.
fn split(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(TABLE)?.strip_prefix('.')?;
    Some(rest.split_once('.').unwrap_or((rest, "")))
}

/// Keys that a domain can have.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> + Clone {
    std::iter::once(&PRESET).chain(KEYS.iter().filter(|key| TABLES.contains(&key.table())))
}

fn find(name: &str) -> Option<&'static Key> {
    keys().find(|key| key.name == name)
}

/// Why no domain can have this name.
pub(super) fn refuse_name(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let allowed = "allowed: 1 to 32 of a to z, 0 to 9 and -";
    if name == DEFAULT_NAME {
        return Some(format!(
            "the domain {DEFAULT_NAME:?} is what is configured at the top level; {allowed}, and \
             another name"
        ));
    }
    let fits = (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(plain);
    (!fits).then(|| format!("{} is no name for a domain; {allowed}", super::kind::quoted(name)))
}

/// What to say about a name in a domain's table that is no key; `None`: the name is not in one.
pub(super) fn unknown(name: &str, is_table: bool) -> Option<String> {
    let (domain, rest) = split(name)?;
    let what = if is_table { "table" } else { "key" };
    if Key::find(rest).is_some() || is_table && tables().any(|table| table == rest) {
        return Some(format!("{rest} is for the whole engine: set it at the top level"));
    }
    let meant = match is_table {
        true => None,
        false => nearest_key(rest, keys().map(|key| key.name)),
    };
    Some(match meant {
        Some(meant) => format!("unknown {what}; did you mean {TABLE}.{domain}.{meant}?"),
        None => format!(
            "unknown {what}; a domain has the key preset and the tables {}",
            TABLES.map(|table| format!("[{TABLE}.{domain}.{table}]")).join(", ")
        ),
    })
}

/// A number that a domain has at all nodes of its cluster.
pub(super) fn number(cluster: &str, name: &str) -> u64 {
    hash64(format!("{cluster}/{name}").as_bytes())
}

/// The values in force in a domain: its own, then those of its preset, then what the top level has.
pub(super) fn values(top: &Values, own: &Values, name: &str) -> Values {
    let preset = own.get(PRESET.name).and_then(Preset::named);
    let of_key = |key: &'static Key| {
        let own = own.get(key.name).cloned();
        let setting = own.or_else(|| preset?.setting(key));
        (key.name, setting.unwrap_or_else(|| inherited(key, top, name)))
    };
    keys().map(of_key).collect()
}

fn inherited(key: &'static Key, top: &Values, name: &str) -> Setting {
    let derived = |value| Setting { key, value, origin: Origin::Derived };
    match key.name {
        "preset" | "transport.peers" | "trace.file" => Setting::default_of(key),
        // What members may cost each other is a matter of who they are.
        name if name.starts_with("contract.") => Setting::default_of(key),
        // Nor is a share of what there is.
        name if name.starts_with("budget.") => Setting::default_of(key),
        "turn.weight" | "turn.thread" => Setting::default_of(key),
        "transport.bind" => match &top[key.name].value {
            Value::Address(bind) => derived(Value::Address(SocketAddr::new(bind.ip(), 0))),
            _ => top[key.name].clone(),
        },
        "transport.multicast" => match (&top[key.name].value, &top["cluster"].value) {
            (Value::Address(group), Value::Text(cluster)) => {
                derived(Value::Address(multicast(*group, number(cluster, name))))
            }
            _ => top[key.name].clone(),
        },
        name => top[name].clone(),
    }
}

/// A group in 239.192.0.0/16, or beside that of the top level in IPv6; at the same port.
fn multicast(top: SocketAddr, number: u64) -> SocketAddr {
    let [.., a, b, c, d] = number.to_be_bytes();
    let ip = match top.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(239, 192, c, d)),
        IpAddr::V6(ip) => {
            let mut bytes = ip.octets();
            // Groups that are chosen freely have this bit (RFC 3307).
            bytes[12..].copy_from_slice(&[a | 0x80, b, c, d]);
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
    };
    SocketAddr::new(ip, top.port())
}

/// The domains, in order; the top level has been found to be in order.
pub(super) fn read_all(
    settings: &Settings,
    config: &ValidConfig,
) -> Result<Vec<DomainConfig>, ConfigError> {
    let names = settings.domains();
    if names.len() >= DOMAINS_MAX {
        let text = format!(
            "{} domains are named; allowed: {}, beside {DEFAULT_NAME:?}",
            names.len(),
            DOMAINS_MAX - 1
        );
        return Err(Problem::of_key(TABLE, Origin::Default, text).into());
    }
    let values: Vec<_> = names.map(|name| (name, settings.of_domain(name))).collect();
    let reader = |(name, values)| Reader { values, prefix: format!("{TABLE}.{name}.") };
    let readers: Vec<_> = values.iter().map(|(name, values)| reader((name, values))).collect();
    let domains: Vec<_> = (values.iter().zip(&readers))
        .map(|((name, _), read)| DomainConfig {
            name: (*name).to_owned(),
            number: number(&config.cluster, name),
            transport: read.transport(),
            seal: read.seal(),
            weight: read.weight(),
            budget: read.budget(),
            has_thread: read.has_thread(),
            ring: read.ring(),
            contract: read.contract(),
            trace: TraceConfig { file: read.path("trace.file") },
        })
        .collect();
    let top = (&Reader::top(settings), &config.transport, &config.trace);
    let all = readers.iter().zip(&domains).map(|(read, of)| (read, &of.transport, &of.trace));
    let all: Vec<_> = std::iter::once(top).chain(all).collect();
    let mut problems = Vec::new();
    for (index, of) in all.iter().enumerate().skip(1) {
        problems.extend(of.0.relations_of_domain(of.1));
        problems.extend(of.0.shared_port("transport.bind", of.1, &config.client));
        problems.extend(all[..index].iter().flat_map(|other| in_common(of, other)));
    }
    ConfigError::unless_none(problems)?;
    Ok(domains)
}

/// What two domains cannot have in common; the problems are the first one's.
fn in_common(
    (read, transport, trace): &(&Reader<'_>, &TransportConfig, &TraceConfig),
    (other, of_other, trace_of_other): &(&Reader<'_>, &TransportConfig, &TraceConfig),
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut unless = |differs: bool, key, what: &str, allowed: &str| {
        if !differs {
            let text = format!(
                "two domains cannot have one {what}, see {}; allowed: {allowed}",
                other.describe(key)
            );
            problems.push(read.problem(key, text));
        }
    };
    let differs = transport.multicast.is_none() || transport.multicast != of_other.multicast;
    let allowed = "another group or port, the same on every node, or \"off\"";
    unless(differs, "transport.multicast", "multicast group and port", allowed);
    let differs = transport.bind.port() == 0 || transport.bind != of_other.bind;
    unless(differs, "transport.bind", "address and port", "another port, or 0 for any");
    let differs = trace.file.is_none() || trace.file != trace_of_other.file;
    unless(differs, "trace.file", "file", "another one, or \"\" for none");
    problems
}

impl DomainConfig {
    /// As much of the number as every datagram shows; 0 is `default`.
    pub fn short_number(&self) -> u16 {
        if self.name == DEFAULT_NAME { 0 } else { ((self.number >> 48) as u16).max(1) }
    }
}

/// Table of the domains' tables.
pub(super) const TABLE: &str = "domain";
/// Tables of keys that may differ from domain to domain.
const TABLES: [&str; 7] = ["transport", "seal", "turn", "budget", "ring", "contract", "trace"];
/// Longest name, in bytes.
const NAME_LEN_MAX: usize = 32;

#[cfg(test)]
mod tests;
