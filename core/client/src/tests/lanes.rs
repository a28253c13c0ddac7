//! Lanes of domains: made when they are needed, each with its own room and its own end.

use anasazi_queue::record::{DoneRecord, Member, PeerRecord, TakenEntry, TakenRecord, event};

use super::*;
use crate::sys::fake_engine::refusal;
use crate::sys::poll::now_ns;

/// Lets the client greet for a lane, and answers.
fn accept(session: &Session, listener: &Listener, answer: &Welcome) -> FakeEngine {
    while !listener.has_caller() {
        session.wait(now_ns() + 10_000_000_000).expect("a lane within 10 s");
        assert_eq!(receive(session, Hold::Release), []);
    }
    listener.accept(answer).expect("it called")
}

fn lane_welcome() -> Welcome {
    Welcome { lane_key: 0, ..welcome(5) }
}

/// A session in `fast/orders`, over a lane that stands.
fn open_in_fast() -> (Session, [FakeEngine; 2], Arc<Listener>, (GroupHandle, u32)) {
    let (session, engine, listener) = open();
    let group = session.join("fast/orders", 0, 7).unwrap();
    let lane = accept(&session, &listener, &lane_welcome());
    assert_eq!(receive(&session, Hold::Release), []);
    let number = take_join(&lane, "fast/orders");
    (session, [engine, lane], listener, (group, number))
}

#[test]
fn a_lane_is_made_for_the_first_group_of_a_domain_and_shows_the_sessions_key() {
    let (session, engine, listener) = open();
    let (orders, _) = join(&session, &engine, "orders");
    assert!(!listener.has_caller());
    let fast = session.join("fast/orders", 0, 7).unwrap();
    assert_eq!(session.send(fast, 4, &[b"early"], 0), Err(Status::EAGAIN));
    assert_eq!(fast.with_name(str::to_owned).unwrap(), "fast/orders");
    assert_eq!(session.join("default/orders", 0, 0), Err(Status::EEXIST));
    assert_eq!(session.join("fast/orders", 1, 0), Err(Status::EEXIST));
    assert_eq!(session.join("nul\0/orders", 1, 0), Err(Status::EINVAL));
    let lane = accept(&session, &listener, &lane_welcome());
    let hello = lane.hello;
    assert_eq!((hello.lane_of, hello.lane_key), (5, welcome(5).lane_key));
    assert_eq!(hello.domain_name(), Some(&b"fast"[..]));
    let seen = receive(&session, Hold::Release);
    assert_eq!((kinds(&seen), seen[0].group), (vec![EventKind::Writable], Some(fast)));
    assert_eq!(seen[0].domain, "fast");
    take_join(&lane, "fast/orders");

    // Further groups there go over it.
    let (deep, _) = join(&session, &lane, "fast/a/b");
    let other = session.join("a/b", 0, 0).unwrap();
    let to = |groups: &[GroupHandle]| GroupHandle::send_to_all(groups.iter().copied(), 4, 0, b"x");
    assert_eq!(to(&[fast, deep]), Ok(()));
    for groups in [[orders, fast], [fast, orders], [deep, other]] {
        assert_eq!(to(&groups), Err(Status::EINVAL), "nothing is ordered across domains");
    }
    lane.request();
    assert_eq!((lane.poll_request(), engine.poll_request()), (None, None));
    // And another domain has another one.
    let lane = accept(&session, &listener, &lane_welcome());
    assert_eq!(lane.hello.domain_name(), Some(&b"a"[..]));
    assert_eq!(receive(&session, Hold::Release), []);
    take_join(&lane, "a/b");
    assert_quiet(&session);
}

#[test]
fn an_address_is_in_a_domain() {
    let (session, [engine, lane], _listener, _) = open_in_fast();
    let to = Member { node: 2, session: 5 };
    for (domain, sent, engine) in [("default", "", &engine), ("fast", "fast", &lane)] {
        let peer = session.peer(domain, to, 0).unwrap();
        assert_eq!(receive(&session, Hold::Release), []);
        let request = engine.request();
        let (record, name) = PeerRecord::split_from(&request.bytes).unwrap();
        assert_eq!((request.kind, record.to, name), (request::PEER, to, sent.as_bytes()));
        assert_eq!(record.handle, peer.number());
        assert_eq!(session.peer(domain, to, 0), Err(Status::EEXIST));
    }
    // A group may be called as an address is.
    session.join("2/5", 0, 0).unwrap();
    assert_eq!(session.peer("", to, 0), Err(Status::EINVAL));
    assert_eq!(session.peer(&"x".repeat(33), to, 0), Err(Status::EINVAL));
}

