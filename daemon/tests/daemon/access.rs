//! Rules of access, and programs of other users at a real daemon. They need root, which is other
//! users.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::guest::Guest;
use super::place::{Place, Running};

const ALICE: u32 = 61_000;
const BOB: u32 = 61_001;
const TRADING: u32 = 61_077;
const LISTEN: &str = "client.listen_mode = \"0666\"\n";

/// A daemon with these rules, that also has the domain `fast`; `None` without root.
fn start(rules: &str, more: &str) -> Option<(Place, Running)> {
    let place = Place::new(LISTEN);
    if fs::metadata(place.directory.path()).expect("it is there").uid() != 0 {
        eprintln!("skipped: only root is other users");
        return None;
    }
    fs::write(place.path("rules"), rules).expect("written");
    let text = fs::read_to_string(place.file()).expect("its configuration");
    let own = format!("access.file = \"{}\"\n{more}\n[domain.fast]\n", rules_of(&place));
    fs::write(place.file(), text + &own).expect("written");
    let daemon = place.start(&mut place.command(&[]));
    daemon.wait_for_log("alone");
    Some((place, daemon))
}

fn rules_of(place: &Place) -> String {
    place.path("rules").display().to_string()
}

fn url(place: &Place) -> String {
    format!("shm:{}", place.path("anasazi.sock").display())
}

fn guest(place: &Place, uid: u32, gid: u32) -> Guest {
    let (guest, welcome) = Guest::new(place, &url(place), uid, gid);
    assert_eq!(welcome, "OK");
    guest
}

#[track_caller]
fn refused(answer: &str, words: &[&str]) {
    assert!(answer.starts_with("ANZ_EACCES "), "{answer}");
    words.iter().for_each(|word| assert!(answer.contains(word), "no {word:?} in {answer}"));
}

