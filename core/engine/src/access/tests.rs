//! Rules: what they say, and what is wrong with some.

use std::io;

use super::parse::{Names, parse};
use super::*;

/// Knows alice, and the group trading.
struct Known;

impl Names for Known {
    fn uid(&self, name: &str) -> io::Result<Option<u32>> {
        match name {
            "alice" => Ok(Some(1_000)),
            "slow" => Err(io::Error::other("no answer")),
            _ => Ok(None),
        }
    }

    fn gid(&self, name: &str) -> io::Result<Option<u32>> {
        Ok((name == "trading").then_some(77))
    }
}

fn rules(text: &str) -> Rules {
    let list = parse(text, "/etc/rules", &Known).expect("they are in order");
    Rules { path: Path::new("/etc/rules").into(), list }
}

fn wrong(text: &str) -> String {
    parse(text, "/etc/rules", &Known).expect_err("they are not in order")
}

fn user(uid: u32, groups: &[u32]) -> Subject<'_> {
    let (socket, standing) = ("shm:/run/a.sock", Standing::Stranger);
    Subject { uid, gid: groups.first().copied().unwrap_or(5), groups, socket, standing }
}

fn may(text: &str, subject: &Subject<'_>, operation: Operation, name: &str) -> bool {
    decide(Some(&rules(text)), subject, operation, name).allowed
}

use Operation::{Connect, Join, Query, Send};

#[test]
fn the_first_rule_that_fits_decides() {
    let text = "# ours\n\n deny any send fast/*\nallow user alice join,send  prices/*\n\
                allow group trading all\nallow uid 9 all\ndeny any all\n";
    let (alice, trader) = (user(1_000, &[]), user(8, &[6, 77]));
    assert!(may(text, &alice, Join, "prices/x") && may(text, &alice, Send, "prices/"));
    assert!(!may(text, &alice, Query, "prices/x") && !may(text, &alice, Join, "price/x"));
    assert!(may(text, &trader, Send, "prices/x") && !may(text, &trader, Send, "fast/x"));
    assert!(may(text, &trader, Join, "fast/x") && may(text, &trader, Query, "*"));
    assert!(!may(text, &user(7, &[]), Join, "prices/x") && may(text, &user(9, &[]), Join, "a/b"));
}

#[test]
fn whoever_may_do_anything_may_connect() {
    let text = "allow uid 1 join a/b\ndeny uid 2 all a/*\nallow uid 2 send c/d\n\
                deny uid 3 connect\nallow any query a/b";
    assert!(may(text, &user(1, &[]), Connect, "*"));
    assert!(may(text, &user(2, &[]), Connect, "*"));
    assert!(!may(text, &user(3, &[]), Connect, "*") && may(text, &user(3, &[]), Query, "a/b"));
    assert!(may(text, &user(4, &[]), Connect, "*"));
    assert!(!may("allow uid 1 all", &user(4, &[]), Connect, "*"));
}

#[test]
fn names_are_whole_or_begin_so() {
    let one = user(1, &[]);
    for (pattern, fits, not) in [
        ("", &["a/b", "*", "a/*"][..], &[][..]),
        ("*", &["a/b", "*"], &[]),
        ("a/*", &["a/b", "a/", "a/*"], &["*", "ab/c", "b/a"]),
        ("a/b*", &["a/b", "a/bc"], &["a/*", "a/a"]),
        ("a/b", &["a/b"], &["a/bc", "a/*"]),
        ("default/größe/x", &["default/größe/x"], &["default/größe/xy"]),
    ] {
        let text = format!("allow uid 1 all {pattern}");
        fits.iter().for_each(|name| assert!(may(&text, &one, Send, name), "{pattern} {name}"));
        not.iter().for_each(|name| assert!(!may(&text, &one, Send, name), "{pattern} {name}"));
    }
}

#[test]
fn sockets_are_known_by_their_urls() {
    let by = |socket: &str, text: &str| {
        let subject = Subject { socket, standing: Standing::Remote, ..user(u32::MAX, &[]) };
        may(text, &subject, Connect, "*")
    };
    for (socket, rule) in [
        ("tcp://127.0.0.1:7745", "tcp://127.0.0.1:7745"),
        ("tcp://[::1]:7745", "tcp://[0:0::1]:7745"),
        ("tcp://127.0.0.1:7745", "tcp"),
        ("unix:/a", "unix:/a"),
        ("unix:/a", "unix"),
        ("shm:/a", "shm"),
        ("inproc", "inproc"),
    ] {
        assert!(by(socket, &format!("allow socket {rule} all")), "{socket} {rule}");
    }
    for (socket, rule) in
        [("unix:/a", "shm"), ("unix:/a", "unix:/ab"), ("unix:/a:b", "unix:/a:"), ("inproc", "tcp")]
    {
        assert!(!by(socket, &format!("allow socket {rule} all")), "{socket} {rule}");
    }
}

#[test]
fn behind_the_rules_stands_the_configuration() {
    let of = |standing| Subject { standing, ..user(3, &[]) };
    let deny = rules("deny any all");
    let none = rules("# nothing");
    let may = |rules, standing, operation| decide(rules, &of(standing), operation, "a/b").allowed;
    for operation in Operation::ALL {
        assert!(may(None, Standing::Trusted, operation) && may(None, Standing::Listed, operation));
        assert!(may(None, Standing::Remote, operation), "as before there were rules");
        assert!(!may(None, Standing::Stranger, operation));
        assert!(may(Some(&none), Standing::Listed, operation));
        assert!(!may(Some(&none), Standing::Remote, operation));
        assert!(!may(Some(&deny), Standing::Listed, operation));
        let is_locked_out = !may(Some(&deny), Standing::Trusted, operation);
        assert_eq!(is_locked_out, matches!(operation, Join | Send), "{operation:?}");
    }
}

