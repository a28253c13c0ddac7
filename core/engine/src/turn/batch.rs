//! Commands for a domain with a thread of its own. Each time the engine's thread goes in, it may
//! have to wait for as long as that one takes for a batch of datagrams, and all that it turns waits
//! with it: so it brings several at a time.

use anasazi_protocol::{Command, Instant};
use anasazi_transport::Transport;

use super::table::Table;
use crate::domains::DomainId;
use crate::storage::Storage;

/// By so many a queue may become longer than it should be.
const COMMANDS_MAX: usize = 16;

/// For one domain at a time, in order.
#[derive(Default)]
pub(super) struct Batch {
    domain: DomainId,
    commands: Vec<Command>,
}

impl Batch {
    /// One more. False: the domain has no room for others.
    pub(super) fn add<T: Transport, S: Storage>(
        &mut self,
        domains: &mut Table<T, S>,
        (domain, command): (DomainId, Command),
        now: Instant,
    ) -> bool {
        if domain != self.domain || self.commands.len() == COMMANDS_MAX {
            self.carry_out(domains, now);
            self.domain = domain;
        }
        self.commands.push(command);
        domains[domain].accepts_sends()
    }

    /// None waits any more.
    pub(super) fn carry_out<T: Transport, S: Storage>(
        &mut self,
        domains: &mut Table<T, S>,
        now: Instant,
    ) {
        if !self.commands.is_empty() {
            let mut domain = domains[self.domain].work();
            self.commands.drain(..).for_each(|command| domain.command(now, command));
        }
    }
}
