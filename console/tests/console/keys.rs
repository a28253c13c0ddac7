//! Keys, changed in all domains of an engine or in one.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::place::{Place, WAIT_MAX, run};

/// An engine with two domains that use one key file, and one that is not sealed.
struct Sealed {
    place: Place,
    directory: TempDir,
}

impl Sealed {
    fn new(more: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("keys");
        let file = file.to_str().expect("UTF-8");
        run(&["key", "generate", file]).expect(0, &["has key 1"]);
        let settings = [
            ("seal.key_file", file),
            ("domain.fast.ring.window", "64"),
            ("domain.open.seal.mode", "checksum"),
        ];
        Self { place: Place::with(&[&settings, more].concat()), directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    fn generate(&self) {
        run(&["key", "generate", self.file().to_str().expect("UTF-8")]).expect(0, &[", too"]);
    }

    /// Until it is done.
    #[track_caller]
    fn until_done(&self, arguments: &[&str], words: &[&str]) {
        let until = Instant::now() + WAIT_MAX;
        while self.place.run(arguments).code != Some(0) && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        self.place.run(arguments).expect(0, words);
    }

    /// Each domain with the number of its key and those of all that it has.
    fn keys(&self) -> Vec<(String, u64, Vec<u64>)> {
        let answer = self.place.run(&["--json", "key", "status"]);
        answer.expect(0, &[]);
        let value: Value = serde_json::from_str(&answer.stdout).expect("JSON");
        let keys_of = |domain: &Value| {
            let keys = domain["keys"]["keys"].as_array().into_iter().flatten();
            let ids = keys.map(|key| key["id"].as_u64().expect("a number")).collect();
            let name = domain["domain"].as_str().expect("a name").to_owned();
            (name, domain["keys"]["key"].as_u64().unwrap_or(0), ids)
        };
        value["domains"].as_array().expect("a list").iter().map(keys_of).collect()
    }

    #[track_caller]
    fn await_keys(&self, domains: &[(&str, u64, &[u64])]) {
        let expected: Vec<_> = domains
            .iter()
            .map(|(name, key, ids)| ((*name).to_owned(), *key, ids.to_vec()))
            .collect();
        let until = Instant::now() + WAIT_MAX;
        while self.keys() != expected {
            assert!(Instant::now() < until, "{:?} instead of {expected:?}", self.keys());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// As OPERATIONS.md says: after that the line of key 1 can go.
#[test]
fn keys_are_changed_in_every_domain_that_is_sealed() {
    let sealed = Sealed::new(&[]);
    sealed.await_keys(&[("default", 1, &[1]), ("fast", 1, &[1]), ("open", 0, &[])]);
    sealed.generate();
    let staged = sealed.place.run(&["key", "stage"]);
    staged.expect(0, &["domain default: the key file was read", "domain fast: the key file"]);
    assert_eq!(staged.stdout.matches("DIGEST").count(), 2, "{}", staged.stdout);
    assert!(!staged.stdout.contains("domain open"), "{}", staged.stdout);
    sealed.place.run(&["key", "activate", "2"]).expect(0, &["domain default: ", "domain fast: "]);
    sealed.await_keys(&[("default", 2, &[1, 2]), ("fast", 2, &[1, 2]), ("open", 0, &[])]);
    // That all seal with key 2 is known a moment later.
    let until = Instant::now() + WAIT_MAX;
    while sealed.place.run(&["key", "retire", "1"]).stderr.contains("still used") {
        assert!(Instant::now() < until, "key 1 stays in use");
    }
    sealed.await_keys(&[("default", 2, &[2]), ("fast", 2, &[2]), ("open", 0, &[])]);
    let words = ["domain default: aead", "domain fast: aead", "domain open: datagrams are not"];
    sealed.place.run(&["key", "status"]).expect(0, &words);
}

#[test]
fn what_is_refused_in_one_domain_is_done_in_the_others() {
    let other = tempfile::tempdir().expect("a directory");
    let file = other.path().join("keys");
    let file = file.to_str().expect("UTF-8");
    run(&["key", "generate", file]).expect(0, &[]);
    let sealed = Sealed::new(&[("domain.apart.seal.key_file", file)]);
    sealed.generate();
    sealed.until_done(&["key", "stage"], &["domain apart: the key file was read"]);
    let ended = sealed.place.run(&["key", "activate", "2"]);
    ended.expect(1, &["domain default: all members", "domain fast: all members"]);
    let words = "not done in domain apart: there is no key 2 here";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    sealed.await_keys(&[
        ("default", 2, &[1, 2]),
        ("apart", 1, &[1]),
        ("fast", 2, &[1, 2]),
        ("open", 0, &[]),
    ]);
    // The words of one domain do not stand for all.
    let ended = sealed.place.run(&["--json", "key", "activate", "2"]);
    assert_eq!(ended.code, Some(1));
    let value: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let errors: Vec<_> = value["domains"].as_array().expect("a list").iter().collect();
    assert_eq!(errors.len(), 3, "{value}");
    let missing = errors.iter().find(|of| of["domain"] == "apart").expect("it was asked");
    assert!(missing["error"].as_str().is_some_and(|text| text.contains("no key 2")), "{value}");
}

#[test]
fn keys_of_one_domain_can_be_meant() {
    let sealed = Sealed::new(&[]);
    sealed.generate();
    let of_fast = |arguments: &[&str]| {
        sealed.place.run(&[&["key"], arguments, &["--domain", "fast"]].concat())
    };
    of_fast(&["stage"]).expect(0, &["the key file was read"]);
    sealed.await_keys(&[("default", 1, &[1]), ("fast", 1, &[1, 2]), ("open", 0, &[])]);
    of_fast(&["retire", "7"]).expect(1, &["nothing to retire: key 7 is not here; keys here: 1, 2"]);
    of_fast(&["retire", "1"]).expect(1, &["key 1 is still used by"]);
    let all = ["domain default: nothing to retire: key 2 is not here; keys here: 1"];
    sealed.place.run(&["key", "retire", "2"]).expect(1, &all);
    let of_open = sealed.place.run(&["key", "stage", "--domain", "open"]);
    of_open.expect(1, &["its datagrams are not sealed"]);
    let unknown = sealed.place.run(&["key", "status", "--domain", "fst"]);
    unknown.expect(1, &["no domain \"fst\"", "default, fast"]);
    let one = sealed.place.run(&["--json", "key", "status", "--domain", "fast"]);
    let value: Value = serde_json::from_str(&one.stdout).expect("JSON");
    assert_eq!(value["keys"]["domain"], "fast");
}

#[test]
fn there_are_no_keys_to_change_where_nothing_is_sealed() {
    let place = Place::new();
    place.run(&["key", "status"]).expect(0, &["domain default: datagrams are not sealed"]);
    place.run(&["key", "stage"]).expect(1, &["no domain of this engine is sealed (seal.mode)"]);
}