#[test]
fn every_event_says_in_which_domain_it_was() {
    let (session, [engine, lane], _listener, (_, number)) = open_in_fast();
    let (_, orders) = join(&session, &engine, "orders");
    engine.message(orders, 1, b"default");
    lane.message(number, 1, b"fast");
    lane.view(number, &[session.identity()], "a view");
    for engine in [&engine, &lane] {
        let record = anasazi_queue::record::MessageRecord::default();
        engine.push(event::UNICAST, &[record.as_bytes(), b"to me"]);
    }
    engine.reply(3, Status::OK, false, "{}");
    let mut seen = receive(&session, Hold::Release);
    seen.sort_by_key(|seen| seen.domain.clone());
    let shown: Vec<_> = seen.iter().map(|seen| (&*seen.domain, seen.kind)).collect();
    assert_eq!(
        shown,
        [
            ("", EventKind::Reply),
            ("default", EventKind::Message),
            ("default", EventKind::Message),
            ("fast", EventKind::Message),
            ("fast", EventKind::View),
            ("fast", EventKind::Message),
        ]
    );
}

/// A record that names a group of another lane is for nobody.
#[test]
fn a_lane_has_no_say_in_groups_of_another_one() {
    let (session, [engine, lane], _listener, (group, number)) = open_in_fast();
    let (orders, at_default) = join(&session, &engine, "orders");
    lane.message(at_default, 1, b"not its");
    engine.message(number, 1, b"not its");
    lane.left(at_default, Status::ECLOSED, "not its");
    engine.left(number, Status::ECLOSED, "not its");
    assert_eq!(receive(&session, Hold::Release), []);
    assert_eq!(session.send(orders, 4, &[b"x"], 0), Ok(()));
    assert_eq!(session.send(group, 4, &[b"x"], 0), Ok(()));
}

#[test]
fn a_full_lane_holds_up_its_own_groups_alone_and_they_are_told() {
    let (session, [engine, lane], _listener, (group, _)) = open_in_fast();
    let (orders, _) = join(&session, &engine, "orders");
    let fill = |group: GroupHandle| while session.send(group, 4, &[&[1; 5_000]], 0).is_ok() {};
    fill(group);
    assert_eq!(session.send(group, 4, &[&[1; 5_000]], 0), Err(Status::EAGAIN));
    for _ in 0..20 {
        assert_eq!(session.send(orders, 4, &[&[1; 5_000]], 0), Ok(()), "the other lane is free");
        engine.request();
    }
    assert_eq!(receive(&session, Hold::Release), []);
    assert_eq!(group.wait_writable(now_ns() + 1_000_000), Err(Status::ETIMEDOUT));
    assert_eq!(orders.wait_writable(now_ns() + 1_000_000), Ok(()));
    // The other way round, and each is told of its own.
    fill(orders);
    while lane.poll_request().is_some() {}
    let seen = receive_some(&session);
    assert_eq!((kinds(&seen), seen[0].group), (vec![EventKind::Writable], Some(group)));
    assert_eq!(group.wait_writable(now_ns() + 1_000_000), Ok(()));
    assert_eq!(session.send(group, 4, &[b"again"], 0), Ok(()));
    while engine.poll_request().is_some() {}
    let seen = receive_some(&session);
    assert_eq!((kinds(&seen), seen[0].group), (vec![EventKind::Writable], Some(orders)));
    assert_eq!(seen[0].domain, "default");
}

