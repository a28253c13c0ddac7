//! Sets of values for kinds of networks: `domain.NAME.preset`. A value that is given beside it
//! counts more.

use super::error::Origin;
use super::keys::{Key, TakesEffect};
use super::kind::{Kind, Value};
use super::settings::Setting;

/// The key that names one.
pub(super) const PRESET: Key = Key {
    name: "preset",
    kind: Kind::Word(&["none", "lan", "low-latency", "wan", "mobile"]),
    default: "none",
    daemon_default: None,
    takes_effect: TakesEffect::EngineStart,
    effect: "Values for a kind of network, below those that the domain's tables give. none: as at \
             the top level. lan: the defaults. low-latency: nodes that are never held up for long, \
             on one switch. wan: round trips of up to some hundreds of milliseconds, and loss. \
             mobile: pauses of many seconds are normal.",
    danger: "Must be equal on all nodes, as must the times: nodes with others form no ring.",
};

/// A preset, and what it sets.
pub(super) struct Preset {
    pub(super) name: &'static str,
    /// Keys and values, as a program would set them.
    pub(super) values: &'static [(&'static str, &'static str)],
}

impl Preset {
    /// The one that was asked for; `none` is no preset.
    pub(super) fn named(setting: &Setting) -> Option<&'static Self> {
        let Value::Text(name) = &setting.value else { return None };
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// What it sets a key to.
    pub(super) fn setting(&self, key: &'static Key) -> Option<Setting> {
        let (_, text) = self.values.iter().find(|(name, _)| *name == key.name)?;
        match key.kind.read_text(text) {
            Ok(value) => Some(Setting { key, value, origin: Origin::Preset(self.name) }),
            Err(refusal) => unreachable!("{} of preset {}: {refusal}", key.name, self.name),
        }
    }
}

pub(super) const PRESETS: &[Preset] = &[
    Preset {
        name: "lan",
        values: &[
            ("ring.token_loss_ms", "250"),
            ("ring.token_repeat_ms", "10"),
            ("ring.idle_rotate_ms", "60"),
            ("ring.join_repeat_ms", "15"),
            ("ring.consensus_ms", "150"),
            ("ring.commit_ms", "150"),
            ("ring.recovery_ms", "1000"),
            ("ring.beacon_ms", "1000"),
            ("ring.probation_ms", "100"),
            ("ring.window", "512"),
            ("transport.mtu_max", "8900"),
            ("transport.liveness", "true"),
        ],
    },
    Preset {
        name: "low-latency",
        values: &[
            ("ring.token_loss_ms", "60"),
            ("ring.token_repeat_ms", "3"),
            ("ring.idle_rotate_ms", "15"),
            ("ring.join_repeat_ms", "5"),
            ("ring.consensus_ms", "60"),
            ("ring.commit_ms", "60"),
            ("ring.recovery_ms", "500"),
            ("ring.beacon_ms", "1000"),
            ("ring.probation_ms", "100"),
            ("ring.window", "256"),
            ("transport.mtu_max", "8900"),
            ("transport.liveness", "true"),
        ],
    },
    Preset {
        name: "wan",
        values: &[
            ("ring.token_loss_ms", "3000"),
            ("ring.token_repeat_ms", "400"),
            ("ring.idle_rotate_ms", "500"),
            ("ring.join_repeat_ms", "200"),
            ("ring.consensus_ms", "2500"),
            ("ring.commit_ms", "2500"),
            ("ring.recovery_ms", "15000"),
            ("ring.beacon_ms", "5000"),
            ("ring.probation_ms", "1000"),
            ("ring.window", "128"),
            ("transport.mtu_max", "1400"),
            ("transport.liveness", "true"),
        ],
    },
    // Connections end with a change of network, and would be taken for the ends of processes.
    Preset {
        name: "mobile",
        values: &[
            ("ring.token_loss_ms", "20000"),
            ("ring.token_repeat_ms", "1000"),
            ("ring.idle_rotate_ms", "2000"),
            ("ring.join_repeat_ms", "500"),
            ("ring.consensus_ms", "15000"),
            ("ring.commit_ms", "15000"),
            ("ring.recovery_ms", "60000"),
            ("ring.beacon_ms", "10000"),
            ("ring.probation_ms", "2000"),
            ("ring.window", "64"),
            ("transport.mtu_max", "1400"),
            ("transport.liveness", "false"),
        ],
    },
];