#[test]
fn each_operation_is_allowed_or_refused_by_a_rule() {
    let rules = format!(
        "deny any send fast/quiet\nallow uid {ALICE} join,send default/a*\n\
         allow uid {ALICE} send fast/*\nallow uid {ALICE} query fast/*\n\
         allow gid {TRADING} all\ndeny uid {BOB} connect\n"
    );
    let Some((place, _daemon)) = start(&rules, "") else { return };
    let mut alice = guest(&place, ALICE, ALICE);
    assert_eq!(alice.asks("join a"), "OK");
    assert_eq!(alice.asks("send a"), "OK");
    refused(&alice.asks("join b"), &["user 61000 may not join default/b: no rule allows it"]);
    refused(&alice.asks("join fast/x"), &["\"allow uid 61000 join fast/x\""]);
    assert_eq!(alice.asks("sender fast/x"), "OK");
    assert_eq!(alice.asks("send fast/x"), "OK");
    refused(&alice.asks("sender fast/quiet"), &["rules:1, \"deny any send fast/quiet\""]);
    assert_eq!(alice.asks("peer fast"), "OK");
    refused(&alice.asks("peer default"), &["may not send to default/*"]);
    for (what, allowed) in [
        (r#"{"query":"status","domain":"fast"}"#, true),
        (r#"{"query":"groups","domain":"fast"}"#, true),
        (r#"{"query":"status"}"#, false),
        (r#"{"query":"groups"}"#, false),
        (r#"{"query":"sessions"}"#, false),
        (r#"{"query":"access"}"#, false),
        (r#"{"query":"access-check","uid":0,"operation":"join","name":"a"}"#, false),
        (r#"{"query":"access-check","operation":"join","name":"b"}"#, true),
    ] {
        let answer = alice.asks(&format!("ask {what}"));
        assert_eq!(answer.starts_with("OK "), allowed, "{what}: {answer}");
        assert!(allowed || answer.starts_with("ANZ_EACCES "), "{what}: {answer}");
    }
    refused(&alice.asks(r#"ask {"do":"access-reload"}"#), &["root"]);

    let mut trader = guest(&place, BOB, TRADING);
    assert_eq!(trader.asks("join fast/quiet"), "OK");
    assert_eq!(trader.asks("send fast/quiet"), "ANZ_EACCES");
    assert_eq!(trader.asks("join other"), "OK");
    let answer = trader.asks(r#"ask {"query":"groups"}"#);
    assert!(answer.contains("\"other\"") && answer.contains("\"fast/quiet\""), "{answer}");

    let (_, welcome) = Guest::new(&place, &url(&place), BOB, BOB);
    refused(&welcome, &["user 61001 may not open sessions", "rules:6, \"deny uid 61001 connect\""]);
    let (_, welcome) = Guest::new(&place, &url(&place), 61_002, 61_002);
    refused(&welcome, &["this one would: \"allow uid 61002 connect\""]);
}

#[test]
fn groups_are_shown_to_whom_they_are_for() {
    let rules = format!("allow uid {ALICE} join default/*\nallow uid {ALICE} query default/mine\n");
    let Some((place, _daemon)) = start(&rules, "") else { return };
    let mut alice = guest(&place, ALICE, ALICE);
    let ask = r#"ask {"query":"groups"}"#;
    refused(&alice.asks(ask), &["may not query *"]);
    assert_eq!((alice.asks("join mine"), alice.asks("join other")), ("OK".into(), "OK".into()));
    let answer = alice.asks(ask);
    assert!(answer.contains("\"mine\"") && !answer.contains("\"other\""), "{answer}");
}

#[test]
fn other_rules_are_for_whatever_is_asked_from_then_on() {
    let Some((place, daemon)) = start(&format!("allow uid {ALICE} join,send *\n"), "") else {
        return;
    };
    let mut alice = guest(&place, ALICE, ALICE);
    let mut root = guest(&place, 0, 0);
    let reload = r#"ask {"do":"access-reload"}"#;
    assert_eq!((alice.asks("join a"), alice.asks("send a")), ("OK".into(), "OK".into()));
    fs::write(place.path("rules"), format!("allow uid {ALICE} join default/a\n")).expect("written");
    assert_eq!(alice.asks("send a"), "OK", "nobody has read them");
    let answer = root.asks(reload);
    assert!(answer.starts_with("OK ") && answer.contains("\"rules\":1"), "{answer}");
    assert_eq!(alice.asks("send a"), "ANZ_EACCES");
    daemon.wait_for_log("user 61000 may not send to default/a: no rule allows it");
    refused(&alice.asks("join b"), &["may not join default/b"]);

    // What is wrong changes nothing.
    for (bad, says) in [
        (Some("allow any all\nallow any al\n"), "rules:2:11: "),
        (Some("allow user no-such-user all\n"), "rules:1:12: this system knows no user"),
        (None, "no such file"),
    ] {
        match bad {
            Some(bad) => fs::write(place.path("rules"), bad).expect("written"),
            None => fs::remove_file(place.path("rules")).expect("removed"),
        }
        let answer = root.asks(reload);
        assert!(answer.starts_with("ANZ_ECONFIG ") && answer.contains(says), "{answer}");
        assert!(answer.contains("the access rules stay as they were"), "{answer}");
        assert_eq!(alice.asks("send a"), "ANZ_EACCES");
    }
    let answer = root.asks(r#"ask {"query":"access"}"#);
    assert!(answer.contains("allow uid 61000 join default/a"), "{answer}");
    let answer = root.asks(r#"ask {"query":"events"}"#);
    assert!(answer.contains("stay as they were"), "{answer}");

    // Root is bound, but not locked out.
    fs::write(place.path("rules"), "deny any all\n").expect("written");
    assert!(root.asks(reload).starts_with("OK "));
    refused(&root.asks("join x"), &["rules:1, \"deny any all\""]);
    fs::write(place.path("rules"), "allow any all\n").expect("written");
    assert!(root.asks(reload).starts_with("OK "));
    assert_eq!((root.asks("join y"), alice.asks("send a")), ("OK".into(), "OK".into()));
}

#[test]
fn sockets_have_rules_of_their_own() {
    let Some((place, mut daemon)) = start("deny socket unix all\nallow socket tcp join *\n", "")
    else {
        return;
    };
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
    let stream = format!("unix:{}", place.path("s.sock").display());
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
    let tcp = format!("tcp://{}", port.expect("an address"));
    let listen = format!("client.listen_streams={stream},{tcp}");
    let daemon = place.start(&mut place.command(&["--set", &listen]));
    daemon.wait_for_log("alone");
    let (_, welcome) = Guest::new(&place, &stream, ALICE, ALICE);
    refused(&welcome, &["rules:1, \"deny socket unix all\""]);
    let (mut remote, welcome) = Guest::new(&place, &tcp, ALICE, ALICE);
    assert_eq!(welcome, "OK");
    assert_eq!(remote.asks("join a"), "OK");
    assert_eq!(remote.asks("send a"), "ANZ_EACCES");
    refused(&remote.asks("sender b"), &["who comes by ", &format!("allow socket {tcp} send")]);
    let act = r#"ask {"do":"access-reload"}"#;
    refused(&remote.asks(act), &["not over TCP", "shm:"]);
    let (_, welcome) = Guest::new(&place, &url(&place), ALICE, ALICE);
    refused(&welcome, &["no rule allows it"]);
}

#[test]
fn what_the_configuration_lets_in_stays_in() {
    let more = format!("client.allow_uids = [{ALICE}]\nclient.allow_gids = [{TRADING}]\n");
    let Some((place, _daemon)) = start("deny any send default/quiet\n", &more) else { return };
    let mut alice = guest(&place, ALICE, ALICE);
    assert_eq!((alice.asks("join a"), alice.asks("send a")), ("OK".into(), "OK".into()));
    refused(&alice.asks("sender quiet"), &["rules:1"]);
    assert_eq!(guest(&place, BOB, TRADING).asks("join fast/a"), "OK");
}

#[test]
fn rules_that_are_wrong_keep_it_from_starting_and_are_found_by_check() {
    let place = Place::new("");
    let rules = format!("access.file={}", rules_of(&place));
    fs::write(place.path("rules"), "\nallow uid 5 read *\n").expect("written");
    for options in [&["--set", &rules][..], &["--set", &rules, "--check"]] {
        let ended = place.run(options);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let says = format!("{}:2:13: \"read\" is not allowed here", rules_of(&place));
        assert!(ended.stderr.contains(&says), "{ended:?}");
    }
    fs::write(place.path("rules"), "allow uid 5 query *\n").expect("written");
    assert_eq!(place.run(&["--set", &rules, "--check"]).code, Some(0));
}

#[test]
fn thousands_of_rules_are_read_and_obeyed() {
    let many: String = (0..16_000).map(|n| format!("deny uid {n} send fast/{n}\n")).collect();
    let rules = format!("{many}allow uid {ALICE} join,send *\n");
    let Some((place, _daemon)) = start(&rules, "") else { return };
    let (mut alice, mut root) = (guest(&place, ALICE, ALICE), guest(&place, 0, 0));
    assert_eq!((alice.asks("join a"), alice.asks("send a")), ("OK".into(), "OK".into()));
    fs::write(place.path("rules"), many).expect("written");
    let answer = root.asks(r#"ask {"do":"access-reload"}"#);
    assert!(answer.contains("\"rules\":16000"), "{answer}");
    assert_eq!(alice.asks("send a"), "ANZ_EACCES");
    let shown = root.asks(r#"ask {"query":"access"}"#);
    assert!(shown.contains("deny uid 15999 send fast/15999"), "{}", shown.len());
}
