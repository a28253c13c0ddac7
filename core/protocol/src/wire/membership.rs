//! The packets that form rings.

use core::net::SocketAddr;

use super::codec::{Reader, Writer};
use super::dialect::Dialect;
use super::header::WireError;
use super::links::Report;
use crate::contract::Breach;
use crate::id::{NodeId, Process, RingId};
use crate::limits;
use crate::terms::Terms;

/// What a gathering node knows and wants.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Join {
    pub(crate) process: Process,
    pub(crate) dialect: Dialect,
    /// What its ring must have in common.
    pub(crate) terms: Terms,
    /// Plus 1 whenever it begins to agree.
    pub(crate) attempt: u64,
    /// Its ring still turns: it would leave it for the one that is agreed on. Who invited, in which
    /// attempt of his.
    pub(crate) merging: Option<(Process, u64)>,
    /// Highest ring number seen or promised.
    pub(crate) ring_sequence_max: u64,
    /// Everybody considered, with addresses where they are known: nodes without multicast find each
    /// other by them.
    pub(crate) proposed: Vec<(Process, Option<SocketAddr>)>,
    /// Those known to be gone, and how.
    pub(crate) dead: Vec<(Process, Gone)>,
    /// Pairs that cannot talk to each other.
    pub(crate) edges: Vec<(NodeId, NodeId)>,
    /// The members that this node would form a ring with: its vote.
    pub(crate) members: Vec<NodeId>,
    /// Whom this node has heard in this gather.
    pub(crate) heard: Vec<NodeId>,
    /// Whose multicast it hears.
    pub(crate) multicast_heard: Vec<NodeId>,
    /// What is known of bad links, beyond this gather.
    pub(crate) reports: Vec<Report>,
}

/// How a process is known to be gone: facts, not silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Gone {
    /// Its host says that nothing listens on its port.
    Unreachable,
    /// It said goodbye.
    Left,
    /// Its node runs in a newer incarnation.
    Restarted,
    /// It runs, and the ring goes on without it: it breaks the contract, and so.
    Demoted(Breach),
}

impl Gone {
    fn encode(&self, w: &mut Writer) {
        w.u8(match self {
            Self::Unreachable => 1,
            Self::Left => 2,
            Self::Restarted => 3,
            Self::Demoted(_) => 4,
        });
        if let Self::Demoted(breach) = self {
            breach.encode(w);
        }
    }

    fn decode(r: &mut Reader) -> Result<Self, WireError> {
        match r.u8()? {
            1 => Ok(Self::Unreachable),
            2 => Ok(Self::Left),
            3 => Ok(Self::Restarted),
            4 => Ok(Self::Demoted(Breach::decode(r)?)),
            _ => Err(WireError::Invalid("how a process is gone")),
        }
    }
}

/// The representative's call to form a ring.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Propose {
    pub(crate) ring: RingId,
    /// In token order, each with the attempt whose vote was counted.
    pub(crate) members: Vec<(Process, u64)>,
}

/// A member's answer: what it holds of its old ring. It does not change within an attempt.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct MemberState {
    /// The ring being formed.
    pub(crate) ring: RingId,
    pub(crate) process: Process,
    pub(crate) dialect: Dialect,
    pub(crate) old_ring: RingId,
    /// Holds all up to here.
    pub(crate) aru: u64,
    pub(crate) safe_line: u64,
    /// Bit i of byte j: holds `aru + 1 + 8 j + i`.
    pub(crate) held: Vec<u8>,
    /// Whose packets behind a hole it has promised to deliver.
    pub(crate) obligation: Vec<NodeId>,
    /// Nodes whose multicast it hears.
    pub(crate) multicast_heard: Vec<NodeId>,
    /// Bytes of UDP payload per datagram.
    pub(crate) mtu: u16,
    /// Packets per rotation that its socket buffer takes.
    pub(crate) window: u32,
}

/// Everybody's state, from which everybody computes the same recovery.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Plan {
    pub(crate) ring: RingId,
    /// What all members have in common: its newest version and its features are the ring's.
    pub(crate) dialect: Dialect,
    /// Data travels by multicast.
    pub(crate) multicast: bool,
    /// In token order.
    pub(crate) states: Vec<MemberState>,
}

/// "I have the plan."
#[derive(Clone, Copy, Debug, Default, PartialEq, Hash)]
pub(crate) struct PlanAck {
    pub(crate) ring: RingId,
    pub(crate) process: Process,
}

/// "We are here": how rings find each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Beacon {
    pub(crate) process: Process,
    /// What all members of its ring speak.
    pub(crate) dialect: Dialect,
    /// What its ring must have in common.
    pub(crate) terms: Terms,
    /// Just started, listening for another process with the same node id: not yet to be merged
    /// with.
    pub(crate) probation: bool,
    pub(crate) ring: RingId,
    pub(crate) members: Vec<Process>,
    /// Where the first of the members is, if the sender is another.
    pub(crate) representative: Option<SocketAddr>,
    /// Other rings' representatives that the sender hears.
    pub(crate) heard: Vec<Process>,
    /// Links that are known to be bad.
    pub(crate) reports: Vec<Report>,
}

