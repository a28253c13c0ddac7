//! The engine goes away and comes back; or does not.

use super::*;
use crate::sys::fake_engine::refusal;

/// Lets the client try until it has called again.
fn await_call(session: &Session, listener: &Listener) {
    while !listener.has_caller() {
        let deadline_ns = crate::sys::poll::now_ns() + 10_000_000_000;
        session.wait(deadline_ns).expect("another attempt within 10 s");
        assert_eq!(receive(session, Hold::Release), []);
    }
}

#[test]
fn the_session_resumes_and_its_groups_are_joined_again() {
    let (session, engine, listener) = open();
    let (a, number) = join(&session, &engine, "a");
    let (b, _) = join(&session, &engine, "b");
    let (leaving, _) = join(&session, &engine, "leaving");
    session.leave(leaving).unwrap();
    engine.message(number, 1, b"already in the ring");
    drop(engine);
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen), [EventKind::Message, EventKind::Suspended, EventKind::Left]);
    assert_eq!((seen[2].group, seen[2].status), (Some(leaving), Status::OK));
    assert_eq!(session.send(a, 4, &[b"nobody there"], 0), Err(Status::EAGAIN));
    let (c, fd) = (session.join("c", 0, 0).unwrap(), session.fd());

    await_call(&session, &listener);
    let engine = listener.accept(&welcome(6)).unwrap();
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen), [EventKind::Resumed, EventKind::Writable]);
    assert_eq!(seen[1].group, Some(a));
    assert_eq!((session.identity().session, session.fd()), (6, fd));
    let mut names: Vec<Vec<u8>> = (0..3).map(|_| engine.request().bytes[8..].to_vec()).collect();
    names.sort();
    assert_eq!(names, [b"a", b"b", b"c"]);
    for group in [a, b, c] {
        session.send(group, 4, &[b"again"], 0).unwrap();
    }
    engine.view(a.number(), &[session.identity()], "you are back");
    assert_eq!(kinds(&receive_some(&session)), [EventKind::View]);
    assert_eq!(session.stats().unwrap().reconnects, 1);
}

#[test]
fn kept_events_survive_reconnections_and_can_be_released_later() {
    let (session, mut engine, listener) = open();
    let (group, _) = join(&session, &engine, "room");
    let mut kept = Vec::new();
    for round in 0..5_u8 {
        engine.message(group.number(), 1, &[round; 3_000]);
        session
            .receive(1, &mut |event| {
                kept.push((event.token, event.data.as_ptr(), round));
                Hold::Keep
            })
            .unwrap();
        drop(engine);
        assert_eq!(kinds(&receive_some(&session)), [EventKind::Suspended]);
        await_call(&session, &listener);
        engine = listener.accept(&welcome(u64::from(round) + 10)).unwrap();
        assert_eq!(kinds(&receive_some(&session)), [EventKind::Resumed]);
        take_join(&engine, "room");
    }
    for (token, data, byte) in kept.into_iter().rev() {
        assert!(like_c::are_all(data, 3_000, byte));
        release(&session, &[token]);
    }
    assert!(!session.holds_events());
}

#[test]
fn with_too_much_held_the_session_waits_for_releases() {
    let (session, mut engine, listener) = open();
    let (group, _) = join(&session, &engine, "room");
    let mut tokens = Vec::new();
    for _ in 0..16 {
        engine.message(group.number(), 1, b"held");
        session
            .receive(1, &mut |event| {
                tokens.push(event.token);
                Hold::Keep
            })
            .unwrap();
        drop(engine);
        assert_eq!(kinds(&receive_some(&session)), [EventKind::Suspended]);
        await_call(&session, &listener);
        engine = listener.accept(&welcome(1)).unwrap();
        if tokens.len() == 16 {
            break;
        }
        assert_eq!(kinds(&receive_some(&session)), [EventKind::Resumed]);
        take_join(&engine, "room");
    }
    assert_eq!(receive(&session, Hold::Release), []);
    release(&session, &tokens[3..4]);
    drop(engine);
    await_call(&session, &listener);
    let _engine = listener.accept(&welcome(2)).unwrap();
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Resumed]);
}

#[test]
fn an_engine_that_refuses_the_second_time_ends_the_session() {
    let (session, engine, listener) = open();
    let (group, _) = join(&session, &engine, "room");
    drop(engine);
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Suspended]);
    await_call(&session, &listener);
    listener.accept(&refusal(Status::EAGAIN, "1024 sessions, the limit of client.sessions_max"));
    assert_eq!(receive(&session, Hold::Release), [], "that may pass");
    await_call(&session, &listener);
    listener.accept(&refusal(Status::EACCES, "the rules changed"));
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen), [EventKind::Left, EventKind::Closed]);
    assert_eq!((seen[0].group, &seen[1].data[..]), (Some(group), &b"the rules changed"[..]));
}

#[test]
fn an_engine_that_is_gone_for_good_ends_the_session() {
    let (session, engine, listener) = open();
    *listener.refuse_with.lock().unwrap() = Some(Status::ECONNREFUSED);
    drop(engine);
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Suspended]);
    assert_eq!(receive(&session, Hold::Release), [], "it may come back");
    *listener.refuse_with.lock().unwrap() = Some(Status::ECLOSED);
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Closed]);
}

#[test]
fn an_engine_that_says_that_it_ends_is_waited_for() {
    for status in [Status::OK, Status::ECLOSED, Status::ESTATE, Status::ECONNREFUSED] {
        let (session, engine, listener) = open();
        engine.closed(status, "the engine was stopped");
        assert_eq!(kinds(&receive_some(&session)), [EventKind::Suspended], "{status:?}");
        engine.await_end();
        await_call(&session, &listener);
    }
}

#[test]
fn a_connection_that_dies_in_the_greeting_is_tried_again() {
    let (session, engine, listener) = open();
    drop(engine);
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Suspended]);
    for _ in 0..3 {
        await_call(&session, &listener);
        listener.hang_up();
    }
    await_call(&session, &listener);
    let _engine = listener.accept(&welcome(8)).unwrap();
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Resumed]);
}

#[test]
fn a_wait_for_room_goes_on_across_a_reconnection() {
    let (session, engine, listener) = open();
    let (group, _) = join(&session, &engine, "room");
    drop(engine);
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Suspended]);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| group.wait_writable(-1));
        await_call(&session, &listener);
        let _engine = listener.accept(&welcome(2)).unwrap();
        assert_eq!(kinds(&receive_some(&session)), [EventKind::Resumed]);
        assert_eq!(waits.join().unwrap(), Ok(()));
    });
}