/// However much has come over one lane, the others have their turn soon.
#[test]
fn lanes_are_read_in_turn() {
    let (session, [engine, lane], _listener, (_, number)) = open_in_fast();
    let (_, orders) = join(&session, &engine, "orders");
    (1..=200).for_each(|at| lane.message(number, at, b"many"));
    (1..=3).for_each(|at| engine.message(orders, at, b"few"));
    let mut first = Vec::new();
    let shown = session.receive(40, &mut |event| {
        first.push(event.domain_name().to_owned());
        Hold::Release
    });
    assert_eq!(shown, Ok(40));
    assert_eq!(first.iter().filter(|domain| *domain == "default").count(), 3);
    assert!(is_readable(session.fd()), "there is more");
    let rest = receive(&session, Hold::Release);
    assert_eq!(rest.len(), 163);
    assert!(rest.iter().all(|seen| seen.domain == "fast"));
    assert_quiet(&session);
}

#[test]
fn events_of_all_lanes_are_kept_and_released() {
    let (session, [engine, lane], _listener, (_, number)) = open_in_fast();
    let (_, orders) = join(&session, &engine, "orders");
    let mut tokens = Vec::new();
    for round in 0..30_u64 {
        (1..=5).for_each(|at| lane.message(number, at, &[1; 1_500]));
        (1..=5).for_each(|at| engine.message(orders, at, &[2; 1_500]));
        let kept = receive(&session, Hold::Keep);
        assert_eq!(kept.len(), 10, "room in both rings");
        tokens.extend(kept.iter().map(|seen| seen.token));
        assert!(session.holds_events());
        // In any order, of both at once.
        let turn = (round as usize * 3) % tokens.len();
        tokens.rotate_left(turn);
        release(&session, &tokens);
        assert!(!session.holds_events());
        tokens.clear();
    }
}

#[test]
fn a_lane_that_ends_with_a_word_ends_its_groups_alone() {
    let (session, [engine, lane], listener, (group, number)) = open_in_fast();
    let (orders, _) = join(&session, &engine, "orders");
    let leaving = session.join("fast/leaving", 0, 0).unwrap();
    session.leave(leaving).unwrap();
    for tag in [1, 2, 3] {
        session.send(group, 4, &[b"x"], tag).unwrap();
    }
    // The first is done, the second was taken, the third not even that.
    (0..4).for_each(|_| _ = lane.request());
    let entry = |tag| TakenEntry { tag, handle: number, ahead: 0 };
    let record = TakenRecord { up_to: 0 };
    lane.push(event::TAKEN, &[record.as_bytes(), entry(1).as_bytes(), entry(2).as_bytes()]);
    lane.push(event::DONE, &[DoneRecord { tag: 1 }.as_bytes()]);
    lane.message(number, 9, b"the last");
    lane.closed(Status::ESLOW, "not read in domain fast");
    drop(lane);
    let seen = receive_some(&session);
    assert_eq!(seen[0].kind, EventKind::Message);
    let receipts: Vec<_> = seen.iter().filter(|s| s.kind == EventKind::Receipt).collect();
    assert!(receipts.iter().all(|s| s.status == Status::ELOST && s.domain == "fast"));
    assert!(receipts.iter().any(|seen| seen.tag == 2) && receipts.iter().all(|s| s.tag != 1));
    let left: Vec<_> = seen.iter().filter(|seen| seen.kind == EventKind::Left).collect();
    let of = |group| left.iter().find(|seen| seen.group == Some(group)).expect("it ends");
    assert_eq!((left.len(), of(group).status, of(leaving).status), (2, Status::ESLOW, Status::OK));
    assert_eq!(of(group).data, b"not read in domain fast");
    assert_eq!(of(group).domain, "fast");
    assert_eq!(seen.last().unwrap().kind, EventKind::Left, "after the receipts");
    assert_eq!(session.send(group, 4, &[b"x"], 0), Err(Status::ECLOSED));
    // All else goes on, and the domain may be used again.
    assert_eq!(session.send(orders, 4, &[b"x"], 0), Ok(()));
    assert_quiet(&session);
    let again = session.join("fast/orders", 0, 0).unwrap();
    let lane = accept(&session, &listener, &lane_welcome());
    assert_eq!(receive(&session, Hold::Release), []);
    let number = take_join(&lane, "fast/orders");
    lane.message(number, 1, b"again");
    let seen = receive_some(&session);
    assert_eq!((kinds(&seen), seen[0].group), (vec![EventKind::Message], Some(again)));
}

