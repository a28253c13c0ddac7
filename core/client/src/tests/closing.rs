//! Ends: of a group, of a session, by the application and by the engine.

use super::*;
use crate::sys::poll::now_ns;
use anasazi_queue::record::LeaveRecord;

#[test]
fn leaving_ends_in_one_left_and_a_stale_handle() {
    let (session, engine, _) = open();
    let (group, number) = join(&session, &engine, "room");
    session.send(group, 4, &[b"before"], 0).unwrap();
    session.leave(group).unwrap();
    assert_eq!(session.leave(group), Err(Status::ENOTMEMBER));
    assert_eq!(session.send(group, 4, &[b"after"], 0), Err(Status::ENOTMEMBER));
    assert_eq!(engine.request().kind, request::SEND);
    let request = engine.request();
    assert_eq!(request.kind, request::LEAVE);
    assert_eq!(LeaveRecord::split_from(&request.bytes).unwrap().0.handle, number);
    engine.message(number, 1, b"still a member");
    engine.left(number, Status::OK, "left");
    engine.left(number, Status::OK, "left twice");
    engine.message(number, 2, b"late");
    let seen = receive(&session, Hold::Release);
    assert_eq!(kinds(&seen), [EventKind::Message, EventKind::Left]);
    assert_eq!((seen[1].status, seen[1].group), (Status::OK, Some(group)));
    // Its name can still be asked for until the next receive.
    assert_eq!(group.with_name(str::len), Ok(4));
    assert_eq!(session.send(group, 4, &[], 0), Err(Status::ECLOSED));
    assert_quiet(&session);
    assert_eq!(group.with_name(str::len), Err(Status::ECLOSED));
    assert_eq!(group.leave(), Err(Status::ECLOSED));
}

#[test]
fn a_refused_join_ends_its_handle_with_the_reason() {
    let (session, engine, _) = open();
    let (group, number) = join(&session, &engine, "room");
    engine.left(number, Status::EEXIST, "another name with the same hash is in use");
    let seen = receive_some(&session);
    assert_eq!((seen[0].kind, seen[0].group), (EventKind::Left, Some(group)));
    assert_eq!(seen[0].status, Status::EEXIST);
    assert!(seen[0].data.starts_with(b"another name"));
    assert_quiet(&session);
    let (again, number_again) = join(&session, &engine, "room");
    assert_ne!((again, number_again), (group, number), "a late send must not find the new group");
}

#[test]
fn a_group_may_be_joined_again_while_it_is_being_left() {
    let (session, engine, _) = open();
    let (old, old_number) = join(&session, &engine, "room");
    session.leave(old).unwrap();
    let new = session.join("room", 0, 0).unwrap();
    assert_eq!(engine.request().kind, request::LEAVE);
    let new_number = take_join(&engine, "room");
    engine.left(old_number, Status::OK, "");
    engine.message(new_number, 1, b"x");
    let seen = receive_some(&session);
    assert_eq!([seen[0].group, seen[1].group], [Some(old), Some(new)]);
}

#[test]
fn a_leave_that_finds_no_room_is_made_later() {
    let (session, engine, _) = open();
    let (group, number) = join(&session, &engine, "room");
    while session.send(group, 4, &[&[0; 500]], 0).is_ok() {}
    while session.query(b"", 0).is_ok() {}
    session.leave(group).unwrap();
    while let Some(request) = engine.poll_request() {
        assert_ne!(request.kind, request::LEAVE, "there was no room for it");
    }
    assert_eq!(receive(&session, Hold::Release), []);
    assert_eq!(engine.request().kind, request::LEAVE);
    engine.left(number, Status::OK, "");
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Left]);
}

#[test]
fn close_says_goodbye_and_makes_every_handle_stale() {
    let (session, engine, _) = open();
    let (group, _) = join(&session, &engine, "room");
    session.send(group, 4, &[b"last words"], 0).unwrap();
    session.close();
    session.close();
    assert_eq!(engine.request().kind, request::SEND);
    assert_eq!(engine.request().kind, request::CLOSE);
    engine.await_end();
    assert_eq!(group.with_name(str::len), Err(Status::ECLOSED));
    assert_eq!(session.send(group, 4, &[], 0), Err(Status::ECLOSED));
    assert_eq!(session.receive(1, &mut |_| Hold::Release), Err(Status::ECLOSED));
    assert_eq!(session.join("x", 0, 0), Err(Status::ECLOSED));
    assert_eq!(session.wait(-1), Err(Status::ECLOSED));
    assert_eq!(session.wake(), Err(Status::ECLOSED));
    assert_eq!(session.query(b"{}", 0), Err(Status::ECLOSED));
    assert!(session.stats().is_err());
}

