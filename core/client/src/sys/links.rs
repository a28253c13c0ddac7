//! The connections of one session: the present one, and those whose memory somebody still reads or
//! writes.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::link::Link;

/// Owns the links. Anybody may use them at any time; only the session's owner installs, retires and
/// collects.
pub(crate) struct Links {
    /// Calls that are using a link now. One that never ends, because its thread was stopped for
    /// good, keeps memory mapped and does no other harm.
    users: AtomicUsize,
    current: AtomicPtr<Link>,
    /// All of them, the present one included.
    all: [AtomicPtr<Link>; LINKS_MAX],
}

/// No link goes away as long as this lives. Getting one is safe in a signal handler.
pub(crate) struct InUse<'a>(&'a Links);

impl Links {
    pub(crate) fn new() -> Self {
        Self {
            users: AtomicUsize::new(0),
            current: AtomicPtr::new(ptr::null_mut()),
            all: [const { AtomicPtr::new(ptr::null_mut()) }; LINKS_MAX],
        }
    }

    pub(crate) fn enter(&self) -> InUse<'_> {
        self.users.fetch_add(1, Ordering::SeqCst);
        InUse(self)
    }

    /// Makes a link the present one; `false`, and the link is dropped, when too many old ones are
    /// still in use. Owner only; [collect](Self::collect) before.
    pub(crate) fn install(&self, link: Box<Link>) -> bool {
        let Some(place) = self.all.iter().find(|place| place.load(Ordering::SeqCst).is_null())
        else {
            return false;
        };
        let link = Box::into_raw(link);
        place.store(link, Ordering::SeqCst);
        self.current.store(link, Ordering::SeqCst);
        true
    }

    /// From now on there is no present link. Owner only; [collect](Self::collect) after.
    pub(crate) fn retire(&self) {
        self.current.store(ptr::null_mut(), Ordering::SeqCst);
    }

    /// Frees the retired links that nobody uses, each after a last look at it. Owner only.
    pub(crate) fn collect(&self, mut last_look: impl FnMut(&Link)) {
        let current = self.current.load(Ordering::SeqCst);
        for place in &self.all {
            let link = place.load(Ordering::SeqCst);
            // SAFETY: what is in `all` was made by `install`, and only the owner, who is here,
            // frees it.
            if link.is_null() || link == current || unsafe { (*link).is_held() } {
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
    /// The present link, unless the engine is away.
    pub(crate) fn current(&self) -> Option<&Link> {
        let link = self.0.current.load(Ordering::SeqCst);
        // SAFETY: found after `enter`, so `collect` sees us and lets it be; it was made by
        // `install`.
        unsafe { link.as_ref() }
    }

    /// The link, present or retired, that gave out this token.
    pub(crate) fn of_token(&self, token: u64) -> Option<&Link> {
        self.all().find(|link| link.gave_out(token))
    }

    /// Every link, present or retired.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Link> {
        // SAFETY: as in `current`.
        self.0.all.iter().filter_map(|place| unsafe { place.load(Ordering::SeqCst).as_ref() })
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

/// Connections of a session whose events may be held at the same time.
const LINKS_MAX: usize = 16;
