//! Hellos, good and bad, and ends.

use std::os::fd::AsRawFd;

use anasazi_queue::hello::{Hello, MAGIC};
use anasazi_queue::record::SESSION_VERSION;

use super::*;
use crate::sys::raw_client::{add, count, eventfd, make_blocking, memfd};

/// Greets with something else, and tells the answer.
fn refused(engine: &mut Engine, say: impl FnOnce(&RawClient)) -> (Status, String) {
    let client = engine.connect();
    say(&client);
    engine.run();
    let welcome = client.welcome().expect("an answer");
    assert_eq!((welcome.magic, welcome.version), (MAGIC, 0));
    assert!(client.is_hung_up());
    assert_eq!(client.traces(), (1, 1), "only its own");
    let reason = &welcome.reason[..usize::from(welcome.reason_len)];
    (Status(welcome.status), text(reason))
}

pub(super) fn refused_hello(
    engine: &mut Engine,
    change: impl FnOnce(&mut Hello),
) -> (Status, String) {
    refused(engine, |client| {
        let mut hello = client.hello();
        change(&mut hello);
        client.say(hello.as_bytes(), &client.fds());
    })
}

fn refused_fds(
    engine: &mut Engine,
    choose: impl FnOnce(&RawClient) -> Vec<i32>,
) -> (Status, String) {
    refused(engine, |client| client.say(client.hello().as_bytes(), &choose(client)))
}

#[test]
fn a_hello_is_answered_with_an_identity() {
    let mut engine = Engine::new();
    for count in 1..=3 {
        let client = engine.connect();
        client.greet();
        engine.run();
        let welcome = client.welcome().expect("an answer");
        assert_eq!((welcome.magic, welcome.version, welcome.status), (MAGIC, SESSION_VERSION, 0));
        assert_eq!((welcome.node, welcome.session), (7, (1_000 << 24) + count));
        assert_eq!(welcome.message_len_max as usize, MESSAGE_LEN_MAX);
        assert_eq!(client.traces(), (1, 2), "mapped, and the descriptor closed");
    }
    engine.run();
    assert!(engine.sessions.is_empty(), "they were dropped");
}

#[test]
fn a_hello_may_come_late_but_not_too_late() {
    let mut engine = Engine::new();
    let client = engine.connect();
    engine.run();
    assert_eq!(engine.sessions.deadline(), Some(engine.now + HELLO_TIMEOUT));
    client.greet();
    engine.run();
    assert_eq!(client.welcome().map(|w| w.status), Some(0));
    assert_eq!(engine.sessions.deadline(), None);

    let silent = engine.connect();
    let deadline = engine.sessions.deadline().expect("one waits");
    engine.sessions.expire(&engine.epoll, Instant(deadline.0 - 1));
    assert!(!silent.is_hung_up());
    engine.sessions.expire(&engine.epoll, deadline);
    let welcome = silent.welcome().expect("told");
    assert_eq!(Status(welcome.status), Status::ETIMEDOUT);
    assert!(silent.is_hung_up());
    assert_eq!(engine.sessions.len(), 1);
}

#[test]
fn a_connection_that_goes_before_its_hello_leaves_nothing() {
    let mut engine = Engine::new();
    let client = engine.connect();
    drop(client);
    engine.run();
    assert_eq!(engine.sessions.deadline(), None);
}

#[test]
fn garbled_hellos_are_refused_in_words() {
    let mut engine = Engine::new();
    let (status, reason) = refused_hello(&mut engine, |hello| hello.magic = 1);
    assert_eq!(status, Status::EINVAL, "{reason}");
    for len in [1, 15] {
        let (status, reason) = refused(&mut engine, |client| {
            client.say(&client.hello().as_bytes()[..len], &client.fds());
        });
        assert!(status == Status::EINVAL && reason.contains("bytes"), "{reason}");
    }
    let (status, _) = refused(&mut engine, |client| {
        client.say(&[client.hello().as_bytes(), &[0; 100]].concat(), &client.fds());
    });
    assert_eq!(status, Status::EINVAL);
    // Later versions may say more.
    let (status, reason) = refused(&mut engine, |client| {
        let later = SESSION_VERSION + 1;
        let hello = Hello { version_min: later, version_max: later, ..client.hello() };
        client.say(&[hello.as_bytes(), &[1; 100]].concat(), &client.fds());
    });
    assert!(status == Status::EVERSION && reason.contains("same release"), "{reason}");
    for version in [0, SESSION_VERSION + 1] {
        let (status, reason) = refused_hello(&mut engine, |hello| {
            (hello.version_min, hello.version_max) = (version, version);
        });
        assert_eq!(status, Status::EVERSION);
        assert!(
            reason.contains(&format!("version {SESSION_VERSION},"))
                && reason.contains(&version.to_string()),
            "{reason}"
        );
    }
    for capacity in [0, 100, 1 << 15, (1 << 16) + 8, 1 << 31] {
        let (status, reason) = refused_hello(&mut engine, |h| h.receive_capacity = capacity);
        assert!(status == Status::EINVAL && reason.contains("session.receive_ring_len"));
        let (status, reason) = refused_hello(&mut engine, |hello| hello.send_capacity = capacity);
        assert!(status == Status::EINVAL && reason.contains("power of two"), "{reason}");
    }
}

