//! Domains that are added while the engine runs. What has to be opened for them waits for the disk,
//! which a turn does not: whoever drives it takes the order, has it carried out elsewhere, and
//! brings what was opened.

use std::io;

use anasazi_protocol::{Incarnation, Instant, NodeId};
use anasazi_queue::status::Status;
use anasazi_transport::Transport;
use serde_json::json;

use super::removal::Asker;
use super::{DomainParts, Stop, Table, Turn};
use crate::admin::{Addition, show};
use crate::config::ValidConfig;
use crate::domains::DomainId;
use crate::error::EngineError;
use crate::storage::Storage;

/// What is to be opened.
pub(crate) struct Order {
    pub(crate) name: String,
    /// The configuration with it.
    pub(crate) config: ValidConfig,
    /// Who this engine is.
    pub(crate) node: NodeId,
    /// The domain's process is newer than this: it may have been here before, and have said that it
    /// leaves.
    pub(crate) after: Incarnation,
}

/// What came of an order.
pub(crate) struct Opened<T, S> {
    pub(crate) name: String,
    pub(crate) result: Result<Ready<T, S>, EngineError>,
}

/// A domain that can begin.
pub(crate) struct Ready<T, S> {
    pub(crate) parts: DomainParts<T, S>,
    /// What the operator should know.
    pub(crate) warnings: Vec<String>,
}

/// Has a domain turned, by whatever watches its descriptors.
type Attend<'a, T, S> = &'a mut dyn FnMut(&mut Table<T, S>, DomainId) -> io::Result<()>;

/// A domain that is not there yet.
pub(super) struct Adding {
    name: String,
    asker: Asker,
    /// Until it is taken.
    order: Option<Order>,
}

impl<T: Transport, S: Storage> Turn<T, S> {
    /// A session adds a domain.
    pub(super) fn add_for(&mut self, addition: Addition, asker: Asker) {
        let Addition { name, config } = addition;
        let node = self.domains[DomainId::DEFAULT].process.node;
        self.admin.config = config.clone();
        let order = Order { name: name.clone(), config, node, after: self.newest };
        self.adding.push(Adding { name, asker, order: Some(order) });
    }

    /// What is to be opened.
    pub(crate) fn take_orders(&mut self) -> Vec<Order> {
        self.adding.iter_mut().filter_map(|adding| adding.order.take()).collect()
    }

    pub(super) fn has_orders(&self) -> bool {
        !self.key_orders.is_empty() || self.adding.iter().any(|adding| adding.order.is_some())
    }

    /// The configuration as it is, without what is not there yet.
    pub(crate) fn config(&self) -> ValidConfig {
        let without = |config: ValidConfig, adding: &Adding| config.without_domain(&adding.name);
        self.adding.iter().fold(self.admin.config.clone(), without)
    }

    /// An order was carried out. `attend`: from now on the domain at a place is turned.
    pub(crate) fn opened(
        &mut self,
        Opened { name, result }: Opened<T, S>,
        attend: Attend<'_, T, S>,
        now: Instant,
    ) {
        let Some(at) = self.adding.iter().position(|adding| adding.name == name) else { return };
        let asker = self.adding.swap_remove(at).asker;
        let stops = self.stop != Stop::No || self.ended.is_some();
        let stopped = || EngineError::System("the engine is being stopped".to_owned());
        let result = if stops { Err(stopped()) } else { result };
        let placed = result.and_then(|Ready { parts, warnings }| {
            let id = self.place(parts, attend, now)?;
            warnings.into_iter().for_each(|warning| self.admin.journal.warn(warning));
            Ok(id)
        });
        match placed {
            Ok(id) => {
                let by = self.sessions.name_of(asker.0);
                self.admin.journal.of_domain(now.0, format!("domain {name} was added by {by}"));
                let answer = self.admin.added(&name, show::domain(&self.domains[id]));
                self.tell(asker, Status::OK, &answer);
            }
            Err(error) => {
                self.admin.config = self.admin.config.without_domain(&name);
                let text = format!("cannot add the domain {name:?}: {error}");
                self.admin.journal.of_domain(now.0, text.clone());
                self.tell(asker, Status::ESTATE, &json!({ "error": text }));
            }
        }
    }

    fn place(
        &mut self,
        parts: DomainParts<T, S>,
        attend: Attend<'_, T, S>,
        now: Instant,
    ) -> Result<DomainId, EngineError> {
        self.newest = self.newest.max(parts.boot.process.incarnation);
        let id = self.add_domain(parts, now);
        self.domains[id].is_added = true;
        attend(&mut self.domains, id).map(|()| id).map_err(|error| {
            // It has not said anything yet, and nobody knows of it.
            self.sessions.vacate_domain(id);
            self.bridges.forget(id);
            drop(self.domains.take(id));
            EngineError::System(format!("its sockets cannot be watched: {error}"))
        })
    }
}
