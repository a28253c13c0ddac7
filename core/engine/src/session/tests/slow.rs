//! Sessions that do not read, and what they chose for that case.

use anasazi_protocol::GroupId;
use anasazi_queue::hello::slow;
use anasazi_queue::record::{GapRecord, MultiRecord};

use super::*;

/// Sends from `sender` until `until` says that it is enough; how many.
fn flood(engine: &mut Engine, sender: &RawClient, until: impl Fn(&Engine) -> bool) -> u64 {
    for count in 0..10_000 {
        if until(engine) {
            return count;
        }
        sender.send(1, 4, 0, &[7; 1_000]);
        engine.run();
        sender.drain();
    }
    panic!("never enough");
}

fn skipped(engine: &Engine) -> u64 {
    engine.sessions.describe().iter().map(|info| info.skipped).sum()
}

fn holds(engine: &Engine) -> bool {
    engine.sessions.describe().iter().any(|info| info.holds_since.is_some())
}

fn gap_of(bytes: &[u8]) -> (u32, u64) {
    let (gap, _) = GapRecord::split_from(bytes).expect("long enough");
    (gap.handle, gap.count)
}

/// A session that does not read and one that sends to it.
fn pair(engine: &mut Engine, policy: u32) -> (RawClient, RawClient) {
    let (reader, sender) = (engine.open_as(|hello| hello.slow = policy), engine.open());
    reader.join(9, "room");
    sender.join(1, "room");
    engine.run();
    (reader, sender)
}

#[test]
fn who_would_rather_miss_messages_is_told_how_many_at_their_place() {
    let mut engine = Engine::new();
    let (reader, sender) = pair(&mut engine, slow::GAP);
    reader.drain();
    let mut sent = flood(&mut engine, &sender, |engine| skipped(engine) == 20);
    engine.now = engine.now + Duration::from_secs(1);
    let told = engine.sessions.watch(engine.now);
    assert!(told.len() == 1 && told[0].contains("slow_policy = gap"), "{told:?}");
    // A view comes all the same, after what was skipped before it.
    sender.join(2, "other");
    reader.join(10, "other");
    engine.run();
    sender.drain();
    sent += flood(&mut engine, &sender, |engine| skipped(engine) == 30);
    let (mut expected, mut missed, mut views) = (1, Vec::new(), 0);
    for _ in 0..20_000 {
        let Some((kind, bytes)) = reader.next() else {
            if engine.sessions.describe().iter().all(|info| info.backlog_len == 0) {
                break;
            }
            engine.run();
            continue;
        };
        match kind {
            event::MESSAGE => {
                let (head, _) = MessageRecord::split_from(&bytes).expect("long enough");
                assert_eq!((head.handle, head.sequence), (9, expected), "told where they miss");
                expected += 1;
            }
            event::GAP => {
                let (handle, count) = gap_of(&bytes);
                assert_eq!(handle, 9);
                expected += count;
                missed.push(count);
            }
            event::VIEW => {
                assert_eq!(missed, [20], "what was missed before the view is told before it");
                views += 1;
            }
            kind => panic!("a record of the kind {kind}"),
        }
    }
    assert_eq!((missed, views, expected - 1), (vec![20, 10], 1, sent));
    // Nothing is skipped any more, and the operator knows.
    engine.now = engine.now + Duration::from_secs(1);
    let told = engine.sessions.watch(engine.now);
    assert!(told.len() == 1 && told[0].contains("has missed 30 messages"), "{told:?}");
    sender.send(1, 4, 0, b"last");
    engine.run();
    assert_eq!(reader.expect_message().0.sequence, sent + 1);
}

