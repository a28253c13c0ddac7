//! Who is in the source of a bridge, as the engines of the target's domain tell each other: the
//! active gateway tells all when its source or the ring changes. Advice: nothing depends on it.

use std::collections::BTreeMap;
use std::time::Duration;

use anasazi_bridge::{Far, FarPart, FarParts};
use anasazi_protocol::{Instant, Process};

use crate::domains::DomainId;

/// From one word about a source to the next; of what changes meanwhile only the last is told.
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// Bridges of which others tell, in all domains; of more nothing is known here.
const HEARD_MAX: usize = 1_024;

/// What others tell.
#[derive(Default)]
pub(super) struct FarViews(BTreeMap<(DomainId, u64), Heard>);

struct Heard {
    by: Process,
    parts: FarParts,
    far: Option<Far>,
}

impl FarViews {
    /// A gateway tells a part of something.
    pub(super) fn heard(&mut self, domain: DomainId, by: Process, part: &[u8]) {
        let Some(part) = FarPart::read(part) else { return };
        let key = (domain, part.bridge);
        if self.0.len() >= HEARD_MAX && !self.0.contains_key(&key) {
            return;
        }
        let none = || Heard { by, parts: FarParts::default(), far: None };
        let heard = self.0.entry(key).or_insert_with(none);
        if heard.by != by {
            *heard = none();
        }
        if let Some(far) = heard.parts.add(part) {
            heard.far = Some(far);
        }
    }

    /// What those told who are gone is not known any more.
    pub(super) fn installed(&mut self, domain: DomainId, members: &[Process]) {
        self.0.retain(|(of, _), heard| *of != domain || members.contains(&heard.by));
    }

    pub(super) fn forget(&mut self, domain: DomainId) {
        self.0.retain(|(of, _), _| *of != domain);
    }

    /// All that was told: in which domain, of which bridge, by whom.
    pub(super) fn iter(&self) -> impl Iterator<Item = (DomainId, u64, Process, &Far)> {
        self.0.iter().filter_map(|((domain, bridge), heard)| {
            Some((*domain, *bridge, heard.by, heard.far.as_ref()?))
        })
    }
}

/// Whether a gateway has to tell of its source.
#[derive(Default)]
pub(super) struct Telling {
    is_due: bool,
    next_at: Instant,
}

impl Telling {
    /// There is news, or somebody new who does not know.
    pub(super) fn set_due(&mut self) {
        self.is_due = true;
    }

    /// When it is to be told.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.is_due.then_some(self.next_at)
    }

    /// True if it is to be told now; then it counts as told.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_now = self.is_due && self.next_at <= now;
        if is_now {
            *self = Self { is_due: false, next_at: now + TELL_INTERVAL };
        }
        is_now
    }
}
