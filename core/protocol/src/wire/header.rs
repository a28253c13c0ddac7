//! The outer header and the checksum seal.
//!
//! ```text
//! 0  version u8 | kind u8 | flags u8 | key u8 | domain u16 | path u8 | extension u8
//! 8  cluster u64      hash of the cluster's name
//! 16 node u32 | boot u32      low half of the sender's incarnation
//! 24 counter u64      of this sender, never repeated in an incarnation
//! 32 body ...
//! -4 checksum u32     CRC32C of all before; 0 where the transport authenticates datagrams
//! ```
//! `key`, `path` and `extension` are 0 until keys, redundant links and longer headers exist; the
//! format has room for them.

use bytes::Bytes;

use super::codec::{Arena, Reader, Writer};
use crate::id::NodeId;

/// Version of the outer format.
pub(crate) const VERSION: u8 = 0xA1;
/// Bytes before the body.
pub(crate) const HEADER_LEN: usize = 32;
/// Bytes around the body.
pub(crate) const SEAL_LEN: usize = HEADER_LEN + 4;

/// Why a datagram was dropped: always the sender's or the network's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    Truncated,
    Checksum,
    Version(u8),
    OtherCluster,
    OtherDomain,
    Invalid(&'static str),
}

/// Who sent a datagram, and what kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) domain: u16,
    pub(crate) cluster: u64,
    pub(crate) node: NodeId,
    /// Low half of the sender's incarnation.
    pub(crate) boot: u32,
    pub(crate) counter: u64,
    /// It carries one.
    pub(crate) checksum: bool,
}

/// A whole datagram: header, what `body` writes, checksum.
pub(crate) fn seal(
    arena: &mut Arena,
    header: &Header,
    len_hint: usize,
    body: impl FnOnce(&mut Writer),
) -> Bytes {
    let write = |w: &mut Writer| {
        w.slice(&[VERSION, header.kind, 0, 0]);
        w.u16(header.domain);
        w.u16(0);
        w.u64(header.cluster);
        w.u32(header.node.0);
        w.u32(header.boot);
        w.u64(header.counter);
        body(w);
        let checksum = if header.checksum { crc32c::crc32c(&w.bytes) } else { 0 };
        w.u32(checksum);
    };
    arena.write(len_hint + SEAL_LEN, write)
}

/// Checks a datagram and takes the seal off. The checksum, where there is one, comes before
/// everything but the version, which must stay readable across versions.
pub(crate) fn open(
    bytes: &Bytes,
    (cluster, domain): (u64, u16),
    checksum: bool,
) -> Result<(Header, Reader<'_>), WireError> {
    match bytes.first() {
        Some(&VERSION) => {}
        Some(other) if other & 0xf0 == VERSION & 0xf0 => return Err(WireError::Version(*other)),
        Some(_) => return Err(WireError::Invalid("not an Anasazi datagram")),
        None => return Err(WireError::Truncated),
    }
    if bytes.len() < SEAL_LEN {
        return Err(WireError::Truncated);
    }
    let end = bytes.len() - 4;
    let (sealed, sum) = bytes.split_at(end);
    if checksum && crc32c::crc32c(sealed).to_le_bytes() != sum {
        return Err(WireError::Checksum);
    }
    let mut body = Reader::without_last(bytes, 4)?;
    let mut r = body.head::<HEADER_LEN>()?;
    r.u8()?;
    let kind = r.u8()?;
    if r.u16()? != 0 {
        return Err(WireError::Invalid("flags or key that this version does not know"));
    }
    let header_domain = r.u16()?;
    if r.u16()? != 0 {
        return Err(WireError::Invalid("path or extension that this version does not know"));
    }
    let header_cluster = r.u64()?;
    if header_cluster != cluster {
        return Err(WireError::OtherCluster);
    }
    if header_domain != domain {
        return Err(WireError::OtherDomain);
    }
    let (node, boot, counter) = (r.node()?, r.u32()?, r.u64()?);
    let header = Header { kind, domain, cluster, node, boot, counter, checksum };
    Ok((header, body))
}
