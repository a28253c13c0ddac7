//! A node: its engine while one runs, and for each of its domains what the engine has there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anasazi_client::raw::RawSession;
use anasazi_engine::domains::DomainId;
use anasazi_engine::turn::Turn;
use anasazi_protocol::{NodeId, Process, RingId};
use anasazi_queue::hello::Welcome;

use super::shared::Shared;
use crate::engine::{Disk, Log, Watch, Wire};

pub(super) type DomainsTurn = Turn<Shared<Wire>, Shared<Disk>>;

/// One node and all its incarnations.
pub(super) struct Machine {
    pub(super) id: NodeId,
    /// What runs there now.
    pub(super) turn: Option<DomainsTurn>,
    /// The present or the last incarnation.
    pub(super) process: Process,
    /// Starts so far; what was planned for an earlier life does not happen any more.
    pub(super) life: u64,
    pub(super) paused: bool,
    /// What is in each of the world's domains; `None`: the node is not.
    pub(super) places: Vec<Option<Place>>,
    /// The session of its one client, and what its engine answered to it.
    pub(super) session: Option<(RawSession, Welcome)>,
    pub(super) watch: Watch,
    /// Keys of descriptors that are ready, for the next turn.
    pub(super) ready: Vec<u64>,
    pub(super) timer_at: Option<u64>,
    /// Turns in a row at the same time.
    pub(super) spins: (u64, u32),
}

/// A node in one domain.
pub(super) struct Place {
    pub(super) address: SocketAddr,
    /// Its number at the engine that runs.
    pub(super) id: DomainId,
    pub(super) wire: Shared<Wire>,
    pub(super) disk: Shared<Disk>,
    pub(super) log: Log,
    /// On the disk: no ring number up to this one may be used again.
    pub(super) ring_sequence_max: u64,
    /// The client's lane of the domain, in its group, with the key of its wake-up.
    pub(super) client: Option<(RawSession, u64)>,
    pub(super) sent: u64,
    /// Of the next record.
    pub(super) index: u64,
    /// The regular configuration it is in.
    pub(super) ring: Option<(RingId, Vec<Process>)>,
}

impl Machine {
    pub(super) fn new(index: usize, domains: impl Iterator<Item = bool>) -> Self {
        let id = NodeId(index as u32 + 1);
        Self {
            id,
            turn: None,
            process: Process { node: id, ..Process::default() },
            life: 0,
            paused: false,
            places: domains
                .enumerate()
                .map(|(domain, is_in)| is_in.then(|| Place::new(domain, index)))
                .collect(),
            session: None,
            watch: Watch::default(),
            ready: Vec::new(),
            timer_at: None,
            spins: (0, 0),
        }
    }

    pub(super) fn place(&mut self, domain: usize) -> &mut Place {
        self.places[domain].as_mut().expect("the node is in that domain")
    }
}

impl Place {
    fn new(domain: usize, index: usize) -> Self {
        let ip = Ipv4Addr::new(10, 0, domain as u8, index as u8 + 1);
        let address = SocketAddr::new(IpAddr::V4(ip), 7_750);
        Self {
            address,
            id: DomainId::DEFAULT,
            wire: Shared::new(Wire::new(address, true)),
            disk: Shared::new(Disk::default()),
            log: Log::default(),
            ring_sequence_max: 0,
            client: None,
            sent: 0,
            index: 0,
            ring: None,
        }
    }
}
