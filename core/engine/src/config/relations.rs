//! How values go together.

use std::net::SocketAddr;

use super::error::Problem;
use super::kind::{Kind, StreamAddress, Value};
use super::reader::Reader;
use super::valid::{ClientConfig, TransportConfig, ValidConfig};

/// An engine takes its time for a turn: shorter times than one of a busy engine are not measured.
const MEASURABLE_US: u64 = 50;

impl Reader<'_> {
    /// What does not go together at the top level.
    pub(super) fn relations(&self, config: &ValidConfig) -> Vec<Problem> {
        let mut problems = self.relations_of_domain(&config.transport);
        problems.extend(self.at_least("session.send_ring_len", 4, "message.len_max"));
        problems.extend(self.at_least("session.receive_ring_len", 4, "message.len_max"));
        problems.extend(self.at_least("client.backlog_len", 1, "message.len_max"));
        if !config.client.listen_streams.is_empty() {
            problems.extend(self.at_least("client.stream_ring_len_max", 4, "message.len_max"));
        }
        problems.extend(self.at_least("client.backlog_total", 2, "client.backlog_len"));
        problems.extend(self.shared_port(
            "client.listen_streams",
            &config.transport,
            &config.client,
        ));
        problems
    }

    /// What does not go together in a domain.
    pub(super) fn relations_of_domain(&self, transport: &TransportConfig) -> Vec<Problem> {
        let TransportConfig { bind, multicast, peers, .. } = transport;
        let mut problems = Vec::new();
        problems.extend(self.at_least("ring.token_loss_ms", 3, "ring.idle_rotate_ms"));
        problems.extend(self.at_least("ring.token_loss_ms", 3, "ring.token_repeat_ms"));
        problems.extend(self.at_least("transport.mtu_max", 1, "transport.mtu"));
        problems.extend(self.at_least("ring.consensus_ms", 10, "ring.join_repeat_ms"));
        problems.extend(self.relations_of_contract());
        problems.extend(self.relations_of_seal(bind));
        if let Some(group) = multicast.filter(|group| group.is_ipv4() != bind.is_ipv4()) {
            let example = if bind.is_ipv4() { "239.192.77.1:7745" } else { "[ff15::7745]:7745" };
            let text = format!(
                "{group} is {}, but {} is {}; allowed: a group such as \"{example}\", or \"off\"",
                version(&group),
                self.describe("transport.bind"),
                version(bind),
            );
            problems.push(self.problem("transport.multicast", text));
        }
        for peer in peers.iter().filter(|peer| peer.is_ipv4() != bind.is_ipv4()) {
            let text = format!(
                "{peer} is {}, but {} is {}; all nodes of a cluster use one IP version",
                version(peer),
                self.describe("transport.bind"),
                version(bind),
            );
            problems.push(self.problem("transport.peers", text));
        }
        problems
    }

    /// Nothing leaves this host without a seal unless that is asked for by name.
    fn relations_of_seal(&self, bind: &SocketAddr) -> Option<Problem> {
        let make = "make one with `anasazi key generate FILE`, and give a copy to every node";
        let text = match (&self.text("seal.mode")[..], self.path("seal.key_file")) {
            ("aead" | "integrity", None) => format!(
                "{} needs keys; allowed: a file in {}: {make}",
                self.describe("seal.mode"),
                self.name("seal.key_file")
            ),
            ("auto", None) if !bind.ip().is_loopback() => format!(
                "without keys, whoever reaches the network of {} could read what is sent, and be a \
                 member; allowed: a file in {} ({make}), or \"checksum\" where only members \
                 reach that network",
                self.describe("transport.bind"),
                self.name("seal.key_file")
            ),
            _ => return None,
        };
        Some(self.problem("seal.mode", text))
    }

    /// What no member could keep, or nobody would ever notice.
    fn relations_of_contract(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(self.at_least("contract.readmit_max_ms", 1, "contract.readmit_ms"));
        if !self.contract().is_binding() {
            return problems;
        }
        problems.extend(self.at_least("contract.patience_ms", 1, "ring.token_loss_ms"));
        let between = [
            ("contract.round_trip_us", 1, None, "ring.token_loss_ms"),
            ("contract.hold_us", 1, None, "ring.token_loss_ms"),
            ("contract.lag_ms", 1_000, Some("ring.token_repeat_ms"), "ring.recovery_ms"),
        ];
        for (key, unit_us, above, below) in between {
            let us = self.integer(key) * unit_us;
            let least_us = above.map_or(MEASURABLE_US, |key| self.integer(key) * 1_000);
            let why = if us == 0 {
                continue;
            } else if us < least_us {
                let nothing = || "less cannot be measured".to_owned();
                let why = above.map_or_else(nothing, |key| {
                    format!("one lost token takes as long, see {}", self.describe(key))
                });
                format!("no member can keep that: {why}; allowed: {} or more", least_us / unit_us)
            } else if us >= self.integer(below) * 1_000 {
                format!(
                    "a member is given up before that, see {}; allowed: less",
                    self.describe(below)
                )
            } else {
                continue;
            };
            problems.push(self.problem(key, format!("{why}, or 0 for no bound")));
        }
        problems
    }

    /// The liveness connections of a domain need a TCP port that nothing else has; the problem is
    /// one of `key`.
    pub(super) fn shared_port(
        &self,
        key: &'static str,
        transport: &TransportConfig,
        client: &ClientConfig,
    ) -> Option<Problem> {
        let bind = &transport.bind;
        let shared = |stream: &StreamAddress| match stream {
            StreamAddress::Tcp(at) => {
                let same_ip = at.ip() == bind.ip() || at.ip().is_unspecified();
                bind.port() != 0 && at.port() == bind.port() && same_ip
            }
            StreamAddress::Unix(_) => false,
        };
        if transport.liveness && client.listen_streams.iter().any(shared) {
            let text = format!(
                "TCP port {} is that of the liveness connections, too ({}); allowed: another port, \
                 or transport.liveness = false",
                bind.port(),
                self.describe("transport.bind"),
            );
            return Some(self.problem(key, text));
        }
        None
    }

    /// A problem unless `larger` is at least `factor` times `smaller`.
    fn at_least(
        &self,
        larger: &'static str,
        factor: u64,
        smaller: &'static str,
    ) -> Option<Problem> {
        let (have, base) = (self.integer(larger), self.integer(smaller));
        if have >= base * factor {
            return None;
        }
        let kind = |key| self.values[key].key.kind;
        let show = |key, number| kind(key).show(&Value::Integer(number));
        let enough = match kind(larger) {
            Kind::Size { power_of_two: true, .. } => (base * factor).next_power_of_two(),
            _ => base * factor,
        };
        let times = if factor == 1 { String::new() } else { format!("{factor} times ") };
        let text = format!(
            "{} is too little; allowed: at least {times}{}, \
             so {} or more here, or {} or less there",
            show(larger, have),
            self.describe(smaller),
            show(larger, enough),
            show(smaller, have / factor),
        );
        Some(self.problem(larger, text))
    }

    pub(super) fn problem(&self, key: &'static str, text: String) -> Problem {
        Problem::of_key(&self.name(key), self.values[key].origin.clone(), text)
    }

    /// A key with its value and origin.
    pub(super) fn describe(&self, key: &'static str) -> String {
        let (name, setting) = (self.name(key), &self.values[key]);
        format!("{name} ({}, {})", setting.key.kind.show(&setting.value), setting.origin)
    }

    /// A key as it is written.
    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

fn version(address: &SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}
