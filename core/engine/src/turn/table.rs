//! The domains of an engine, each at its place.

use std::ops::{Index, IndexMut};
use std::os::fd::RawFd;

use anasazi_protocol::Instant;
use anasazi_transport::Transport;

use crate::domain::Domain;
use crate::domains::{DOMAINS_MAX, DomainId, DomainSet};
use crate::storage::Storage;

/// Keys of the descriptors of transports, one for each place.
pub(crate) const TRANSPORT_KEYS: u64 = 1 << 20;

/// The first is `default`, which is always there.
pub(crate) struct Table<T, S>(Vec<Domain<T, S>>);

impl<T, S> Table<T, S> {
    pub(crate) fn new(default: Domain<T, S>) -> Self {
        Self(vec![default])
    }

    /// # Panics
    /// There are [`DOMAINS_MAX`] already.
    pub(crate) fn add(&mut self, domain: Domain<T, S>) {
        assert!(self.0.len() < DOMAINS_MAX, "more domains than an engine may have");
        self.0.push(domain);
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = DomainId> + use<T, S> {
        (0..self.0.len()).map(DomainId::at)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DomainId, &Domain<T, S>)> {
        self.ids().zip(&self.0)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Domain<T, S>> {
        self.0.iter_mut()
    }

    pub(crate) fn find(&self, name: &str) -> Option<DomainId> {
        self.iter().find(|(_, domain)| domain.name == name).map(|(id, _)| id)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.iter().map(|(_, domain)| &domain.name[..]).collect()
    }

    /// The one whose transport is watched under this key, if there is one.
    pub(super) fn watched(&mut self, key: u64) -> Option<&mut Domain<T, S>> {
        self.0.get_mut(usize::try_from(key.checked_sub(TRANSPORT_KEYS)?).ok()?)
    }

    /// Those that have no room for commands.
    pub(super) fn full(&self) -> DomainSet {
        self.iter().filter(|(_, of)| !of.core.accepts_sends()).map(|(id, _)| id).collect()
    }
}

impl<T: Transport, S: Storage> Table<T, S> {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.iter().filter_map(|(_, domain)| domain.core.deadline()).min()
    }

    /// Descriptors that are readable while there are datagrams, with the keys to watch them under:
    /// these say whose they are.
    pub(super) fn transport_fds(&self) -> impl Iterator<Item = (RawFd, u64)> {
        let keys = (TRANSPORT_KEYS..).zip(&self.0);
        keys.flat_map(|(key, domain)| domain.transport.fds().into_iter().map(move |fd| (fd, key)))
    }
}

impl<T, S> Index<DomainId> for Table<T, S> {
    type Output = Domain<T, S>;

    fn index(&self, id: DomainId) -> &Domain<T, S> {
        &self.0[id.index()]
    }
}

impl<T, S> IndexMut<DomainId> for Table<T, S> {
    fn index_mut(&mut self, id: DomainId) -> &mut Domain<T, S> {
        &mut self.0[id.index()]
    }
}
