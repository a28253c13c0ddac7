//! Sends: checked, refused when there is no room, told when there is.

use super::*;
use crate::sys::poll::now_ns;
use anasazi_queue::record::SendRecord;

#[test]
fn a_send_arrives_whole_with_service_and_tag() {
    let (session, engine, _) = open();
    let (group, number) = join(&session, &engine, "room");
    session.send(group, 0x105, &[b"in ", b"", b"three parts"], 77).unwrap();
    let request = engine.request();
    assert_eq!(request.kind, request::SEND);
    let (record, data) = SendRecord::split_from(&request.bytes).unwrap();
    assert_eq!(
        record,
        SendRecord { handle: number, service: 0x105, tag: 77, ..SendRecord::default() }
    );
    assert_eq!(data, b"in three parts");
    session.send(group, 0, &[], 0).expect("an empty message is a message");
    assert_eq!(SendRecord::split_from(&engine.request().bytes).unwrap().1, b"");
}

#[test]
fn what_cannot_be_sent_is_refused_at_once() {
    let (session, engine, _) = open();
    let (group, _) = join(&session, &engine, "room");
    assert_eq!(session.send(group, 4, &[&[0; 10_001]], 0), Err(Status::EMSGSIZE));
    assert_eq!(session.send(group, 4, &[&[0; 10_000]], 0), Ok(()));
    assert_eq!(session.send(group, 6, &[], 0), Err(Status::EINVAL));
    assert_eq!(session.send(group, 0x800 | 4, &[], 0), Err(Status::EINVAL));
    assert_eq!(session.send(group, 0x204, &[], 0), Err(Status::ENOTSUP));
    for priority in [0x1000, 0x2000] {
        assert_eq!(session.send(group, priority | 4, &[], 0), Ok(()), "{priority:x}");
    }
    assert_eq!(session.send(group, 0x3004, &[], 0), Err(Status::EINVAL));
    // Without order: what fits into a packet. In one view: what has one, and has an order.
    assert_eq!(session.send(group, 0, &[&[0; 1_025]], 0), Err(Status::EMSGSIZE));
    assert_eq!(session.send(group, 0, &[&[0; 1_024]], 0), Ok(()));
    assert_eq!(session.send(group, 0x400, &[], 0), Err(Status::EINVAL));
    let outside = session.join("outside", 1, 0).unwrap();
    assert_eq!(session.send(outside, 0x404, &[], 0), Err(Status::EINVAL));
    let claim = group.claim(1_025).unwrap();
    assert_eq!(group.commit(&claim, 0, 0), Err(Status::EMSGSIZE));
    assert_eq!(group.commit(&claim, 4, 0), Err(Status::EINVAL), "it has ended");
    for stale in [0, 1, u64::MAX, group.0 + 1, 0x7fff_dead_beef] {
        assert_eq!(session.send(GroupHandle(stale), 4, &[], 0), Err(Status::ECLOSED));
    }
}

#[test]
fn names_are_checked() {
    let (session, engine, _) = open();
    assert_eq!(session.join("", 0, 0), Err(Status::EINVAL));
    assert_eq!(session.join(&"x".repeat(256), 0, 0), Err(Status::EINVAL));
    assert_eq!(session.join("room", 2, 0), Err(Status::EINVAL));
    let longest = "x".repeat(255);
    let (group, _) = join(&session, &engine, &longest);
    assert_eq!(group.with_name(str::to_owned).unwrap(), longest);
    assert_eq!(session.join(&longest, 1, 0), Err(Status::EEXIST));
    let (other, ..) = open();
    other.join(&longest, 0, 0).expect("another session's groups are its own");
}

#[test]
fn after_eagain_each_group_is_told_once_that_there_is_room() {
    let (session, engine, _) = open();
    let groups = ["a", "b", "c"].map(|name| join(&session, &engine, name).0);
    assert_quiet(&session);
    let message = [7; 9_000];
    let mut sent = 0;
    while session.send(groups[0], 4, &[&message], 0).is_ok() {
        sent += 1;
    }
    assert!(sent > 3, "only {sent} fit");
    for _ in 0..3 {
        assert_eq!(session.send(groups[1], 4, &[&message], 0), Err(Status::EAGAIN));
    }
    assert_quiet(&session);
    for _ in 0..sent {
        engine.request();
    }
    let seen = receive_some(&session);
    let mut told: Vec<_> = seen.iter().map(|seen| (seen.kind, seen.group)).collect();
    told.sort_by_key(|(_, group)| group.map(|group| group.0));
    let mut owed = [(EventKind::Writable, Some(groups[0])), (EventKind::Writable, Some(groups[1]))];
    owed.sort_by_key(|(_, group)| group.map(|group| group.0));
    assert_eq!(told, owed);
    session.send(groups[1], 4, &[&message], 0).expect("what Writable promised");
    assert_quiet(&session);
    assert_eq!(session.stats().unwrap().send_again, 4);
    while session.send(groups[2], 4, &[&message], 0).is_ok() {}
    while engine.poll_request().is_some() {}
    let told: Vec<_> = receive_some(&session).into_iter().map(|seen| seen.group).collect();
    assert_eq!(told, [Some(groups[2])], "the others have been told");
}

