//! What the ring promises, with honest peers; then with hostile memory.

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
            consumer.release_all();
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
