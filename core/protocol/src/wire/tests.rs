//! A panic in here is our bug, never bad input.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::config::CoreConfig;
use crate::contract::{Bound, Breach};
use crate::id::{GroupId, Incarnation, NodeId, Process, RingId};
use crate::limits;
use crate::terms::Terms;

const CLUSTER: u64 = 7;
const BREACH: Breach = Breach { bound: Bound::Lag, measured: 9, allowed: 8 };

fn process(node: u32) -> Process {
    Process { node: NodeId(node), incarnation: Incarnation(0x1_2345_6789) }
}

fn ring() -> RingId {
    RingId { sequence: 12, representative: process(1) }
}

/// One packet of every kind, each with its lists filled.
fn packets() -> Vec<Packet> {
    let state = MemberState {
        ring: ring(),
        process: process(2),
        dialect: Dialect::new((1, 3), 5),
        old_ring: ring(),
        aru: 9,
        safe_line: 7,
        held: vec![0b101, 1],
        obligation: vec![NodeId(2), NodeId(3)],
        multicast_heard: vec![NodeId(1)],
        mtu: 1_400,
        window: 512,
    };
    let content = Bytes::from_static(b"frames");
    let data = Data {
        ring: ring(),
        ordinal: 3,
        origin: NodeId(2),
        safe: true,
        recovery: true,
        post: true,
        repeated: true,
        token_sequence: 44,
        safe_line: 2,
        content: content.clone(),
    };
    let token = Token {
        ring: ring(),
        token_sequence: 44,
        rotation: 5,
        operational: true,
        seq: 10,
        aru: 8,
        aru_by: Some(NodeId(3)),
        flow: 6,
        backlog: 7,
        repeats: 3,
        window: 99,
        mtu: 1_400,
        mtu_gathering: 8_900,
        idle_hops: 1,
        keeper: Some(NodeId(4)),
        handed: true,
        unsent: 2,
        tables_unsent: 3,
        last_recovery: Some(4),
        requests: vec![
            Request { first: 9, count: 1, by: Some(NodeId(4)), skip: 2 },
            Request { first: 10, count: 1, by: None, skip: 0 },
        ],
    };
    let report = Report {
        process: process(2),
        stamp: 7,
        age_ms: 12,
        bad: vec![(process(1), 0), (process(3), 9)],
    };
    let probe = Probe { process: process(1), number: 8 };
    let size_probe = SizeProbe { process: process(1), number: 8, size: 1_500 };
    let join = Join {
        process: process(2),
        dialect: Dialect::new((2, 2), 1),
        terms: Terms::of(&CoreConfig::default()),
        attempt: 3,
        merging: Some((process(1), 9)),
        ring_sequence_max: 12,
        proposed: vec![
            (process(1), "10.0.0.1:7000".parse().ok()),
            (process(2), None),
            (process(3), "[::1]:7001".parse().ok()),
        ],
        dead: vec![
            (process(4), Gone::Left),
            (process(5), Gone::Demoted(BREACH)),
            (process(6), Gone::Restarted),
        ],
        edges: vec![(NodeId(1), NodeId(3))],
        members: vec![NodeId(1), NodeId(2)],
        heard: vec![NodeId(1)],
        multicast_heard: vec![NodeId(3)],
        reports: vec![report.clone()],
    };
    let beacon = Beacon {
        process: process(1),
        dialect: Dialect::new((1, 9), u32::MAX),
        terms: Terms::of(&CoreConfig::default()),
        probation: true,
        ring: ring(),
        members: vec![process(1), process(2)],
        representative: "10.0.0.1:7000".parse().ok(),
        heard: vec![process(9)],
        reports: vec![report.clone(), Report { process: process(3), ..Report::default() }],
    };
    vec![
        Packet::Data(data),
        Packet::Token(token),
        Packet::TokenAck { ring: ring(), token_sequence: 44 },
        Packet::Wake { ring: ring() },
        Packet::Join(join),
        Packet::Propose(Propose { ring: ring(), members: vec![(process(1), 3), (process(2), 4)] }),
        Packet::State(state.clone()),
        Packet::Plan(Plan {
            ring: ring(),
            dialect: Dialect::new((1, 2), 4),
            multicast: true,
            states: vec![state],
        }),
        Packet::PlanAck(PlanAck { ring: ring(), process: process(2) }),
        Packet::Beacon(beacon),
        Packet::Bye { process: process(2) },
        Packet::Duplicate { owner: process(2), answered: Incarnation(5) },
        Packet::Outdated { newest: process(2), answered: Incarnation(5) },
        Packet::Probe(probe),
        Packet::Decline(Decline {
            process: process(2),
            attempt: 4,
            busy: true,
            reports: vec![report],
        }),
        Packet::SizeProbe(size_probe),
        Packet::SizeAnswer(SizeAnswer { process: process(2), probe: size_probe }),
        Packet::ProbeAnswer(ProbeAnswer { process: process(2), probe }),
        Packet::Gauge { ring: ring(), token_sequence: 45, number: 3 },
        Packet::Gauged { ring: ring(), number: 3, has_come: true },
        Packet::NotAdmitted { process: process(2), breach: BREACH },
        Packet::Hold { ring: ring(), for_ms: 200, groups: vec![GroupId(7), GroupId(1)] },
        Packet::Part { id: 1, index: 0, count: 2, kind: 5, piece: content },
    ]
}