#[test]
fn a_skipped_message_of_ones_own_ends_in_a_receipt() {
    let mut engine = Engine::new();
    let reader = engine.open_as(|hello| hello.slow = slow::GAP);
    let sender = engine.open();
    reader.join(9, "room");
    reader.join(8, "other");
    sender.join(1, "room");
    engine.run();
    flood(&mut engine, &sender, |engine| skipped(engine) > 0);
    let before = skipped(&engine);
    reader.send(9, 4, 77, b"mine");
    reader.send_to(4, 78, &[(9, 0), (8, 0)], b"mine too");
    engine.run();
    assert_eq!(skipped(&engine), before + 2);
    let mut records = Vec::new();
    for _ in 0..1_000 {
        records.extend(reader.drain());
        engine.run();
    }
    let fates: Vec<_> = records
        .iter()
        .filter(|(kind, _)| *kind == event::RECEIPT)
        .map(|(_, bytes)| ReceiptRecord::split_from(bytes).expect("long enough").0)
        .map(|receipt| (Status(receipt.status), receipt.tag))
        .collect();
    assert_eq!(fates, [(Status::ESLOW, 77), (Status::ESLOW, 78)]);
    // That to several groups is missed in each.
    let gaps: Vec<_> =
        records.iter().filter(|(kind, _)| *kind == event::GAP).map(|(_, b)| gap_of(b)).collect();
    assert_eq!(gaps, [(8, 1), (9, before + 2)]);
    assert!(!records.iter().any(|(kind, bytes)| *kind == event::MULTI
        && MultiRecord::split_from(bytes).is_some_and(|(head, _)| head.tag == 78)));
}

#[test]
fn a_skipped_message_to_oneself_ends_in_a_receipt_too() {
    let mut engine = Engine::new();
    let (reader, sender) = pair(&mut engine, slow::GAP);
    // Another node's session may have the same number.
    reader.peer(4, 9, (1_000 << 24) + 1);
    reader.peer(5, IDENTITY.node.0.into(), (1_000 << 24) + 1);
    engine.run();
    flood(&mut engine, &sender, |engine| skipped(engine) > 0);
    reader.send(5, 4, 79, b"to myself");
    engine.run();
    let mut records = Vec::new();
    for _ in 0..1_000 {
        records.extend(reader.drain());
        engine.run();
    }
    let receipt = records.iter().find(|(kind, _)| *kind == event::RECEIPT).expect("a receipt");
    let (receipt, _) = ReceiptRecord::split_from(&receipt.1).expect("long enough");
    assert_eq!((receipt.handle, Status(receipt.status), receipt.tag), (5, Status::ESLOW, 79));
    let gaps = records.iter().filter(|(kind, _)| *kind == event::GAP);
    assert!(gaps.map(|(_, bytes)| gap_of(bytes)).any(|gap| gap == (0, 1)));
}

/// Its send ring is given back while it is behind for ever.
#[test]
fn who_misses_messages_can_go_on_sending() {
    let mut engine = Engine::new();
    let (reader, sender) = pair(&mut engine, slow::GAP);
    flood(&mut engine, &sender, |engine| skipped(engine) > 0);
    for count in 0..1_000 {
        // More than the ring holds, in all.
        reader.send(9, 4, 0, &[1; 1_000]);
        engine.run();
        sender.drain();
        assert_eq!(engine.sessions.describe()[0].send_used, 0, "{count}");
    }
}

#[test]
fn whose_client_dies_while_it_waits_is_gone_at_once() {
    let mut engine = Engine::new();
    let (mut dead, other) = (engine.open_as(|hello| hello.slow = slow::THROTTLE), engine.open());
    dead.join(1, "room");
    other.join(1, "room");
    engine.run();
    other.drain();
    engine.sessions.hold((DomainId::DEFAULT, NodeId(2)), &[GroupId::of("room")], 250, engine.now);
    dead.send(1, 4, 0, b"last words");
    engine.run();
    other.expect_nothing();
    dead.hang_up();
    engine.run();
    other.expect_message();
    assert_eq!(other.expect_view().left, 1);
}

