//! What a domain is given, inherits and may not have in common with others.

use std::time::Duration;

use super::super::presets::PRESETS;
use super::super::tests::{load, refused};
use super::*;

fn shown(settings: &Settings, key: &str) -> String {
    let effective = settings.effective();
    let row = effective.iter().find(|row| row.key == key).expect(key);
    format!("{} ({})", row.value, row.origin)
}

#[test]
fn what_is_not_given_is_as_at_the_top_level_or_derived() {
    let text = r#"
        cluster = "blue"
        [transport]
        bind = "192.0.2.1:7000"
        multicast = "239.1.2.3:9000"
        peers = ["192.0.2.2:7000"]
        multicast_ttl = 3
        [ring]
        window = 99
        beacon_ms = 700
        [seal]
        mode = "checksum"
        [trace]
        file = "/tmp/trace"
        [domain.fast]
        ring.window = 44
        [domain.slow.transport]
        bind = "192.0.2.1:7001"
        peers = ["192.0.2.2:7001"]
    "#;
    let config = load(text).expect("valid");
    let [fast, slow] = &config.domains[..] else { panic!("two") };
    assert_eq!((&fast.name[..], &slow.name[..]), ("fast", "slow"));
    assert_eq!((fast.ring.window, slow.ring.window), (44, 99));
    assert_eq!(fast.ring.beacon, Duration::from_millis(700));
    assert_eq!(fast.transport.bind, "192.0.2.1:0".parse().expect("an address"));
    assert_eq!(slow.transport.bind, "192.0.2.1:7001".parse().expect("an address"));
    assert!(fast.transport.peers.is_empty() && slow.transport.peers.len() == 1);
    assert_eq!((fast.transport.multicast_ttl, &fast.trace.file), (3, &None));
    // The same at every node and in every release: a change here parts the nodes.
    let groups = [fast, slow].map(|of| of.transport.multicast.expect("a group").to_string());
    assert_eq!(groups, ["239.192.152.244:9000", "239.192.178.26:9000"]);
    assert_ne!(fast.number, slow.number);
    assert_eq!(config.all_domains()[0].short_number(), 0);
    assert!(config.domains.iter().all(|of| of.short_number() > 0));
    let other = load("cluster = \"red\"\n[domain.fast]").expect("valid");
    assert_ne!(other.domains[0].number, fast.number, "another cluster's");
}

#[test]
fn a_group_is_derived_in_ipv6_and_none_where_there_is_none() {
    let of = |text: &str| load(text).expect(text).domains[0].transport.multicast;
    let top = "transport.bind = \"[::1]:0\"\ntransport.multicast = \"[ff15::7745]:7745\"\n";
    let group = of(&format!("{top}[domain.fast]")).expect("a group").to_string();
    assert!(group.starts_with("[ff15::") && group.ends_with("]:7745"), "{group}");
    assert_ne!(group, "[ff15::7745]:7745");
    assert_eq!(of("transport.multicast = \"off\"\n[domain.fast]"), None);
}

#[test]
fn a_program_sets_what_a_file_can() {
    let mut settings = Settings::new();
    settings.set("domain.fast.ring.window", "64").expect("a key of a domain");
    settings.set("domain.wide.preset", "wan").expect("a preset");
    settings.set("domain.wide.ring.window", "77").expect("a key of a domain");
    assert_eq!(shown(&settings, "domain.fast.ring.window"), "64 (set by the program)");
    assert_eq!(shown(&settings, "domain.fast.ring.beacon_ms"), "1000 (default)");
    assert_eq!(
        shown(&settings, "domain.fast.transport.bind").split_once(' ').expect("two").1,
        "(derived for this domain)"
    );
    assert_eq!(shown(&settings, "domain.wide.ring.beacon_ms"), "5000 (preset wan)");
    assert_eq!(shown(&settings, "domain.wide.ring.window"), "77 (set by the program)");
    settings.set("ring.beacon_ms", "800").expect("a key");
    assert_eq!(shown(&settings, "domain.fast.ring.beacon_ms"), "800 (set by the program)");
    assert_eq!(shown(&settings, "domain.wide.ring.beacon_ms"), "5000 (preset wan)");
    let config = settings.validate().expect("valid");
    assert_eq!((config.domains[0].ring.window, config.domains[1].ring.window), (64, 77));
}

#[test]
fn every_preset_is_valid_as_it_is_and_lan_is_the_defaults() {
    for preset in PRESETS {
        let mut settings = Settings::new();
        settings.set("domain.it.preset", preset.name).expect(preset.name);
        settings.validate().expect(preset.name);
        for (key, value) in preset.values {
            let key = find(key).expect(key);
            assert!(preset.name != "lan" || key.default == *value, "{}", key.name);
        }
        let ring = keys().filter(|key| key.table() == "ring");
        assert!(ring.into_iter().all(|key| preset.setting(key).is_some()), "{}", preset.name);
    }
    assert!(PRESET.kind.allowed().contains("mobile"));
}

