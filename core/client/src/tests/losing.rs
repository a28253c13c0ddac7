//! What becomes of messages when the engine goes away.

use anasazi_queue::record::{DoneRecord, ReceiptRecord, TakenEntry, TakenRecord, event};

use super::*;

impl FakeEngine {
    /// Takes the next requests, which are messages, and says so.
    fn take(&self, count: usize) {
        let mut entries = Vec::new();
        for _ in 0..count {
            let request = self.request();
            assert_eq!(request.kind, request::SEND);
            let (head, _) = SendRecord::split_from(&request.bytes).unwrap();
            let entry = TakenEntry { tag: head.tag, handle: head.handle, ahead: 0 };
            entries.extend_from_slice(if head.tag == 0 { &[] } else { entry.as_bytes() });
        }
        let head = TakenRecord { up_to: self.requests.position() };
        self.push(event::TAKEN, &[head.as_bytes(), &entries]);
    }

    fn receipt(&self, handle: u32, tag: u64, status: Status) {
        let record = ReceiptRecord { handle, status: status.0, tag };
        self.push(event::RECEIPT, &[record.as_bytes()]);
    }

    fn done(&self, tag: u64) {
        self.push(event::DONE, &[DoneRecord { tag }.as_bytes()]);
    }
}

/// The tags that are told to be lost, of all that comes now.
fn lost(seen: &[Seen]) -> Vec<(Option<GroupHandle>, u64)> {
    let lost = seen.iter().filter(|seen| seen.kind == EventKind::Receipt);
    lost.map(|seen| {
        assert_eq!(seen.status, Status::ELOST);
        assert_eq!(seen.data.len(), 72, "an anz_receipt_t");
        (seen.group, seen.tag)
    })
    .collect()
}

/// The engine takes the third of four messages first, which ends before it does. Then the first.
#[test]
fn what_was_taken_ahead_and_has_ended_is_not_lost() {
    let (session, engine, _) = open();
    let (group, number) = join(&session, &engine, "a");
    let start = engine.requests.position();
    for tag in 1..=4 {
        session.send(group, 4, &[b"x"], tag).unwrap();
    }
    let positions: Vec<u64> =
        (0..4).map(|_| engine.requests.next().unwrap().unwrap().position).collect();
    let told = |up_to: u64, taken: &[u64]| {
        let entries = taken.iter().flat_map(|tag| {
            let behind = positions[*tag as usize - 1].checked_sub(up_to);
            let ahead = behind.map_or(0, |behind| behind as u32 / 8 + 1);
            TakenEntry { tag: *tag, handle: number, ahead }.as_bytes().to_vec()
        });
        let entries: Vec<u8> = entries.collect();
        engine.push(event::TAKEN, &[TakenRecord { up_to }.as_bytes(), &entries]);
    };
    told(start, &[3]);
    engine.receipt(number, 3, Status::EVIEW);
    told(positions[1], &[1]);
    let seen = receive_some(&session);
    assert_eq!(seen.len(), 1, "the receipt");
    drop(engine);
    let (group, seen) = (Some(group), receive_some(&session));
    assert_eq!(lost(&seen[1..]), [(group, 1), (group, 2), (group, 4)], "after the engine's end");
}

#[test]
fn what_has_no_end_yet_is_lost_each_message_once() {
    let (session, engine, _) = open();
    let (a, number) = join(&session, &engine, "a");
    let (b, _) = join(&session, &engine, "b");
    for tag in 1..=7 {
        session.send(a, 4, &[b"x"], 10 * tag).unwrap();
    }
    session.send(b, 4, &[b"untold"], 0).unwrap();
    engine.take(6);
    engine.message(number, 1, b"10 is there");
    engine.message(number, 3, b"30 is there");
    engine.receipt(number, 20, Status::EVIEW);
    engine.done(50);
    session.send(b, 4, &[b"not taken"], 7).unwrap();
    GroupHandle::send_to_all([a, b].into_iter(), 4, 8, b"to both").unwrap();
    drop(engine);
    let seen = receive_some(&session);
    let before = [EventKind::Message, EventKind::Message, EventKind::Receipt, EventKind::Suspended];
    assert_eq!(kinds(&seen)[..4], before);
    let expected = [(Some(a), 40), (Some(a), 60), (Some(a), 70), (Some(b), 7), (Some(a), 8)];
    assert_eq!(lost(&seen[4..]), expected);
    assert!(!session.holds_events());
}

