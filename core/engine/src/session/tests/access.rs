//! Rules, and sessions that they are about.

use std::path::Path;

use anasazi_queue::record::{GroupRecord, JOIN_SEND_ONLY};
use serde_json::json;

use super::*;
use crate::access;
use crate::admin::By;
use crate::sys::socket::{Life, Way};

const ALICE: u32 = 1_000;

fn put(engine: &mut Engine, text: &str) {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("rules");
    std::fs::write(&path, text).expect("written");
    let mut rules = access::read(&path).expect("in order");
    rules.path = Path::new("/rules").into();
    engine.sessions.put_rules(rules);
}

fn peer(uid: u32) -> Peer {
    let (way, life) = (Way::Memory, Life::default());
    Peer { pid: 1, uid, gid: uid, groups: vec![77], way, socket: "shm:/a".into(), life }
}

/// A client of that user, after its hello; and the answer to it.
fn knock(engine: &mut Engine, uid: u32) -> (RawClient, Status, String) {
    let (near, far) = socket::pair().expect("socketpair");
    engine.sessions.accept_of(peer(uid), near, &engine.epoll, engine.now);
    let client = RawClient::new(far);
    let hello = client.hello();
    client.say(hello.as_bytes(), &client.fds());
    engine.run();
    let welcome = client.welcome().expect("an answer");
    let reason = text(&welcome.reason);
    _ = client.consumer.prepare_sleep();
    (client, Status(welcome.status), reason)
}

fn open(engine: &mut Engine, uid: u32) -> RawClient {
    let (client, status, reason) = knock(engine, uid);
    assert_eq!(status, Status::OK, "{reason}");
    client
}

impl RawClient {
    fn join_to_send(&self, handle: u32, name: &str) {
        let record = JoinRecord { handle, flags: JOIN_SEND_ONLY };
        self.push(request::JOIN, record.as_bytes(), name.as_bytes()).expect("room");
    }
}

#[test]
fn who_may_connect_is_told_by_the_rules() {
    let mut engine = Engine::new();
    engine.sessions.trusted_uids = [0; 2];
    put(&mut engine, "deny uid 5 connect\nallow gid 77 join default/*\n");
    open(&mut engine, ALICE);
    let (_, status, reason) = knock(&mut engine, 5);
    assert_eq!(status, Status::EACCES);
    assert_eq!(reason, "user 5 may not open sessions: rule /rules:1, \"deny uid 5 connect\"");
    put(&mut engine, "");
    let (_, status, reason) = knock(&mut engine, ALICE);
    assert_eq!(status, Status::EACCES);
    assert!(reason.ends_with("this one would: \"allow uid 1000 connect\""), "{reason}");
    open(&mut engine, 0);
}

/// Without rules: root, the engine's own user, and its group, by whichever of somebody's groups.
#[test]
fn the_engines_own_group_is_let_in() {
    let mut engine = Engine::new();
    engine.sessions.trusted_uids = [0; 2];
    engine.sessions.own_gid = None;
    let (_, status, reason) = knock(&mut engine, ALICE);
    assert_eq!(status, Status::EACCES);
    assert!(reason.contains("add it to the engine's own group"), "{reason}");
    for group in [ALICE, 77] {
        engine.sessions.own_gid = Some(group);
        open(&mut engine, ALICE);
    }
    engine.sessions.own_gid = Some(78);
    assert_eq!(knock(&mut engine, ALICE).1, Status::EACCES);
}

#[test]
fn what_may_not_be_joined_is_left_at_once_in_words() {
    let mut engine = Engine::new();
    put(&mut engine, "allow uid 1000 join default/a*\nallow uid 1000 send default/b\n");
    let client = open(&mut engine, ALICE);
    client.join(1, "a");
    client.join(2, "default/b");
    client.join_to_send(3, "b");
    client.join_to_send(4, "a");
    client.peer(5, 7, 9);
    engine.run();
    assert_eq!(engine.core.log.len(), 1, "{:?}", engine.core.log);
    for (handle, does) in
        [(2, "join default/b"), (4, "send to default/a"), (5, "send to default/*")]
    {
        let (left, status, reason) = client.expect_left();
        assert_eq!((left, status), (handle, Status::EACCES));
        assert!(reason.starts_with(&format!("user 1000 may not {does}: no rule")), "{reason}");
    }
    client.expect_view();
    client.expect_nothing();
    client.send(3, 4, 30, b"into b");
    engine.run();
    assert_eq!(engine.core.log.len(), 2, "{:?}", engine.core.log);
}

