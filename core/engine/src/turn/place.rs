//! A domain at its place in an engine: what the engine's thread knows of it, and the domain itself,
//! which this thread turns, or one of the domain's own.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use anasazi_protocol::{GroupId, Process};
use anasazi_transport::Transport;

use super::Removal;
use crate::domain::{Domain, Inside, Lease, Shared, Upward, Wakers};
use crate::domains::DEFAULT_NAME;
use crate::journal;
use crate::storage::Storage;

pub(crate) struct Place<T, S> {
    pub(crate) name: String,
    pub(crate) process: Process,
    /// Batches that it takes in before it is another domain's turn.
    pub(crate) weight: u32,
    /// It has left.
    pub(crate) is_stopped: bool,
    /// It was added while the engine runs.
    pub(crate) is_added: bool,
    /// It is being removed.
    pub(crate) removal: Option<Removal>,
    held: Held<T, S>,
    /// Room for what is heard.
    room: Vec<Upward>,
}

enum Held<T, S> {
    /// Turned by the engine's thread.
    Here(Box<Domain<T, S>>),
    /// Turned by its own.
    There(Lease<T, S>),
}

/// A domain to be looked at. Nothing else is done while it is there: its thread may wait.
pub(crate) enum Look<'a, T: Transport, S: Storage> {
    Here(&'a Domain<T, S>),
    There(Inside<'a, T, S>),
}

/// A domain to be worked with; as for [`Look`].
pub(crate) enum Work<'a, T: Transport, S: Storage> {
    Here(&'a mut Domain<T, S>),
    There(Inside<'a, T, S>),
}

impl<T, S> Place<T, S> {
    pub(crate) fn new(name: String, domain: Domain<T, S>) -> Self {
        Self {
            name,
            process: domain.process,
            weight: 1,
            is_stopped: false,
            is_added: false,
            removal: None,
            held: Held::Here(Box::new(domain)),
            room: Vec::new(),
        }
    }

    /// A thread of the domain's own turns it from now on, to which this is given.
    pub(super) fn share(self, wakers: Wakers) -> (Self, Option<Arc<Shared<T, S>>>) {
        match self.held {
            Held::There(_) => (self, None),
            Held::Here(domain) => {
                let shared = Arc::new(Shared::new(domain, wakers));
                let held = Held::There(Lease::new(Arc::clone(&shared)));
                (Self { held, ..self }, Some(shared))
            }
        }
    }

    /// The engine's thread turns it from now on.
    pub(super) fn take_back(&mut self) {
        if let Held::There(lease) = &self.held
            && let Some(domain) = lease.end()
        {
            self.held = Held::Here(domain);
        }
    }

    /// The domain, if the engine's thread turns it.
    pub(crate) fn here(&self) -> Option<&Domain<T, S>> {
        match &self.held {
            Held::Here(domain) => Some(domain),
            Held::There(_) => None,
        }
    }

    pub(crate) fn here_mut(&mut self) -> Option<&mut Domain<T, S>> {
        match &mut self.held {
            Held::Here(domain) => Some(domain),
            Held::There(_) => None,
        }
    }

    /// The longest that the domain's own thread, and the engine's, had to wait for the other one.
    pub(crate) fn waited(&self) -> Option<[Duration; 2]> {
        match &self.held {
            Held::Here(_) => None,
            Held::There(lease) => Some(lease.waited()),
        }
    }

    /// For how long its own thread should have come by and has not.
    pub(crate) fn lateness(&self) -> Duration {
        match &self.held {
            Held::Here(_) => Duration::ZERO,
            Held::There(lease) => lease.lateness(),
        }
    }

    pub(crate) fn accepts_sends(&self) -> bool {
        match &self.held {
            Held::Here(domain) => domain.core.accepts_sends(),
            Held::There(lease) => lease.accepts_sends(),
        }
    }

    /// It has room for commands, and is not about to go.
    pub(crate) fn takes_commands(&self) -> bool {
        self.removal.is_none() && !self.is_stopped && self.accepts_sends()
    }

    /// Its own thread has said something that was not heard.
    pub(super) fn has_said(&self) -> bool {
        matches!(&self.held, Held::There(lease) if lease.has_said())
    }

    /// What it has to say, so much at a time for each batch that it weighs if its own thread says
    /// it, to be drained and given back by [`give_back`](Self::give_back).
    pub(super) fn take_up(&mut self, heard: usize) -> Vec<Upward> {
        match &mut self.held {
            Held::Here(domain) => domain.take_up(),
            Held::There(lease) => {
                let mut up = core::mem::take(&mut self.room);
                lease.hear(heard * self.weight as usize, &mut up);
                up
            }
        }
    }

    /// The room of what was said, for what comes next.
    pub(super) fn give_back(&mut self, up: Vec<Upward>) {
        match &mut self.held {
            Held::Here(domain) => domain.give_back(up),
            Held::There(_) => self.room = up,
        }
    }

    /// What stands before words about it: nothing for `default`.
    pub(crate) fn words(&self) -> String {
        journal::place(&self.name)
    }

    /// The full name of what is called this here.
    pub(crate) fn full(&self, name: &str) -> String {
        if self.name == DEFAULT_NAME { name.to_owned() } else { format!("{}/{name}", self.name) }
    }
}

impl<T: Transport, S: Storage> Place<T, S> {
    pub(crate) fn look(&self) -> Look<'_, T, S> {
        match &self.held {
            Held::Here(domain) => Look::Here(domain),
            Held::There(lease) => Look::There(lease.enter()),
        }
    }

    pub(crate) fn work(&mut self) -> Work<'_, T, S> {
        match &mut self.held {
            Held::Here(domain) => Work::Here(domain),
            Held::There(lease) => Work::There(lease.enter()),
        }
    }

    /// A group's name as sessions join it, if the group is known.
    pub(crate) fn full_name(&self, group: GroupId) -> Option<String> {
        self.look().core.group_name(group).map(|name| self.full(name))
    }
}

impl<T: Transport, S: Storage> Deref for Look<'_, T, S> {
    type Target = Domain<T, S>;

    fn deref(&self) -> &Domain<T, S> {
        match self {
            Self::Here(domain) => domain,
            Self::There(inside) => inside,
        }
    }
}

impl<T: Transport, S: Storage> Deref for Work<'_, T, S> {
    type Target = Domain<T, S>;

    fn deref(&self) -> &Domain<T, S> {
        match self {
            Self::Here(domain) => domain,
            Self::There(inside) => inside,
        }
    }
}

impl<T: Transport, S: Storage> DerefMut for Work<'_, T, S> {
    fn deref_mut(&mut self) -> &mut Domain<T, S> {
        match self {
            Self::Here(domain) => domain,
            Self::There(inside) => inside,
        }
    }
}
