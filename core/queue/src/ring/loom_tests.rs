//! Every interleaving of the ring and its wake-up, as far as a small ring and a few records show
//! them. Run with `RUSTFLAGS="--cfg loom" cargo test -p anasazi-queue --release`.

use std::boxed::Box;
use std::vec::Vec;

use loom::sync::{Arc, Notify};
use loom::thread;

use super::loom_atomics::interrupt;
use super::memory::place::{Memory, Model};
use super::*;

/// Both ends of a ring of 64 bytes, in which a record with one word takes 16.
struct Pair {
    producer: Producer,
    consumer: Consumer,
    reader: Memory,
    records: Notify,
    room: Notify,
    model: *mut Model,
}

// SAFETY: loom checks every access to the model.
unsafe impl Send for Pair {}
// SAFETY: as above.
unsafe impl Sync for Pair {}

impl Pair {
    fn new() -> Arc<Self> {
        let layout = Layout::new(CAPACITY_MIN, CAPACITY_MIN).expect("valid");
        let model = Box::into_raw(Box::new(Model::new(CAPACITY_MIN)));
        // SAFETY: the model lives as long as the pair.
        unsafe {
            Arc::new(Self {
                producer: Producer::attach(model.cast(), layout, Direction::Send),
                consumer: Consumer::attach(model.cast(), layout, Direction::Send),
                reader: Memory::new(model.cast(), layout, Direction::Send),
                records: Notify::new(),
                room: Notify::new(),
                model,
            })
        }
    }

    fn push(&self, value: u64) -> Result<(), PushError> {
        self.producer.push(1, 0, &[&value.to_ne_bytes()])
    }

    /// Sends one word, sleeping while the ring is full.
    fn send(&self, value: u64) {
        while self.push(value).is_err() {
            if !self.producer.want_room(8) {
                self.room.wait();
            }
        }
        if self.producer.wake_needed() {
            self.records.notify();
        }
    }

    /// The next record's position and word, sleeping while there is none.
    fn take(&self) -> (u64, u64) {
        loop {
            if let Some(record) = self.consumer.next().expect("honest") {
                return (record.position, self.reader.read(record.position));
            }
            if self.consumer.prepare_sleep() {
                self.records.wait();
            }
        }
    }

    fn give_back(&self, position: u64) {
        self.consumer.release(position);
        if self.consumer.room_wanted() {
            self.room.notify();
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // SAFETY: made by Box::into_raw, used by nobody any more.
        drop(unsafe { Box::from_raw(self.model) });
    }
}

/// Bounded preemption keeps the number of interleavings in hand.
fn model(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(test);
}

#[test]
fn no_wake_up_is_lost() {
    model(4, || {
        let pair = Pair::new();
        let sender = thread::spawn({
            let pair = Arc::clone(&pair);
            move || [1, 2].map(|value| pair.send(value))
        });
        assert_eq!([pair.take().1, pair.take().1], [1, 2]);
        sender.join().unwrap();
    });
}

#[test]
fn two_senders_and_a_sleeper() {
    model(3, || {
        let pair = Pair::new();
        let senders: Vec<_> = [1, 2]
            .into_iter()
            .map(|value| {
                let pair = Arc::clone(&pair);
                thread::spawn(move || pair.send(value))
            })
            .collect();
        let mut got = [pair.take().1, pair.take().1];
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// A handler that sends between the claim and the commit of the send which it interrupts.
#[test]
fn a_nested_send_and_a_sleeper() {
    model(4, || {
        let pair = Pair::new();
        let sender = thread::spawn({
            let pair = Arc::clone(&pair);
            move || {
                let outer = pair.producer.claim(1, 0, 8).expect("room");
                pair.send(2);
                // An aborted claim stands in for the outer message: the model cannot fill a bare
                // claim.
                pair.producer.abort(outer);
                if pair.producer.wake_needed() {
                    pair.records.notify();
                }
            }
        });
        assert_eq!(pair.take().1, 2);
        sender.join().unwrap();
    });
}

/// A handler that sends before each single access that a send makes to what is shared, and another
/// thread that takes: both messages come, once each, and nobody sleeps over one.
#[test]
fn a_send_nested_at_every_access_of_another() {
    let mut accesses = 0;
    loop {
        let was_interrupted = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&was_interrupted);
        model(2, move || {
            let pair = Pair::new();
            let seen = std::sync::Arc::clone(&seen);
            let sender = thread::spawn({
                let pair = Arc::clone(&pair);
                move || {
                    let inner = Arc::clone(&pair);
                    let handler = Box::new(move || inner.send(2));
                    let interrupted = interrupt(accesses, handler, || pair.send(1));
                    if !interrupted {
                        pair.send(2);
                    }
                    seen.fetch_or(interrupted, std::sync::atomic::Ordering::SeqCst);
                }
            });
            let mut got = [pair.take().1, pair.take().1];
            got.sort_unstable();
            assert_eq!(got, [1, 2]);
            sender.join().unwrap();
        });
        if !was_interrupted.load(std::sync::atomic::Ordering::SeqCst) {
            break;
        }
        accesses += 1;
    }
    assert!(accesses >= 8, "a send has {accesses} accesses");
}

#[test]
fn a_sender_that_waits_for_room_gets_it() {
    model(3, || {
        let pair = Pair::new();
        (1..=4).for_each(|value| pair.push(value).expect("room"));
        let sender = thread::spawn({
            let pair = Arc::clone(&pair);
            move || pair.send(5)
        });
        for value in 1..=5 {
            let (position, got) = pair.take();
            assert_eq!(got, value);
            pair.give_back(position);
        }
        sender.join().unwrap();
        assert_eq!(pair.producer.used(), 0);
    });
}

#[test]
fn two_threads_release_at_once() {
    model(3, || {
        let pair = Pair::new();
        (1..=4).for_each(|value| pair.push(value).expect("room"));
        let [first, second, third, fourth] = [(); 4].map(|()| pair.take().0);
        let other = thread::spawn({
            let pair = Arc::clone(&pair);
            move || {
                pair.give_back(second);
                pair.give_back(first);
            }
        });
        pair.give_back(third);
        pair.give_back(second); // twice: ignored
        // Into what is just being released, if it is already.
        let early = usize::from(pair.push(5).is_ok());
        other.join().unwrap();
        pair.give_back(fourth);
        assert_eq!(pair.producer.used(), 16 * early as u64);
        // Everything else is zero again: the next lap finds no ghost.
        (5..=8).skip(early).for_each(|value| pair.push(value).expect("room"));
        assert_eq!([(); 4].map(|()| pair.take().1), [5, 6, 7, 8]);
        assert!(pair.consumer.next().expect("honest").is_none());
    });
}

/// Everything is given out and nothing released, the ring is full: the cursor stands on the oldest
/// record. One thread releases, one sends into the room, and the sleeper must hear of it.
#[test]
fn asleep_on_a_full_ring() {
    model(3, || {
        let pair = Pair::new();
        (1..=4).for_each(|value| pair.push(value).expect("room"));
        let positions = [(); 4].map(|()| pair.take().0);
        let releaser = thread::spawn({
            let pair = Arc::clone(&pair);
            move || pair.give_back(positions[0])
        });
        let sender = thread::spawn({
            let pair = Arc::clone(&pair);
            move || pair.send(5)
        });
        assert_eq!(pair.take().1, 5);
        releaser.join().unwrap();
        sender.join().unwrap();
    });
}