#[test]
fn answers_name_the_rule_or_the_one_that_is_missing() {
    let say = |rules: Option<&Rules>, subject: &Subject<'_>, operation, name| {
        Asked { subject, operation, name }.explain(&decide(rules, subject, operation, name))
    };
    let text = rules("\ndeny any send   a/*\nallow uid 3 join b/*");
    let three = user(3, &[]);
    assert_eq!(
        say(Some(&text), &three, Send, "a/b"),
        "user 3 may not send to a/b: rule /etc/rules:2, \"deny any send a/*\""
    );
    assert_eq!(
        say(Some(&text), &three, Join, "b/c"),
        "user 3 may join b/c: rule /etc/rules:3, \"allow uid 3 join b/*\""
    );
    assert_eq!(
        say(Some(&text), &user(4, &[]), Connect, "*"),
        "user 4 may not open sessions: no rule allows it; this one would: \"allow uid 4 connect\""
    );
    let socket = "tcp://127.0.0.1:1";
    let remote = Subject { standing: Standing::Remote, socket, ..user(u32::MAX, &[]) };
    assert_eq!(
        say(Some(&text), &remote, Query, "a/*"),
        "who comes by tcp://127.0.0.1:1 may not query a/*: no rule allows it; this one would: \
         \"allow socket tcp://127.0.0.1:1 query a/*\""
    );
    let missing = say(None, &three, Connect, "*");
    assert!(missing.contains("client.allow_uids") && missing.contains("access.file"), "{missing}");
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_is_allowed() {
    for (text, says) in [
        (
            "permit any all",
            "/etc/rules:1:1: \"permit\" is not allowed here; allowed: allow or deny",
        ),
        ("\nallow 1000 all", "/etc/rules:2:7: \"1000\" is not allowed here; allowed: any, uid N"),
        ("allow", ":1:6: the rule ends too early; next would be any, uid N"),
        ("allow uid", ":1:10: the rule ends too early"),
        ("allow uid 5", ":1:12: the rule ends too early; next would be connect, join"),
        ("allow uid alice all", ":1:11: \"alice\" is not a number; allowed: 0 to 4294967294"),
        ("allow gid -1 all", ":1:11: \"-1\" is not a number"),
        ("allow uid 4294967295 all", ":1:11: \"4294967295\" is not a number"),
        ("allow user bob all", ":1:12: this system knows no user \"bob\" (getent passwd bob)"),
        ("allow group bob all", "(getent group bob): correct it, or write its number"),
        ("allow user slow all", "cannot be looked up: no answer; write its number"),
        ("allow any join,sned a/b", ":1:16: \"sned\" is not allowed here; allowed: connect, join"),
        ("allow any join, send a/b", ":1:16: \"\" is not allowed here"),
        ("allow any all a*b", ":1:15: \"a*b\" has a * that is not its end"),
        ("allow any all prices", "names no domain"),
        ("allow any all pri*", "for groups of the domain default write default/pri*"),
        ("allow any all A/b", "\"A\" is no name of a domain"),
        ("allow any all /b", "\"\" is no name of a domain"),
        ("allow any all a/", "names no group: write a/* for all of that domain"),
        ("allow any all a/b c", ":1:19: \"c\" is one word too many"),
        ("allow any connect,join a/b", ":1:24: connect is of no group: leave \"a/b\" out"),
        ("allow socket /a all", ":1:14: \"/a\" is no socket; allowed: shm:/path"),
        ("allow socket tcp://host:1 all", "is no socket"),
        ("allow any\u{0} all", ":1:10: a control character"),
    ] {
        let error = wrong(text);
        assert!(error.contains(says), "{text:?}: {error}");
    }
    let many = wrong(&"so it goes\n".repeat(1_000));
    assert_eq!(many.lines().count(), 21);
    assert!(many.ends_with("/etc/rules: and 980 lines more"), "{many}");
    let count = wrong(&"allow any all\n".repeat(20_000));
    assert!(count.contains("more than 16384 rules"), "{count}");
}

#[test]
fn files_that_are_none_are_refused_at_once() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("rules");
    let refused = |says: &str| {
        let error = read(&path).expect_err("it is refused");
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        assert!(error.contains(says), "{error}");
    };
    refused("no such file");
    std::fs::create_dir(&path).expect("made");
    refused("not a file");
    std::fs::remove_dir(&path).expect("removed");
    // Nothing would ever come of it.
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    refused("not a file");
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, b"allow any all\n\xff\n").expect("written");
    refused("not UTF-8 in line 2");
    std::fs::write(&path, vec![b' '; (4 << 20) + 1]).expect("written");
    refused("longer than 4194304 bytes");
    std::fs::write(&path, "allow user root all\nallow group root all\n").expect("written");
    assert_eq!(read(&path).expect("in order").list.len(), 2);
}

proptest::proptest! {
    /// Whatever stands in the file, it is read or refused.
    #[test]
    fn no_text_is_too_strange(
        text in "(allow|deny|any|uid|user|socket|tcp:|[ \n*/,\\PC]|all){0,40}"
    ) {
        let _ = parse(&text, "x", &Known);
    }
}
