//! Bytes. Everything is little-endian; every count is checked against the bytes that remain before
//! it is used; a parser never panics and never allocates more than its input justifies.
//!
//! `header` and the checksum seal enclose every datagram, `packet` is what it means, `frame` is
//! what a data packet carries, `parts` cuts control packets that are too large for one datagram.

pub(crate) mod audience;
mod codec;
mod dialect;
pub(crate) mod frame;
mod header;
mod links;
mod membership;
pub(crate) mod packet;
mod parts;
#[cfg(test)]
mod tests;

pub(crate) use codec::{Arena, Reader, Writer};
pub(crate) use dialect::Dialect;
pub(crate) use header::{Header, SEAL_LEN, VERSION, WireError, open, seal};
pub(crate) use links::{Decline, Probe, ProbeAnswer, Report, SizeAnswer, SizeProbe};
pub(crate) use membership::{Beacon, Gone, Join, MemberState, Plan, PlanAck, Propose};
pub use packet::wire_kind;
pub(crate) use packet::{DATA_OVERHEAD_LEN, Data, KIND_DATA, Packet, Request, Token};
pub(crate) use parts::{Parts, Piece, split};