fn body(packet: &Packet) -> Bytes {
    let mut w = Writer::default();
    packet.encode(&mut w);
    w.bytes.freeze()
}

fn header(kind: u8) -> Header {
    Header {
        kind,
        domain: 0,
        cluster: CLUSTER,
        node: NodeId(2),
        boot: 5,
        counter: 6,
        checksum: true,
    }
}

#[test]
fn what_is_written_is_read() {
    for packet in packets() {
        assert_eq!(Packet::decode(packet.kind(), Reader::new(&body(&packet))), Ok(packet));
    }
}

#[test]
fn every_truncation_is_refused_or_shorter_content() {
    for packet in packets() {
        let whole = body(&packet);
        for len in 0..whole.len() {
            let cut = Packet::decode(packet.kind(), Reader::new(&whole.slice(..len)));
            // Only kinds that end in free content can be cut without a trace; the seal covers
            // those.
            let ends_free = matches!(packet, Packet::Data(_) | Packet::Part { .. });
            assert!(cut.is_err() || ends_free, "{packet:?} cut to {len} bytes is {cut:?}");
        }
    }
}

#[test]
fn the_seal_refuses_every_flipped_bit_and_every_cut() {
    for packet in packets() {
        let whole = seal(&mut Arena::default(), &header(packet.kind()), 100, |w| packet.encode(w));
        assert!(open(&whole, (CLUSTER, 0), true).is_ok());
        assert_eq!(open(&whole, (CLUSTER + 1, 0), true).err(), Some(WireError::OtherCluster));
        assert_eq!(open(&whole, (CLUSTER, 1), true).err(), Some(WireError::OtherDomain));
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                open(&Bytes::from(damaged), (CLUSTER, 0), true).is_err(),
                "bit {bit} of {packet:?}"
            );
        }
        for len in 0..whole.len() {
            assert!(open(&whole.slice(..len), (CLUSTER, 0), true).is_err());
        }
        let unchecked = Header { checksum: false, ..header(packet.kind()) };
        let whole = seal(&mut Arena::default(), &unchecked, 100, |w| packet.encode(w));
        assert!(open(&whole, (CLUSTER, 0), false).is_ok());
        assert_eq!(open(&whole, (CLUSTER, 0), true).err(), Some(WireError::Checksum));
    }
}

#[test]
fn nobody_can_ask_senders_to_wait_for_long() {
    let hold = |for_ms, count| {
        let packet = Packet::Hold { ring: ring(), for_ms, groups: vec![GroupId(1); count] };
        Packet::decode(packet.kind(), Reader::new(&body(&packet)))
    };
    assert!(hold(limits::HOLD_MS_MAX as u16, limits::HOLD_GROUPS_MAX).is_ok());
    assert!(hold(limits::HOLD_MS_MAX as u16 + 1, 1).is_err());
    assert!(hold(0, limits::HOLD_GROUPS_MAX + 1).is_err());
}

#[test]
fn parts_come_together_and_strangers_pieces_are_bounded() {
    let large = Bytes::from(vec![7; 5_000]);
    let pieces = split(9, 5, large.clone(), 1_300);
    assert_eq!(pieces.len(), 4);
    let mut parts = Parts::default();
    let mut whole = None;
    for piece in pieces.into_iter().rev() {
        let Packet::Part { id, index, count, kind, piece } = piece else { panic!("a part") };
        let piece = Piece { id, index, count, kind, bytes: piece };
        whole = parts.add(NodeId(2), 5, piece).or(whole);
    }
    assert_eq!(whole, Some((5, large)));
    let endless = Piece { id: 1, index: 0, count: u16::MAX, kind: 5, bytes: Bytes::new() };
    assert!(parts.add(NodeId(2), 5, endless).is_none());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        kind in 0u8..=22,
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = Bytes::from(bytes);
        let _ = Packet::decode(kind, Reader::new(&bytes));
        let _ = open(&bytes, (CLUSTER, 0), true);
        let mut r = Reader::new(&bytes);
        while r.remaining() > 0 && frame::Frame::decode(&mut r).is_ok() {}
    }

    #[test]
    fn damaged_packets_do_not_make_it_panic(
        which in any::<proptest::sample::Index>(),
        at in 0usize..400,
        value in any::<u8>(),
    ) {
        let mut packets = packets();
        let packet = packets.swap_remove(which.index(packets.len()));
        let mut bytes = body(&packet).to_vec();
        let len = bytes.len();
        bytes[at % len] = value;
        let _ = Packet::decode(packet.kind(), Reader::new(&Bytes::from(bytes)));
    }
}