#[test]
fn a_receive_ring_too_small_for_a_message_is_refused() {
    let mut engine = Engine::with(|limits| limits.message_len_max = (16 << 10) + 1);
    let (status, reason) = refused_hello(&mut engine, |_| ());
    assert_eq!(status, Status::EINVAL);
    assert!(reason.contains("65536") && reason.contains("16385"), "{reason}");
}

#[test]
fn wrong_descriptors_are_refused() {
    let mut engine = Engine::new();
    let layout_len = 4_096 + (2 << 16);
    let count_wrong = |count: usize| move |c: &RawClient| c.fds().repeat(3)[..count].to_vec();
    for count in [0, 1, 2, 4, 8] {
        let (status, reason) = refused_fds(&mut engine, count_wrong(count));
        assert!(status == Status::EINVAL && reason.contains("three"), "{reason}");
    }
    for unsealed in [libc::F_SEAL_SHRINK, libc::F_SEAL_GROW, libc::F_SEAL_SEAL] {
        let (memory, _) = memfd(layout_len, unsealed);
        let (status, reason) = refused_fds(&mut engine, |client| {
            vec![memory.as_raw_fd(), client.fds()[1], client.fds()[2]]
        });
        assert!(status == Status::EINVAL && reason.contains("sealed"), "{reason}");
    }
    for len in [0, layout_len - 1, layout_len + 1, layout_len * 2] {
        let (memory, _) = memfd(len, 0);
        let (_, reason) = refused_fds(&mut engine, |client| {
            vec![memory.as_raw_fd(), client.fds()[1], client.fds()[2]]
        });
        assert!(reason.contains("size"), "{reason}");
    }
    let file = tempfile();
    let (_, reason) =
        refused_fds(&mut engine, |client| vec![file.as_raw_fd(), client.fds()[1], client.fds()[2]]);
    assert!(reason.contains("memfd"), "{reason}");
    for place in [1, 2] {
        let blocking = eventfd(0);
        let (_, reason) = refused_fds(&mut engine, |client| {
            let mut fds = client.fds().to_vec();
            fds[place] = blocking.as_raw_fd();
            fds
        });
        assert!(reason.contains("non-blocking"), "{reason}");
        let (no_eventfd, _) = socket::pair().expect("socketpair");
        let (_, reason) = refused_fds(&mut engine, |client| {
            let mut fds = client.fds().to_vec();
            fds[place] = no_eventfd.as_raw_fd();
            fds
        });
        assert!(reason.contains("not an eventfd"), "{reason}");
    }
}

fn tempfile() -> std::fs::File {
    let path = std::env::temp_dir().join(format!("anasazi-opening-{}", std::process::id()));
    let file = std::fs::File::create_new(&path).expect("created");
    std::fs::remove_file(path).expect("removed");
    file
}

#[test]
fn more_sessions_than_allowed_are_refused_until_one_ends() {
    let mut engine = Engine::with(|limits| limits.sessions_max = 2);
    let (mut first, _second) = (engine.open(), engine.open());
    let (status, reason) = refused_hello(&mut engine, |_| ());
    assert!(status == Status::ENOMEM && reason.contains("client.sessions_max"), "{reason}");
    first.hang_up();
    engine.run();
    engine.open();
}

#[test]
fn silent_connections_are_bounded_and_shut_nobody_out() {
    let mut engine = Engine::new();
    let silent: Vec<_> = (0..200).map(|_| engine.connect()).collect();
    let waiting = silent.iter().filter(|client| client.welcome().is_none());
    assert_eq!(waiting.count(), WAITING_MAX);
    engine.open();
    assert!(engine.sessions.slots.len() <= WAITING_MAX + 1);
}

