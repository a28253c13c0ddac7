//! The key reference and the example file, generated from the key table.
//! `UPDATE=1 cargo test -p anasazi-engine config` rewrites them; without it the test fails when
//! they differ from what is committed.

use std::fmt::Write;
use std::path::PathBuf;

use super::bridge;
use super::file::tables;
use super::keys::{KEYS, Key, TakesEffect};
use super::kind::{Kind, Value};
use super::presets::{PRESET, PRESETS, Preset};
use super::settings::Settings;

#[test]
fn operations_guide_lists_the_keys_of_the_table() {
    let path = in_project("docs/OPERATIONS.md");
    let have = std::fs::read_to_string(&path).expect("docs/OPERATIONS.md is readable");
    let (before, rest) = have.split_once(BEGIN).expect("the mark before the key reference");
    let (_, after) = rest.split_once(END).expect("the mark after the key reference");
    same_or_update(&path, &have, &format!("{before}{BEGIN}\n{}{END}{after}", reference()));
}

#[test]
fn example_file_lists_the_keys_of_the_table() {
    let path = in_project("packaging/anasazi.toml");
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    same_or_update(&path, &have, &example());
}

#[test]
fn example_file_as_it_is_sets_nothing() {
    let mut settings = Settings::for_daemon();
    settings.load_text(&example(), "anasazi.toml").expect("the example is valid");
    assert_eq!(settings.effective(), Settings::for_daemon().effective());
}

#[test]
fn example_file_without_comment_signs_sets_every_key_to_its_default() {
    let entries: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(entry) if !entry.starts_with(' ') => format!("{entry}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let mut settings = Settings::for_daemon();
    settings.load_text(&entries, "anasazi.toml").expect("every default is valid TOML");
    let defaults = Settings::for_daemon().effective();
    for (set, default) in settings.effective().iter().zip(&defaults) {
        assert_eq!(set.value, default.value, "{}", set.key);
        assert_ne!(set.origin, default.origin, "{} is missing in the example", set.key);
    }
}

fn same_or_update(path: &PathBuf, have: &str, want: &str) {
    if have == want {
        return;
    }
    assert!(
        std::env::var_os("UPDATE").is_some(),
        "{} does not agree with the key table; UPDATE=1 cargo test -p anasazi-engine config \
         rewrites it",
        path.display()
    );
    std::fs::write(path, want).expect("the generated file is writable");
}

fn in_project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The section of docs/OPERATIONS.md.
fn reference() -> String {
    let mut text = String::new();
    for table in std::iter::once("").chain(tables()) {
        let title = if table.is_empty() { "Top level" } else { &format!("`[{table}]`") };
        let _ = writeln!(text, "\n### {title}");
        for key in KEYS.iter().filter(|key| key.table() == table) {
            let _ = writeln!(text, "\n#### `{}`\n", key.name);
            item(
                &mut text,
                &format!("Allowed: {}. Default: {}.", key.kind.allowed(), defaults(key)),
            );
            item(&mut text, key.effect);
            if !key.danger.is_empty() {
                item(&mut text, &format!("**Danger:** {}", key.danger));
            }
            if key.takes_effect == TakesEffect::Connect {
                item(&mut text, FOR_PROGRAMS);
            }
        }
    }
    domains(&mut text);
    bridges(&mut text);
    text.push('\n');
    text
}

/// What the keys are in tables of bridges.
fn bridges(text: &mut String) {
    let _ = writeln!(text, "\n### `[bridge.NAME]`\n");
    wrap(text, ["", ""], BRIDGES);
    for key in bridge::KEYS {
        let _ = writeln!(text, "\n#### `bridge.NAME.{}`\n", key.name);
        item(text, &format!("Allowed: {}. Default: {}.", key.kind.allowed(), defaults(key)));
        item(text, key.effect);
        if !key.danger.is_empty() {
            item(text, &format!("**Danger:** {}", key.danger));
        }
    }
}

/// What the keys are in tables of domains.
fn domains(text: &mut String) {
    let _ = writeln!(text, "\n### `[domain.NAME]`\n");
    wrap(text, ["", ""], DOMAINS);
    let _ = writeln!(text, "\n#### `domain.NAME.preset`\n");
    item(text, &format!("Allowed: {}. Default: {}.", PRESET.kind.allowed(), defaults(&PRESET)));
    item(text, PRESET.effect);
    item(text, &format!("**Danger:** {}", PRESET.danger));
    let names: Vec<_> = PRESETS.iter().map(|preset| format!(" `{}` |", preset.name)).collect();
    let _ = writeln!(text, "\n| key |{}", names.concat());
    let _ = writeln!(text, "|---|{}", "---|".repeat(PRESETS.len()));
    for (key, _) in PRESETS[0].values {
        let key = Key::find(key).expect("a key");
        let value =
            |preset: &Preset| preset.setting(key).map(|setting| key.kind.show(&setting.value));
        let values =
            PRESETS.iter().map(|preset| format!(" {} |", value(preset).unwrap_or_default()));
        let _ = writeln!(text, "| `{}` |{}", key.name, values.collect::<String>());
    }
}

fn defaults(key: &Key) -> String {
    let toml = |default| format!("`{}`", toml_value(key, default));
    match key.daemon_default {
        Some(daemon) => format!("{} in the daemon, {} elsewhere", toml(daemon), toml(key.default)),
        None => toml(key.default),
    }
}

/// packaging/anasazi.toml: every key at its default, commented out.
fn example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for table in std::iter::once("").chain(tables()) {
        if !table.is_empty() {
            let _ = writeln!(text, "\n\n[{table}]");
        }
        for key in KEYS.iter().filter(|key| key.table() == table) {
            text.push('\n');
            wrap(&mut text, ["# ", "# "], key.effect);
            if !key.danger.is_empty() {
                wrap(&mut text, ["# ", "# "], &format!("Danger: {}", key.danger));
            }
            if key.takes_effect == TakesEffect::Connect {
                wrap(&mut text, ["# ", "# "], FOR_PROGRAMS);
            }
            wrap(&mut text, ["# ", "# "], &format!("Allowed: {}.", key.kind.allowed()));
            let default = key.daemon_default.unwrap_or(key.default);
            let _ = writeln!(text, "#{} = {}", key.short_name(), toml_value(key, default));
        }
    }
    text.push_str(EXAMPLE_END);
    text
}

