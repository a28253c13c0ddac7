//! For `crate::fuzz`: what a node takes in during a recovery, and the other side of it.

use super::*;
use crate::id::{Incarnation, Process, RingId};

/// Of two components this node is in the first; nodes 1 and 2 speak for them.
pub(crate) struct Intake {
    work: Work,
    old: Ring,
    /// Bytes that pieces of tables may have had in all.
    given: usize,
}

fn work() -> Work {
    Work {
        component: 0,
        ordinals: VecDeque::new(),
        ready: VecDeque::new(),
        speakers: vec![Some(NodeId(1)), Some(NodeId(2))],
        speaks: false,
        complete: true,
        sent: (0, 0),
        tables: vec![Table::default(); 2],
    }
}

fn held(origin: NodeId, content: Bytes) -> Held {
    Held { origin, safe: false, recovery: true, content }
}

impl Intake {
    pub(crate) fn new() -> Self {
        let process = Process { node: NodeId(1), incarnation: Incarnation(1) };
        let id = RingId { sequence: 5, representative: process };
        Self { work: work(), old: Ring::new(id, vec![process], 0, false), given: 0 }
    }

    /// What is refused changes nothing; an old packet that is kept is sent and taken in the same.
    pub(crate) fn take(&mut self, origin: NodeId, content: Bytes) -> bool {
        let (before, packets) = (self.work.clone(), self.old.store.held());
        self.given += content.len();
        let parsed = self.work.parse(&mut self.old, 0, &held(origin, content.clone()));
        let len: usize = self.work.tables.iter().map(|table| table.bytes.len()).sum();
        assert!(len <= self.given, "tables are longer than what has come");
        if parsed.is_err() {
            let same = |(a, b): (&Table, &Table)| (a.next, &a.bytes) == (b.next, &b.bytes);
            assert!(before.tables.iter().zip(&self.work.tables).all(same), "refused, but kept");
            assert_eq!(packets, self.old.store.held(), "refused, but kept");
            return false;
        }
        if self.old.store.held() > packets {
            let ordinal = u64::from_le_bytes(content[3..11].try_into().unwrap_or_default());
            self.send_old(ordinal);
        }
        true
    }

    fn send_old(&self, ordinal: u64) {
        let mut sender = work();
        sender.ordinals.push_back(ordinal);
        sender.wrap(&self.old);
        let Some((content, Kind::OldPacket)) = sender.ready.pop_front() else {
            panic!("packet {ordinal} is not held");
        };
        let mut receiver = Self::new();
        let parsed = receiver.work.parse(&mut receiver.old, 0, &held(NodeId(9), content));
        assert_eq!(parsed, Ok(()), "not read as it was written");
        let parts = |ring: &Ring| {
            ring.store.get(ordinal).map(|h| (h.origin, h.safe, h.recovery, h.content.clone()))
        };
        assert_eq!(parts(&receiver.old), parts(&self.old), "another packet than was sent");
    }

    pub(crate) fn has_tables(&self) -> bool {
        let Some(tables) = self.work.tables() else { return false };
        let mut receiver = Self::new();
        for (component, table) in tables.iter().enumerate() {
            let mut sender = work();
            sender.component = component as u16;
            sender.set_table(table, TABLE_HEADER_LEN + 40);
            for (content, _) in sender.ready.drain(..) {
                assert!(receiver.take(NodeId(component as u32 + 1), content), "a piece is refused");
            }
        }
        assert_eq!(receiver.work.tables(), Some(tables), "other tables than were sent");
        true
    }
}
