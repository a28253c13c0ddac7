//! The connections of one session: the present one of each lane, and those whose memory somebody
//! still reads or writes.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::link::Link;

/// Owns the links. Anybody may use them at any time; only the session's owner installs, retires and
/// collects.
pub(crate) struct Links {
    /// Calls that are using a link now. One that never ends, because its thread was stopped for
    /// good, keeps memory mapped and does no other harm.
    users: AtomicUsize,
    /// By lane.
    current: [AtomicPtr<Link>; LANES_MAX],
    /// Lanes from this one on have never had a link.
    lanes_len: AtomicUsize,
    /// All of them, the present ones included.
    all: [AtomicPtr<Link>; PLACES],
    /// Places from this one on were never used.
    places_len: AtomicUsize,
}

/// No link goes away as long as this lives. Getting one is safe in a signal handler.
pub(crate) struct InUse<'a>(&'a Links);

impl Links {
    pub(crate) fn new() -> Self {
        Self {
            users: AtomicUsize::new(0),
            current: [const { AtomicPtr::new(ptr::null_mut()) }; LANES_MAX],
            lanes_len: AtomicUsize::new(0),
            all: [const { AtomicPtr::new(ptr::null_mut()) }; PLACES],
            places_len: AtomicUsize::new(0),
        }
    }

    pub(crate) fn enter(&self) -> InUse<'_> {
        self.users.fetch_add(1, Ordering::SeqCst);
        InUse(self)
    }

    /// Makes a link the present one of its lane; `false`, and the link is dropped, when too many
    /// old ones are still in use. Owner only; [collect](Self::collect) before.
    pub(crate) fn install(&self, link: Box<Link>) -> bool {
        let lane = link.lane();
        let of_lane = self.enter().all().filter(|link| link.lane() == lane).count();
        let places = self.all.iter().enumerate();
        let mut free = places.filter(|(_, place)| place.load(Ordering::SeqCst).is_null());
        let (Some((at, place)), Some(current)) = (free.next(), self.current.get(lane)) else {
            return false;
        };
        if of_lane >= LINKS_MAX {
            return false;
        }
        let link = Box::into_raw(link);
        place.store(link, Ordering::SeqCst);
        self.places_len.fetch_max(at + 1, Ordering::SeqCst);
        current.store(link, Ordering::SeqCst);
        self.lanes_len.fetch_max(lane + 1, Ordering::SeqCst);
        true
    }

    /// From now on the lane has no present link. Owner only; [collect](Self::collect) after.
    pub(crate) fn retire(&self, lane: usize) {
        self.current[lane].store(ptr::null_mut(), Ordering::SeqCst);
    }

    /// Frees the retired links that nobody uses, each after a last look at it. Owner only.
    pub(crate) fn collect(&self, mut last_look: impl FnMut(&Link)) {
        for place in &self.all[..self.places_len.load(Ordering::SeqCst)] {
            let link = place.load(Ordering::SeqCst);
            // SAFETY: what is in `all` was made by `install`, and only the owner, who is here,
            // frees it.
            let Some(found) = (unsafe { link.as_ref() }) else { continue };
            let is_current = self.current[found.lane()].load(Ordering::SeqCst) == link;
            if is_current || found.is_held() {
                continue;
            }
            // An open claim counts as a use: whoever ends it finds its link at any moment.
            if self.users.load(Ordering::SeqCst) != 0 {
                continue;
            }
            place.store(ptr::null_mut(), Ordering::SeqCst);
            if self.users.load(Ordering::SeqCst) == 0 {
                // SAFETY: nobody was using links after this one could be found no more, so nobody
                // has it.
                let link = unsafe { Box::from_raw(link) };
                last_look(&link);
            } else {
                place.store(link, Ordering::SeqCst);
            }
        }
    }

    /// Whether records of any connection are still held.
    pub(crate) fn any_held(&self) -> bool {
        let in_use = self.enter();
        in_use.all().any(Link::is_held)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for place in &mut self.all {
            let link = *place.get_mut();
            if !link.is_null() {
                // SAFETY: made by `install`, not yet freed, and `&mut self` says that nobody uses
                // it.
                drop(unsafe { Box::from_raw(link) });
            }
        }
    }
}

impl InUse<'_> {
    /// The present link of the session's own connection, unless the engine is away.
    pub(crate) fn main(&self) -> Option<&Link> {
        self.current(0)
    }

    /// The present link of a lane, if it has one.
    pub(crate) fn current(&self, lane: usize) -> Option<&Link> {
        let link = self.0.current.get(lane)?.load(Ordering::SeqCst);
        // SAFETY: found after `enter`, so `collect` sees us and lets it be; it was made by
        // `install`.
        unsafe { link.as_ref() }
    }

    /// The link, present or retired, that gave out this token.
    pub(crate) fn of_token(&self, token: u64) -> Option<&Link> {
        self.all().find(|link| link.gave_out(token))
    }

    /// The present links of all lanes.
    pub(crate) fn present(&self) -> impl Iterator<Item = &Link> {
        (0..self.0.lanes_len.load(Ordering::SeqCst)).filter_map(|lane| self.current(lane))
    }

    /// Every link, present or retired.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Link> {
        let used = self.0.places_len.load(Ordering::SeqCst).min(PLACES);
        // SAFETY: as in `current`.
        self.0.all[..used].iter().filter_map(|p| unsafe { p.load(Ordering::SeqCst).as_ref() })
    }
}

impl InUse<'_> {
    /// Keeps the links in use until [`Self::unkeep`].
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }

    /// Takes one [`keep`](Self::keep) back.
    pub(crate) fn unkeep(&self) {
        self.0.users.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Lanes of a session: the first is the session's own connection.
pub(crate) const LANES_MAX: usize = 64;
/// Connections of a lane whose events may be held at the same time.
const LINKS_MAX: usize = 16;
/// The same of all lanes.
const PLACES: usize = 2 * LANES_MAX;