#[test]
fn a_wait_for_room_ends_when_there_is_room() {
    let (session, engine, _) = open();
    let (group, _) = join(&session, &engine, "room");
    assert_eq!(group.wait_writable(-1), Ok(()));
    while session.send(group, 4, &[&[0; 5_000]], 0).is_ok() {}
    assert_eq!(group.wait_writable(0), Err(Status::ETIMEDOUT));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| group.wait_writable(-1));
        while engine.poll_request().is_some() {}
        assert_eq!(waits.join().unwrap(), Ok(()));
    });
    session.send(group, 4, &[&[0; 5_000]], 0).unwrap();
    while session.send(group, 4, &[&[0; 5_000]], 0).is_ok() {}
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| group.wait_writable(-1));
        session.close();
        let ended = waits.join().unwrap();
        assert_eq!(ended, Err(Status::ECLOSED));
    });
}

/// Threads send through one session as fast as they can, to an engine that reads slowly; all waits
/// are for events.
#[test]
fn many_threads_send_in_order_each() {
    const EACH: u64 = 20_000;
    let (session, engine, _) = open();
    let (group, _) = join(&session, &engine, "room");
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            scope.spawn(move || {
                for n in 0..EACH {
                    let bytes = [thread.to_ne_bytes(), n.to_ne_bytes()].concat();
                    while let Err(status) = group.send(4, n, std::iter::once(&bytes[..])) {
                        assert_eq!(status, Status::EAGAIN);
                        group.wait_writable(now_ns() + 20_000_000_000).unwrap();
                    }
                }
            });
        }
        let mut next = [0; 3];
        for _ in 0..3 * EACH {
            let request = engine.request();
            let words = &request.bytes[size_of::<SendRecord>()..];
            let thread = u64::from_ne_bytes(words[..8].try_into().unwrap()) as usize;
            assert_eq!(u64::from_ne_bytes(words[8..].try_into().unwrap()), next[thread]);
            next[thread] += 1;
        }
        assert_eq!(next, [EACH; 3]);
    });
    assert_eq!(session.stats().unwrap().sent_messages, 3 * EACH);
}

#[test]
fn a_send_keeps_errno() {
    let (session, engine, _) = open();
    let (group, _) = join(&session, &engine, "room");
    assert!(engine.requests.prepare_sleep(), "so that the send makes a system call");
    *like_c::errno() = 4_242;
    assert_eq!(session.send(group, 4, &[b"x"], 0), Ok(()));
    assert_eq!(session.send(group, 99, &[b"x"], 0), Err(Status::EINVAL));
    while session.send(group, 4, &[&[0; 9_000]], 0).is_ok() {}
    assert_eq!(*like_c::errno(), 4_242);
}

#[test]
fn a_claim_is_sent_at_its_place_once() {
    let (session, engine, _) = open();
    let (group, number) = join(&session, &engine, "room");
    let (other, _) = join(&session, &engine, "other");
    let claim = group.claim(100).unwrap();
    let given_up = group.claim(5_000).unwrap();
    session.send(group, 4, &[b"claimed later"], 0).unwrap();
    assert_eq!(engine.poll_request(), None, "nothing overtakes a claim");
    like_c::fill(&claim, 7);
    like_c::fill(&given_up, 9);
    for broken in [
        crate::OpenClaim { len: 101, ..claim },
        crate::OpenClaim { len: 0, ..claim },
        crate::OpenClaim { token: claim.token + 8, ..claim },
        crate::OpenClaim { token: u64::MAX - 7, ..claim },
        crate::OpenClaim { data: given_up.data, ..claim },
    ] {
        assert_eq!(group.commit(&broken, 4, 1), Err(Status::EINVAL), "{broken:?}");
    }
    assert_eq!(other.commit(&claim, 4, 1), Err(Status::EINVAL));
    assert_eq!(group.commit(&claim, 99, 1), Err(Status::EINVAL));
    assert_eq!(group.commit(&claim, 5, 11), Ok(()));
    assert_eq!(group.commit(&claim, 5, 11), Err(Status::EINVAL));
    assert_eq!(group.abort(&given_up), Ok(()));
    assert_eq!(group.abort(&given_up), Err(Status::EINVAL));
    let request = engine.request();
    let (record, data) = SendRecord::split_from(&request.bytes).unwrap();
    assert_eq!(record, SendRecord { handle: number, service: 5, tag: 11, ..SendRecord::default() });
    assert_eq!(data, [7; 100]);
    assert_eq!(&engine.request().bytes[size_of::<SendRecord>()..], b"claimed later");
    assert_eq!(group.claim(10_001).err(), Some(Status::EMSGSIZE));
    assert_eq!(group.commit(&claim, 4, 1), Err(Status::EINVAL), "consumed by now");
}

#[test]
fn a_claim_outlives_its_group_its_connection_and_its_session() {
    let (session, engine, listener) = open();
    let (left, number) = join(&session, &engine, "left");
    let (stays, _) = join(&session, &engine, "stays");
    let of_left = left.claim(50).unwrap();
    let of_lost = stays.claim(60).unwrap();
    engine.left(number, Status::OK, "");
    receive_some(&session);
    assert_quiet(&session);
    like_c::fill(&of_left, 1);
    assert_eq!(left.commit(&of_left, 4, 0), Err(Status::ECLOSED));
    assert!(left.commit(&of_left, 4, 0).is_err());
    drop(engine);
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Suspended]);
    while !listener.has_caller() {
        session.wait(now_ns() + 10_000_000_000).unwrap();
        receive(&session, Hold::Release);
    }
    let _engine = listener.accept(&welcome(2)).unwrap();
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Resumed]);
    like_c::fill(&of_lost, 2);
    assert_eq!(stays.commit(&of_lost, 4, 0), Err(Status::ELOST));
    let of_closed = stays.claim(70).unwrap();
    drop(session);
    like_c::fill(&of_closed, 3);
    assert_eq!(stays.commit(&of_closed, 4, 0), Err(Status::ECLOSED));
    assert!(stays.abort(&of_closed).is_err());
}
