//! Packets that are well formed and cannot be true: what members say contradicts itself. No member
//! that follows the protocol says so, but a bug of one must not be built upon by the others. The
//! attempt ends, the next one begins.

mod scene;

use std::cell::RefCell;
use std::rc::Rc;

use anasazi_sim::cluster::Passing;
use bytes::Bytes;
use scene::{Scene, ms};

/// Bytes of the header, and of the checksum behind the body.
const HEADER_LEN: usize = 32;
const SEAL_LEN: usize = 4;
/// Bytes of a ring id on the wire, and of a process.
const RING_LEN: usize = 20;
const PROCESS_LEN: usize = 12;
const DIALECT_LEN: usize = 6;
/// The kind of the word that a member has the plan.
const PLAN_ACK: u8 = 9;
/// The flag of a packet that carries the past.
const RECOVERY: u8 = 2;
/// Content that is a piece of a table.
const TABLE: u8 = 1;

/// The same datagram with other bytes in its body, sealed again.
fn forged(bytes: &Bytes, at: usize, new: &[u8]) -> Bytes {
    let mut forged = bytes.to_vec();
    forged[HEADER_LEN + at..][..new.len()].copy_from_slice(new);
    let sealed = forged.len() - SEAL_LEN;
    let checksum = crc32c::crc32c(&forged[..sealed]).to_le_bytes();
    forged[sealed..].copy_from_slice(&checksum);
    forged.into()
}

