//! A component's table as it travels during recovery: the groups of its members' clients, as they
//! are after everything that the component still delivers of its old ring.

use bytes::Bytes;

use super::table::Groups;
use crate::id::{Incarnation, MemberId, NodeId, Process, RingId, SessionId, ViewId};
use crate::limits;
use crate::planted::planted;
use crate::wire::{Reader, WireError, Writer};

#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Snapshot {
    pub(super) groups: Vec<SnapshotGroup>,
}

#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct SnapshotGroup {
    pub(super) name: String,
    pub(super) view: ViewId,
    pub(super) sequence: u64,
    /// It has lost members: those of nodes that do not come along.
    pub(super) lost: bool,
    pub(super) members: Vec<MemberId>,
}

impl Groups {
    /// The table reduced to clients of the given nodes; groups without any are left out.
    pub(crate) fn snapshot(&self, nodes: &[NodeId]) -> Snapshot {
        let groups = self.table.values().filter_map(|group| {
            let stays = |m: &&MemberId| nodes.contains(&m.node) || planted!("ghost_members");
            let members: Vec<_> = group.members.iter().filter(stays).copied().collect();
            (!members.is_empty()).then(|| SnapshotGroup {
                name: group.name.to_string(),
                view: group.view,
                sequence: group.sequence,
                lost: members.len() != group.members.len(),
                members,
            })
        });
        Snapshot { groups: groups.collect() }
    }
}

impl Snapshot {
    pub(crate) fn encode(&self) -> Bytes {
        let mut w = Writer::default();
        w.u32(self.groups.len() as u32);
        for group in &self.groups {
            w.u16(group.name.len() as u16);
            w.slice(group.name.as_bytes());
            w.ring(group.view.ring);
            w.u64(group.view.ordinal);
            w.u32(group.view.sub);
            w.u64(group.sequence);
            w.u8(u8::from(group.lost));
            w.u32(group.members.len() as u32);
            for member in &group.members {
                w.u32(member.node.0);
                w.u64(member.session.0);
            }
        }
        w.bytes.freeze()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        // Merged tables may hold more groups than one node may make; the bytes bound them.
        let count = r.u32()? as usize;
        if count > r.remaining() / SNAPSHOT_GROUP_LEN_MIN {
            return Err(WireError::Truncated);
        }
        let groups = (0..count).map(|_| SnapshotGroup::decode(&mut r)).collect::<Result<_, _>>()?;
        r.end()?;
        Ok(Self { groups })
    }
}

/// Bytes of a group with a name of no bytes and no members.
const SNAPSHOT_GROUP_LEN_MIN: usize = 2 + 20 + 8 + 4 + 8 + 1 + 4;

impl SnapshotGroup {
    fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let len = r.count(1)?;
        let name = String::from_utf8(r.take(len)?.to_vec())
            .map_err(|_| WireError::Invalid("group name is not UTF-8"))?;
        // A group that was never given a view has the zero id, whose representative is no node.
        let sequence = r.u64()?;
        let representative = Process { node: NodeId(r.u32()?), incarnation: Incarnation(r.u64()?) };
        let ring = RingId { sequence, representative };
        let view = ViewId { ring, ordinal: r.u64()?, sub: r.u32()? };
        let (sequence, lost) = (r.u64()?, r.u8()? == 1);
        if sequence > limits::COUNT_MAX {
            return Err(WireError::Invalid("number of messages"));
        }
        let count = r.u32()? as usize;
        if count * 12 > r.remaining() {
            return Err(WireError::Truncated);
        }
        let member =
            |r: &mut Reader| Ok(MemberId { node: r.node()?, session: SessionId(r.u64()?) });
        let members = (0..count).map(|_| member(r)).collect::<Result<_, WireError>>()?;
        Ok(Self { name, view, sequence, lost, members })
    }
}
