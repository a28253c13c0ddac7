//! Rules of access: shown, read again, explained, and obeyed.

use crate::place::Place;

#[test]
fn rules_are_shown_read_again_and_explained() {
    let place = Place::new();
    place.run(&["access", "show"]).expect(0, &["no rules", "access.file"]);
    place.run(&["access", "reload"]).expect(1, &["set access.file"]);
    place.run(&["access", "check", "join", "x"]).expect(0, &["allowed: ", "join default/x"]);
    let check = ["access", "check", "--uid", "61000", "connect"];
    place.run(&check).expect(0, &["refused: user 61000 may not", "client.allow_uids"]);

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rules");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("deny any send default/quiet\nallow  uid 61000 join,send fast/*\n");
    let path = file.to_str().expect("UTF-8");
    let place = Place::with(&[("access.file", path)]);
    let line = format!("{path}:2: allow uid 61000 join,send fast/*");
    place.run(&["access", "show"]).expect(0, &[&line]);
    place.run(&["send", "quiet", "text"]).expect(1, &["\"deny any send default/quiet\""]);
    let of = |more: &[&str]| place.run(&[&["access", "check", "--uid", "61000"], more].concat());
    of(&["send", "fast/x"]).expect(0, &["allowed: user 61000 may send to fast/x", ":2, \"allow"]);
    of(&["send", "x"]).expect(0, &["refused: ", "\"allow uid 61000 send default/x\""]);
    of(&["--gid", "5", "--gid", "6", "connect"]).expect(0, &["allowed: "]);
    of(&["sned", "x"]).expect(1, &["`operation` must be one of connect, join, send, query"]);
    of(&["send"]).expect(1, &["`name` must be"]);
    let tcp = ["access", "check", "--socket", "tcp://127.0.0.1:1", "connect"];
    place.run(&tcp).expect(0, &["refused: who comes by tcp://127.0.0.1:1"]);

    write("allow any send *");
    place.run(&["access", "reload"]).expect(0, &[&format!("1 rules of {path} are in force now")]);
    place.run(&["send", "quiet", "text"]).expect(0, &[]);
    write("allow any sned *");
    let wrong = format!("{path}:1:11: \"sned\" is not allowed");
    place.run(&["access", "reload"]).expect(1, &[&wrong, "stay as they were"]);
    place.run(&["send", "quiet", "text"]).expect(0, &[]);
}
