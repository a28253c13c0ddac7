//! One ordered stream, borrowed from the ring, given back in any order.

use super::*;
use anasazi_queue::record::{Member, event};

#[test]
fn messages_and_views_come_in_one_order() {
    let (session, engine, _) = open();
    let (group, number) = join(&session, &engine, "room");
    assert!(!is_readable(session.fd()) || receive(&session, Hold::Release).is_empty());
    assert_quiet(&session);
    engine.view(number, &[Member { node: 1, session: 5 }], "you joined");
    engine.message(number, 1, b"first");
    engine.message(number, 2, b"second");
    assert!(is_readable(session.fd()));
    let seen = receive(&session, Hold::Release);
    assert_eq!(kinds(&seen), [EventKind::View, EventKind::Message, EventKind::Message]);
    assert!(seen.iter().all(|seen| seen.group == Some(group) && seen.user_data == 0x1234));
    assert_eq!((&seen[2].data[..], seen[2].tag), (&b"second"[..], 20));
    assert_quiet(&session);
    assert_eq!(session.stats().unwrap().received_messages, 2);
    assert_eq!(session.stats().unwrap().views, 1);
}

#[test]
fn the_descriptor_stays_readable_while_events_are_left() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    for n in 1..=5 {
        engine.message(number, n, b"x");
    }
    for left in (0..5).rev() {
        assert!(is_readable(session.fd()), "with {} left", left + 1);
        assert_eq!(session.receive(1, &mut |_| Hold::Release), Ok(1));
    }
    assert_quiet(&session);
    engine.message(number, 6, b"after a sleep");
    assert!(is_readable(session.fd()));
    assert_eq!(receive(&session, Hold::Release).len(), 1);
    assert_quiet(&session);
}

/// The wake-up for what came first was taken already, and for what came second there was none.
#[test]
fn the_descriptor_stays_readable_for_what_came_while_receiving() {
    let (session, engine, _) = open();
    let (a, number) = join(&session, &engine, "a");
    let (b, _) = join(&session, &engine, "b");
    assert_quiet(&session);
    while session.send(a, 4, &[&[0; 9_000]], 0).is_ok() {}
    assert_eq!(session.send(b, 4, &[&[0; 9_000]], 0), Err(Status::EAGAIN));
    while engine.poll_request().is_some() {}
    let shown = session.receive(2, &mut |event| {
        assert_eq!(event.kind, EventKind::Writable);
        engine.message(number, 1, b"meanwhile");
        Hold::Release
    });
    assert_eq!(shown, Ok(2));
    assert!(is_readable(session.fd()));
    assert_eq!(receive(&session, Hold::Release).len(), 2);
    assert_quiet(&session);
}

/// However the engine's and the reader's steps fall together.
#[test]
fn a_reader_that_looks_only_when_the_descriptor_says_so_gets_everything() {
    const MESSAGES: u64 = 30_000;
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    assert_quiet(&session);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=MESSAGES {
                while !engine.try_message(number, n, b"x") {
                    std::thread::yield_now();
                }
                // So that the reader is often just about to sleep.
                while n % 7 == 0 && engine.events.used() > 0 {
                    std::hint::spin_loop();
                }
            }
        });
        let mut seen = 0;
        while seen < MESSAGES {
            let deadline_ns = crate::sys::poll::now_ns() + 10_000_000_000;
            session.wait(deadline_ns).expect("readable while there are events");
            seen += session.receive(2, &mut |_| Hold::Release).unwrap() as u64;
        }
    });
    assert_quiet(&session);
}

#[test]
fn kept_events_stay_readable_and_may_be_released_in_any_order() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    let mut kept: Vec<(u64, *const u8, u8)> = Vec::new();
    let mut next = 0_u8;
    // Many times around the ring, always with ten kept.
    for round in 0..2_000_u64 {
        engine.message(number, round + 1, &[next; 1_000]);
        session
            .receive(10, &mut |event| {
                kept.push((event.token, event.data.as_ptr(), next));
                Hold::Keep
            })
            .unwrap();
        next = next.wrapping_add(1);
        if kept.len() == 10 {
            let (token, data, byte) = kept.remove((round * 7 % 10) as usize);
            assert!(like_c::are_all(data, 1_000, byte), "round {round}");
            release(&session, &[token]);
        }
    }
    assert!(session.holds_events());
    let tokens: Vec<u64> = kept.iter().map(|(token, ..)| *token).collect();
    release(&session, &tokens);
    assert!(!session.holds_events());
    // Again, and nonsense: nothing happens.
    release(&session, &tokens);
    release(&session, &[0, 1, 7, u64::MAX, tokens[0] + 1, tokens[8] + 8]);
    engine.message(number, 9_999, b"still sound");
    assert_eq!(receive(&session, Hold::Release)[0].data, b"still sound");
}