#[test]
fn a_lane_that_is_refused_is_the_end_of_its_groups_in_words() {
    let (session, engine, listener) = open();
    let group = session.join("fst/orders", 0, 0).unwrap();
    let other = session.join("fst/more", 0, 0).unwrap();
    let words = "this engine has no domain \"fst\"; it has: default";
    let answer = refusal(Status::EINVAL, words);
    while !listener.has_caller() {
        session.wait(now_ns() + 10_000_000_000).unwrap();
        receive(&session, Hold::Release);
    }
    listener.accept(&answer);
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen), [EventKind::Left, EventKind::Left]);
    let ended: Vec<_> = seen.iter().map(|seen| seen.group).collect();
    assert!(ended.contains(&Some(group)) && ended.contains(&Some(other)));
    assert!(seen.iter().all(|s| s.status == Status::EINVAL && s.data == words.as_bytes()));
    // Names that no domain has are not even asked for.
    for name in ["/orders", &format!("{}/orders", "x".repeat(33))] {
        let group = session.join(name, 0, 0).unwrap();
        let seen = receive_some(&session);
        assert_eq!((seen[0].group, seen[0].status), (Some(group), Status::EINVAL));
        assert!(String::from_utf8_lossy(&seen[0].data).contains("no domain is called"));
    }
    assert!(!listener.has_caller());
    join(&session, &engine, "orders");
    assert_quiet(&session);
}

#[test]
fn a_lane_for_which_there_is_no_room_is_not_asked_for_again() {
    let (session, _engine, listener) = open();
    let group = session.join("fast/orders", 0, 0).unwrap();
    accept(&session, &listener, &refusal(Status::ENOMEM, "out of descriptors"));
    let seen = receive_some(&session);
    assert_eq!((seen[0].group, seen[0].status), (Some(group), Status::ENOMEM));
    assert_eq!(seen[0].data, b"out of descriptors");
    assert!(!listener.has_caller());
}

#[test]
fn a_lane_that_may_still_come_is_tried_again_until_its_time_is_up() {
    let listener = listener(welcome(5));
    let short = SessionOptions { connect_timeout: Duration::from_millis(150), ..options() };
    let session = Session::open(listener.clone(), short).unwrap();
    let _engine = listener.accepted.lock().unwrap().pop().unwrap();
    let group = session.join("fast/orders", 0, 0).unwrap();
    let mut attempts = 0;
    let seen = loop {
        let seen = receive(&session, Hold::Release);
        if !seen.is_empty() {
            break seen;
        }
        if listener.accept(&refusal(Status::EAGAIN, "too many at once")).is_some() {
            attempts += 1;
        }
        session.wait(now_ns() + 10_000_000_000).unwrap();
    };
    assert!(attempts > 2, "{attempts}");
    assert_eq!((seen[0].group, seen[0].status), (Some(group), Status::ETIMEDOUT));
    assert_eq!(seen[0].data, b"too many at once");
    assert!(session.is_open());
}

/// The engine of the session says that it has none such when it is another one by now, of which the
/// session is yet to hear.
#[test]
fn a_lane_that_is_nobodys_is_tried_again() {
    let (session, engine, listener) = open();
    session.join("fast/orders", 0, 0).unwrap();
    accept(&session, &listener, &refusal(Status::ESTATE, "not here"));
    assert_eq!(receive(&session, Hold::Release), []);
    let lane = accept(&session, &listener, &lane_welcome());
    assert_eq!(receive(&session, Hold::Release), []);
    take_join(&lane, "fast/orders");
    assert_eq!(engine.poll_request(), None);
}

#[test]
fn an_engine_that_does_not_answer_is_not_waited_for_longer_than_allowed() {
    let listener = listener(welcome(5));
    let short = SessionOptions { connect_timeout: Duration::from_millis(50), ..options() };
    let session = Session::open(listener.clone(), short).unwrap();
    let _engine = listener.accepted.lock().unwrap().pop().unwrap();
    let group = session.join("fast/orders", 0, 0).unwrap();
    let seen = receive_some(&session);
    assert_eq!((seen[0].group, seen[0].status), (Some(group), Status::ETIMEDOUT));
    assert!(session.is_open());
}