/// Runs until the row is reached, with some datagrams replaced: those for which `forge` has others.
/// They arrive at once.
fn expect_row(
    scene: &mut Scene,
    row: &'static str,
    mut forge: impl FnMut(&Passing<'_>) -> Option<Vec<Bytes>> + 'static,
) {
    scene.cluster.liars = true;
    let forgeries = Rc::new(RefCell::new(Vec::new()));
    let writer = Rc::clone(&forgeries);
    scene.filter(move |passing| {
        let forgery = forge(passing);
        let replaced = forgery.is_some();
        let route = (passing.from, passing.to, passing.multicast);
        writer.borrow_mut().extend(forgery.into_iter().flatten().map(|bytes| (route, bytes)));
        !replaced
    });
    let end = scene.cluster.now + 3_000_000_000;
    while !scene.cluster.rows.contains(row) {
        assert!(scene.cluster.now < end, "{row} is not reached\n{}", scene.cluster.last_lines());
        scene.cluster.step();
        scene.expect_good();
        for ((from, to, multicast), bytes) in forgeries.take() {
            scene.cluster.inject(from, to, multicast, bytes);
        }
    }
    scene.unfilter();
}

/// The plan says of the representative that all hold what another one does not hold.
#[test]
fn commit_contradiction() {
    let mut scene = Scene::new(3);
    scene.load(5, 100);
    scene.run(ms(100));
    scene.cluster.crash(2);
    // Ring, dialect, multicast, count; then of the first member ring, process, dialect and old
    // ring: it holds all up to, and all hold up to.
    let state = RING_LEN + DIALECT_LEN + 1 + 2;
    let at = state + RING_LEN + PROCESS_LEN + DIALECT_LEN + RING_LEN;
    let far = 1_000_000_u64.to_le_bytes();
    expect_row(&mut scene, "commit-contradiction", move |passing| {
        (passing.kind() == "plan").then(|| vec![forged(passing.bytes, at, &[far, far].concat())])
    });
    scene.end();
}

/// A member says of itself that it holds what nobody has, and then that it has the plan that was
/// made of that: the representative notices when all have it.
#[test]
fn a_plan_of_lies_is_a_contradiction() {
    let mut scene = Scene::new(3);
    scene.load(5, 100);
    scene.run(ms(100));
    scene.cluster.crash(2);
    // Ring, process, dialect and old ring: it holds all up to, and all hold up to.
    let ack_len = RING_LEN + PROCESS_LEN;
    let at = ack_len + DIALECT_LEN + RING_LEN;
    let far = 1_000_000_u64.to_le_bytes();
    expect_row(&mut scene, "commit-contradiction", move |passing| match passing.kind() {
        "state" => {
            let mut ack = passing.bytes[..HEADER_LEN + ack_len + SEAL_LEN].to_vec();
            ack[1] = PLAN_ACK;
            let lie = forged(passing.bytes, at, &[far, far].concat());
            Some(vec![lie, forged(&ack.into(), 0, &[])])
        }
        // Who had it would notice first.
        "plan" => Some(Vec::new()),
        _ => None,
    });
    let cell = ("commit-contradiction", "commit", "plan ack");
    assert!(scene.cluster.cells.contains(&cell), "{:?}", scene.cluster.cells);
    scene.end();
}

/// A member says of itself that it speaks versions that nobody else does.
#[test]
fn a_state_of_another_dialect_is_a_contradiction() {
    let mut scene = Scene::new(3);
    scene.load(5, 100);
    scene.run(ms(100));
    scene.cluster.crash(2);
    // Ring and process, then the versions: the least and the largest.
    let at = RING_LEN + PROCESS_LEN;
    expect_row(&mut scene, "commit-contradiction", move |passing| {
        (passing.kind() == "state").then(|| vec![forged(passing.bytes, at, &[9, 9])])
    });
    let cell = ("commit-contradiction", "commit", "state");
    assert!(scene.cluster.cells.contains(&cell), "{:?}", scene.cluster.cells);
    scene.end();
}

/// The tables of groups that two merging rings tell each other cannot be read.
#[test]
fn recovery_contradiction() {
    let mut scene = Scene::new(2);
    let cuts = scene.cluster.partition(&[&[0], &[1]]);
    scene.run(ms(1_000));
    scene.cluster.mend(&cuts);
    // Ring, ordinal, origin; then flags, the token's number, the safe line, and the content: what
    // it is, the component, the piece and the count of pieces; then the number of groups.
    let flags = RING_LEN + 8 + 4;
    let groups = flags + 1 + 8 + 8 + 1 + 2 + 4 + 4;
    expect_row(&mut scene, "recovery-contradiction", move |passing| {
        let recovery = passing.bytes.get(HEADER_LEN + flags).is_some_and(|f| f & RECOVERY != 0);
        let table = passing.kind() == "data" && recovery;
        table.then(|| vec![forged(passing.bytes, groups, &u32::MAX.to_le_bytes())])
    });
    scene.end();
}

/// Each table of groups comes under the name of a member of the other ring, which does not speak
/// for it.
#[test]
fn a_table_is_taken_from_who_speaks_for_it_only() {
    let mut scene = Scene::new(2);
    let cuts = scene.cluster.partition(&[&[0], &[1]]);
    scene.run(ms(1_000));
    scene.cluster.mend(&cuts);
    let origin = RING_LEN + 8;
    let (flags, kind) = (origin + 4, origin + 4 + 1 + 8 + 8);
    expect_row(&mut scene, "recovery-contradiction", move |passing| {
        let byte = |at: usize| passing.bytes.get(HEADER_LEN + at).copied().unwrap_or(0);
        let table = passing.kind() == "data" && byte(flags) & RECOVERY != 0 && byte(kind) == TABLE;
        let other = 3 - u32::from(byte(origin).clamp(1, 2));
        table.then(|| vec![forged(passing.bytes, origin, &other.to_le_bytes())])
    });
    scene.end();
}

/// Correction U6: a safe line that lies far ahead is not believed, wherever it comes from.
#[test]
fn a_safe_line_ahead_of_what_the_receiver_holds_is_not_believed() {
    let mut scene = Scene::new(3);
    scene.rest(ms(500));
    // Ring, ordinal, origin, flags, and the token's number stand before the line.
    let line = RING_LEN + 8 + 4 + 1 + 8;
    let forgeries = Rc::new(RefCell::new(Vec::new()));
    let writer = Rc::clone(&forgeries);
    scene.filter(move |passing| {
        let is_data = passing.kind() == "data";
        if is_data && passing.to == 1 {
            let lie = forged(passing.bytes, line, &u64::MAX.to_le_bytes());
            writer.borrow_mut().push((passing.from, passing.multicast, lie));
        }
        // Node 3 lacks the message, so nobody may deliver it.
        !is_data
    });
    scene.send(0, 100, true);
    let mut lies = 0;
    for _ in 0..50 {
        scene.run(ms(1));
        for (from, multicast, lie) in forgeries.take() {
            lies += 1;
            scene.cluster.inject(from, 1, multicast, lie);
        }
    }
    assert!(lies > 0 && scene.stats(1).store_packets > 0, "it holds the message");
    assert!(scene.received(1).is_empty(), "as not all of them hold it");
    scene.unfilter();
    scene.rest(ms(500));
    assert_eq!(scene.received(1).len(), 1);
    scene.end();
}
