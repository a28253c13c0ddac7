//! Clients that do anything they can to hurt: the engine neither panics, nor hangs, nor lets others
//! suffer.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// An honest client that lives beside the hostile one.
struct Witness {
    client: RawClient,
    tag: u64,
}

impl Witness {
    fn new(engine: &mut Engine) -> Self {
        let client = engine.open();
        client.join(1, "witness");
        engine.run();
        client.expect_view();
        Self { client, tag: 0 }
    }

    /// Everything still works.
    fn testify(&mut self, engine: &mut Engine) {
        self.tag += 1;
        self.client.send(1, 4, self.tag, b"I am fine");
        for _ in 0..1_000 {
            engine.turn();
            // Others may join its group and talk.
            while let Some((kind, bytes)) = self.client.next() {
                let head = MessageRecord::split_from(&bytes).map(|(head, _)| head);
                if kind == event::MESSAGE && head.is_some_and(|head| head.tag == self.tag) {
                    return;
                }
            }
        }
        panic!("the witness is not served");
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Breaks the memory somewhere, preferably where it matters.
fn sabotage(client: &RawClient, random: &mut Random) {
    let index = match random.below(3) {
        0 => random.below(128),
        1 => 512 + random.below(64),
        _ => random.below(1 << 40),
    };
    let value = match random.below(5) {
        0 => random.below(u64::MAX),
        1 => random.below(3),
        2 => u64::MAX - random.below(3),
        3 => random.below(1 << 17) & !7,
        _ => random.below(40_000) | random.below(8) << 32 | random.below(4) << 30,
    };
    client.word(index as usize).store(value, Ordering::Relaxed);
}

/// Something that an honest client might do, too, with its numbers wrong.
fn misuse(client: &RawClient, random: &mut Random) {
    let junk: Vec<u8> = (0..random.below(80)).map(|_| random.below(256) as u8).collect();
    let handle = random.below(4) as u32;
    let name = ["a", "b", "witness", ""][random.below(4) as usize];
    let _ = match random.below(8) {
        0 | 1 => client.push(
            request::JOIN,
            JoinRecord { handle, flags: random.below(2) as u32 }.as_bytes(),
            name.as_bytes(),
        ),
        2 => client.push(request::LEAVE, LeaveRecord { handle, reserved: 0 }.as_bytes(), &junk),
        3..=5 => {
            let service = random.below(8) as u32;
            let record = SendRecord { handle, service, tag: 1, ..SendRecord::default() };
            client.push(request::SEND, record.as_bytes(), &junk)
        }
        6 => client.push(request::QUERY, QueryRecord { tag: 3 }.as_bytes(), &junk),
        _ => client.push(random.below(9) as u16, &junk, &[]),
    };
}

#[test]
fn sabotage_and_misuse_hurt_nobody_else() {
    let mut engine = Engine::new();
    let mut witness = Witness::new(&mut engine);
    let mut ended = 0;
    for seed in 0..300 {
        let mut random = Random(seed);
        let client = engine.open();
        for _ in 0..40 {
            if random.below(3) == 0 {
                sabotage(&client, &mut random);
            } else {
                misuse(&client, &mut random);
            }
            if random.below(4) == 0 {
                client.wake_engine();
                let _ = client.consumer.next();
                engine.turn();
            }
        }
        engine.turn();
        ended += usize::from(engine.sessions.len() == 1);
        drop(client);
        witness.testify(&mut engine);
    }
    engine.run();
    assert_eq!(engine.sessions.len(), 1);
    assert!(ended > 100, "some are found out: {ended}");
}

/// The memory changes while the engine looks at it.
#[test]
fn sabotage_at_the_same_time() {
    let mut engine = Engine::new();
    let mut witness = Witness::new(&mut engine);
    for seed in 0..20 {
        let client = engine.open();
        let stop = AtomicBool::new(false);
        let words: Vec<_> = (0..client.layout.len() / 8).map(|index| client.word(index)).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random(seed);
                while !stop.load(Ordering::Relaxed) {
                    let index = [128, 640, words.len() as u64][random.below(3) as usize];
                    let value = random.below(2_000) | random.below(7) << 32;
                    words[random.below(index) as usize].store(value, Ordering::Relaxed);
                }
            });
            for _ in 0..100 {
                client.wake_engine();
                engine.turn();
            }
            stop.store(true, Ordering::Relaxed);
        });
        drop(client);
        witness.testify(&mut engine);
    }
}

