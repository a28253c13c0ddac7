//! Many threads, and signal handlers in the middle of a send.

use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::wake::{clear, wake};

const PATIENCE: Duration = Duration::from_secs(20);

/// Both ends of one ring, and the eventfds that wake them.
struct Pair {
    producer: Producer,
    consumer: Consumer,
    records_fd: i32,
    room_fd: i32,
    _block: Block,
}

// SAFETY: the block is memory that nobody frees before the pair is dropped.
unsafe impl Send for Pair {}
// SAFETY: as above.
unsafe impl Sync for Pair {}

impl Pair {
    fn new() -> Arc<Self> {
        let block = Block::new();
        let (producer, consumer) = block.ends(Direction::Send);
        // SAFETY: no pointers.
        let [records_fd, room_fd] =
            [(); 2].map(|()| unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) });
        Arc::new(Self { producer, consumer, records_fd, room_fd, _block: block })
    }

    /// Sends, sleeping while the ring is full.
    fn send(&self, flags: u16, payload: &[u8]) {
        while let Err(error) = self.producer.push(1, flags, &[payload]) {
            assert_eq!(error, PushError::Full);
            if !self.producer.want_room(payload.len()) {
                // Several senders share one descriptor: nobody clears it, a short timeout stands
                // in.
                await_readable(self.room_fd, 1);
            }
        }
        if self.producer.wake_needed() {
            wake(self.records_fd);
        }
    }

    /// The next record, sleeping while there is none.
    fn take(&self) -> Record {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(record) = self.consumer.next().expect("honest") {
                return record;
            }
            assert!(Instant::now() < deadline, "a wake-up was lost");
            if self.consumer.prepare_sleep() {
                await_readable(self.records_fd, PATIENCE.as_millis() as i32);
                clear(self.records_fd);
            }
        }
    }

    fn give_back(&self, position: u64) {
        self.consumer.release(position);
        if self.consumer.room_wanted() {
            wake(self.room_fd);
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for fd in [self.records_fd, self.room_fd] {
            // SAFETY: our own descriptor.
            unsafe { libc::close(fd) };
        }
    }
}

fn await_readable(fd: i32, timeout_ms: i32) {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
}

/// Who, which one, and bytes that follow from the two.
fn message(sender: u64, number: u64) -> Vec<u8> {
    let mut bytes = Vec::from(sender.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.resize(16 + ((sender * 7 + number * 13) % 300) as usize, (sender + number) as u8);
    bytes
}

fn parse(bytes: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8"));
    (word(0), word(8))
}

#[test]
fn four_senders_keep_each_its_order() {
    const EACH: u64 = 30_000;
    let pair = Pair::new();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let pair = Arc::clone(&pair);
            thread::spawn(move || {
                for number in 0..EACH {
                    pair.send(sender as u16, &message(sender, number));
                }
            })
        })
        .collect();
    let mut next = [0; 4];
    let mut late = Vec::new();
    for turn in 0..4 * EACH {
        let record = pair.take();
        let (sender, number) = parse(&bytes(&record));
        assert_eq!(bytes(&record), message(sender, number));
        assert_eq!(number, next[sender as usize]);
        next[sender as usize] += 1;
        // Some are given back late and out of order.
        if turn % 5 == 0 {
            late.push(record.position);
        } else {
            pair.give_back(record.position);
        }
        if late.len() == 16 {
            late.drain(..).rev().for_each(|position| pair.give_back(position));
        }
    }
    senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
    late.drain(..).for_each(|position| pair.give_back(position));
    assert_eq!(pair.producer.used(), 0);
}

#[test]
fn two_threads_release_for_one_that_takes() {
    const COUNT: u64 = 40_000;
    let pair = Pair::new();
    let (to_even, even) = std::sync::mpsc::channel::<u64>();
    let (to_odd, odd) = std::sync::mpsc::channel::<u64>();
    let releasers: Vec<_> = [even, odd]
        .into_iter()
        .map(|positions| {
            let pair = Arc::clone(&pair);
            thread::spawn(move || positions.into_iter().for_each(|p| pair.give_back(p)))
        })
        .collect();
    let sender = thread::spawn({
        let pair = Arc::clone(&pair);
        move || (0..COUNT).for_each(|number| pair.send(0, &message(0, number)))
    });
    for number in 0..COUNT {
        let record = pair.take();
        assert_eq!(bytes(&record), message(0, number));
        let to = if number % 2 == 0 { &to_even } else { &to_odd };
        to.send(record.position).expect("alive");
    }
    drop((to_even, to_odd));
    sender.join().expect("no panic");
    releasers.into_iter().for_each(|releaser| releaser.join().expect("no panic"));
    assert_eq!(pair.producer.used(), 0);
}