#[test]
fn who_misses_messages_is_cut_off_when_even_the_rest_does_not_fit() {
    let mut engine = Engine::new();
    let (reader, sender) = pair(&mut engine, slow::GAP);
    flood(&mut engine, &sender, |engine| skipped(engine) > 0);
    for count in 0..1_000 {
        let name = format!("room of more and more names {count}");
        reader.join(100 + count, &name);
        engine.run();
    }
    let (status, reason) = reader.closed().expect("the last word");
    assert_eq!(Status(status), Status::ESLOW);
    assert!(reason.contains("client.backlog_len"), "{reason}");
    assert_eq!(engine.sessions.len(), 1);
}

#[test]
fn a_long_message_leaves_room_for_what_is_never_skipped() {
    let mut engine = Engine::with(|limits| limits.backlog_len_max = 16_000);
    let (reader, sender) = pair(&mut engine, slow::GAP);
    let is_nearly_full = |engine: &Engine| engine.sessions.describe()[0].receive_used > 60_000;
    flood(&mut engine, &sender, is_nearly_full);
    engine.sessions.message(DomainId::DEFAULT, &delivery::message(1, 15_000));
    engine.run();
    assert!(engine.sessions.describe()[0].backlog_len > 15_000 && skipped(&engine) == 0);
    for count in 0..10 {
        reader.join(100 + count, &format!("room {count}"));
        engine.run();
    }
    assert_eq!(reader.closed(), None);
    assert_eq!(engine.sessions.len(), 2);
}

#[test]
fn senders_wait_for_who_wants_that_and_go_on_when_it_has_read() {
    let mut engine = Engine::new();
    let (reader, sender) = pair(&mut engine, slow::THROTTLE);
    sender.join(2, "another room");
    engine.run();
    let sent = flood(&mut engine, &sender, holds);
    assert_eq!(engine.core.log.last().map(|line| &line[..]), Some("hold 1 for 250"));
    let group = GroupId::of("room");
    assert_eq!(
        engine.sessions.held_by(DomainId::DEFAULT.group(group)).collect::<Vec<_>>(),
        [IDENTITY.node]
    );
    // What is sent now stays in its ring, whatever comes after it; others are not held up.
    let bystander = engine.open();
    bystander.join(1, "another room");
    sender.send(1, 4, 0, b"held");
    sender.send(2, 4, 0, b"behind it");
    bystander.send(1, 4, 0, b"free");
    engine.run();
    assert_eq!(bystander.drain().len(), 2, "a view and a message");
    let used = |engine: &Engine| engine.sessions.describe()[1].send_used;
    assert!(used(&engine) > 0);
    // It is said again in time, as long as it is needed.
    let deadline = engine.sessions.deadline().expect("something to say");
    assert_eq!(deadline, engine.now + Duration::from_millis(50));
    for _ in 0..10 {
        engine.now = engine.now + Duration::from_millis(50);
        engine.run();
        assert!(used(&engine) > 0, "{:?}", engine.core.log.last());
    }
    let mut got = 0;
    for _ in 0..1_000 {
        got += reader.drain().iter().filter(|(kind, _)| *kind == event::MESSAGE).count() as u64;
        engine.now = engine.now + Duration::from_millis(10);
        engine.run();
    }
    assert_eq!(got, sent + 1, "nothing is missed");
    assert!(!holds(&engine) && used(&engine) == 0);
    assert_eq!(engine.sessions.held_by(DomainId::DEFAULT.group(group)).count(), 0);
    assert_eq!(engine.sessions.deadline(), None);
}

