//! What is refused says which key, where, and what is allowed; what is accepted arrives as written.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anasazi_protocol::{CoreConfig, NodeId, Timers, limits};
use anasazi_seal::Mode;
use proptest::prelude::*;

use super::*;

pub(super) fn load(text: &str) -> Result<ValidConfig, ConfigError> {
    let mut settings = Settings::new();
    settings.load_text(text, "a.toml")?;
    settings.validate()
}

pub(super) fn refused(text: &str) -> String {
    load(text).expect_err(text).to_string()
}

#[test]
fn defaults_are_those_of_the_protocol() {
    let config = load("").expect("defaults are valid");
    assert_eq!(format!("{:?}", config.ring.timers()), format!("{:?}", Timers::default()));
    assert_eq!(config.ring.window, limits::WINDOW_DEFAULT);
    assert_eq!(config.transport.mtu, limits::MTU_DEFAULT);
    assert_eq!(config.message.len_max, limits::MESSAGE_LEN_DEFAULT);
    let core = CoreConfig::default();
    assert_eq!(anasazi_protocol::hash64(config.cluster.as_bytes()), core.cluster);
    assert!(config.effective().iter().all(|value| value.origin == Origin::Default));
    assert!(config.warnings().is_empty());
}

#[test]
fn daemon_listens_and_an_application_does_not() {
    let daemon = Settings::for_daemon().validate().expect("valid").client.listen;
    assert_eq!(daemon, Some("/run/anasazi/anasazi.sock".into()));
    assert_eq!(load("").expect("valid").client.listen, None);
}

#[test]
fn reads_every_type() {
    let config = load(
        r#"
        cluster = "blue"
        ring.token_loss_ms = 1_000
        [node]
        id = 7
        name = "left"
        [state]
        dir = "/var/lib/anasazi"
        [transport]
        bind = "[fe80::1%2]:5000"
        multicast = "off"
        interface = "eth0"
        peers = ["[::1]:5001", "[::1]:5002"]
        receive_buffer_len = "1 MiB"
        allow_faults = true
        [seal]
        mode = "integrity"
        key_file = "/etc/keys"
        [client]
        listen = "/run/a.sock"
        listen_mode = "0600"
        allow_uids = [1000, 0x3e9]
        [log]
        level = "warn,anasazi_engine::session=trace"
        "#,
    )
    .expect("valid");
    assert_eq!(config.cluster, "blue");
    let key_file = Some("/etc/keys".into());
    assert_eq!(config.seal, SealConfig { mode: Some(Mode::Integrity), key_file });
    assert_eq!(config.ring.token_loss, Duration::from_secs(1));
    assert_eq!(config.node, NodeConfig { id: Some(NodeId(7)), name: "left".into() });
    assert_eq!(config.state.dir, Some("/var/lib/anasazi".into()));
    assert_eq!(config.transport.bind.to_string(), "[fe80::1%2]:5000");
    assert_eq!(config.transport.multicast, None);
    assert_eq!(config.transport.interface.as_deref(), Some("eth0"));
    assert_eq!(config.transport.peers.len(), 2);
    assert_eq!(config.transport.receive_buffer_len, 1 << 20);
    assert!(config.transport.allow_faults);
    assert_eq!(config.client.listen_mode, 0o600);
    assert_eq!(config.client.allow_uids, [1000, 1001]);
    assert_eq!(config.log.level, "warn,anasazi_engine::session=trace");
}

#[test]
fn calls_set_text_by_the_type_of_the_key() {
    let mut settings = Settings::new();
    for (key, value) in [
        ("node.id", " 12 "),
        ("node.name", "12"),
        ("transport.peers", "10.0.0.1:5000, 10.0.0.2:5000"),
        ("transport.allow_faults", "true"),
        ("client.allow_gids", "4,24"),
        ("client.listen_mode", "0666"),
        ("message.len_max", "512 KiB"),
    ] {
        settings.set(key, value).unwrap_or_else(|error| panic!("{error}"));
    }
    let config = settings.validate().expect("valid");
    assert_eq!(config.node, NodeConfig { id: Some(NodeId(12)), name: "12".into() });
    assert_eq!(config.transport.peers[1].to_string(), "10.0.0.2:5000");
    assert_eq!(config.client.allow_gids, [4, 24]);
    assert_eq!(config.client.listen_mode, 0o666);
    assert_eq!(config.message.len_max, 512 << 10);
    settings.set("transport.peers", "").expect("an empty list");
    settings.set("node.id", "random").expect("back to random");
    let config = settings.validate().expect("valid");
    assert_eq!((config.transport.peers.len(), config.node.id), (0, None));
}

