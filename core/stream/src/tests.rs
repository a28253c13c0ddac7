//! Two blocks of memory and a stream between them that takes and gives as much as a test says.

mod driven;
mod hostile;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use anasazi_queue::ring::{Consumer, Producer, PushError};

use crate::mirror::{Ended, Mirror};
use crate::sys::blocks::{self, Block, Rng};

/// One direction of a stream.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    /// How much goes at a time.
    piece: usize,
    /// Somebody waits for room.
    is_awaited: bool,
}

/// What one side has of both directions.
struct Line<'a> {
    from: &'a mut Pipe,
    to: &'a mut Pipe,
}

impl Read for Line<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.from.piece).min(self.from.bytes.len());
        if len == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer.iter_mut().zip(self.from.bytes.drain(..len)).for_each(|(to, byte)| *to = byte);
        Ok(len)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.to.room.saturating_sub(self.to.bytes.len());
        let len = bytes.len().min(self.to.piece).min(room);
        if len == 0 {
            self.to.is_awaited = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.to.bytes.extend(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client and an engine, and a carrier beside each.
struct Pair {
    client: (Producer, Consumer),
    engine: (Consumer, Producer),
    near: Mirror,
    far: Mirror,
    up: Pipe,
    down: Pipe,
    _blocks: [Block; 2],
}

impl Pair {
    fn new() -> Self {
        let (near_block, far_block) = (Block::new(), Block::new());
        Self {
            client: near_block.as_client(),
            engine: far_block.as_engine(),
            near: near_block.carrier_at_client(),
            far: far_block.carrier_at_engine(),
            up: Pipe { room: 5_000, piece: 777, ..Pipe::default() },
            down: Pipe { room: 900, piece: 77, ..Pipe::default() },
            _blocks: [near_block, far_block],
        }
    }

    fn turn(&mut self) {
        let Self { near, far, up, down, .. } = self;
        near.turn(&mut Line { from: down, to: up }).expect("no end");
        far.turn(&mut Line { from: up, to: down }).expect("no end");
    }
}

fn contents(rng: &mut Rng) -> Vec<u8> {
    let len = [0, 1, 8, 100, 3_000, 16_000][rng.below(6)] + rng.below(9);
    (0..len).map(|_| rng.next() as u8).collect()
}

/// What is pushed on one side comes out on the other, at the same places; claims that are given up
/// and room that is given back in any order change nothing of that.
#[test]
fn both_rings_are_repeated_place_by_place() {
    let mut pair = Pair::new();
    let mut rng = Rng(7);
    let mut pushed: [VecDeque<(u16, Vec<u8>)>; 2] = Default::default();
    let mut held: [Vec<u64>; 2] = Default::default();
    let (mut count, mut full, mut rounds) = (0, 0, 0);
    while count < 20_000 {
        rounds += 1;
        assert!(rounds < 1_000_000, "only {count} came");
        for (n, side) in [&pair.client.0, &pair.engine.1].into_iter().enumerate() {
            let (kind, bytes) = (1 + rng.below(9) as u16, contents(&mut rng));
            if rng.below(7) == 0
                && let Ok(claim) = side.claim(kind, 3, rng.below(5_000))
            {
                side.abort(claim);
            }
            match side.push(kind, 3, &[&bytes]) {
                Ok(()) => pushed[n].push_back((kind, bytes)),
                Err(PushError::Full) => full += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        pair.turn();
        for (n, side) in [&pair.engine.0, &pair.client.1].into_iter().enumerate() {
            while rng.below(3) > 0
                && let Some(record) = side.next().expect("sound")
            {
                let (kind, bytes) = pushed[n].pop_front().expect("pushed before");
                assert_eq!((record.kind, record.flags), (kind, 3));
                assert_eq!(blocks::bytes_of(&record), bytes);
                held[n].push(record.position);
                count += 1;
            }
            while held[n].len() > rng.below(4) {
                let at = rng.below(held[n].len());
                side.release(held[n].swap_remove(at));
            }
        }
    }
    assert!(full > 100, "the rings were full {full} times");
    // All that is given back is known on both sides, at the same place.
    for (n, side) in [&pair.engine.0, &pair.client.1].into_iter().enumerate() {
        held[n].drain(..).for_each(|position| side.release(position));
        while let Some(record) = side.next().expect("sound") {
            side.release(record.position);
        }
    }
    for _ in 0..2_000 {
        pair.turn();
        for side in [&pair.engine.0, &pair.client.1] {
            while let Some(record) = side.next().expect("sound") {
                side.release(record.position);
            }
        }
    }
    assert_eq!((pair.client.0.used(), pair.engine.1.used()), (0, 0));
    assert_eq!(pair.client.0.released_to(), pair.engine.0.released_to());
    assert_eq!(pair.engine.1.released_to(), pair.client.1.released_to());
}

/// What the engine says before it gives room back comes before that room.
#[test]
fn room_is_given_back_behind_what_was_said_before() {
    let mut pair = Pair::new();
    pair.client.0.push(1, 0, &[&[7; 1_000]]).expect("room");
    for _ in 0..100 {
        pair.turn();
    }
    let record = pair.engine.0.next().expect("sound").expect("there");
    for n in 0..50_u8 {
        pair.engine.1.push(2, 0, &[&[n; 300]]).expect("room");
    }
    pair.engine.0.release(record.position);
    let (mut said, mut rounds) = (0, 0);
    while pair.client.0.used() > 0 {
        rounds += 1;
        assert!(rounds < 100_000, "the room never came back");
        pair.turn();
        while pair.client.1.next().expect("sound").is_some() {
            said += 1;
        }
        assert!(said == 50 || pair.client.0.used() > 0, "after {said}");
    }
}

/// A carrier wants to be woken when some of a ring was read, not only all: what its client has read
/// decides whether it is slow.
#[test]
fn reading_a_part_is_told() {
    let mut pair = Pair::new();
    for n in 0..40_u8 {
        pair.engine.1.push(2, 0, &[&[n; 1_000]]).expect("room");
    }
    for _ in 0..1_000 {
        pair.turn();
    }
    let read = |pair: &Pair| {
        let record = pair.client.1.next().expect("sound").expect("there");
        pair.client.1.release(record.position);
    };
    (0..5).for_each(|_| read(&pair));
    assert!(pair.client.1.room_wanted(), "the carrier is woken");
    (0..1_000).for_each(|_| pair.turn());
    assert_eq!(pair.engine.1.released_to(), 5 * 1_008);
}

/// The engine hears of a claim that is kept open, as of one in its own memory.
#[test]
fn a_claim_that_is_kept_open_is_known_on_the_other_side() {
    let mut pair = Pair::new();
    let claim = pair.client.0.claim(1, 0, 500).expect("room");
    pair.client.0.push(1, 0, &[b"behind it"]).expect("room");
    assert_eq!(pair.engine.0.open_claim(), None);
    for _ in 0..10 {
        pair.turn();
    }
    assert_eq!(pair.engine.0.open_claim(), Some(claim.position()));
    assert!(pair.engine.0.next().expect("sound").is_none(), "nothing goes past it");
    pair.client.0.commit(claim);
    for _ in 0..10 {
        pair.turn();
    }
    assert_eq!(pair.engine.0.next().expect("sound").map(|record| record.len), Some(500));
    assert_eq!(pair.engine.0.next().expect("sound").map(|record| record.len), Some(9));
    assert_eq!(pair.engine.0.open_claim(), None);
}

/// A stream that ends within a record leaves nothing half done in the ring.
#[test]
fn what_came_in_part_is_given_up() {
    let mut pair = Pair::new();
    pair.up.room = 600;
    pair.client.0.push(1, 0, &[&[1; 1_000]]).expect("room");
    let Pair { near, far, up, down, .. } = &mut pair;
    near.turn(&mut Line { from: down, to: up }).expect("no end");
    far.turn(&mut Line { from: up, to: down }).expect("no end");
    let consumer = &pair.engine.0;
    assert!(consumer.next().expect("sound").is_none());
    assert_eq!(consumer.open_claim(), Some(0), "it is coming");
    drop(pair.far);
    assert!(consumer.next().expect("sound").is_none());
    assert_eq!(consumer.open_claim(), None, "it never comes");
}
