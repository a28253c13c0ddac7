//! What all members of a ring should have set alike, and must where the configuration asks for it.
//! Each of these times is one in which a member waits for what the others do by theirs: a ring of
//! different ones would be thrown over by whoever waits least for whoever takes longest, and keep
//! the promises of nobody's configuration. What members may have differently is not among them:
//! sizes and windows are agreed on when a ring is formed, beacons and probation concern their
//! sender.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::config::Timers;
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

/// The values, in microseconds, in the order of [`NAMES`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Terms(Vec<u32>);

const NAMES: [&str; 7] =
    ["token_loss", "token_repeat", "idle_rotate", "join_repeat", "consensus", "commit", "recovery"];

impl Terms {
    pub(crate) fn of(timers: &Timers) -> Self {
        let Timers { token_loss, token_repeat, idle_rotate, join_repeat, .. } = timers;
        let Timers { consensus, commit, recovery, .. } = timers;
        let all: [&Duration; NAMES.len()] =
            [token_loss, token_repeat, idle_rotate, join_repeat, consensus, commit, recovery];
        Self(all.iter().map(|time| time.as_micros().try_into().unwrap_or(u32::MAX)).collect())
    }

    /// Where others have other values. What only one side knows of counts for nothing.
    fn differing(&self, theirs: &Self) -> Vec<Differing> {
        let pairs = NAMES.iter().zip(self.0.iter().zip(&theirs.0));
        let time = |micros: &u32| Duration::from_micros((*micros).into());
        pairs
            .filter(|(_, (ours, theirs))| ours != theirs)
            .map(|(name, (ours, theirs))| Differing {
                name,
                theirs: time(theirs),
                ours: time(ours),
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
        let ours = Terms::of(&Timers::default());
        let other = Timers { consensus: Duration::from_secs(7), ..Timers::default() };
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
        let ms = Duration::from_millis;
        assert_eq!(differing, [Differing { name: "consensus", theirs: ms(7_000), ours: ms(150) }]);
        assert_eq!(judge(&theirs, 60), (true, None));
        assert!(judge(&theirs, 61).1.is_some());
    }

    #[test]
    fn who_says_more_or_less_is_asked_for_what_both_know() {
        let ours = Terms::of(&Timers::default());
        let mut more = ours.clone();
        more.0.push(9);
        assert!(ours.differing(&more).is_empty() && more.differing(&ours).is_empty());
        assert!(ours.differing(&Terms::default()).is_empty());
    }
}
