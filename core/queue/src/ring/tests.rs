//! What the ring promises: here to one thread, in `threads` to many and to signal handlers, in
//! `hostile` whatever the other side does to the memory.

mod hostile;
mod threads;

use std::alloc::{Layout as Allocation, alloc_zeroed, dealloc};
use std::vec::Vec;

use super::*;

/// A zeroed block of the smallest size, with both ends of its send ring.
struct Block {
    base: *mut u8,
    layout: Layout,
}

impl Block {
    fn new() -> Self {
        let layout = Layout::new(CAPACITY_MIN, CAPACITY_MIN).expect("valid");
        // SAFETY: the size is not 0.
        let base = unsafe { alloc_zeroed(Self::allocation(layout)) };
        assert!(!base.is_null());
        Self { base, layout }
    }

    fn allocation(layout: Layout) -> Allocation {
        Allocation::from_size_align(layout.len(), 4_096).expect("valid")
    }

    fn ends(&self, direction: Direction) -> (Producer, Consumer) {
        // SAFETY: the tests keep the block longer than its ends.
        unsafe {
            (
                Producer::attach(self.base, self.layout, direction),
                Consumer::attach(self.base, self.layout, direction),
            )
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with the same layout.
        unsafe { dealloc(self.base, Self::allocation(self.layout)) };
    }
}

fn bytes(record: &Record) -> Vec<u8> {
    // SAFETY: not released yet, and nobody writes.
    unsafe { record.bytes() }.to_vec()
}

#[test]
fn layouts_are_powers_of_two_in_range() {
    assert!(Layout::new(CAPACITY_MIN, CAPACITY_MAX).is_some());
    assert!(Layout::new(CAPACITY_MIN / 2, CAPACITY_MIN).is_none());
    assert!(Layout::new(CAPACITY_MIN, CAPACITY_MAX * 2).is_none());
    assert!(Layout::new(CAPACITY_MIN + 8, CAPACITY_MIN).is_none());
    assert!(Layout::new(0, 0).is_none());
    assert_eq!(Layout::new(1 << 16, 1 << 17).map(|l| l.len()), Some(4_096 + (3 << 16)));
}

#[test]
fn records_come_out_as_they_went_in() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    let (other, _) = block.ends(Direction::Receive);
    other.push(9, 9, &[b"the other ring"]).expect("room");
    producer.push(3, 7, &[b"hello, ", b"", b"world"]).expect("room");
    producer.push(4, 0, &[]).expect("room");
    let first = consumer.next().expect("honest").expect("committed");
    assert_eq!((first.kind, first.flags, bytes(&first)), (3, 7, b"hello, world".to_vec()));
    let second = consumer.next().expect("honest").expect("committed");
    assert_eq!((second.kind, second.len, second.position), (4, 0, 24));
    assert!(consumer.next().expect("honest").is_none());
}

#[test]
fn many_laps_of_every_length() {
    let block = Block::new();
    let (producer, mut consumer) = block.ends(Direction::Send);
    for turn in 0..20_000_usize {
        let len = turn * 37 % (producer.record_len_max() + 1);
        let payload = std::vec![turn as u8; len];
        producer.push(1, turn as u16, &[&payload]).expect("room");
        let record = consumer.next().expect("honest").expect("committed");
        assert_eq!((record.flags, bytes(&record)), (turn as u16, payload));
        if turn % 2 == 0 {
            consumer.release(record.position);
        } else {
            consumer.release_some(consumer.position(), u64::MAX);
        }
        assert_eq!((producer.used(), consumer.used()), (0, 0));
    }
}

#[test]
fn too_long_and_full_are_told_apart() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    let long = std::vec![0; producer.record_len_max() + 1];
    assert_eq!(producer.push(1, 0, &[&long]), Err(PushError::TooLong));
    assert_eq!(producer.claim(1, 0, usize::MAX).err(), Some(PushError::TooLong));
    let mut pushed = 0;
    while producer.push(1, 0, &[&[1; 92]]).is_ok() {
        pushed += 1;
    }
    assert_eq!(producer.push(1, 0, &[&[1; 92]]), Err(PushError::Full));
    assert_eq!(pushed, CAPACITY_MIN as usize / 104);
    let mut got = 0;
    while consumer.next().expect("honest").is_some() {
        got += 1;
    }
    assert_eq!(got, pushed);
    assert!(consumer.prepare_sleep(), "all given out, none released: nothing to take");
}