#[test]
fn lanes_that_have_ended_make_room_for_others() {
    let (session, _engine, listener) = open();
    for number in 0..2 * crate::sys::links::LANES_MAX {
        let group = session.join(&format!("d{number}/g"), 0, 0).unwrap();
        let lane = accept(&session, &listener, &lane_welcome());
        lane.closed(Status::ECLOSED, "removed");
        drop(lane);
        let seen = receive_some(&session);
        assert_eq!((seen[0].group, seen[0].status), (Some(group), Status::ECLOSED));
    }
}

#[test]
fn lanes_go_and_come_back_with_their_session() {
    let (session, [engine, lane], listener, (group, number)) = open_in_fast();
    lane.message(number, 1, b"already in the ring");
    session.send(group, 4, &[b"nobody takes it"], 8).unwrap();
    drop(lane);
    drop(engine);
    let mut seen = receive_some(&session);
    while !kinds(&seen).contains(&EventKind::Suspended) {
        seen.extend(receive_some(&session));
    }
    assert_eq!(kinds(&seen), [EventKind::Message, EventKind::Suspended, EventKind::Receipt]);
    assert_eq!((seen[2].tag, seen[2].status, &*seen[2].domain), (8, Status::ELOST, "fast"));
    assert_eq!(session.send(group, 4, &[b"nobody there"], 0), Err(Status::EAGAIN));
    let engine = accept(&session, &listener, &welcome(6));
    assert_eq!((engine.hello.lane_of, engine.hello.domain_len), (0, 0));
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen), [EventKind::Resumed]);
    let lane = accept(&session, &listener, &Welcome { lane_key: 0, ..welcome(6) });
    assert_eq!((lane.hello.lane_of, lane.hello.domain_name()), (6, Some(&b"fast"[..])));
    let seen = receive_some(&session);
    assert_eq!((kinds(&seen), seen[0].group), (vec![EventKind::Writable], Some(group)));
    assert_eq!(take_join(&lane, "fast/orders"), number);
    assert_eq!(engine.poll_request(), None);
    assert_quiet(&session);
}

/// What ends without a word is the session's end, or soon is.
#[test]
fn a_lane_that_is_lost_without_a_word_suspends_the_session() {
    let (session, [engine, lane], _listener, _) = open_in_fast();
    drop(lane);
    let began = now_ns();
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen), [EventKind::Suspended]);
    assert!(now_ns() - began > 500_000_000, "its own connection was given time");
    engine.await_end();
}

#[test]
fn closing_and_the_last_word_end_all_lanes() {
    let (session, [engine, lane], _listener, _) = open_in_fast();
    session.close();
    assert_eq!(engine.request().kind, request::CLOSE);
    engine.await_end();
    lane.await_end();
    let (session, [engine, lane], _listener, (group, _)) = open_in_fast();
    engine.closed(Status::ESLOW, "too slow");
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen), [EventKind::Left, EventKind::Closed]);
    assert_eq!((seen[0].group, seen[0].status), (Some(group), Status::ESLOW));
    engine.await_end();
    lane.await_end();
}

#[test]
fn a_session_has_lanes_for_so_many_domains() {
    let (session, _engine, listener) = open();
    let max = crate::sys::links::LANES_MAX;
    for number in 1..max {
        session.join(&format!("d{number}/g"), 0, 0).unwrap();
    }
    let last = session.join("one-more/g", 0, 0).unwrap();
    let seen = receive_some(&session);
    assert_eq!((seen[0].group, seen[0].status), (Some(last), Status::ENOMEM));
    let lanes: Vec<_> = (1..max).map(|_| accept(&session, &listener, &lane_welcome())).collect();
    while !lanes.iter().all(|lane| lane.poll_request().is_some()) {
        session.wait(now_ns() + 1_000_000_000).expect("the joins");
        assert_eq!(receive(&session, Hold::Release), []);
    }
}