#[test]
fn what_comes_last_counts_and_keeps_its_origin() {
    let mut settings = Settings::new();
    settings.load_text("[node]\nid = 1\nname = \"file\"\n", "a.toml").expect("valid");
    settings.set_from("node.id", "2", Origin::CommandLine("--set")).expect("valid");
    let values = settings.effective();
    let of = |key| {
        let value = values.iter().find(|value| value.key == key).expect("listed");
        format!("{} ({})", value.value, value.origin)
    };
    assert_eq!(of("node.id"), "2 (--set)");
    assert_eq!(of("node.name"), "file (a.toml:3:8)");
    assert_eq!(of("cluster"), "anasazi (default)");
}

/// Each line: a file, and what its refusal says.
#[test]
fn refusals_say_where_what_and_what_is_allowed() {
    for (text, message) in [
        (
            "[ring]\ntokn_loss_ms = 5",
            "a.toml:2:1: ring.tokn_loss_ms: unknown key; did you mean ring.token_loss_ms?",
        ),
        ("mtu = 1400", "a.toml:1:1: mtu: unknown key; did you mean transport.mtu?"),
        ("[node]\ncolour = 1", "a.toml:2:1: node.colour: unknown key; OPERATIONS.md lists"),
        ("\n[rign]\nx = 1", "a.toml:2:2: rign: unknown table; did you mean [ring]?"),
        ("[totem]", "a.toml:1:2: totem: unknown table; there are: [node], [state], [transport]"),
        ("ring = 5", "a.toml:1:8: ring: an integer is not allowed; it is a table: [ring]"),
        ("[[ring]]\nwindow = 5", "ring: a list is not allowed; it is a table: [ring]"),
        ("[cluster]\nname = \"x\"", "cluster: a table is not allowed; allowed: text of 1 to 64"),
        ("\"ring.window\" = 5", "a.toml:1:1: ring.window: unknown key: write it without quotes"),
        (
            "[ring]\nwindow = \"512\"",
            "a.toml:2:10: ring.window: \"512\" is not allowed; allowed: 1 to 2048 (packets)",
        ),
        ("ring.window = 0", "ring.window: 0 is out of range; allowed: 1 to 2048 (packets)"),
        ("ring.window = -1", "ring.window: -1 is out of range"),
        ("ring.window = 1.5", "ring.window: a number with a fraction is not allowed"),
        ("ring.window = 99999999999999999999", "out of range"),
        ("node.id = 0", "node.id: 0 is out of range; allowed: 1 to 4294967295, or \"random\""),
        ("node.id = 4294967296", "node.id: 4294967296 is out of range"),
        ("node.id = \"rnd\"", "node.id: \"rnd\" is not allowed"),
        ("cluster = \"\"", "cluster: \"\" is 0 bytes long; allowed: text of 1 to 64 bytes"),
        ("cluster = \"a\\nb\"", "cluster: \"a\\nb\" has a control character in it"),
        ("state.dir = \"var\"", "state.dir: \"var\" does not start with /"),
        ("transport.bind = \"0.0.0.0:5\"", "name the one at which the other nodes reach"),
        ("transport.bind = \"10.0.0.1\"", "transport.bind: \"10.0.0.1\" has no port; allowed:"),
        ("transport.bind = \"10.0.0.1:99999\"", "\"10.0.0.1:99999\" is not an address; allowed"),
        ("transport.bind = \"239.0.0.1:1\"", "239.0.0.1:1 is a multicast group"),
        ("transport.multicast = \"10.0.0.1:1\"", "10.0.0.1:1 is not a multicast group"),
        ("transport.multicast = \"239.0.0.1:0\"", "239.0.0.1:0 has port 0: every node needs"),
        ("transport.peers = \"10.0.0.1:1\"", "\"10.0.0.1:1\" is not allowed; allowed: a list of"),
        ("transport.peers = [\"db1:5000\"]", "\"db1:5000\": host names are not resolved"),
        ("transport.peers = [\"10.0.0.1:0\"]", "10.0.0.1:0 has port 0: write the port of that"),
        ("transport.peers = [5]", "transport.peers: 5 is not allowed"),
        ("transport.interface = \"eth0/1\"", "\"eth0/1\" is not an interface name"),
        ("transport.allow_faults = 1", "transport.allow_faults: 1 is not allowed; allowed: true"),
        ("client.listen_mode = 660", "660 is not allowed; allowed: octal permission bits as text"),
        ("client.listen_mode = \"0888\"", "\"0888\" is not an octal mode"),
        ("client.listen_mode = \"\"", "\"\" is not an octal mode"),
        ("client.listen_mode = \"1777\"", "\"1777\" is not an octal mode"),
        ("client.allow_uids = [-1]", "client.allow_uids: -1 is out of range"),
        ("message.len_max = \"1 MB\"", "message.len_max: \"1 MB\" is not allowed; allowed: 1 KiB"),
        ("message.len_max = \"17 MiB\"", "out of range; allowed: 1 KiB to 16 MiB (bytes,"),
        ("session.send_ring_len = 5_000_000", "5000000 is not a power of two; allowed: 64 KiB"),
        ("log.level = \"loud\"", "log.level: \"loud\" is not a log level; allowed: off, error,"),
        ("log.level = \"a b=info\"", "\"a b\" is not the name of a log target"),
        ("[node\nid = 1", "a.toml:1:6: not valid TOML: "),
        ("[node]\nid = 1\nid = 2", "a.toml:3:1: not valid TOML: duplicate key id"),
        ("[node]\nid = 1\n[node]\n", "a.toml:3:2: not valid TOML: duplicate key node"),
        ("# \u{e4}\u{f6}\nn\u{f6}de = 1", "a.toml:2:2: not valid TOML: invalid unquoted key"),
        ("\r\n[ring]\r\nwindow = true", "a.toml:3:10: ring.window: true is not allowed"),
        ("cluster = \"\u{1f980}\", id = 1", "a.toml:1:14: not valid TOML"),
    ] {
        let refusal = refused(text);
        assert!(refusal.contains(message), "{text:?}\n  said {refusal}\n  not  {message}");
    }
}