#[test]
fn an_interrupted_send_delays_later_ones_and_no_other_thread() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    let first = producer.claim(1, 0, 8).expect("room");
    // What a signal handler would do now, on the same thread.
    producer.push(2, 0, &[b"handler"]).expect("room");
    assert!(!producer.wake_needed());
    assert!(consumer.next().expect("honest").is_none(), "the first claim is not committed");
    assert!(consumer.prepare_sleep());
    producer.commit(first);
    assert!(producer.wake_needed(), "the consumer sleeps at the first claim");
    assert!(!producer.wake_needed(), "once");
    let kinds = [consumer.next(), consumer.next(), consumer.next()];
    let kinds = kinds.map(|record| record.expect("honest").map(|record| record.kind));
    assert_eq!(kinds, [Some(1), Some(2), None]);
}

#[test]
fn an_aborted_claim_is_skipped_and_its_room_comes_back() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    let claim = producer.claim(1, 0, 100).expect("room");
    // SAFETY: inside the claim.
    unsafe { core::ptr::write_bytes(claim.data, 0xFF, claim.len) };
    producer.abort(claim);
    assert!(!consumer.prepare_sleep(), "padding is to be skipped");
    assert!(consumer.next().expect("honest").is_none());
    assert!(consumer.prepare_sleep());
    assert_eq!(producer.used(), 0);
    for _ in 0..2 * CAPACITY_MIN / 40 {
        producer.push(5, 0, &[&[0xEE; 32]]).expect("room");
        let record = consumer.next().expect("honest").expect("committed");
        assert_eq!((record.kind, record.len), (5, 32));
        consumer.release(record.position);
    }
}

#[test]
fn a_flood_of_aborted_claims_does_not_hold_the_consumer() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    for _ in 0..100 {
        producer.abort(producer.claim(1, 0, 0).expect("room"));
    }
    producer.push(1, 0, &[]).expect("room");
    assert!(consumer.next().expect("honest").is_none(), "enough for one call");
    assert!(!consumer.prepare_sleep(), "but not for a sleep");
    assert!(consumer.next().expect("honest").is_some());
}

#[test]
fn what_was_given_out_can_be_looked_at_again() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    let again = |at| consumer.again(at).map(|(record, end)| (record.kind, record.len, end));
    producer.push(7, 0, &[b"x"]).expect("room");
    assert_eq!(again(0), None, "not given out");
    producer.abort(producer.claim(1, 0, 8).expect("room"));
    producer.push(8, 0, &[b"yz"]).expect("room");
    for kind in [7, 8] {
        assert_eq!(consumer.next().expect("honest").map(|record| record.kind), Some(kind));
    }
    assert_eq!([0, 16, 32].map(again), [Some((7, 1, 16)), Some((0, 8, 32)), Some((8, 2, 48))]);
    assert_eq!([4, 48].map(again), [None; 2]);
    consumer.release(32);
    assert_eq!(again(32), Some((0, 2, 48)), "given back");
    consumer.release(0);
    assert_eq!(consumer.released_to(), 48);
    assert_eq!(again(0), None, "from the head on, where nothing is");
}

#[test]
fn releases_in_any_order_and_twice() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    let mut positions = Vec::new();
    for _ in 0..4 {
        producer.push(1, 0, &[&[1; 56]]).expect("room");
        positions.push(consumer.next().expect("honest").expect("committed").position);
    }
    consumer.release(positions[2]);
    consumer.release(positions[2]);
    consumer.release(positions[2] + 8);
    consumer.release(positions[2] + 1);
    consumer.release(u64::MAX);
    consumer.release(64 * 4);
    assert_eq!(producer.used(), 256);
    consumer.release(positions[0]);
    assert_eq!(producer.used(), 192);
    consumer.release_each([positions[3], positions[1]]);
    assert_eq!(producer.used(), 0);
    consumer.release(positions[0]);
    producer.push(2, 0, &[]).expect("room");
    assert_eq!(consumer.next().expect("honest").map(|r| (r.kind, r.position)), Some((2, 256)));
}

#[test]
fn one_wake_up_per_sleep() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Receive);
    producer.push(1, 0, &[]).expect("room");
    assert!(!producer.wake_needed(), "nobody sleeps");
    assert!(!consumer.prepare_sleep(), "there is something to take");
    assert!(consumer.next().expect("honest").is_some());
    assert!(consumer.prepare_sleep());
    consumer.cancel_sleep();
    producer.push(1, 0, &[]).expect("room");
    assert!(!producer.wake_needed(), "awake again for another reason");
}

