//! A bounds-checked reader and a growing writer.

use bytes::{Bytes, BytesMut};
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, SocketAddr};

use super::header::WireError;
use crate::id::{Incarnation, NodeId, Process, RingId};

/// Reads a datagram front to back; every getter fails rather than reads past the end.
pub(crate) struct Reader<'a> {
    /// What is taken out of it shares its memory.
    bytes: &'a Bytes,
    /// What has not been read.
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, rest: bytes }
    }

    /// Leaves out so many of the last bytes.
    pub(crate) fn without_last(bytes: &'a Bytes, len: usize) -> Result<Self, WireError> {
        let end = bytes.len().checked_sub(len).ok_or(WireError::Truncated)?;
        Ok(Self { bytes, rest: &bytes[..end] })
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads the next N bytes by themselves: none of the getters that stay within them can fail,
    /// and the compiler knows.
    #[inline]
    pub(crate) fn head<const N: usize>(&mut self) -> Result<Self, WireError> {
        let (first, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(Self { bytes: self.bytes, rest: first })
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], WireError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn flag(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Invalid("a flag that is neither 0 nor 1")),
        }
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(*self.array()?))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(*self.array()?))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(*self.array()?))
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<Bytes, WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(self.bytes.slice_ref(taken))
    }

    pub(crate) fn rest(&mut self) -> Bytes {
        self.bytes.slice_ref(core::mem::take(&mut self.rest))
    }

    /// A u16 count of things of at least `len_min` bytes each, refused if so many cannot follow.
    pub(crate) fn count(&mut self, len_min: usize) -> Result<usize, WireError> {
        let count = usize::from(self.u16()?);
        if count * len_min > self.remaining() { Err(WireError::Truncated) } else { Ok(count) }
    }

    #[inline]
    pub(crate) fn node(&mut self) -> Result<NodeId, WireError> {
        match self.u32()? {
            0 => Err(WireError::Invalid("node id 0")),
            id => Ok(NodeId(id)),
        }
    }

    pub(crate) fn nodes(&mut self) -> Result<Vec<NodeId>, WireError> {
        (0..self.count(4)?).map(|_| self.node()).collect()
    }

    #[inline]
    pub(crate) fn process(&mut self) -> Result<Process, WireError> {
        Ok(Process { node: self.node()?, incarnation: Incarnation(self.u64()?) })
    }

    pub(crate) fn processes(&mut self) -> Result<Vec<Process>, WireError> {
        (0..self.count(12)?).map(|_| self.process()).collect()
    }

    #[inline]
    pub(crate) fn ring(&mut self) -> Result<RingId, WireError> {
        Ok(RingId { sequence: self.u64()?, representative: self.process()? })
    }

    pub(crate) fn address(&mut self) -> Result<Option<SocketAddr>, WireError> {
        let ip = match self.u8()? {
            0 => return Ok(None),
            4 => IpAddr::from(*self.array::<4>()?),
            6 => IpAddr::from(*self.array::<16>()?),
            _ => return Err(WireError::Invalid("kind of address")),
        };
        Ok(Some(SocketAddr::new(ip, self.u16()?)))
    }

    /// Nothing may follow.
    pub(crate) fn end(self) -> Result<(), WireError> {
        if self.remaining() == 0 { Ok(()) } else { Err(WireError::Invalid("bytes after the end")) }
    }
}

/// Appends to a buffer.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) bytes: BytesMut,
}

/// Where packets are written, many to one allocation: allocators are slow at the length of
/// datagrams.
#[derive(Default)]
pub(crate) struct Arena(BytesMut);

/// Where packets are written decides nothing.
impl Hash for Arena {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What was written stays with the original; a copy begins with no room.
impl Clone for Arena {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Arena {
    /// What `write` appends, about `len` bytes of it.
    pub(crate) fn write(&mut self, len: usize, write: impl FnOnce(&mut Writer)) -> Bytes {
        let mut bytes = core::mem::take(&mut self.0);
        if bytes.capacity() < len {
            bytes.reserve(ARENA_LEN.max(len));
        }
        let mut w = Writer { bytes };
        write(&mut w);
        let written = w.bytes.split().freeze();
        self.0 = w.bytes;
        written
    }
}

impl Writer {
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(len) }
    }

    pub(crate) fn u8(&mut self, v: u8) {
        self.bytes.extend_from_slice(&[v]);
    }

    pub(crate) fn u16(&mut self, v: u16) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn slice(&mut self, v: &[u8]) {
        self.bytes.extend_from_slice(v);
    }

    /// A count; callers bound their lists by `limits`, far below 65,536.
    pub(crate) fn count(&mut self, len: usize) {
        debug_assert!(len <= usize::from(u16::MAX));
        self.u16(len as u16);
    }

    pub(crate) fn process(&mut self, v: Process) {
        self.u32(v.node.0);
        self.u64(v.incarnation.0);
    }

    pub(crate) fn processes<'a>(&mut self, list: impl ExactSizeIterator<Item = &'a Process>) {
        self.count(list.len());
        list.for_each(|p| self.process(*p));
    }

    pub(crate) fn nodes<'a>(&mut self, list: impl ExactSizeIterator<Item = &'a NodeId>) {
        self.count(list.len());
        list.for_each(|n| self.u32(n.0));
    }

    pub(crate) fn address(&mut self, v: Option<SocketAddr>) {
        match v.map(|a| a.ip()) {
            None => return self.u8(0),
            Some(IpAddr::V4(ip)) => {
                self.u8(4);
                self.slice(&ip.octets());
            }
            Some(IpAddr::V6(ip)) => {
                self.u8(6);
                self.slice(&ip.octets());
            }
        }
        self.u16(v.map_or(0, |a| a.port()));
    }

    pub(crate) fn ring(&mut self, v: RingId) {
        self.u64(v.sequence);
        self.process(v.representative);
    }
}

/// Bytes of an allocation.
const ARENA_LEN: usize = 64 << 10;
