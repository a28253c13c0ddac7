//! The domains of an engine, each at its place.

use std::ops::{Index, IndexMut};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use anasazi_protocol::Instant;
use anasazi_protocol::planted::planted;
use anasazi_transport::Transport;

use super::Share;
use super::place::Place;
use crate::domain::{Domain, Shared, Upward, Wakers};
use crate::domains::{DomainId, DomainSet};
use crate::storage::Storage;

/// Keys of the descriptors of transports, one for each place. A late word about a descriptor that
/// was watched for the domain before has the present one look for datagrams, and find none.
pub(crate) const TRANSPORT_KEYS: u64 = 1 << 20;

/// The first is `default`, which is always there. A place is used again when its domain was taken
/// out, which happens only when nobody holds anything of it any more.
pub(crate) struct Table<T, S>(Vec<Option<Place<T, S>>>);

impl<T, S> Table<T, S> {
    pub(crate) fn new(default: Place<T, S>) -> Self {
        Self(vec![Some(default)])
    }

    /// Puts one at a place that is free.
    pub(crate) fn put(&mut self, id: DomainId, domain: Place<T, S>) {
        self.0.resize_with(self.0.len().max(id.index() + 1), || None);
        let before = self.0[id.index()].replace(domain);
        assert!(before.is_none(), "a place that another domain has");
    }

    /// `default` stays.
    pub(super) fn take(&mut self, id: DomainId) -> Option<Place<T, S>> {
        if id == DomainId::DEFAULT { None } else { self.0[id.index()].take() }
    }

    /// What one turn takes in of each.
    pub(super) fn share_of_turn(&self) -> &'static Share {
        Share::of(self.iter().count())
    }

    /// What one of them has to say now, to be given back; see [`Place::take_up`].
    pub(super) fn take_up(&mut self, id: DomainId) -> Vec<Upward> {
        let heard = self.share_of_turn().heard;
        self[id].take_up(heard)
    }

    /// Places that have one.
    pub(crate) fn ids(&self) -> impl Iterator<Item = DomainId> + use<T, S> {
        let taken: DomainSet = self.iter().map(|(id, _)| id).collect();
        taken.iter()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DomainId, &Place<T, S>)> {
        let places = self.0.iter().enumerate();
        places.filter_map(|(at, domain)| Some((DomainId::at(at), domain.as_ref()?)))
    }

    pub(crate) fn get_mut(&mut self, id: DomainId) -> Option<&mut Place<T, S>> {
        self.0.get_mut(id.index())?.as_mut()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Place<T, S>> {
        self.0.iter_mut().flatten()
    }

    /// There is one at this place, and it has room for commands.
    pub(crate) fn takes_commands(&self, id: DomainId) -> bool {
        self.0.get(id.index()).and_then(Option::as_ref).is_some_and(Place::takes_commands)
    }

    pub(crate) fn find(&self, name: &str) -> Option<DomainId> {
        self.iter().find(|(_, domain)| domain.name == name).map(|(id, _)| id)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.iter().map(|(_, domain)| &domain.name[..]).collect()
    }

    /// Those that the engine's thread turns.
    pub(super) fn here(&mut self) -> impl Iterator<Item = &mut Domain<T, S>> {
        self.iter_mut().filter_map(Place::here_mut)
    }

    /// Threads of domains have said something that was not heard.
    pub(super) fn have_said(&self) -> bool {
        self.iter().any(|(_, place)| place.has_said())
    }

    /// A thread of its own turns this domain from now on, to which the result is given; `None`: it
    /// has one.
    pub(crate) fn share(&mut self, id: DomainId, wakers: Wakers) -> Option<Arc<Shared<T, S>>> {
        let (place, shared) = self.0[id.index()].take()?.share(wakers);
        self.0[id.index()] = Some(place);
        shared
    }

    /// The one whose transport is watched under this key, if there is one.
    pub(super) fn watched(&mut self, key: u64) -> Option<&mut Domain<T, S>> {
        let index = usize::try_from(key.checked_sub(TRANSPORT_KEYS)?).ok()?;
        self.0.get_mut(index)?.as_mut()?.here_mut()
    }

    /// Those that have no room for commands. Of one that is being removed nothing is asked, so
    /// nobody waits for it.
    pub(super) fn full(&self) -> DomainSet {
        let is_full = |of: &Place<T, S>| of.removal.is_none() && !of.accepts_sends();
        let all = planted!("one_full_all_wait") && self.iter().any(|(_, of)| is_full(of));
        self.iter().filter(|(_, of)| all || is_full(of)).map(|(id, _)| id).collect()
    }
}

impl<T: Transport, S: Storage> Table<T, S> {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.iter().filter_map(|(_, place)| place.here()?.core.deadline()).min()
    }

    /// The domain whose own thread is late the most, and for how long.
    pub(super) fn latest(&self) -> Option<(&str, Duration)> {
        let all = self.iter().map(|(_, place)| (place.name.as_str(), place.lateness()));
        all.max_by_key(|(_, lateness)| *lateness)
    }

    /// Descriptors that are readable while there are datagrams for the engine's thread, with the
    /// keys to watch them under: these say whose they are.
    pub(super) fn transport_fds(&self) -> impl Iterator<Item = (RawFd, u64)> {
        self.ids().flat_map(|id| self.fds_of(id))
    }

    pub(crate) fn fds_of(&self, id: DomainId) -> impl Iterator<Item = (RawFd, u64)> + use<T, S> {
        let key = TRANSPORT_KEYS + id.index() as u64;
        let fds = self[id].here().map(|domain| domain.transport.fds());
        fds.into_iter().flatten().map(move |fd| (fd, key))
    }
}

impl<T, S> Index<DomainId> for Table<T, S> {
    type Output = Place<T, S>;

    fn index(&self, id: DomainId) -> &Place<T, S> {
        match &self.0[id.index()] {
            Some(domain) => domain,
            None => panic!("no domain at place {}", id.index()),
        }
    }
}

impl<T, S> IndexMut<DomainId> for Table<T, S> {
    fn index_mut(&mut self, id: DomainId) -> &mut Place<T, S> {
        match &mut self.0[id.index()] {
            Some(domain) => domain,
            None => panic!("no domain at place {}", id.index()),
        }
    }
}