impl Join {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.process(self.process);
        self.dialect.encode(w);
        self.terms.encode(w);
        w.u64(self.attempt);
        w.u8(u8::from(self.merging.is_some()));
        if let Some((inviter, attempt)) = self.merging {
            w.process(inviter);
            w.u64(attempt);
        }
        w.u64(self.ring_sequence_max);
        w.count(self.proposed.len());
        for (process, address) in &self.proposed {
            w.process(*process);
            w.address(*address);
        }
        w.count(self.dead.len());
        for (process, gone) in &self.dead {
            w.process(*process);
            gone.encode(w);
        }
        w.count(self.edges.len());
        for (a, b) in &self.edges {
            w.u32(a.0);
            w.u32(b.0);
        }
        w.nodes(self.members.iter());
        w.nodes(self.heard.iter());
        w.nodes(self.multicast_heard.iter());
        Report::encode_all(&self.reports, w);
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (process, dialect) = (r.process()?, Dialect::decode(r)?);
        let terms = Terms::decode(r)?;
        let attempt = r.u64()?;
        let merging = if r.flag()? { Some((r.process()?, r.u64()?)) } else { None };
        let ring_sequence_max = r.u64()?;
        let proposed = (0..r.count(13)?).map(|_| Ok((r.process()?, r.address()?)));
        let proposed = proposed.collect::<Result<Vec<_>, WireError>>()?;
        let dead = (0..r.count(13)?).map(|_| Ok((r.process()?, Gone::decode(r)?)));
        let dead = dead.collect::<Result<Vec<_>, WireError>>()?;
        let edges = (0..r.count(8)?).map(|_| Ok((r.node()?, r.node()?)));
        let edges = edges.collect::<Result<Vec<_>, WireError>>()?;
        let (members, heard, multicast_heard) = (r.nodes()?, r.nodes()?, r.nodes()?);
        let reports = Report::decode_all(r)?;
        within(proposed.len())?;
        let join = Self {
            process,
            dialect,
            terms,
            attempt,
            merging,
            ring_sequence_max,
            proposed,
            dead,
            edges,
            members,
            heard,
            multicast_heard,
            reports,
        };
        Ok(join)
    }
}

impl Propose {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.ring(self.ring);
        w.count(self.members.len());
        for (process, attempt) in &self.members {
            w.process(*process);
            w.u64(*attempt);
        }
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let ring = r.ring()?;
        let members = (0..r.count(20)?).map(|_| Ok((r.process()?, r.u64()?)));
        let members = members.collect::<Result<Vec<_>, WireError>>()?;
        within(members.len())?;
        Ok(Self { ring, members })
    }
}

impl MemberState {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.ring(self.ring);
        w.process(self.process);
        self.dialect.encode(w);
        w.ring(self.old_ring);
        w.u64(self.aru);
        w.u64(self.safe_line);
        w.count(self.held.len());
        w.slice(&self.held);
        w.nodes(self.obligation.iter());
        w.nodes(self.multicast_heard.iter());
        w.u16(self.mtu);
        w.u32(self.window);
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (ring, process, dialect) = (r.ring()?, r.process()?, Dialect::decode(r)?);
        let old_ring = r.ring()?;
        let (aru, safe_line) = (r.u64()?, r.u64()?);
        let held_len = r.count(1)?;
        if held_len > limits::HELD_BITMAP_LEN_MAX || safe_line > aru || aru > u64::MAX / 2 {
            return Err(WireError::Invalid("member state"));
        }
        let held = r.take(held_len)?.to_vec();
        let (obligation, multicast_heard) = (r.nodes()?, r.nodes()?);
        let (mtu, window) = (r.u16()?, r.u32()?);
        if !(limits::MTU_MIN..=limits::MTU_MAX).contains(&usize::from(mtu))
            || !(1..=limits::WINDOW_MAX).contains(&window)
        {
            return Err(WireError::Invalid("mtu or window"));
        }
        let state = Self {
            ring,
            process,
            dialect,
            old_ring,
            aru,
            safe_line,
            held,
            obligation,
            multicast_heard,
            mtu,
            window,
        };
        Ok(state)
    }
}

impl Plan {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.ring(self.ring);
        self.dialect.encode(w);
        w.u8(u8::from(self.multicast));
        w.count(self.states.len());
        self.states.iter().for_each(|s| s.encode(w));
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (ring, dialect, multicast) = (r.ring()?, Dialect::decode(r)?, r.flag()?);
        let count = r.count(76)?;
        within(count)?;
        let states =
            (0..count).map(|_| MemberState::decode(r)).collect::<Result<Vec<_>, WireError>>()?;
        Ok(Self { ring, dialect, multicast, states })
    }
}

impl PlanAck {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.ring(self.ring);
        w.process(self.process);
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        Ok(Self { ring: r.ring()?, process: r.process()? })
    }
}

impl Beacon {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.process(self.process);
        self.dialect.encode(w);
        self.terms.encode(w);
        w.u8(u8::from(self.probation));
        w.ring(self.ring);
        w.processes(self.members.iter());
        w.address(self.representative);
        w.processes(self.heard.iter());
        Report::encode_all(&self.reports, w);
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (process, dialect) = (r.process()?, Dialect::decode(r)?);
        let terms = Terms::decode(r)?;
        let (probation, ring) = (r.flag()?, r.ring()?);
        let (members, representative) = (r.processes()?, r.address()?);
        let (heard, reports) = (r.processes()?, Report::decode_all(r)?);
        within(members.len())?;
        if !members.contains(&process) {
            return Err(WireError::Invalid("a ring without the one who speaks of it"));
        }
        let beacon = Self {
            process,
            dialect,
            terms,
            probation,
            ring,
            members,
            representative,
            heard,
            reports,
        };
        Ok(beacon)
    }
}

fn within(members: usize) -> Result<(), WireError> {
    if members <= limits::MEMBERS_MAX {
        Ok(())
    } else {
        Err(WireError::Invalid("more members than a ring can have"))
    }
}