#[test]
fn a_view_is_kept_with_its_lists_until_it_is_released() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    let members: Vec<Member> = (0..100).map(|n| Member { node: n, session: n * n }).collect();
    let mut kept = Vec::new();
    for round in 0..100 {
        engine.view(number, &members, &format!("round {round}"));
        session
            .receive(1, &mut |event| {
                let view = event.view.unwrap();
                assert_eq!(view.members(), members);
                assert_eq!(view.reason(), format!("round {round}"));
                kept.push(event.token);
                Hold::Keep
            })
            .unwrap();
        if kept.len() == 4 {
            for index in [2, 0, 3, 1] {
                release(&session, &[kept[index]]);
            }
            kept.clear();
        }
    }
    assert!(!session.holds_events());
}

#[test]
fn replies_carry_tag_status_and_more() {
    let (session, engine, _) = open();
    session.query(b"{}", 42).unwrap();
    assert_eq!(engine.request().kind, request::QUERY);
    engine.reply(42, Status::OK, true, "{\"a\":");
    engine.reply(42, Status::EACCES, false, "1}");
    let mut more = Vec::new();
    session
        .receive(9, &mut |event| {
            assert_eq!((event.kind, event.tag), (EventKind::Reply, 42));
            more.push((event.more, event.status, event.text().to_owned()));
            Hold::Release
        })
        .unwrap();
    assert_eq!(more, [(true, Status::OK, "{\"a\":".into()), (false, Status::EACCES, "1}".into())]);
}

#[test]
fn a_blocking_query_puts_other_events_aside() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    std::thread::scope(|scope| {
        let asked = scope
            .spawn(|| session.query_blocking("{\"query\":\"status\"}", Duration::from_secs(10)));
        let tag = u64::from_ne_bytes(engine.request().bytes[..8].try_into().unwrap());
        engine.message(number, 1, b"meanwhile");
        engine.reply(tag, Status::OK, true, "{\"n\"");
        engine.reply(tag, Status::OK, false, ":1}");
        assert_eq!(asked.join().unwrap().unwrap(), "{\"n\":1}");
    });
    let event = session.next_event(Some(Duration::from_secs(10))).unwrap().unwrap();
    assert!(matches!(event, crate::OwnedEvent::Message { data, .. } if data == b"meanwhile"));
    assert!(session.next_event(Some(Duration::ZERO)).unwrap().is_none());
}

#[test]
fn events_for_groups_that_nobody_has_are_dropped() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    for nobody in [number ^ 1, number ^ 0x100, 0, u32::MAX] {
        engine.message(nobody, 1, b"lost");
        engine.left(nobody, Status::OK, "");
    }
    engine.push(999, &[b"of a later version"]);
    engine.message(number, 1, b"found");
    assert_eq!(kinds(&receive(&session, Hold::Release)), [EventKind::Message]);
    assert!(!session.holds_events());
}

#[test]
fn a_record_cut_short_ends_the_connection_but_not_the_program() {
    for (kind, bytes) in [
        (event::MESSAGE, 39),
        (event::VIEW, 71),
        (event::VIEW, 72),
        (event::LEFT, 7),
        (event::REPLY, 15),
        (event::RECEIPT, 0),
        (event::CLOSED, 3),
    ] {
        let (session, engine, _) = open();
        engine.push(kind, &[&vec![0; bytes]]);
        let seen = receive_some(&session);
        assert_eq!(kinds(&seen), [EventKind::Suspended], "{kind} with {bytes} bytes");
        assert!(seen[0].data.starts_with(b"the engine broke"));
    }
}

#[test]
fn memory_full_of_nonsense_ends_the_connection_but_not_the_program() {
    for byte in [0x01, 0x7F, 0xFF, 0x10, 0x40] {
        let (session, engine, _) = open();
        let (group, number) = join(&session, &engine, "room");
        engine.message(number, 1, b"kept");
        session.receive(1, &mut |_| Hold::Keep).unwrap();
        engine.scribble(byte);
        _ = session.send(group, 4, &[b"into the storm"], 0);
        drop(engine);
        loop {
            let seen = receive_some(&session);
            if seen.iter().any(|seen| seen.kind == EventKind::Suspended) {
                break;
            }
        }
    }
}

#[test]
fn one_thread_receives_at_a_time_and_none_from_inside() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    engine.message(number, 1, b"x");
    let mut inner = None;
    session
        .receive(1, &mut |_| {
            inner = Some(session.receive(1, &mut |_| Hold::Release));
            Hold::Release
        })
        .unwrap();
    assert_eq!(inner, Some(Err(Status::EBUSY)));
    assert_eq!(session.receive(0, &mut |_| Hold::Release), Err(Status::EINVAL));
}

#[test]
fn a_sink_that_panics_leaves_a_session_that_works() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    engine.message(number, 1, b"x");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        _ = session.receive(1, &mut |_| panic!("on purpose"));
    }));
    assert!(panicked.is_err());
    engine.message(number, 2, b"y");
    assert_eq!(receive(&session, Hold::Release)[0].data, b"y");
}
