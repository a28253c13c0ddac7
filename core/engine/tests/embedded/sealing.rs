//! Engines whose datagrams are sealed, with key files as people have them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anasazi_engine::config::Settings;
use anasazi_engine::{Engine, EngineError, generate_key};
use serde_json::{Value, json};

use super::*;
use crate::host::fresh_group;
use crate::ring::{expect_ring_of_both, set_node};

/// A directory with a key file for each of two nodes, the same at first.
struct Keys {
    directory: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        let keys = Self { directory: tempfile::tempdir().unwrap() };
        generate_key(&keys.path(1)).unwrap();
        keys.copy(1, 2);
        keys
    }

    fn path(&self, node: u32) -> PathBuf {
        self.directory.path().join(format!("node{node}.keys"))
    }

    fn copy(&self, from: u32, to: u32) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }
}

fn sealed(settings: &Settings, node: u32, file: &Path) -> Settings {
    let mut settings = set_node(settings, node);
    settings.set("seal.key_file", file.to_str().unwrap()).unwrap();
    settings
}

fn multicast() -> Settings {
    let mut settings = settings();
    settings.set("transport.multicast", &fresh_group().to_string()).unwrap();
    settings
}

fn of(answer: &Value, key: &str) -> Value {
    answer["keys"][key].clone()
}

/// The words of the refusal, if it is one.
fn refusal(host: &Host, index: usize, request: &Value) -> String {
    host.request(index, request)["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn keys_are_changed_without_a_change_of_the_ring() {
    for mode in ["aead", "integrity"] {
        let keys = Keys::new();
        let mut settings = multicast();
        settings.set("seal.mode", mode).unwrap();
        let host = Host::default();
        (1..=2).for_each(|node| _ = host.add(&sealed(&settings, node, &keys.path(node))));
        expect_ring_of_both(&host);
        let status = host.ask(0, "status");
        assert_eq!((&status["seal"]["mode"], &status["seal"]["key"]), (&mode.into(), &1.into()));
        let ring = status["ring"]["id"].clone();
        generate_key(&keys.path(1)).unwrap();
        let done = host.request(0, &json!({ "do": "key-stage" }));
        assert_eq!(done["done"], true, "{done}");
        // The other one lacks it.
        let refused = refusal(&host, 0, &json!({ "do": "key-activate", "id": 2 }));
        assert!(refused.contains("missing at 2"), "{refused}");
        keys.copy(1, 2);
        host.request(1, &json!({ "do": "key-stage" }));
        host.run_until("all have said what they have", |host| {
            let members = of(&host.ask(0, "keys"), "members");
            let have = |member: &Value| member["keys"].as_array().is_some_and(|k| k.len() == 2);
            members.as_array().unwrap().iter().all(have)
        });
        let asked = host.request(0, &json!({ "do": "key-activate", "id": 2 }));
        assert_eq!(asked["done"], true, "{asked}");
        host.run_until("both seal with key 2", |host| {
            (0..2).all(|index| of(&host.ask(index, "keys"), "key") == 2)
        });
        // Both know of each other that they do, a moment later.
        host.run_until("key 1 is retired", |host| {
            (0..2).all(|index| {
                let ids = of(&host.ask(index, "keys"), "keys");
                let is_gone = ids.as_array().unwrap().len() == 1;
                is_gone || refusal(host, index, &json!({ "do": "key-retire", "id": 1 })).is_empty()
            })
        });
        let refused = refusal(&host, 0, &json!({ "do": "key-retire", "id": 2 }));
        assert!(refused.contains("still used by 1, 2"), "{refused}");
        assert_eq!(host.ask(0, "status")["ring"]["id"], ring, "the ring is the same");
        for index in 0..2 {
            let counters = of(&host.ask(index, "keys"), "counters");
            assert_eq!(counters["forged"], 0, "{counters}");
            assert!(counters["opened"].as_u64().unwrap() > 10, "{counters}");
            let events = host.ask(index, "events").to_string();
            assert!(events.contains("key 2 seals from now on, no longer key 1"), "{events}");
        }
    }
}

#[test]
fn a_stranger_is_left_out_and_knows_which_key_it_lacks() {
    let keys = Keys::new();
    fs::remove_file(keys.path(2)).unwrap();
    generate_key(&keys.path(2)).unwrap();
    generate_key(&keys.path(2)).unwrap();
    let text = fs::read_to_string(keys.path(2)).unwrap();
    let second = text.lines().last().unwrap();
    fs::write(keys.path(2), format!("{second}\n")).unwrap();
    let settings = multicast();
    let host = Host::default();
    (1..=2).for_each(|node| _ = host.add(&sealed(&settings, node, &keys.path(node))));
    host.run_until("both have heard of a key that they lack", |host| {
        let missing = |index| of(&host.ask(index, "keys"), "missing")[0]["id"].clone();
        (missing(0), missing(1)) == (2.into(), 1.into())
    });
    for (index, lacks) in [(0, 2), (1, 1)] {
        let warnings = host.ask(index, "status")["warnings"].to_string();
        let words = format!("seals with key {lacks}, which is not here");
        assert!(warnings.contains(&words), "{warnings}");
    }
    let alone = |host: &Host| [host.nodes(0), host.nodes(1)] == [vec![1], vec![2]];
    host.run_until("each has a ring of its own", alone);
    // Longer than it takes to find each other.
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        host.turn(Duration::from_millis(20));
    }
    assert!(alone(&host));
}

#[test]
fn a_bad_key_file_changes_nothing_and_says_what_is_wrong() {
    let keys = Keys::new();
    let host = Host::with(&sealed(&multicast(), 1, &keys.path(1)));
    let stage = json!({ "do": "key-stage" });
    let good = fs::read(keys.path(1)).unwrap();
    fs::set_permissions(keys.path(1), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal(&host, 0, &stage).contains("others can read it"));
    fs::set_permissions(keys.path(1), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(keys.path(1), "1 00\n").unwrap();
    let refused = refusal(&host, 0, &stage);
    assert!(refused.contains("line 1") && !refused.contains("1 00"), "{refused}");
    fs::remove_file(keys.path(1)).unwrap();
    generate_key(&keys.path(1)).unwrap();
    assert!(refusal(&host, 0, &stage).contains("is not the key 1 that is here"));
    fs::remove_file(keys.path(1)).unwrap();
    assert!(refusal(&host, 0, &stage).contains("it is not there"));
    fs::write(keys.path(1), good).unwrap();
    fs::set_permissions(keys.path(1), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(host.request(0, &stage)["done"], true);
}

#[test]
fn nothing_leaves_this_host_unsealed_unless_that_is_asked_for() {
    let mut settings = settings();
    settings.set("transport.bind", "192.0.2.1:7000").unwrap();
    let refused = settings.validate().unwrap_err().to_string();
    for words in ["seal.mode", "192.0.2.1:7000", "anasazi key generate", "\"checksum\""] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let mut asked_for = settings.clone();
    asked_for.set("seal.mode", "checksum").unwrap();
    let config = asked_for.validate().unwrap();
    assert!(config.warnings().iter().any(|w| w.contains("whoever reaches the network")));
    settings.set("seal.mode", "aead").unwrap();
    assert!(settings.validate().unwrap_err().to_string().contains("needs keys"));
    settings.set("transport.bind", "127.0.0.1:0").unwrap();
    settings.set("seal.key_file", "/nowhere/keys").unwrap();
    let config = settings.validate().unwrap();
    let Err(EngineError::Config(text)) = Engine::new(config) else { panic!("it has started") };
    assert!(text.contains("/nowhere/keys") && text.contains("anasazi key generate"), "{text}");
}
