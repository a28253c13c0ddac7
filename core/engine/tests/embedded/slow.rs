//! A session at one node that does not read what a session at another node sends.

use anasazi_client::{EventKind, GroupHandle, Hold, Session, SlowPolicy, Status};
use serde_json::Value;

use super::*;
use crate::ring::{expect_ring_of_both, set_node};

const LEN: usize = 8 << 10;
/// Bytes that the engine of the reader keeps for it.
const BACKLOG_LEN: usize = 16 << 20;
/// A multiple of that, and of all that is under way between the two.
const MESSAGES: u64 = 6_000;

/// Two engines; a session at the first with that policy, and one at the second; both in "room".
fn pair(policy: SlowPolicy) -> (Host, Session, (Session, GroupHandle)) {
    let mut settings = settings();
    settings.set("client.backlog_len", &format!("{BACKLOG_LEN}")).unwrap();
    settings.set("message.len_max", "16384").unwrap();
    let host = Host::with(&set_node(&settings, 1));
    let first = host.address(0);
    settings.set("transport.peers", &first.to_string()).unwrap();
    host.add(&set_node(&settings, 2));
    expect_ring_of_both(&host);
    let (reader, sender) = (host.slow_session(0, policy), host.slow_session(1, policy));
    reader.join("room", 0, 0).unwrap();
    let group = sender.join("room", 0, 0).unwrap();
    host.run_until("both in the room", |host| {
        host.ask(1, "groups")["groups"][0]["members"]
            .as_array()
            .is_some_and(|members| members.len() == 2)
    });
    (host, reader, (sender, group))
}

/// Sends as much as goes; how many.
fn send(sender: &(Session, GroupHandle), from: u64) -> u64 {
    let mut sent = from;
    while sent < MESSAGES {
        let mut message = vec![0; LEN];
        message[..8].copy_from_slice(&sent.to_ne_bytes());
        match sender.0.send(sender.1, 4, &[&message], 0) {
            Ok(()) => sent += 1,
            Err(Status::EAGAIN) => break,
            Err(status) => panic!("{}", status.name()),
        }
    }
    sent
}

/// Takes what is there; the numbers of messages, and how many are missing where.
fn take(session: &Session, into: &mut Vec<Result<u64, u64>>) {
    let number = |data: &[u8]| u64::from_ne_bytes(data[..8].try_into().unwrap());
    let result = session.receive(64, &mut |event| {
        match event.kind {
            EventKind::Message => into.push(Ok(number(event.data))),
            EventKind::Gap => into.push(Err(number(event.data))),
            EventKind::Closed => panic!("closed: {}", event.text()),
            _ => {}
        }
        Hold::Release
    });
    result.unwrap();
}

fn session_of(host: &Host, index: usize) -> Value {
    host.ask(index, "sessions")["sessions"][0].clone()
}

#[test]
fn senders_at_another_node_wait_for_it_and_nothing_is_missed() {
    let (host, reader, sender) = pair(SlowPolicy::Throttle);
    let (mut sent, mut own, mut got) = (0, Vec::new(), Vec::new());
    let held = |host: &Host| host.ask(1, "groups")["groups"][0]["held_by"].clone();
    host.run_until("the sender is held up", |host| {
        sent = send(&sender, sent);
        take(&sender.0, &mut own);
        held(host) == serde_json::json!([1]) && send(&sender, sent) == sent
    });
    assert!(sent < MESSAGES, "{sent}");
    // And it is for as long as nothing is read.
    let (until, mut waiting) = (std::time::Instant::now() + PATIENCE / 20, 0);
    while std::time::Instant::now() < until {
        host.turn(PATIENCE / 1_000);
        waiting = session_of(&host, 0)["backlog"].as_u64().unwrap();
    }
    assert!(waiting > BACKLOG_LEN as u64 / 4 && waiting < BACKLOG_LEN as u64, "{waiting}");
    assert!(session_of(&host, 0)["holds_ms"].as_u64().is_some_and(|ms| ms >= 400));
    host.run_until("all have come", |_| {
        sent = send(&sender, sent);
        take(&sender.0, &mut own);
        take(&reader, &mut got);
        got.len() as u64 == MESSAGES
    });
    assert!((0..MESSAGES).map(Ok).eq(got), "in order, without a gap");
    host.run_until("nobody waits", |host| held(host) == serde_json::json!([]));
    let events = host.ask(1, "events").to_string();
    assert!(events.contains("does not read as fast"), "{events}");
}

#[test]
fn it_misses_messages_and_knows_how_many_and_nobody_waits() {
    let (host, reader, sender) = pair(SlowPolicy::Gap);
    let (mut sent, mut own, mut got) = (0, Vec::new(), Vec::new());
    host.run_until("all are sent", |_| {
        sent = send(&sender, sent);
        take(&sender.0, &mut own);
        own.len() as u64 == MESSAGES
    });
    assert_eq!(session_of(&host, 0)["slow_policy"], "gap");
    host.run_until("all have come, or are known to be missing", |_| {
        take(&reader, &mut got);
        got.iter().map(|item| item.map_or_else(|missed| missed, |_| 1)).sum::<u64>() == MESSAGES
    });
    let mut expected = 0;
    for item in &got {
        match item {
            Ok(number) => assert_eq!(*number, expected),
            Err(missed) => expected += missed - 1,
        }
        expected += 1;
    }
    assert!(got.len() as u64 > MESSAGES / 100 && got.iter().any(Result::is_err), "{}", got.len());
}