#[test]
fn relations_name_both_keys_their_places_and_the_way_out() {
    for (text, message) in [
        (
            "[ring]\ntoken_loss_ms = 100",
            "a.toml:2:17: ring.token_loss_ms: 100 is too little; allowed: at least 3 times \
             ring.idle_rotate_ms (60, default), so 180 or more here, or 33 or less there",
        ),
        (
            "[ring]\nidle_rotate_ms = 100",
            "ring.token_loss_ms: 250 is too little; allowed: at least 3 times \
             ring.idle_rotate_ms (100, a.toml:2:18), so 300 or more here, or 83 or less there",
        ),
        ("ring.token_repeat_ms = 90", "at least 3 times ring.token_repeat_ms (90, a.toml:1:24)"),
        ("ring.join_repeat_ms = 20", "ring.consensus_ms: 150 is too little; allowed: at least 10"),
        (
            "[transport]\nmtu = 4000\nmtu_max = 2000",
            "transport.mtu_max: 2000 is too little; allowed: at least \
             transport.mtu (4000, a.toml:2:7",
        ),
        (
            "message.len_max = \"1536 KiB\"",
            "session.send_ring_len: 4 MiB is too little; allowed: at least 4 times \
             message.len_max (1536 KiB, a.toml:1:19), so 8 MiB or more here",
        ),
        (
            "message.len_max = \"2 MiB\"\nclient.backlog_len = \"1 MiB\"",
            "client.backlog_len: 1 MiB is too little; allowed: at least message.len_max (2 MiB",
        ),
        (
            "transport.bind = \"[::1]:0\"",
            "transport.multicast: 239.192.77.1:7745 is IPv4, but transport.bind ([::1]:0, \
             a.toml:1:18) is IPv6; allowed: a group such as \"[ff15::7745]:7745\", or \"off\"",
        ),
        (
            "transport.bind = \"10.0.0.1:77\"\nclient.listen_streams = [\"tcp://10.0.0.1:77\"]",
            "client.listen_streams: TCP port 77 is that of the liveness connections, too \
             (transport.bind (10.0.0.1:77, a.toml:1:18)); allowed: another port, or",
        ),
        ("transport.peers = [\"[::1]:1\"]", "[::1]:1 is IPv6, but transport.bind (127.0.0.1:0, d"),
    ] {
        let refusal = refused(text);
        assert!(refusal.contains(message), "{text:?}\n  said {refusal}\n  not  {message}");
    }
}

#[test]
fn the_way_out_of_a_relation_is_accepted() {
    load("ring.token_loss_ms = 100\nring.idle_rotate_ms = 33").expect("valid");
    load("ring.token_loss_ms = 180").expect("just enough");
    let rings = "[session]\nsend_ring_len = \"8 MiB\"\nreceive_ring_len = \"8 MiB\"";
    load(&format!("message.len_max = \"1536 KiB\"\n{rings}")).expect("valid");
    load("[transport]\nbind = \"[::1]:0\"\nmulticast = \"[ff15::7745]:7745\"").expect("valid");
}