/// A default as it is written in a file.
fn toml_value(key: &Key, default: &str) -> String {
    let value = key.kind.read_text(default).expect("defaults are valid");
    let shown = key.kind.show(&value);
    match value {
        Value::Boolean(_) => shown,
        Value::Integer(_)
            if shown.bytes().all(|b| b.is_ascii_digit()) && key.kind != Kind::Mode =>
        {
            shown
        }
        Value::Integers(_) => format!("[{shown}]"),
        Value::Addresses(list) => {
            let quoted: Vec<_> = list.iter().map(|address| format!("\"{address}\"")).collect();
            format!("[{}]", quoted.join(", "))
        }
        Value::Streams(list) => {
            let quoted: Vec<_> = list.iter().map(|address| format!("\"{address}\"")).collect();
            format!("[{}]", quoted.join(", "))
        }
        _ => format!("{shown:?}"),
    }
}

/// A paragraph of a list.
fn item(text: &mut String, paragraph: &str) {
    wrap(text, ["- ", "  "], paragraph);
}

/// A paragraph, with what stands before its first line and before the others.
fn wrap(text: &mut String, [first, others]: [&str; 2], paragraph: &str) {
    let mut line = first.to_owned();
    for word in paragraph.split(' ') {
        if line.len() + word.len() > LINE_WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            line = others.to_owned();
        }
        line.push_str(word);
        line.push(' ');
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

const BEGIN: &str = "<!-- keys: generated from core/engine/src/config/keys.rs -->";
const END: &str = "<!-- end of keys -->";
const DOMAINS: &str = "\
A domain NAME, beside `default`, which is what the other tables say: up to 63, with names of 1 to \
32 of a to z, 0 to 9 and -. It can have all keys of `[transport]`, `[seal]`, `[turn]`, \
`[budget]`, `[ring]` and `[contract]`, and `trace.file`: in tables `[domain.NAME.transport]` and \
so on, and as `domain.NAME.ring.window` for `--set` and `anz_config_set()`. A key that is not \
given there is as at the top level, but for these: `transport.bind` is the same address with port \
0; `transport.multicast` is a group in 239.192.0.0/16 that follows from the names of cluster and \
domain, with the same port (in IPv6 beside that of the top level; off where that is off); \
`transport.peers` and `trace.file` are empty; `turn.weight` is 1, `turn.thread` is false; there is \
no budget and no contract. No two domains may have the same multicast group and port, and none the \
address and port of another. Nodes that name a domain find each other in it, others do not notice.";
const BRIDGES: &str = "\
A bridge NAME, from a group in one domain to a group in another one; up to 64, with names of 1 to \
32 of a to z, 0 to 9 and -. Two tables make both directions. Every node that has the table is a \
gateway; it needs both domains. See *Bridges* above.";
const LINE_WIDTH: usize = 100;
const FOR_PROGRAMS: &str = "For programs that open sessions; the daemon itself does not use it.";
const EXAMPLE_END: &str = "

# [domain.NAME], [domain.NAME.transport], [domain.NAME.seal], [domain.NAME.turn],
# [domain.NAME.budget], [domain.NAME.ring], [domain.NAME.contract] and [domain.NAME.trace]: more
# domains, each a ring of its own, with the same keys as above where they are to differ. See
# OPERATIONS.md.

# [bridge.NAME]: what is sent to a group in one domain, for a group in another one: from, to,
# prefix, safe, latest_key_len, rate_per_s, bytes_per_s, queue_messages, queue_len, overflow,
# hops_max. See OPERATIONS.md.
";
const EXAMPLE_HEAD: &str = "\
# Configuration of the Anasazi daemon. Read from /etc/anasazi/anasazi.toml, or given by --config.
# Every key is here with its default; remove the # in front of one to change it.
# `anasazid --check` says whether the file is valid; a running daemon is not touched by a change.
";