#[test]
fn nothing_is_lost_twice_nor_after_a_good_end() {
    let (session, engine, listener) = open();
    let (group, number) = join(&session, &engine, "room");
    session.send(group, 4, &[b"x"], 10).unwrap();
    engine.take(1);
    engine.message(number, 1, b"x");
    drop(engine);
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Message, EventKind::Suspended]);
    while !listener.has_caller() {
        session.wait(crate::sys::poll::now_ns() + 10_000_000_000).unwrap();
        assert_eq!(receive(&session, Hold::Release), []);
    }
    let engine = listener.accept(&welcome(6)).unwrap();
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Resumed]);
    take_join(&engine, "room");
    session.send(group, 4, &[b"y"], 20).unwrap();
    drop(engine);
    let seen = receive_some(&session);
    assert_eq!(lost(&seen), [(Some(group), 20)]);
}

#[test]
fn a_receipt_comes_before_the_end_of_its_group_and_can_be_kept() {
    let (session, engine, _) = open();
    let (group, _) = join(&session, &engine, "room");
    session.send(group, 4, &[b"x"], 5).unwrap();
    session.leave(group).unwrap();
    drop(engine);
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen[..1]), [EventKind::Suspended]);
    assert_eq!(lost(&seen), [(Some(group), 5)]);
    assert_eq!(kinds(&seen).last(), Some(&EventKind::Left));
}

#[test]
fn a_kept_receipt_stays_until_it_is_released() {
    let (session, engine, _) = open();
    let (group, _) = join(&session, &engine, "room");
    session.send(group, 4, &[b"x"], 5).unwrap();
    drop(engine);
    let mut tokens = Vec::new();
    while tokens.is_empty() {
        session.wait(crate::sys::poll::now_ns() + 10_000_000_000).unwrap();
        let seen = receive(&session, Hold::Keep);
        let tokens_of = seen.iter().filter(|seen| seen.kind == EventKind::Receipt);
        tokens.extend(tokens_of.map(|seen| seen.token));
    }
    assert!(session.holds_events());
    release(&session, &tokens);
    assert!(!session.holds_events());
    release(&session, &tokens);
}

/// A claim that is open when the engine goes away hides what lies behind it.
#[test]
fn what_lies_behind_a_claim_is_told_when_that_ends() {
    let (session, engine, _) = open();
    let (group, _) = join(&session, &engine, "room");
    let claim = group.claim(8).expect("room");
    session.send(group, 4, &[b"behind"], 6).unwrap();
    drop(engine);
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Suspended]);
    assert_eq!(lost(&receive(&session, Hold::Release)), []);
    group.abort(&claim).expect_err("its connection is gone");
    assert!(is_readable(session.fd()), "there is something to tell");
    assert_eq!(lost(&receive_some(&session)), [(Some(group), 6)]);
}

#[test]
fn what_is_lost_is_told_before_the_end_of_a_session_too() {
    let (session, engine, _) = open();
    let (group, _) = join(&session, &engine, "room");
    session.send(group, 4, &[b"x"], 5).unwrap();
    engine.closed(Status::ESLOW, "too slow");
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen), [EventKind::Receipt, EventKind::Left, EventKind::Closed]);
    assert_eq!(lost(&seen), [(Some(group), 5)]);
}

#[test]
fn of_two_with_one_tag_the_right_one_is_crossed_off() {
    let (session, engine, _) = open();
    let (a, _) = join(&session, &engine, "a");
    let (b, b_number) = join(&session, &engine, "b");
    session.send(a, 4, &[b"x"], 10).unwrap();
    session.send(b, 4, &[b"y"], 10).unwrap();
    engine.take(2);
    engine.message(b_number, 1, b"y");
    drop(engine);
    assert_eq!(lost(&receive_some(&session)), [(Some(a), 10)]);
}
