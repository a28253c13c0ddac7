//! The rings' memory, with anything written anywhere between any two calls: errors, nonsense and
//! silence are fine, as long as no record lies outside of its ring.

use std::sync::atomic::{AtomicU64, Ordering};

use anasazi_queue::ring::{CAPACITY_MIN, Consumer, Direction, Layout, Producer, Record};

use crate::input::Input;

/// Calls of one run.
const CALLS_MAX: usize = 200;
/// Where the bytes of the first ring begin, in words; before it are the words that both sides
/// share.
const DATA_AT: usize = 512;

thread_local! {
    static MEMORY: Memory = Memory::new();
}

/// A block for both rings, used again and again. In front of it and behind it lie guard words.
struct Memory {
    words: Box<[AtomicU64]>,
    first: usize,
    layout: Layout,
}

/// 4,096 bytes.
const PAGE_WORDS: usize = 512;
const GUARD: u64 = 0x6775_6172_6421_2121;

impl Memory {
    fn new() -> Self {
        let Some(layout) = Layout::new(CAPACITY_MIN, CAPACITY_MIN) else {
            unreachable!("the smallest rings are allowed")
        };
        let words = layout.len() / 8 + 3 * PAGE_WORDS;
        let words: Box<[_]> = (0..words).map(|_| AtomicU64::new(GUARD)).collect();
        let misaligned = words.as_ptr() as usize % 4_096 / 8;
        Self { words, first: 2 * PAGE_WORDS - misaligned, layout }
    }

    fn block(&self) -> &[AtomicU64] {
        &self.words[self.first..self.first + self.layout.len() / 8]
    }

    fn check_guards(&self) {
        let (before, rest) = self.words.split_at(self.first);
        let after = &rest[self.layout.len() / 8..];
        let whole = |word: &AtomicU64| word.load(Ordering::Relaxed) == GUARD;
        assert!(before.iter().chain(after).all(whole), "written outside of the block");
    }

    /// One word of the block: often where it matters, often with a value that looks right.
    fn sabotage(&self, input: &mut Input<'_>) {
        let value = match input.below(5) {
            0 => input.u64(),
            1 => u64::from(input.u8() % 3),
            2 => u64::MAX - u64::from(input.u8() % 3),
            3 => u64::from(input.u16()) * 8,
            _ => u64::from(input.u16()) | u64::from(input.u8()) << 32 | u64::from(input.u8()) << 30,
        };
        let block = self.block();
        let index = match input.below(3) {
            0 => usize::from(input.u8()) % 128,
            1 => DATA_AT + usize::from(input.u8()) % 64,
            _ => usize::from(input.u16()) % block.len(),
        };
        block[index].store(value, Ordering::Relaxed);
    }
}

/// Both ends of one ring. Accepted: a record came out.
pub(crate) fn queue_ring(data: &[u8]) -> bool {
    MEMORY.with(|memory| {
        let mut input = Input::new(data);
        memory.block().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        let direction = if input.coin() { Direction::Send } else { Direction::Receive };
        let base = memory.block().as_ptr().cast_mut().cast();
        // SAFETY: the block is as long as the layout says, aligned to a page, and outlives both
        // ends; they are its only ones.
        let (producer, mut consumer) = unsafe {
            (
                Producer::attach(base, memory.layout, direction),
                Consumer::attach(base, memory.layout, direction),
            )
        };
        let (mut held, mut taken) = (Vec::new(), false);
        for _ in 0..CALLS_MAX {
            if input.is_empty() {
                break;
            }
            call(memory, &producer, &mut consumer, &mut input, &mut held);
            taken |= !held.is_empty();
        }
        memory.check_guards();
        taken
    })
}

fn call(
    memory: &Memory,
    producer: &Producer,
    consumer: &mut Consumer,
    input: &mut Input<'_>,
    held: &mut Vec<Record>,
) {
    match input.below(12) {
        0..=2 => memory.sabotage(input),
        3 | 4 => {
            let len = usize::from(input.u16()) % (producer.record_len_max() + 2);
            let sparing = u32::from(input.u8()) * 8;
            let _ = producer.push_sparing(sparing, 1, 2, &[&[3; 8], &vec![5; len]]);
        }
        5 => {
            if let Ok(claim) = producer.claim(input.u8().into(), 0, input.below(256)) {
                check_inside(memory, claim.data, claim.len);
                if input.coin() { producer.commit(claim) } else { producer.abort(claim) }
            }
        }
        6..=8 => {
            if let Ok(Some(record)) = consumer.next() {
                assert!(record.len <= consumer.record_len_max(), "longer than a record may be");
                check_inside(memory, record.data, record.len);
                held.push(record);
            }
        }
        9 if !held.is_empty() => {
            let record = held.swap_remove(input.below(held.len()));
            consumer.release(record.position + u64::from(input.u8() % 2) * 8);
        }
        10 => {
            consumer.release_some(consumer.position(), u64::MAX);
            held.clear();
        }
        _ => {
            let mut at = consumer.released_to();
            while let Some((record, end)) = consumer.again(at) {
                assert!(end > at && end <= consumer.position() && record.len as u64 <= end - at);
                at = end;
            }
            let _ = (consumer.prepare_sleep(), consumer.room_wanted());
            let _ = (producer.wake_needed(), producer.want_room(input.u16().into()));
            assert!(consumer.used() <= consumer.capacity());
            assert!(producer.used() <= producer.capacity());
        }
    }
}

fn check_inside(memory: &Memory, data: *const u8, len: usize) {
    let block = memory.block().as_ptr_range();
    let (start, end) = (data as usize, data as usize + len);
    assert!(start >= block.start as usize && end <= block.end as usize, "outside of the block");
}
