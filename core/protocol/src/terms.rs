//! What all members of a ring should have set alike, and must where the configuration asks for it.
//! Each of the times is one in which a member waits for what the others do by theirs: a ring of
//! different ones would be thrown over by whoever waits least for whoever takes longest, and keep
//! the promises of nobody's configuration. By different contracts one member would let in whom the
//! next one puts out. What members may have differently is not among them: sizes and windows are
//! agreed on when a ring is formed, beacons and probation concern their sender.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::config::CoreConfig;
use crate::event::{Differing, Event};
use crate::id::Process;
use crate::time::Instant;
use crate::wire::{Reader, WireError, Writer};

/// Values that a packet may have; later versions may add some at the end.
const TERMS_MAX: usize = 64;
/// It is said again so long after, as long as it is so.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Processes of which it was said.
const TOLD_MAX: usize = 64;

/// The values, in the order of [`TERMS`]. New ones come at the end, so that who does not know them
/// compares the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Terms(Vec<u32>);

/// By which key each is configured, and how many units of the wire are one of the key's.
const TERMS: [(&str, u32); 14] = [
    ("ring.token_loss_ms", 1_000),
    ("ring.token_repeat_ms", 1_000),
    ("ring.idle_rotate_ms", 1_000),
    ("ring.join_repeat_ms", 1_000),
    ("ring.consensus_ms", 1_000),
    ("ring.commit_ms", 1_000),
    ("ring.recovery_ms", 1_000),
    ("contract.round_trip_us", 1),
    ("contract.hold_us", 1),
    ("contract.loss_ppm", 1),
    ("contract.lag_ms", 1),
    ("contract.patience_ms", 1),
    ("contract.readmit_ms", 1),
    ("contract.readmit_max_ms", 1),
];

/// 0 where there is no bound.
const OF_BOUNDS: [&str; 3] =
    ["contract.patience_ms", "contract.readmit_ms", "contract.readmit_max_ms"];

impl Terms {
    pub(crate) fn of(config: &CoreConfig) -> Self {
        let number = |value: u128| u32::try_from(value).unwrap_or(u32::MAX);
        let us = |time: Duration| number(time.as_micros());
        let ms = |time: Duration| number(time.as_millis());
        let (t, c) = (&config.timers, &config.contract);
        // What becomes of who breaks a bound says nothing where there is none.
        let if_bound = |time: Duration| if c.is_binding() { ms(time) } else { 0 };
        let all: [u32; TERMS.len()] = [
            us(t.token_loss),
            us(t.token_repeat),
            us(t.idle_rotate),
            us(t.join_repeat),
            us(t.consensus),
            us(t.commit),
            us(t.recovery),
            c.round_trip.map_or(0, us),
            c.hold.map_or(0, us),
            c.loss_ppm.unwrap_or(0),
            c.lag.map_or(0, ms),
            if_bound(c.patience),
            if_bound(c.readmit),
            if_bound(c.readmit_max),
        ];
        Self(all.to_vec())
    }

    /// Where others have other values. What only one side knows of counts for nothing, nor does
    /// what becomes of who breaks a bound if only one side has one: then that is what differs.
    fn differing(&self, theirs: &Self) -> Vec<Differing> {
        let pairs = TERMS.iter().zip(self.0.iter().zip(&theirs.0));
        let has_meaning = |key: &str, value: u32| value != 0 || !OF_BOUNDS.contains(&key);
        pairs
            .filter(|(_, (ours, theirs))| ours != theirs)
            .filter(|((key, _), (ours, theirs))| {
                has_meaning(key, **ours) && has_meaning(key, **theirs)
            })
            .map(|(&(key, unit), (ours, theirs))| Differing {
                key,
                theirs: theirs / unit,
                ours: ours / unit,
            })
            .collect()
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        w.count(self.0.len());
        self.0.iter().for_each(|value| w.u32(*value));
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let count = r.count(4)?;
        if count > TERMS_MAX {
            return Err(WireError::Invalid("more terms than there can be"));
        }
        (0..count).map(|_| r.u32()).collect::<Result<_, _>>().map(Self)
    }
}

/// Of whom it was said, and when, that they have other terms.
#[derive(Clone, Default, Hash)]
pub(crate) struct Strangers(BTreeMap<Process, Instant>);

impl Strangers {
    /// Whether a process has other terms; and what to tell the operator, if it is time to.
    pub(crate) fn judge(
        &mut self,
        (process, address): (Process, SocketAddr),
        ours: &Terms,
        theirs: &Terms,
        now: Instant,
    ) -> (bool, Option<Event>) {
        let differing = ours.differing(theirs);
        if differing.is_empty() {
            return (false, None);
        }
        self.0.retain(|_, at| now.since(*at) < TOLD_EVERY);
        if self.0.contains_key(&process) || self.0.len() >= TOLD_MAX {
            return (true, None);
        }
        self.0.insert(process, now);
        (true, Some(Event::SettingsDiffer { node: process.node, address, differing }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeId};

    #[test]
    fn what_differs_is_named_once_a_minute() {
        let ours = Terms::of(&CoreConfig::default());
        let mut other = CoreConfig::default();
        other.timers.consensus = Duration::from_secs(7);
        other.contract.loss_ppm = Some(100);
        let theirs = Terms::of(&other);
        let process = Process { node: NodeId(7), incarnation: Incarnation(1) };
        let from = (process, SocketAddr::from(([10, 0, 0, 7], 7_000)));
        let mut strangers = Strangers::default();
        let mut judge = |theirs: &Terms, s: u64| {
            strangers.judge(from, &ours, theirs, Instant(s * 1_000_000_000))
        };
        assert_eq!(judge(&ours, 1), (false, None));
        let (refused, Some(Event::SettingsDiffer { differing, .. })) = judge(&theirs, 1) else {
            panic!("nothing was said");
        };
        assert!(refused);
        let times = Differing { key: "ring.consensus_ms", theirs: 7_000, ours: 150 };
        let contract = Differing { key: "contract.loss_ppm", theirs: 100, ours: 0 };
        assert_eq!(differing, [times, contract]);
        assert_eq!(judge(&theirs, 60), (true, None));
        assert!(judge(&theirs, 61).1.is_some());
    }

    #[test]
    fn who_says_more_or_less_is_asked_for_what_both_know() {
        let ours = Terms::of(&CoreConfig::default());
        let mut more = ours.clone();
        more.0.push(9);
        assert!(ours.differing(&more).is_empty() && more.differing(&ours).is_empty());
        assert!(ours.differing(&Terms::default()).is_empty());
        let mut patient = CoreConfig::default();
        patient.contract.patience *= 2;
        assert!(ours.differing(&Terms::of(&patient)).is_empty(), "there is no contract");
        let mut bound = CoreConfig::default();
        for config in [&mut patient, &mut bound] {
            config.contract.lag = Some(Duration::from_millis(20));
        }
        let differing = Terms::of(&bound).differing(&Terms::of(&patient));
        let patience = Differing { key: "contract.patience_ms", theirs: 20_000, ours: 10_000 };
        assert_eq!(differing, [patience]);
        // Before contracts were among them.
        let mut older = Terms(ours.0[..7].to_vec());
        assert!(ours.differing(&older).is_empty());
        older.0[6] += 2_000;
        let recovery = Differing { key: "ring.recovery_ms", theirs: 1_002, ours: 1_000 };
        assert_eq!(ours.differing(&older), [recovery]);
    }
}