#[test]
fn all_problems_of_a_file_are_reported_from_its_top() {
    let error = load("[ring]\nwindow = 0\n[node]\nid = 0\nx = 1\n").expect_err("three problems");
    let keys: Vec<_> = error.problems().iter().map(|problem| problem.key.as_deref()).collect();
    assert_eq!(keys, [Some("ring.window"), Some("node.id"), Some("node.x")]);
    assert_eq!(error.to_string().lines().count(), 3);
}

#[test]
fn a_refused_file_or_call_changes_nothing() {
    let mut settings = Settings::new();
    settings.load_text("node.id = 5\nring.window = 0", "a.toml").expect_err("refused");
    let error = settings.set("ring.window", "many").expect_err("refused").to_string();
    assert_eq!(error, "ring.window: \"many\" is not allowed; allowed: 1 to 2048 (packets)");
    let error = settings.set("ring.windo", "1").expect_err("refused").to_string();
    assert_eq!(error, "ring.windo: unknown key; did you mean ring.window?");
    let from = Origin::Environment("ANASAZI_LOG");
    let error = settings.set_from("log.level", "x", from).expect_err("refused").to_string();
    assert!(error.starts_with("$ANASAZI_LOG: log.level: \"x\" is not a log level"), "{error}");
    assert_eq!(settings.effective(), Settings::new().effective());
}

#[test]
fn unreadable_files_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let refusal = |name: &str| {
        let error = Settings::new().load_file(directory.path().join(name)).expect_err(name);
        (error.to_string(), error.os_error())
    };
    let path = |name: &str| directory.path().join(name).display().to_string();
    assert_eq!(
        refusal("missing.toml"),
        (format!("{}: no such file", path("missing.toml")), Some(libc::ENOENT))
    );
    assert_eq!(
        refusal("."),
        (format!("{}: is a directory, not a configuration file", path(".")), Some(libc::EISDIR))
    );
    std::fs::write(path("latin1.toml"), b"# one\ncluster = \"caf\xe9\"\n").expect("written");
    assert_eq!(
        refusal("latin1.toml").0,
        format!("{}:2:15: not UTF-8 from here on: save the file as UTF-8", path("latin1.toml"))
    );
    assert!(
        Settings::new()
            .load_file("/dev/zero")
            .expect_err("endless")
            .to_string()
            .contains("/dev/zero: longer than 1048576 bytes")
    );
    std::fs::write(path("secret.toml"), "").expect("written");
    std::fs::set_permissions(path("secret.toml"), std::fs::Permissions::from_mode(0o0))
        .expect("mode set");
    // The superuser reads it all the same.
    if std::fs::read(path("secret.toml")).is_err() {
        let text = "permission denied: make it readable by the user who runs this program";
        assert_eq!(refusal("secret.toml").0, format!("{}: {text}", path("secret.toml")));
    }
}

#[test]
fn long_values_are_cut_in_messages() {
    let refusal = refused(&format!("cluster = \"{}\"", "x".repeat(1000)));
    assert!(refusal.contains("\"... is 1000 bytes long") && refusal.len() < 200, "{refusal}");
}

#[test]
fn probable_mistakes_are_warned_of() {
    let warnings = |text| load(text).expect("valid").warnings().join("\n");
    assert!(warnings("transport.multicast = \"off\"").contains("this node finds nobody"));
    assert!(
        warnings("transport.peers = [\"10.0.0.1:5\"]").contains("10.0.0.1:5 cannot be reached")
    );
    let urgent = warnings("thread.realtime_priority = 1\nthread.busy_poll_us = 50");
    assert!(urgent.contains("needs thread.cpus"), "{urgent}");
    assert!(warnings("transport.allow_faults = true").contains("can partition the cluster"));
}

#[test]
fn shown_values_are_read_back_as_the_same() {
    let mut with_domain = Settings::for_daemon();
    with_domain.load_text("[domain.fast]", "a.toml").expect("a domain");
    for effective in with_domain.effective() {
        let mut settings = Settings::new();
        settings.set(&effective.key, &effective.value).unwrap_or_else(|error| panic!("{error}"));
        let again = settings.effective();
        let again = again.iter().find(|again| again.key == effective.key).expect("listed");
        assert_eq!(again.value, effective.value, "{}", effective.key);
    }
}

proptest! {
    /// A panic is our bug, never bad input.
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", junk in "[\\[\\]a-z_.=\"0-9\\n -]{0,80}") {
        let _ = load(&text);
        let _ = load(&junk);
        let mut settings = Settings::new();
        for key in KEYS {
            let _ = settings.set(key.name, &text);
            let _ = load(&format!("{} = {text}", key.name));
            let _ = load(&format!("{} = {text:?}", key.name));
        }
        let _ = settings.set(&text, &junk);
        let _ = settings.validate();
    }
}