#[test]
fn a_hold_that_is_not_said_again_ends_by_itself() {
    let mut engine = Engine::new();
    let sender = engine.open();
    sender.join(1, "room");
    engine.run();
    sender.drain();
    let (group, far) = (GroupId::of("room"), [NodeId(2), NodeId(3)]);
    for node in far {
        let told = engine.sessions.hold((DomainId::DEFAULT, node), &[group], 250, engine.now);
        assert_eq!(told, Some((group, 1)));
        assert_eq!(
            engine.sessions.hold((DomainId::DEFAULT, node), &[group], 250, engine.now),
            None,
            "known"
        );
    }
    sender.send(1, 4, 0, b"held");
    engine.run();
    sender.expect_nothing();
    // One of them needs it no more; the other is gone.
    engine.sessions.hold((DomainId::DEFAULT, far[0]), &[group], 0, engine.now);
    engine.run();
    sender.expect_nothing();
    assert_eq!(engine.sessions.deadline(), Some(engine.now + Duration::from_millis(250)));
    engine.now = engine.now + Duration::from_millis(250);
    engine.run();
    sender.expect_message();
}

#[test]
fn who_lets_others_wait_and_reads_nothing_is_cut_off() {
    let mut engine = Engine::with(|limits| limits.hold_max = Duration::from_secs(2));
    let (reader, sender) = pair(&mut engine, slow::THROTTLE);
    flood(&mut engine, &sender, holds);
    // Slowly is fast enough, even while more comes than is read.
    for _ in 0..100 {
        engine.now = engine.now + Duration::from_millis(50);
        engine.run();
        (0..20).for_each(|_| _ = reader.next());
        (0..20)
            .for_each(|_| engine.sessions.message(DomainId::DEFAULT, &delivery::message(1, 1_000)));
        engine.run();
        sender.drain();
        assert_eq!(engine.sessions.len(), 2);
        if !holds(&engine) {
            flood(&mut engine, &sender, holds);
        }
    }
    for _ in 0..42 {
        engine.now = engine.now + Duration::from_millis(50);
        engine.run();
    }
    // Nobody waits: its end comes through all the same.
    assert!(engine.core.log.iter().any(|line| line.starts_with("disconnect")));
    sender.drain();
    sender.send(1, 4, 0, b"free");
    engine.run();
    let (status, reason) = reader.closed().expect("the last word");
    assert_eq!(Status(status), Status::ESLOW);
    assert!(reason.contains("client.hold_max_ms"), "{reason}");
    assert_eq!(engine.sessions.held_by(DomainId::DEFAULT.group(GroupId::of("room"))).count(), 0);
    sender.expect_message();
}

/// A long message waits for the room of many short ones.
#[test]
fn who_reads_short_messages_before_a_long_one_does_not_stand_still() {
    let mut engine = Engine::with(|limits| limits.hold_max = Duration::from_secs(2));
    let (reader, sender) = pair(&mut engine, slow::THROTTLE);
    let waits = |engine: &Engine| engine.sessions.describe().iter().any(|s| s.backlog_len > 0);
    flood(&mut engine, &sender, waits);
    while !holds(&engine) {
        engine.sessions.message(DomainId::DEFAULT, &delivery::message(1, 15_000));
        engine.run();
    }
    for _ in 0..14 {
        engine.now = engine.now + Duration::from_secs(1);
        assert!(reader.next().is_some_and(|(_, bytes)| bytes.len() < 2_000), "a short one");
        engine.run();
        assert_eq!(engine.sessions.len(), 2);
    }
    // Nothing at all is too slow.
    engine.now = engine.now + Duration::from_secs(3);
    engine.run();
    assert_eq!(engine.sessions.len(), 1);
}