#[test]
fn strangers_are_refused_unless_listed() {
    let mut engine = Engine::with(|limits| {
        limits.allow_uids = vec![4_242];
        limits.allow_gids = vec![77];
    });
    engine.sessions.trusted_uids = [0, 1_000];
    let peer = |uid, gid, groups: &[u32]| Peer {
        pid: 1,
        uid,
        gid,
        groups: groups.to_vec(),
        way: Way::Memory,
        socket: "shm:/a".into(),
        life: socket::Life::default(),
    };
    for known in [peer(0, 5, &[]), peer(1_000, 5, &[]), peer(4_242, 5, &[]), peer(9, 77, &[])] {
        assert_eq!(engine.sessions.refuse_stranger(&known), None);
    }
    assert_eq!(engine.sessions.refuse_stranger(&peer(9, 5, &[76, 77])), None);
    let refusal = engine.sessions.refuse_stranger(&peer(9, 5, &[76])).expect("refused");
    assert_eq!(refusal.status, Status::EACCES);
    assert!(refusal.reason.contains("user 9") && refusal.reason.contains("client.allow_uids"));

    // The answer comes when the hello does, and nothing of that is kept.
    engine.sessions.trusted_uids = [u32::MAX; 2];
    let (status, reason) = refused_hello(&mut engine, |_| ());
    assert!(status == Status::EACCES && reason.contains("client.allow_gids"), "{reason}");
}

#[test]
fn a_client_that_hangs_up_is_disconnected_after_what_it_had_sent() {
    let mut engine = Engine::new();
    let mut client = engine.open();
    client.join(1, "room");
    client.send(1, 4, 9, b"last words");
    client.hang_up();
    engine.run();
    let id = (1_000_u64 << 24) + 1;
    let expected = [format!("join {id} room"), format!("send {id} 10"), format!("disconnect {id}")];
    assert_eq!(engine.core.log, expected);
    assert!(engine.sessions.is_empty());
    assert_eq!(client.traces(), (1, 1), "unmapped");
    assert_eq!(engine.sessions.group_count(), 0);
}

#[test]
fn a_close_is_carried_out_in_order_and_confirmed() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    client.push(request::CLOSE, &[], &[]).expect("room");
    client.send(1, 4, 9, b"too late");
    engine.run();
    assert_eq!(engine.core.log.len(), 2, "{:?}", engine.core.log);
    assert_eq!(client.closed().map(|closed| closed.0), Some(0));
    assert!(client.was_woken() && client.is_hung_up());
}

#[test]
fn an_engine_that_ends_says_why_to_everyone() {
    let mut engine = Engine::new();
    let (client, waiting) = (engine.open(), engine.connect());
    engine.sessions.close_all(Status::ELOST, "the daemon stops", &engine.epoll);
    let expected = (Status::ELOST.0, "the daemon stops".to_owned());
    assert_eq!(client.closed(), Some(expected));
    assert!(client.was_woken() && client.is_hung_up());
    assert_eq!(waiting.welcome().map(|w| Status(w.status)), Some(Status::ELOST));
    assert!(waiting.is_hung_up());
    assert!(engine.sessions.is_empty());
    assert_eq!(engine.sessions.deadline(), None);
}

/// A client of another user who makes its own eventfd block, which it can do at any moment.
#[test]
fn a_client_that_will_not_be_woken_blocks_nobody() {
    let mut engine = Engine::with(|limits| limits.allow_uids = vec![socket::own_uid()]);
    engine.sessions.trusted_uids = [u32::MAX; 2];
    let (honest, hostile) = (engine.open(), engine.open());
    honest.join(1, "room");
    engine.run();
    honest.expect_view();
    assert!(honest.was_woken());
    make_blocking(&hostile.wake_client);
    add(&hostile.wake_client, u64::MAX - 1);
    hostile.join(1, "room");
    let engine = std::thread::scope(|scope| {
        let (done, is_done) = std::sync::mpsc::channel();
        scope.spawn(move || {
            engine.run();
            done.send(engine).expect("awaited");
        });
        let engine = is_done.recv_timeout(Duration::from_secs(10));
        if engine.is_err() {
            count(&hostile.wake_client); // let the thread end
        }
        engine
    });
    assert_eq!(engine.expect("not blocked").sessions.len(), 2);
    assert_eq!(hostile.expect_view().members, 2);
}

/// The engine never reads the eventfd that wakes it, so that a client cannot make it wait there.
#[test]
fn a_wake_up_descriptor_made_blocking_blocks_nobody() {
    let mut engine = Engine::new();
    let client = engine.open();
    make_blocking(&client.wake_engine);
    for turn in 0..3 {
        client.join(turn, &format!("room {turn}"));
        engine.run();
        assert_eq!(client.expect_view().handle, turn);
    }
}