static HANDLER_PAIR: AtomicPtr<Pair> = AtomicPtr::new(core::ptr::null_mut());
static HANDLER_SENT: AtomicU64 = AtomicU64::new(0);

/// Sends one message from wherever the thread is, dropping it if there is no room.
extern "C" fn send_from_handler(_signal: i32) {
    // SAFETY: set before the handler is installed, valid until it is ignored again.
    let Some(pair) = (unsafe { HANDLER_PAIR.load(Ordering::Acquire).as_ref() }) else { return };
    let number = HANDLER_SENT.load(Ordering::Relaxed).to_ne_bytes();
    if pair.producer.push(2, 0, &[&number]).is_ok() {
        HANDLER_SENT.fetch_add(1, Ordering::Relaxed);
        if pair.producer.wake_needed() {
            wake(pair.records_fd);
        }
    }
}

fn set_handler(handler: libc::sighandler_t) {
    // SAFETY: the handler does only what a signal handler may.
    unsafe { libc::signal(libc::SIGURG, handler) };
}

/// Sends until enough signals came in between; tells how many it sent.
fn send_through_the_storm(pair: &Pair) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    while number < 20_000 || HANDLER_SENT.load(Ordering::Relaxed) < 500 {
        assert!(Instant::now() < deadline, "no storm");
        pair.send(1, &message(1, number));
        number += 1;
    }
    number
}

/// Takes everything until the sender is done, and checks it; tells how many messages and signals
/// came.
fn take_through_the_storm(pair: &Pair, sent: &AtomicU64) -> (u64, u64) {
    let (mut messages, mut signals) = (0, 0);
    while messages < sent.load(Ordering::Acquire) {
        let record = pair.take();
        if record.kind == 1 {
            assert_eq!(bytes(&record), message(1, messages));
            messages += 1;
        } else {
            assert_eq!(bytes(&record), u64::to_ne_bytes(signals));
            signals += 1;
        }
        pair.give_back(record.position);
    }
    (messages, signals)
}

#[test]
fn a_signal_handler_sends_in_the_middle_of_sends() {
    let pair = Pair::new();
    HANDLER_PAIR.store(Arc::as_ptr(&pair).cast_mut(), Ordering::Release);
    set_handler(send_from_handler as *const () as libc::sighandler_t);
    let sent = Arc::new(AtomicU64::new(u64::MAX));
    let sender = thread::spawn({
        let (pair, sent) = (Arc::clone(&pair), Arc::clone(&sent));
        move || {
            let last = send_through_the_storm(&pair);
            sent.store(last + 1, Ordering::Release);
            pair.send(1, &message(1, last));
            thread::park(); // alive until the storm is over
        }
    });
    let storm = thread::spawn({
        use std::os::unix::thread::JoinHandleExt as _;
        let (target, sent) = (sender.as_pthread_t(), Arc::clone(&sent));
        move || {
            while sent.load(Ordering::Acquire) == u64::MAX {
                // SAFETY: the thread is parked, not gone, until we are joined.
                unsafe { libc::pthread_kill(target, libc::SIGURG) };
                (0..200).for_each(|_| core::hint::spin_loop());
            }
        }
    });
    let (messages, mut signals) = take_through_the_storm(&pair, &sent);
    storm.join().expect("no panic");
    sender.thread().unpark();
    sender.join().expect("no panic");
    set_handler(libc::SIG_IGN);
    while let Some(record) = pair.consumer.next().expect("honest") {
        signals += u64::from(record.kind == 2);
    }
    assert_eq!(messages, sent.load(Ordering::Relaxed));
    assert_eq!(signals, HANDLER_SENT.load(Ordering::Relaxed));
}