#[test]
fn nonsense_in_the_ring_is_told_and_ends_the_session() {
    type Act = fn(&RawClient);
    let cases: [(Act, &str); 6] = [
        (|client| client.push(99, b"", b"").expect("room"), "unknown kind 99"),
        (|client| client.push(request::JOIN, b"1234", b"").expect("room"), "too short"),
        (|client| client.push(request::SEND, b"", b"").expect("room"), "too short"),
        (|client| client.push(request::QUERY, b"1", b"").expect("room"), "too short"),
        (|client| [1, 1].into_iter().for_each(|handle| client.join(handle, "a")), "handle 1"),
        (
            |client| {
                client.word(512).store(3, Ordering::Relaxed);
                client.wake_engine();
            },
            "no record",
        ),
    ];
    let mut engine = Engine::new();
    for (act, words) in cases {
        let client = engine.open();
        act(&client);
        engine.run();
        let (status, reason) = client.closed().expect("the last word");
        assert_eq!(Status(status), Status::EINVAL);
        assert!(reason.contains(words), "{reason}");
        assert!(client.is_hung_up());
        assert!(engine.sessions.is_empty());
    }
}

#[test]
fn words_on_the_socket_end_the_session() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.say(b"and another thing", &client.fds());
    engine.run();
    assert!(client.closed().is_some_and(|(status, _)| status == Status::EINVAL.0));
    assert_eq!(client.traces(), (1, 1));
}

/// It hangs up, keeps the memory, and goes on producing: what it gets is one ring's worth.
#[test]
fn a_client_that_lives_on_after_hanging_up_comes_to_an_end() {
    let mut engine = Engine::new();
    let mut client = engine.open();
    client.hang_up();
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let record = SendRecord::default();
    for _ in 0..1_000 {
        // The ring is never seen empty.
        while client.producer.push(request::SEND, 0, &[record.as_bytes(), &[0; 500]]).is_ok() {}
        engine.sessions.poll(10, DomainSet::NONE, &mut |_| true);
        engine.sessions.flush(&engine.epoll);
        if engine.sessions.is_empty() {
            return;
        }
    }
    panic!("it is served for ever");
}

/// It asks for answers without end and reads none.
#[test]
fn a_flood_of_refusals_is_the_flooders_problem() {
    let mut engine = Engine::new();
    let mut witness = Witness::new(&mut engine);
    let client = engine.open();
    while engine.sessions.len() == 2 {
        let record = SendRecord::default();
        while client.push(request::SEND, record.as_bytes(), &[]).is_ok() {}
        witness.testify(&mut engine);
    }
    assert!(client.closed().is_some_and(|(status, _)| status == Status::ESLOW.0));
}

#[test]
fn handles_are_bounded() {
    let mut engine = Engine::new();
    let client = engine.open();
    let flags = anasazi_queue::record::JOIN_SEND_ONLY;
    for handle in 0..limits::HANDLES_MAX as u32 + 5 {
        let record = JoinRecord { handle, flags };
        client.push(request::JOIN, record.as_bytes(), b"room").expect("room");
        engine.run();
    }
    for handle in 0..5 {
        let (got, status, _) = client.expect_left();
        assert_eq!((got, status), (limits::HANDLES_MAX as u32 + handle, Status::ENOMEM));
    }
    client.expect_nothing();
}

#[test]
fn opening_and_closing_in_a_loop_leaves_nothing_behind() {
    let mut engine = Engine::new();
    for _ in 0..500 {
        let client = engine.open();
        client.join(1, "room");
        drop(client);
        engine.run();
    }
    assert!(engine.sessions.is_empty());
    assert_eq!(engine.sessions.slots.len(), 1);
    assert_eq!(engine.sessions.group_count(), 0);
    assert!(engine.epoll.wait(0).is_empty());
}