#[test]
fn a_message_that_is_refused_has_a_receipt_and_those_behind_it_go_on() {
    let mut engine = Engine::new();
    put(&mut engine, "allow uid 1000 join,send,query default/*");
    let client = open(&mut engine, ALICE);
    client.join(1, "a");
    client.join_to_send(2, "b");
    client.peer(3, 7, 9);
    client.send(2, 4, 20, b"may be");
    engine.run();
    let before = engine.core.log.len();
    put(&mut engine, "deny any send default/b\nallow uid 1000 send default/a\n");
    for turn in 0..3_u64 {
        client.send(2, 4, 21 + turn, b"may not be");
        client.send(3, 4, 31 + turn, b"nor this");
        client.send(1, 4, 11 + turn, b"but this");
    }
    // To several, of which one is forbidden.
    let record = SendRecord { handle: 1, service: 4, tag: 40, groups: 1, ..SendRecord::default() };
    let further = GroupRecord { handle: 2, views: 0 };
    let bytes = [record.as_bytes(), further.as_bytes()].concat();
    client.push(request::SEND, &bytes, b"all or none").expect("room");
    // Without a tag it is told as well.
    client.send(2, 4, 0, b"nor that");
    engine.run();
    let sent = &engine.core.log[before..];
    assert_eq!(sent.len(), 3, "{sent:?}");
    let mut receipts = Vec::new();
    while let Some((kind, bytes)) = client.next() {
        if kind == event::RECEIPT {
            let (receipt, _) = ReceiptRecord::split_from(&bytes).expect("long enough");
            assert_eq!(Status(receipt.status), Status::EACCES);
            receipts.push(receipt.tag);
        }
    }
    assert_eq!(receipts, [21, 31, 22, 32, 23, 33, 40, 0]);
    // Other rules, other answers: also for handles that were forbidden.
    put(&mut engine, "allow uid 1000 all");
    client.send(2, 4, 24, b"may be again");
    engine.run();
    assert_eq!(engine.core.log.len(), before + 4);
}

/// Each lane's groups are those of its domain, and single sessions of it are all of it.
#[test]
fn a_rule_is_about_the_domain_that_it_names() {
    let mut engine = Engine::new();
    engine.sessions.add_domain("fast", None);
    put(&mut engine, "allow uid 1000 all");
    let client = open(&mut engine, ALICE);
    let hello = engine.lane_hello(1, "fast");
    let (near, far) = socket::pair().expect("socketpair");
    engine.sessions.accept_of(peer(ALICE), near, &engine.epoll, engine.now);
    let lane = RawClient::new(far);
    lane.say(hello(&lane.hello()).as_bytes(), &lane.fds());
    engine.run();
    assert_eq!(lane.welcome().expect("an answer").status, Status::OK.0);
    lane.peer_in(2, 7, 9, "fast");
    engine.run();
    put(&mut engine, "allow uid 1000 join,send fast/f*\n");
    client.join(1, "five");
    lane.join(1, "fast/five");
    engine.run();
    let (_, status, reason) = client.expect_left();
    assert_eq!(status, Status::EACCES);
    assert!(reason.starts_with("user 1000 may not join default/five"), "{reason}");
    lane.expect_view();
    lane.send(2, 4, 5, b"to one session");
    engine.run();
    assert_eq!(lane.expect_receipt(), (2, Status::EACCES, 5));
}

/// Also to those who may ask about all the others.
#[test]
fn groups_that_one_may_not_ask_about_are_not_shown() {
    let mut engine = Engine::new();
    put(&mut engine, "allow uid 1000 all");
    open(&mut engine, ALICE);
    let by = By { session: session(1), trusted: false };
    let groups: Vec<_> = [("default", "a"), ("default", "secret/a"), ("fast", "fast/a")]
        .map(|(domain, name)| json!({ "domain": domain, "name": name }))
        .to_vec();
    let mut shown = |rules: &str, whole: &str| {
        put(&mut engine, rules);
        let shown = by.only_allowed(groups.clone(), whole, &engine.sessions).ok()?;
        Some(shown.iter().map(|group| group["name"].to_string()).collect::<Vec<_>>().join(" "))
    };
    let all = r#""a" "secret/a" "fast/a""#;
    assert_eq!(shown("allow uid 1000 query", "*").as_deref(), Some(all));
    let denied = "deny uid 1000 query default/secret/*\nallow uid 1000 query";
    assert_eq!(shown(denied, "*").as_deref(), Some(r#""a" "fast/a""#));
    assert_eq!(shown(denied, "default/*").as_deref(), Some(r#""a" "fast/a""#));
    let one = "allow uid 1000 query fast/*";
    assert_eq!(shown(one, "*").as_deref(), Some(r#""fast/a""#));
    assert_eq!(shown("deny any query", "*"), None);
    // There is nothing to be shown, and that may be known.
    let each_denied = "deny any query default/*\ndeny any query fast/*\nallow any query";
    assert_eq!(shown(each_denied, "*").as_deref(), Some(""));
}

#[test]
fn root_and_the_engine_itself_are_bound_but_not_locked_out() {
    let mut engine = Engine::new();
    put(&mut engine, "deny any all");
    let client = engine.open();
    client.join(1, "a");
    engine.run();
    let (_, status, reason) = client.expect_left();
    assert_eq!(status, Status::EACCES);
    assert!(reason.ends_with("rule /rules:1, \"deny any all\""), "{reason}");
}

#[test]
fn thousands_of_rules_are_asked_once_for_each_handle() {
    let mut engine = Engine::new();
    let mut rules: String = (0..10_000).map(|n| format!("deny any send default/{n}\n")).collect();
    rules.push_str("allow uid 1000 join,send default/*\n");
    put(&mut engine, &rules);
    let client = open(&mut engine, ALICE);
    client.join(1, "mine");
    engine.run();
    let timed = |engine: &mut Engine, client: &RawClient, count: u32| {
        let begin = std::time::Instant::now();
        (0..count).for_each(|_| client.send(1, 4, 0, b"x"));
        engine.run();
        begin.elapsed()
    };
    let first = timed(&mut engine, &client, 1);
    let later = timed(&mut engine, &client, 200);
    let sent = engine.core.log.iter().filter(|line| line.starts_with("send")).count();
    assert_eq!(sent, 201);
    // If each of them asked all rules, these would take two hundred times as long.
    assert!(later < first * 100, "{first:?} for the first one, {later:?} for 200 later ones");
}
