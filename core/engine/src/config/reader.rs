//! Typed access to settings.

use std::path::PathBuf;
use std::time::Duration;

use anasazi_protocol as protocol;
use anasazi_seal::Mode;

use super::kind::Value;
use super::settings::{Settings, Values};
use super::valid::{
    BudgetConfig, ClientConfig, RingConfig, SealConfig, ThreadConfig, TransportConfig,
};

/// Reads settings as what they are. Each was read by its kind, so a value of another type is a
/// mistake in the key table, which the tests of this module find.
pub(super) struct Reader<'a> {
    pub(super) values: &'a Values,
    /// What stands before the names of these keys: nothing, or a domain's table.
    pub(super) prefix: String,
}

impl<'a> Reader<'a> {
    /// Of the top level.
    pub(super) fn top(settings: &'a Settings) -> Self {
        Self { values: settings.values(), prefix: String::new() }
    }

    pub(super) fn transport(&self) -> TransportConfig {
        TransportConfig {
            bind: match self.value("transport.bind") {
                Value::Address(address) => *address,
                other => mistyped("transport.bind", other),
            },
            multicast: match self.value("transport.multicast") {
                Value::Address(address) => Some(*address),
                Value::Unset => None,
                other => mistyped("transport.multicast", other),
            },
            interface: Some(self.text("transport.interface")).filter(|name| !name.is_empty()),
            multicast_ttl: self.integer("transport.multicast_ttl") as u32,
            peers: match self.value("transport.peers") {
                Value::Addresses(list) => list.clone(),
                other => mistyped("transport.peers", other),
            },
            receive_buffer_len: self.integer("transport.receive_buffer_len") as usize,
            send_buffer_len: self.integer("transport.send_buffer_len") as usize,
            liveness: self.boolean("transport.liveness"),
            mtu: self.integer("transport.mtu") as usize,
            mtu_max: self.integer("transport.mtu_max") as usize,
            dscp: self.integer("transport.dscp") as u8,
            allow_faults: self.boolean("transport.allow_faults"),
        }
    }

    pub(super) fn seal(&self) -> SealConfig {
        let key_file = self.path("seal.key_file");
        let mode = match (&self.text("seal.mode")[..], &key_file) {
            ("integrity", _) => Some(Mode::Integrity),
            ("aead", _) | ("auto", Some(_)) => Some(Mode::Aead),
            _ => None,
        };
        SealConfig { mode, key_file }
    }

    pub(super) fn weight(&self) -> u32 {
        self.integer("turn.weight") as u32
    }

    pub(super) fn has_thread(&self) -> bool {
        self.boolean("turn.thread")
    }

    pub(super) fn budget(&self) -> BudgetConfig {
        BudgetConfig {
            send_len_per_s: self.integer("budget.send_len_per_s"),
            queue_len: self.integer("budget.queue_len") as usize,
            backlog_len: match self.integer("budget.backlog_len") {
                0 => None,
                len => Some(len as usize),
            },
        }
    }

    pub(super) fn ring(&self) -> RingConfig {
        RingConfig {
            token_loss: self.duration("ring.token_loss_ms"),
            token_repeat: self.duration("ring.token_repeat_ms"),
            idle_rotate: self.duration("ring.idle_rotate_ms"),
            join_repeat: self.duration("ring.join_repeat_ms"),
            consensus: self.duration("ring.consensus_ms"),
            commit: self.duration("ring.commit_ms"),
            recovery: self.duration("ring.recovery_ms"),
            beacon: self.duration("ring.beacon_ms"),
            probation: self.duration("ring.probation_ms"),
            window: self.integer("ring.window") as u32,
        }
    }

    pub(super) fn contract(&self) -> protocol::Contract {
        let bound = |key| Some(self.integer(key)).filter(|number| *number > 0);
        protocol::Contract {
            round_trip: bound("contract.round_trip_us").map(Duration::from_micros),
            hold: bound("contract.hold_us").map(Duration::from_micros),
            loss_ppm: bound("contract.loss_ppm").map(|ppm| ppm as u32),
            lag: bound("contract.lag_ms").map(Duration::from_millis),
            patience: self.duration("contract.patience_ms"),
            readmit: self.duration("contract.readmit_ms"),
            readmit_max: self.duration("contract.readmit_max_ms"),
        }
    }

    pub(super) fn client(&self) -> ClientConfig {
        ClientConfig {
            listen: self.path("client.listen"),
            listen_streams: match self.value("client.listen_streams") {
                Value::Streams(list) => list.clone(),
                other => mistyped("client.listen_streams", other),
            },
            stream_ring_len_max: self.integer("client.stream_ring_len_max") as u32,
            listen_mode: self.integer("client.listen_mode") as u32,
            allow_uids: self.integers("client.allow_uids"),
            allow_gids: self.integers("client.allow_gids"),
            sessions_max: self.integer("client.sessions_max") as usize,
            backlog_len: self.integer("client.backlog_len") as usize,
            backlog_total: self.integer("client.backlog_total") as usize,
            hold_max: self.duration("client.hold_max_ms"),
        }
    }

    pub(super) fn thread(&self) -> ThreadConfig {
        ThreadConfig {
            cpus: self.integers("thread.cpus"),
            realtime_priority: self.integer("thread.realtime_priority") as u32,
            busy_poll: Duration::from_micros(self.integer("thread.busy_poll_us")),
        }
    }

    pub(super) fn value(&self, key: &'static str) -> &'a Value {
        &self.values[key].value
    }

    pub(super) fn text(&self, key: &'static str) -> String {
        match self.value(key) {
            Value::Text(text) => text.clone(),
            other => mistyped(key, other),
        }
    }

    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        Some(self.text(key)).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    pub(super) fn integer(&self, key: &'static str) -> u64 {
        match self.value(key) {
            Value::Integer(number) => *number,
            other => mistyped(key, other),
        }
    }

    pub(super) fn integers(&self, key: &'static str) -> Vec<u32> {
        match self.value(key) {
            Value::Integers(list) => list.clone(),
            other => mistyped(key, other),
        }
    }

    pub(super) fn boolean(&self, key: &'static str) -> bool {
        match self.value(key) {
            Value::Boolean(value) => *value,
            other => mistyped(key, other),
        }
    }

    pub(super) fn duration(&self, key: &'static str) -> Duration {
        Duration::from_millis(self.integer(key))
    }

    pub(super) fn node(&self, key: &'static str) -> Option<protocol::NodeId> {
        match self.value(key) {
            Value::Integer(number) => Some(protocol::NodeId(*number as u32)),
            Value::Unset => None,
            other => mistyped(key, other),
        }
    }
}

fn mistyped(key: &str, value: &Value) -> ! {
    unreachable!("{key} is read as a type that its kind does not give: {value:?}")
}