#[test]
fn refusals_say_where_what_and_what_is_allowed() {
    for (text, message) in [
        ("[domain.Fast]", "a.toml:1:9: domain.Fast: \"Fast\" is no name for a domain; allowed: 1"),
        ("[domain.default]", "domain.default: the domain \"default\" is what is configured at the"),
        ("[domain.a_b.ring]", "a.toml:1:9: domain.a_b: \"a_b\" is no name"),
        ("[domain.\"\"]", "domain.: \"\" is no name for a domain"),
        ("domain = 3", "a.toml:1:10: domain: an integer is not allowed; it is a table: [domain]"),
        ("domain.fast = 3", "domain.fast: an integer is not allowed; it is a table: [domain.fast]"),
        (
            "[domain.fast]\nring.windw = 5",
            "a.toml:2:6: domain.fast.ring.windw: unknown key; did you mean domain.fast.ring.window",
        ),
        ("[domain.fast]\nnode.id = 5", "domain.fast.node: node is for the whole engine: set it at"),
        ("[domain.fast]\ncluster = \"x\"", "domain.fast.cluster: cluster is for the whole engine"),
        ("[domain.fast.rign]", "domain.fast.rign: unknown table; a domain has the key preset and"),
        ("[domain.fast]\nring.window = 0", "a.toml:2:15: domain.fast.ring.window: 0 is out of"),
        (
            "[domain.fast]\npreset = \"lann\"",
            "domain.fast.preset: \"lann\" is not allowed; allowed: n",
        ),
        (
            "[domain.fast]\nring.idle_rotate_ms = 100",
            "domain.fast.ring.token_loss_ms: 250 is too little; allowed: at least 3 times \
             domain.fast.ring.idle_rotate_ms (100, a.toml:2:23), so 300 or more here",
        ),
        (
            "[domain.a]\ntransport.multicast = \"239.1.1.1:5\"\n\
             [domain.b]\ntransport.multicast = \"239.1.1.1:5\"",
            "a.toml:4:23: domain.b.transport.multicast: two domains cannot have one multicast \
             group and port, see domain.a.transport.multicast (239.1.1.1:5, a.toml:2:23); allowed",
        ),
        (
            "[domain.a]\ntransport.multicast = \"239.192.77.1:7745\"",
            "see transport.multicast (239.192.77.1:7745, default)",
        ),
        (
            "transport.bind = \"127.0.0.1:7\"\n[domain.a]\ntransport.bind = \"127.0.0.1:7\"",
            "domain.a.transport.bind: two domains cannot have one address and port, see \
             transport.bind (127.0.0.1:7, a.toml:1:18); allowed: another port",
        ),
        (
            "client.listen_streams = [\"tcp://127.0.0.1:7\"]\n[domain.a]\n\
             transport.bind = \"127.0.0.1:7\"",
            "domain.a.transport.bind: TCP port 7",
        ),
        (
            "trace.file = \"/t\"\n[domain.a]\ntrace.file = \"/t\"",
            "domain.a.trace.file: two domains cannot have one file, see trace.file (/t, a.toml:1:1",
        ),
        (
            "[domain.a]\ntransport.peers = [\"[::1]:5\"]",
            "domain.a.transport.peers: [::1]:5 is IPv6, but domain.a.transport.bind (127.0.0.1:0, ",
        ),
    ] {
        let refusal = refused(text);
        assert!(refusal.contains(message), "{text}\n{refusal}\n{message}");
    }
    let mut settings = Settings::new();
    for key in ["domain.fast", "domain.Fast.ring.window", "domain..ring.window", "domain"] {
        assert!(settings.set(key, "5").is_err(), "{key}");
    }
    assert!(settings.validate().expect("nothing was set").domains.is_empty());
}

#[test]
fn a_contract_is_of_its_own_domain_and_one_that_nobody_can_keep_is_refused() {
    let text = "[contract]\nround_trip_us = 500\n[domain.a]\ncontract.loss_ppm = 100\n[domain.b]";
    let config = load(text).expect("valid");
    let [a, b] = &config.domains[..] else { panic!("two") };
    assert_eq!(config.contract.round_trip, Some(Duration::from_micros(500)));
    assert_eq!(config.all_domains()[0].contract, config.contract);
    assert_eq!((a.contract.loss_ppm, a.contract.round_trip), (Some(100), None));
    assert!(!b.contract.is_binding());
    for (text, message) in [
        (
            "contract.hold_us = 20",
            "domain.a.contract.hold_us: no member can keep that: less cannot be measured; allowed: \
             50 or more, or 0 for no bound",
        ),
        (
            "contract.hold_us = 250000",
            "domain.a.contract.hold_us: a member is given up before that, see \
             domain.a.ring.token_loss_ms (250, default); allowed: less, or 0 for no bound",
        ),
        (
            "contract.lag_ms = 9",
            "domain.a.contract.lag_ms: no member can keep that: one lost token takes as long, see \
             domain.a.ring.token_repeat_ms (10, default); allowed: 10 or more, or 0 for no bound",
        ),
        (
            "contract.readmit_ms = 700000",
            "domain.a.contract.readmit_max_ms: 600000 is too little; allowed: at least",
        ),
        (
            "contract = { lag_ms = 50, patience_ms = 100 }",
            "domain.a.contract.patience_ms: 100 is too little; allowed: at least",
        ),
        ("contract.round_trip_ms = 3", "domain.a.contract.round_trip_ms: unknown key; did you"),
    ] {
        let refusal = refused(&format!("[domain.a]\n{text}"));
        assert!(refusal.contains(message), "{text}\n{refusal}\n{message}");
    }
    assert!(load("[domain.a]\ncontract.hold_us = 50").is_ok());
}

#[test]
fn there_are_as_many_as_an_engine_can_have() {
    let tables = |count| (0..count).map(|n| format!("[domain.d{n}]\n")).collect::<String>();
    assert_eq!(load(&tables(63)).expect("as many as there may be").all_domains().len(), 64);
    let refusal = refused(&tables(64));
    assert!(refusal.contains("64 domains are named; allowed: 63, beside \"default\""), "{refusal}");
}

#[test]
fn warnings_name_the_domain() {
    let warnings = load("[domain.fast.transport]\nmulticast = \"off\"").expect("valid");
    let [warning] = warnings.warnings() else { panic!("{:?}", warnings.warnings()) };
    assert!(warning.starts_with("domain.fast.transport.multicast is off"), "{warning}");
}
