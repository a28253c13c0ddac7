//! A carrier's ends of the rings in one block: what leaves through the stream, and what arrives.

use std::io;
use std::os::fd::OwnedFd;

use anasazi_queue::ring::{Claim, Consumer, Direction, Layout, Producer, Record};

use super::memory::Mapping;

/// In whose place a carrier uses a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The client's: at the engine.
    Client,
    /// The engine's: at the client.
    Engine,
}

/// Both ends, and the memory that they are in.
pub(crate) struct Rings {
    pub(crate) side: Side,
    pub(crate) leaving: Consumer,
    pub(crate) arriving: Producer,
    _mapping: Mapping,
}

impl Rings {
    /// A block of our own, and its descriptor for who gets the other ends.
    ///
    /// # Errors
    /// No memory, or no descriptors.
    pub(crate) fn create(layout: Layout, side: Side) -> io::Result<(Self, OwnedFd)> {
        let (mapping, memory) = Mapping::create(layout.len())?;
        Ok((Self::attach(mapping, layout, side), memory))
    }

    /// The block of a client of this process, which made it of that shape.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn of(memory: &OwnedFd, layout: Layout, side: Side) -> io::Result<Self> {
        let mapping = Mapping::of(memory, layout.len())?;
        mapping.keep_from_children();
        Ok(Self::attach(mapping, layout, side))
    }

    fn attach(mapping: Mapping, layout: Layout, side: Side) -> Self {
        let (leaves, arrives) = match side {
            Side::Client => (Direction::Receive, Direction::Send),
            Side::Engine => (Direction::Send, Direction::Receive),
        };
        // SAFETY: page-aligned and mapped while the mapping lives, which is as long as the ends;
        // fresh memory, so all zero. These are this side's only ends.
        let (leaving, arriving) = unsafe {
            (
                Consumer::attach(mapping.base(), layout, leaves),
                Producer::attach(mapping.base(), layout, arrives),
            )
        };
        Self { side, leaving, arriving, _mapping: mapping }
    }

    /// Copies up to `len_max` bytes of a record, from its byte `at` on, to the end of `into`. How
    /// many.
    pub(crate) fn copy(
        &self,
        record: &Record,
        at: usize,
        len_max: usize,
        into: &mut Vec<u8>,
    ) -> usize {
        let len = record.len.saturating_sub(at).min(len_max);
        into.reserve(len);
        // SAFETY: the source is inside the ring, which is mapped, by the line above; the target has
        // room for as much. Who has put the record in may write meanwhile: then these bytes are
        // nonsense.
        unsafe {
            let room = into.spare_capacity_mut().as_mut_ptr().cast::<u8>();
            std::ptr::copy_nonoverlapping(record.data.add(at.min(record.len)), room, len);
            into.set_len(into.len() + len);
        }
        len
    }

    /// Copies as many of the bytes as still fit into a claim, from its byte `at` on. How many.
    pub(crate) fn fill(&self, claim: &Claim, at: usize, bytes: &[u8]) -> usize {
        let len = claim.len.saturating_sub(at).min(bytes.len());
        // SAFETY: `at + len` is inside the claim, which is ours alone until it is committed.
        unsafe {
            let room = claim.data.add(at.min(claim.len));
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, len);
        }
        len
    }
}
