//! Tests and fuzz targets only: a block of memory with all four ends of its rings.

use std::os::fd::OwnedFd;

use anasazi_queue::ring::{CAPACITY_MIN, Consumer, Direction, Layout, Producer, Record};

use super::eventfd::eventfd;
use super::memory::Mapping;
use super::rings::{Rings, Side};
use crate::mirror::Mirror;

/// Memory of the smallest rings.
pub(crate) struct Block {
    mapping: Mapping,
    memory: OwnedFd,
    layout: Layout,
}

impl Block {
    pub(crate) fn new() -> Self {
        let layout = Layout::new(CAPACITY_MIN, CAPACITY_MIN).expect("valid");
        let (mapping, memory) = Mapping::create(layout.len()).expect("memory");
        Self { mapping, memory, layout }
    }

    pub(crate) fn as_client(&self) -> (Producer, Consumer) {
        // SAFETY: the tests keep the block longer than its ends, and make one of each.
        unsafe {
            (
                Producer::attach(self.mapping.base(), self.layout, Direction::Send),
                Consumer::attach(self.mapping.base(), self.layout, Direction::Receive),
            )
        }
    }

    pub(crate) fn as_engine(&self) -> (Consumer, Producer) {
        // SAFETY: as above.
        unsafe {
            (
                Consumer::attach(self.mapping.base(), self.layout, Direction::Send),
                Producer::attach(self.mapping.base(), self.layout, Direction::Receive),
            )
        }
    }

    pub(crate) fn carrier_at_client(&self) -> Mirror {
        self.carrier(Side::Engine)
    }

    pub(crate) fn carrier_at_engine(&self) -> Mirror {
        self.carrier(Side::Client)
    }

    fn carrier(&self, side: Side) -> Mirror {
        let rings = Rings::of(&self.memory, self.layout, side).expect("memory");
        Mirror::new(rings, eventfd().expect("a descriptor"))
    }
}

/// A record's payload.
pub(crate) fn bytes_of(record: &Record) -> Vec<u8> {
    // SAFETY: not released yet, and nobody writes to it.
    unsafe { record.bytes() }.to_vec()
}

/// Numbers that are the same in every run.
#[cfg(test)]
pub(crate) struct Rng(pub(crate) u64);

#[cfg(test)]
impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