#[test]
fn room_is_told_once_when_there_is_enough() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    assert!(!consumer.room_wanted(), "nobody waits");
    let quarter = CAPACITY_MIN as usize / 4 - 8;
    let mut positions = Vec::new();
    while producer.push(1, 0, &[&std::vec![1; quarter / 4]]).is_ok() {
        positions.push(consumer.next().expect("honest").expect("committed").position);
    }
    assert!(!producer.want_room(quarter));
    let mut releases = 0;
    while !consumer.room_wanted() {
        consumer.release(positions[releases]);
        releases += 1;
    }
    assert!(producer.used() <= u64::from(CAPACITY_MIN) * 3 / 4);
    assert!(!consumer.room_wanted(), "told already");
    assert!(producer.want_room(quarter), "enough now: told without sleeping");
    producer.push(1, 0, &[&std::vec![1; quarter]]).expect("what was asked for");
}

/// Free bytes at the end of the memory are no room for a record that does not fit there.
#[test]
fn wanted_room_counts_the_padding() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    let capacity = CAPACITY_MIN as usize;
    // The head at a quarter, the tail at five eighths.
    producer.push(1, 0, &[&std::vec![1; capacity / 4 - 8]]).expect("room");
    consumer.release(consumer.next().expect("honest").expect("committed").position);
    for _ in 0..5 {
        producer.push(1, 0, &[&std::vec![1; capacity / 8 - 8]]).expect("room");
    }
    producer.push(1, 0, &[&[1; 56]]).expect("room");
    let long = std::vec![1; capacity / 4];
    assert_eq!(producer.push(1, 0, &[&long]), Err(PushError::Full));
    assert!(!producer.want_room(long.len()));
    let mut told = false;
    while let Some(record) = consumer.next().expect("honest") {
        consumer.release(record.position);
        if consumer.room_wanted() {
            told = true;
            break;
        }
    }
    assert!(told);
    producer.push(1, 0, &[&long]).expect("what was asked for");
}

#[test]
fn a_last_word_fits_where_others_had_to_spare_room() {
    let block = Block::new();
    let (producer, _consumer) = block.ends(Direction::Receive);
    let spare = 2_048;
    while producer.push_sparing(spare, 1, 0, &[&[1; 100]]).is_ok() {}
    assert!(!producer.want_room(100 + spare as usize));
    for len in [1_000, 900] {
        producer.push(2, 0, &[&[2; 1_000][..len]]).expect("spared room");
    }
}

/// A consumer that is gone has passed padding and an aborted claim, and released nothing before
/// them: what lies behind is found all the same.
#[test]
fn what_a_consumer_left_is_found_behind_what_it_passed() {
    let block = Block::new();
    let (producer, consumer) = block.ends(Direction::Send);
    producer.push(1, 0, &[b"taken"]).expect("room");
    let aborted = producer.claim(2, 0, 10).expect("room");
    producer.abort(aborted);
    producer.push(3, 0, &[b"taken too"]).expect("room");
    producer.push(4, 0, &[b"left"]).expect("room");
    let taken = [(); 2].map(|()| consumer.next().expect("sound").expect("there").kind);
    assert_eq!(taken, [1, 3]);
    assert_eq!(producer.passed(), 0, "nothing was given back");
    let mut kinds = Vec::new();
    let mut at = producer.passed();
    while let Some(record) = producer.committed_at(at) {
        kinds.push(record.kind);
        at = record.next;
    }
    assert_eq!(kinds, [1, 0, 3, 4]);
    let left = producer.committed_at(consumer.position()).expect("it is there");
    assert_eq!((left.kind, left.len, left.next), (4, 4, at));
    assert!(producer.committed_at(at).is_none());
    assert!(producer.committed_at(at + 8).is_none() && producer.committed_at(3).is_none());
}

/// Given back in parts, the head stands at a record after each of them, whatever is written there.
#[test]
fn what_is_given_back_in_parts_ends_at_records() {
    let block = Block::new();
    let (producer, mut consumer) = block.ends(Direction::Send);
    // Every word of a payload looks like a header that was given back.
    let word = [0xFF, 0, 0, 0x80, 1, 0, 1, 0];
    let mut ends = Vec::new();
    for len in [8, 80, 800, 8_000, 16, 160, 1_600] {
        let aborted = producer.claim(2, 0, 24).expect("room");
        producer.abort(aborted);
        producer.push(1, 0, &[&word.repeat(len / 8)]).expect("room");
        consumer.next().expect("sound").expect("there");
        ends.push(consumer.position());
    }
    let (mut heads, all) = (Vec::new(), consumer.position());
    while consumer.released_to() < all {
        consumer.release_some(all, 1_000);
        heads.push(consumer.released_to());
        // As a look at the ring does that passes padding.
        consumer.release(all);
    }
    // Aborted claims are records of their own, before the next one's start.
    assert!(
        heads.iter().all(|head| ends.contains(head) || ends.contains(&(head - 32))),
        "{heads:?}"
    );
    assert!(heads.len() == 3 && heads.last() == Some(&all), "{heads:?}");
    assert_eq!(producer.used(), 0);
}
