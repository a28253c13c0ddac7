//! The other side writes anything anywhere, at any moment: errors, nonsense and silence are fine; a
//! panic, an endless loop or an access outside the ring is a bug. Pages without access around the
//! block turn the last into a crash.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::super::header::Header;
use super::*;

const PAGE: usize = 4_096;

/// A block between two pages that nobody may touch.
struct Fenced {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: plain memory.
unsafe impl Sync for Fenced {}

impl Fenced {
    fn new() -> Self {
        let layout = Layout::new(CAPACITY_MIN, CAPACITY_MIN).expect("valid");
        let len = layout.len() + 2 * PAGE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping.
        let start =
            unsafe { libc::mmap(core::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let fenced = Self { start: start.cast(), layout };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: inside the mapping.
        assert_eq!(unsafe { libc::mprotect(fenced.base().cast(), layout.len(), access) }, 0);
        fenced
    }

    fn base(&self) -> *mut u8 {
        // SAFETY: inside the mapping.
        unsafe { self.start.add(PAGE) }
    }

    fn ends(&self, direction: Direction) -> (Producer, Consumer) {
        // SAFETY: the mapping lives longer; one end of each kind.
        unsafe {
            (
                Producer::attach(self.base(), self.layout, direction),
                Consumer::attach(self.base(), self.layout, direction),
            )
        }
    }

    /// Any word of the block.
    fn word(&self, index: usize) -> &AtomicU64 {
        let index = index % (self.layout.len() / 8);
        // SAFETY: aligned and inside the block.
        unsafe { AtomicU64::from_ptr(self.base().add(index * 8).cast()) }
    }

    /// One act of sabotage: often at the places that matter, often with values that look right.
    fn sabotage(&self, random: &mut Random) {
        let value = match random.below(6) {
            0 => random.next(),
            1 => random.below(3),
            2 => u64::MAX - random.below(3),
            3 => random.below(u64::from(CAPACITY_MIN) * 4),
            4 => random.below(u64::from(CAPACITY_MIN)) & !7,
            _ => {
                let header = Header::new(random.below(4) as u16, 0, random.below(40_000) as usize);
                header.0 | random.below(4) << 30
            }
        };
        let index = match random.below(3) {
            0 => random.below(128) as usize,
            1 => PAGE / 8 + random.below(64) as usize,
            _ => random.next() as usize,
        };
        self.word(index).store(value, Ordering::Relaxed);
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: our own mapping.
        unsafe { libc::munmap(self.start.cast(), self.layout.len() + 2 * PAGE) };
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Anything that either end may be asked to do.
fn use_both_ends(
    producer: &Producer,
    consumer: &mut Consumer,
    random: &mut Random,
    held: &mut Vec<Record>,
) {
    match random.below(9) {
        0..=2 => {
            let len = random.below(producer.record_len_max() as u64 + 2) as usize / 16;
            let _ =
                producer.push_sparing(random.below(2) as u32 * 512, 1, 2, &[&std::vec![3; len]]);
        }
        3 => {
            if let Ok(claim) = producer.claim(1, 0, random.below(64) as usize) {
                // SAFETY: inside the claim.
                unsafe { core::ptr::write_bytes(claim.data, 9, claim.len) };
                if random.below(2) == 0 { producer.commit(claim) } else { producer.abort(claim) }
            }
        }
        4 | 5 => {
            if let Ok(Some(record)) = consumer.next() {
                assert!(record.len <= consumer.record_len_max());
                std::hint::black_box(bytes(&record));
                held.push(record);
            }
        }
        6 if !held.is_empty() => {
            let index = random.below(held.len() as u64) as usize;
            consumer.release(held.swap_remove(index).position + random.below(2) * 8);
        }
        7 => {
            consumer.release_some(consumer.position(), u64::MAX);
            held.clear();
        }
        _ => {
            let _ = (producer.wake_needed(), producer.want_room(random.below(70_000) as usize));
            let _ = (consumer.prepare_sleep(), consumer.room_wanted());
            assert!(consumer.used() <= consumer.capacity());
            assert!(producer.used() <= producer.capacity());
        }
    }
}

#[test]
fn sabotage_between_any_two_calls() {
    for seed in 0..300 {
        let memory = Fenced::new();
        let (producer, mut consumer) = memory.ends(Direction::Send);
        let (mut random, mut held) = (Random(seed), Vec::new());
        for _ in 0..400 {
            if random.below(4) == 0 {
                memory.sabotage(&mut random);
            }
            use_both_ends(&producer, &mut consumer, &mut random, &mut held);
        }
    }
}

#[test]
fn sabotage_in_the_middle_of_any_call() {
    let memory = Fenced::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(1);
            while !stop.load(Ordering::Relaxed) {
                memory.sabotage(&mut random);
            }
        });
        for seed in 0..100 {
            let (producer, mut consumer) = memory.ends(Direction::Receive);
            let (mut random, mut held) = (Random(seed), Vec::new());
            for _ in 0..2_000 {
                use_both_ends(&producer, &mut consumer, &mut random, &mut held);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Every length that no honest producer writes.
#[test]
fn bad_headers_are_reported() {
    let room = u64::from(CAPACITY_MIN);
    let bad_lengths = [1, 7, room + 1, room / 4 + 8 + 128 + 8, 1 << 30, 1 << 31, 0xFFFF_FFFF];
    // Of a record, and of padding.
    for (len, kind) in bad_lengths.into_iter().flat_map(|len| [(len, 1), (len, 0)]) {
        let memory = Fenced::new();
        let (_, consumer) = memory.ends(Direction::Send);
        memory.word(PAGE / 8).store(len | kind << 32, Ordering::Relaxed);
        assert_eq!(consumer.next().err(), Some(Corrupt), "{len}");
        assert_eq!(consumer.next().err(), Some(Corrupt), "{len}: for ever");
        assert!(!consumer.prepare_sleep(), "{len}: to be looked at, not slept on");
    }
    // Longer than what is left before the end of the memory.
    let memory = Fenced::new();
    let (producer, mut consumer) = memory.ends(Direction::Send);
    for _ in 0..7 {
        producer.push(1, 0, &[&std::vec![1; CAPACITY_MIN as usize / 8 - 8]]).expect("room");
        assert!(consumer.next().expect("honest").is_some());
        consumer.release_some(consumer.position(), u64::MAX);
    }
    let last = (PAGE + CAPACITY_MIN as usize / 8 * 7) / 8;
    memory.word(last).store((room / 8 + 1) | 1 << 32, Ordering::Relaxed);
    assert_eq!(consumer.next().err(), Some(Corrupt));
}

#[test]
fn a_false_head_is_reported() {
    for head in [8, 4, u64::MAX, 1 << 40] {
        let memory = Fenced::new();
        let (producer, _) = memory.ends(Direction::Send);
        memory.word(0).store(head, Ordering::Relaxed);
        let mut error = None;
        for _ in 0..CAPACITY_MIN / 8 + 2 {
            error = error.or_else(|| producer.push(1, 0, &[]).err());
        }
        // 8 might be true by the time it is looked at.
        let expected = if head == 8 { PushError::Full } else { PushError::Corrupt };
        assert_eq!(error, Some(expected), "{head}");
    }
}
