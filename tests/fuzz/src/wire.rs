//! What comes from other nodes.

use anasazi_protocol::fuzz::{self, KIND_MAX, Reassembly, Recovering};
use anasazi_protocol::{NodeId, hash64};
use bytes::Bytes;

use crate::input::Input;

/// The cluster of the datagrams; its name is in the corpora.
const CLUSTER: &[u8] = b"fuzz";
/// Bytes that a body may have.
const BODY_LEN_MAX: usize = 64 << 10;

/// A datagram just as it is: mostly refused for its checksum, and never more than refused.
pub(crate) fn auth_open(data: &[u8]) -> bool {
    let bytes = Bytes::copy_from_slice(data);
    let accepted = fuzz::datagram(&bytes, hash64(CLUSTER), 0);
    if accepted {
        // Whatever is accepted must be refused with any one bit of it changed.
        for bit in (0..data.len() * 8).step_by(data.len() / 8 + 1) {
            let mut damaged = data.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let accepted = fuzz::datagram(&damaged.into(), hash64(CLUSTER), 0);
            assert!(!accepted, "accepted with bit {bit} changed");
        }
    }
    accepted
}

/// Header and body with the checksum made right.
pub(crate) fn wire_decode(data: &[u8]) -> bool {
    let mut datagram = data[..data.len().min(BODY_LEN_MAX)].to_vec();
    // A header that is let through, with nothing decided by it but the kind.
    if let Some(header) = datagram.get_mut(..16) {
        header[0] = 0xA1;
        header[2..8].fill(0);
        header[8..16].copy_from_slice(&hash64(CLUSTER).to_le_bytes());
    }
    let checksum = crc32c::crc32c(&datagram);
    datagram.extend_from_slice(&checksum.to_le_bytes());
    fuzz::datagram(&datagram.into(), hash64(CLUSTER), 0)
}

/// The body of a packet of every kind: what can be read is written as it was.
pub(crate) fn wire_roundtrip(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let kind = input.u8() % (KIND_MAX + 2);
    let body = Bytes::copy_from_slice(input.take(BODY_LEN_MAX));
    let Some(written) = fuzz::packet(kind, &body) else { return false };
    // What was written once is written the same way again.
    assert_eq!(fuzz::packet(kind, &written), Some(written));
    true
}

/// A data packet's content, with the fragments of several nodes among each other. Accepted: there
/// is a whole message.
pub(crate) fn fragments(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let origins: Vec<_> = (0..1 + input.below(4)).map(|_| NodeId(input.u8().into())).collect();
    let content = Bytes::copy_from_slice(input.take(BODY_LEN_MAX));
    fuzz::content(&origins, &content) > 0
}

/// Parts of packets from several senders, in any order, with anything wrong in them. Accepted: some
/// made a packet that can be read.
pub(crate) fn parts(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (mut reassembly, mut accepted) = (Reassembly::default(), false);
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        let sender = (NodeId(input.u8().into()), u32::from(input.u8() % 2));
        let (id, kind) = (u32::from(input.u8() % 3), input.u8());
        let mut number = |wide: bool| if wide { input.u16() } else { u16::from(input.u8() % 6) };
        let place = (number(kind & 64 != 0), number(kind & 128 != 0));
        let len = input.below(40);
        let piece = input.bytes(len);
        if let Some((kind, body)) = reassembly.add(sender, id, place, kind % 16, piece) {
            accepted |= fuzz::packet(kind, &body).is_some();
        }
        if input.coin() {
            let (piece_len_max, backwards) = (1 + input.below(50), input.coin());
            let len = 1 + input.below(100);
            let body = vec![input.u8(); len];
            reassembly.cut_and_join(&body.into(), piece_len_max, backwards);
        }
    }
    accepted
}

/// A group table as it travels during recovery.
pub(crate) fn snapshot(data: &[u8]) -> bool {
    fuzz::snapshot(&Bytes::copy_from_slice(&data[..data.len().min(BODY_LEN_MAX)]))
}

/// A message with a head that says whom it is for, cut anywhere. The plainest has none.
pub(crate) fn audience_head(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (scope, cut) = (input.u8() % 4, input.u8().into());
    fuzz::head(scope, &input.bytes(BODY_LEN_MAX), cut) && scope != 0
}

/// The content of a packet that is a message without order.
pub(crate) fn letter(data: &[u8]) -> bool {
    fuzz::letter(&Bytes::copy_from_slice(&data[..data.len().min(BODY_LEN_MAX)]))
}

/// The contents of recovery packets of several nodes. Accepted: both tables have come.
pub(crate) fn recovery_work(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let mut recovering = Recovering::default();
    for _ in 0..100 {
        if input.is_empty() {
            break;
        }
        let (origin, len) = (NodeId(input.u8().into()), input.u8().into());
        recovering.take(origin, input.bytes(len));
    }
    recovering.has_tables()
}
