//! Bytes that no carrier writes.

use super::*;
use crate::frame::{CLAIMED, Head, PASSED};

/// What becomes of a carrier at the engine that gets these bytes.
fn end_of(bytes: &[u8]) -> Result<(), String> {
    let block = Block::new();
    let mut carrier = block.carrier_at_engine();
    match carrier.take(bytes) {
        Ok(()) => Ok(()),
        Err(Ended::Broken(what)) => Err(what),
        Err(other) => panic!("{other:?}"),
    }
}

fn head(len: u32, kind: u16) -> Vec<u8> {
    Head { len, kind, flags: 0 }.bytes().to_vec()
}

#[test]
fn what_does_not_fit_ends_the_stream_and_says_why() {
    for (bytes, words) in [
        (head(u32::MAX, 3), "longer than its ring allows"),
        (head(17_000, 3), "longer than its ring allows"),
        (head(7, PASSED), "a position of 7 bytes"),
        (head(0, CLAIMED), "a position of 0 bytes"),
        (
            [head(16_000, 0), head(16_000, 0), head(16_000, 0), head(16_000, 0)].concat().repeat(2),
            "no room",
        ),
    ] {
        let what = end_of(&bytes).expect_err(words);
        assert!(what.contains(words), "{what}");
    }
}

#[test]
fn positions_may_be_anything() {
    for position in [0, 1, 7, 8, 1 << 20, u64::MAX - 7, u64::MAX] {
        for kind in [PASSED, CLAIMED] {
            let mut pair = Pair::new();
            pair.engine.1.push(4, 0, &[&[9; 5_000]]).expect("room");
            let bytes = [&head(8, kind)[..], &position.to_le_bytes()].concat();
            pair.far.take(&bytes).expect("harmless");
            for _ in 0..200 {
                pair.turn();
            }
            let record = pair.client.1.next().expect("sound").expect("it came all the same");
            assert_eq!(blocks::bytes_of(&record), vec![9; 5_000]);
            // Whatever it was told, the engine keeps working.
            _ = pair.engine.0.open_claim();
            _ = (pair.engine.0.used(), pair.engine.0.waiting());
            pair.engine.1.push(4, 0, &[b"next"]).expect("room");
        }
    }
}

/// Any bytes at all: the ring stays sound for the engine, and the carrier goes on or ends.
#[test]
fn any_bytes_leave_a_ring_that_can_be_read() {
    let mut rng = Rng(99);
    for _ in 0..3_000 {
        let pair = Pair::new();
        let mut far = pair.far;
        for _ in 0..rng.below(20) {
            let mut bytes = head((rng.next() % 300) as u32, (rng.next() % 4) as u16);
            if rng.below(9) == 0 {
                bytes = (0..8).map(|_| rng.next() as u8).collect();
            }
            bytes.extend((0..rng.below(300)).map(|_| rng.next() as u8));
            if far.take(&bytes).is_err() {
                break;
            }
        }
        drop(far);
        while let Some(record) = pair.engine.0.next().expect("a sound ring") {
            assert!(record.len <= pair.engine.0.record_len_max());
            pair.engine.0.release(record.position);
        }
    }
}