/// Or it would wait for room and never read.
#[test]
fn who_lets_others_wait_does_not_wait_for_itself() {
    let mut engine = Engine::new();
    let (reader, sender) = pair(&mut engine, slow::THROTTLE);
    flood(&mut engine, &sender, holds);
    reader.send(9, 4, 0, b"mine");
    sender.send(1, 4, 0, b"held up");
    engine.run();
    let sent = |engine: &Engine, what: &str| {
        let is_it = |line: &&String| line.starts_with("send") && line.ends_with(what);
        engine.core.log.iter().filter(is_it).count()
    };
    assert_eq!((sent(&engine, " 4"), sent(&engine, " 7")), (1, 0));
    // But for others it does.
    engine.sessions.hold((DomainId::DEFAULT, NodeId(2)), &[GroupId::of("room")], 250, engine.now);
    reader.send(9, 4, 0, b"again");
    engine.run();
    assert_eq!(sent(&engine, " 5"), 0);
    engine.sessions.hold((DomainId::DEFAULT, NodeId(2)), &[GroupId::of("room")], 0, engine.now);
    engine.run();
    assert_eq!(sent(&engine, " 5"), 1);
}

#[test]
fn a_policy_that_is_unknown_or_not_allowed_is_refused_in_words() {
    let refused = |engine: &mut Engine, slow: u32| {
        let client = engine.connect();
        let hello = Hello { slow, ..client.hello() };
        client.say(hello.as_bytes(), &client.fds());
        engine.run();
        let welcome = client.welcome().expect("an answer");
        (Status(welcome.status), text(&welcome.reason))
    };
    let (status, reason) = refused(&mut Engine::new(), 3);
    assert!(status == Status::EINVAL && reason.contains("policy 3"), "{reason}");
    let mut strict = Engine::with(|limits| limits.hold_max = Duration::ZERO);
    let (status, reason) = refused(&mut strict, slow::THROTTLE);
    assert!(status == Status::EACCES && reason.contains("client.hold_max_ms"), "{reason}");
    assert_eq!(refused(&mut strict, slow::GAP).0, Status::OK);
}

/// Whatever they chose, all of them together cost no more than the engine may keep.
#[test]
fn who_has_most_of_all_backlogs_is_ended_first() {
    let mut engine = Engine::with(|limits| limits.backlog_total_max = 150_000);
    let (first, sender) = pair(&mut engine, slow::GAP);
    let half = |engine: &Engine| engine.sessions.describe()[0].backlog_len > 40_000;
    flood(&mut engine, &sender, half);
    let (second, third) = (engine.open_as(|hello| hello.slow = slow::GAP), engine.open());
    second.join(9, "room");
    third.join(9, "room");
    engine.run();
    sender.drain();
    flood(&mut engine, &sender, |engine| engine.sessions.len() == 3);
    let (status, reason) = first.closed().expect("the last word");
    assert_eq!(Status(status), Status::ESLOW);
    assert!(reason.contains("client.backlog_total"), "{reason}");
    let kept: usize = engine.sessions.describe().iter().map(|info| info.backlog_len).sum();
    assert!(kept > 50_000 && kept <= 150_000, "{kept} bytes are kept for the others");
    // Who goes takes its share along: the next one may have as much.
    drop((second, third));
    engine.run();
    assert_eq!(engine.sessions.len(), 1);
    let fourth = engine.open_as(|hello| hello.slow = slow::GAP);
    fourth.join(9, "room");
    engine.run();
    sender.drain();
    flood(&mut engine, &sender, |engine| skipped(engine) > 100);
    assert_eq!(engine.sessions.len(), 2);
}

/// Nobody will read it; and what the client had sent before is still carried out.
#[test]
fn what_waits_for_a_dead_client_is_dropped_at_once() {
    let mut engine = Engine::new();
    let (mut reader, sender) = pair(&mut engine, slow::GAP);
    flood(&mut engine, &sender, |engine| skipped(engine) > 0);
    reader.send(9, 4, 0, b"last words");
    reader.hang_up();
    // The end is heard, and no command is taken yet.
    let keys = engine.epoll.wait(0);
    keys.iter().for_each(|key| engine.sessions.ready(*key, &engine.epoll));
    let first = engine.sessions.describe().remove(0);
    assert!(first.backlog_len == 0 && first.send_used > 0, "{first:?}");
    engine.run();
    assert!(sender.drain().iter().any(|(_, bytes)| bytes.ends_with(b"last words")));
}