#[test]
fn there_is_always_room_to_say_goodbye() {
    let (session, engine, _) = open();
    // So long that what is left can be filled to the last byte by queries without content.
    join(&session, &engine, "roomroomroom");
    while session.query(&[0; 1_000], 0).is_ok() {}
    while session.query(b"", 0).is_ok() {}
    session.close();
    let last = std::iter::from_fn(|| engine.poll_request()).last().unwrap();
    assert_eq!(last.kind, request::CLOSE);
}

#[test]
fn closing_ends_another_threads_wait() {
    let (session, _engine, _) = open();
    assert_quiet(&session);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| session.wait(-1));
        session.close();
        assert_eq!(waits.join().unwrap(), Err(Status::ECLOSED));
    });
}

#[test]
fn waking_ends_a_wait_once() {
    let (session, _engine, _) = open();
    assert_quiet(&session);
    assert_eq!(session.wait(now_ns() + 1_000_000), Err(Status::ETIMEDOUT));
    assert_eq!(session.wait(0), Err(Status::ETIMEDOUT));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| session.wait(-1));
        session.wake().unwrap();
        assert_eq!(waits.join().unwrap(), Err(Status::EINTR));
    });
    assert_eq!(session.wait(0), Err(Status::ETIMEDOUT));
}

#[test]
fn a_session_may_be_closed_from_inside_its_sink() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    engine.message(number, 1, b"a");
    engine.message(number, 2, b"b");
    let mut seen = 0;
    let n = session.receive(10, &mut |event| {
        seen += 1;
        session.close();
        assert_eq!(event.data, b"a");
        Hold::Release
    });
    assert_eq!((n, seen), (Ok(1), 1));
    engine.await_end();
    assert_eq!(session.receive(1, &mut |_| Hold::Release), Err(Status::ECLOSED));
}

#[test]
fn kept_events_survive_the_close() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    engine.message(number, 1, &[0xAB; 5_000]);
    let mut kept = (0, std::ptr::null());
    session
        .receive(1, &mut |event| {
            kept = (event.token, event.data.as_ptr());
            Hold::Keep
        })
        .unwrap();
    session.close();
    drop(engine);
    assert!(like_c::are_all(kept.1, 5_000, 0xAB));
    assert!(session.holds_events());
    release(&session, &[kept.0]);
    assert!(!session.holds_events());
}

#[test]
fn an_engine_that_cuts_a_session_off_has_the_last_word() {
    let (session, engine, _) = open();
    let (a, number) = join(&session, &engine, "a");
    let (b, _) = join(&session, &engine, "b");
    engine.message(number, 1, b"before");
    engine.closed(Status::ESLOW, "64 MiB of backlog");
    let seen = receive_some(&session);
    assert_eq!(
        kinds(&seen),
        [EventKind::Message, EventKind::Left, EventKind::Left, EventKind::Closed]
    );
    let ended: std::collections::HashSet<_> = seen[1..3].iter().map(|seen| seen.group).collect();
    assert_eq!(ended, [Some(a), Some(b)].into());
    assert!(seen[1..].iter().all(|seen| seen.status == Status::ESLOW));
    assert_eq!(seen[3].data, b"64 MiB of backlog");
    engine.await_end();
    assert_eq!(session.receive(1, &mut |_| Hold::Release), Err(Status::ECLOSED));
    assert_eq!(session.join("c", 0, 0), Err(Status::ECLOSED));
    assert!(!is_readable(session.fd()));
}

#[test]
fn in_a_child_everything_says_so_and_the_parent_notices_nothing() {
    let (session, engine, _) = open();
    let (group, number) = join(&session, &engine, "room");
    assert!(like_c::holds_in_child(|| {
        let forked = session.send(group, 4, &[b"x"], 0) == Err(Status::EFORKED)
            && session.receive(1, &mut |_| Hold::Release) == Err(Status::EFORKED)
            && session.wait(0) == Err(Status::EFORKED)
            && session.wake() == Err(Status::EFORKED)
            && group.leave() == Err(Status::EFORKED)
            && like_c::release(&session, &[8]) == Err(Status::EFORKED);
        session.close();
        forked
    }));
    engine.message(number, 1, b"all is well");
    assert_eq!(receive_some(&session)[0].data, b"all is well");
    session.send(group, 4, &[b"here too"], 0).unwrap();
    assert_eq!(engine.request().kind, request::SEND);
}
