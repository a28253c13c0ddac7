//! Domains, laid out for people: a line of figures for each that fits a narrow terminal, and below
//! what there is to say in words.

use comfy_table::{Cell, CellAlignment};
use serde_json::Value;

use crate::table::{duration, list, new_table, number, shown, text};
use crate::words;

pub(crate) fn overview(answer: &Value) -> String {
    let domains = list(&answer["domains"]);
    let mut table = new_table(&[
        "DOMAIN",
        "STATE",
        "NODES",
        "ROTATION",
        "ROUND TRIP",
        "LOSS",
        "LAG",
        "SEALED",
        "CONTRACT",
        "BRIDGES",
    ]);
    let mut words = new_table(&[]);
    for domain in domains {
        let (ring, bridges) = (&domain["ring"], list(&domain["bridges"]).len());
        table.add_row([
            Cell::new(text(&domain["name"])),
            Cell::new(text(&domain["state"])),
            number(ring["members"].as_u64().unwrap_or(0)),
            measured(&ring["rotation_us"], milliseconds),
            measured(&worst(domain, "round_trip_us"), milliseconds),
            measured(&worst(domain, "loss_ppm"), percent),
            measured(&worst(domain, "lag_us"), milliseconds),
            Cell::new(seal(&domain["seal"])),
            Cell::new(contract_word(&domain["contract"], ring)),
            measured(&Value::from((bridges > 0).then_some(bridges)), |count| count.to_string()),
        ]);
        for sentence in sentences(domain) {
            words.add_row([text(&domain["name"]), sentence]);
        }
    }
    format!("{}\n\n{}", shown(&table), shown(&words))
}

/// Members that are named; how many there are says the line of figures.
const NODES_NAMED_MAX: usize = 12;

/// What its line has no room for.
fn sentences(domain: &Value) -> Vec<String> {
    let ring = &domain["ring"];
    let added = if domain["added"] == true { ", added" } else { "" };
    let id = if ring.is_null() { "none".to_owned() } else { text(&ring["id"]) };
    let groups = domain["groups"].as_u64().unwrap_or(0);
    let place = format!("at {}{added}, ring {id}, groups: {groups}", text(&domain["address"]));
    let bridges = list(&domain["bridges"]).iter().map(|of| bridge(&text(&domain["name"]), of));
    let nodes = nodes(list(&ring["nodes"])).into_iter();
    let contract = contract(&domain["contract"]).into_iter();
    let thread = thread(&domain["thread"]).into_iter();
    [place].into_iter().chain(nodes).chain(thread).chain(contract).chain(bridges).collect()
}

/// Who is in its ring.
fn nodes(nodes: &[Value]) -> Option<String> {
    let named: Vec<_> = nodes.iter().take(NODES_NAMED_MAX).map(text).collect();
    let more = nodes.len() - named.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| format!("nodes {}{rest}", named.join(", ")))
}

/// That it has one of its own, with the longest that this had to wait for the engine's.
fn thread(thread: &Value) -> Option<String> {
    let waited = thread["waited_us"].as_u64()?;
    Some(format!("its own thread has waited {} for the engine's at most", milliseconds(waited)))
}

/// A node that is alone measures nobody, and can keep nothing.
fn contract_word(contract: &Value, ring: &Value) -> String {
    let state = text(&contract["state"]);
    let is_alone = ring["members"].as_u64().is_none_or(|members| members < 2);
    match &*state {
        _ if contract.is_null() => "none".to_owned(),
        "kept" if is_alone => "-".to_owned(),
        _ => state,
    }
}

/// The mode and the key; `open` where anybody could speak.
fn seal(seal: &Value) -> String {
    match seal["key"].as_u64() {
        Some(key) => format!("{} {key}", text(&seal["mode"])),
        None => "open".to_owned(),
    }
}

/// What a bridge is in that domain, and what it is behind.
fn bridge(domain: &str, bridge: &Value) -> String {
    let (from, to) = (text(&bridge["from"]), text(&bridge["to"]));
    let begins = from.split_once('/').map_or("default", |(domain, _)| domain) == domain;
    let end = if begins { format!("to {to}") } else { format!("from {from}") };
    let state = match &*text(&bridge["state"]) {
        "active" => "active gateway".to_owned(),
        "standby" => "standby gateway".to_owned(),
        other => other.to_owned(),
    };
    let mut words = vec![state];
    words.extend(bridge["reason"].as_str().map(words::plain));
    for (key, what) in [("waiting", "wait"), ("dropped", "dropped")] {
        let count = bridge[key].as_u64().filter(|count| *count > 0);
        words.extend(count.map(|count| format!("{count} {what}")));
    }
    format!("bridge {} {end}: {}", text(&bridge["name"]), words.join(", "))
}

/// Who does not keep it, and who is out for that.
fn contract(contract: &Value) -> Vec<String> {
    let state = text(&contract["state"]);
    let refused = &contract["refused_by"];
    let mut words = Vec::new();
    for member in list(&contract["members"]) {
        let node = text(&member["node"]);
        for (key, verb) in [("breaks", ":"), ("stays", " stays:")] {
            if member[key].is_string() {
                words.push(format!("node {node}{verb} {}", text(&member[key])));
            }
        }
    }
    if refused["reason"].is_string() {
        words.push(format!("by node {}: {}", text(&refused["node"]), text(&refused["reason"])));
    }
    for out in list(&contract["demoted"]) {
        let back_in = duration(out["back_in_ms"].as_u64().unwrap_or(0));
        words.push(format!("node {} is out for {back_in}", text(&out["node"])));
    }
    words.into_iter().map(|words| format!("contract {state}: {words}")).collect()
}

/// With what makes it last.
pub(crate) fn added(name: &str, answer: &Value) -> String {
    let (address, note) = (text(&answer["domain"]["address"]), text(&answer["note"]));
    let section = answer["section"].as_str().unwrap_or_default();
    let section: Vec<_> = section.lines().map(|line| words::text(line.as_bytes())).collect();
    format!("domain {name} is there, at {address}; {note}:\n\n{}", section.join("\n"))
}

pub(crate) fn removed(name: &str, answer: &Value) -> String {
    let ended = match answer["memberships_ended"].as_u64() {
        Some(0) => ", no session here was in a group of it".to_owned(),
        Some(count) => format!(", which ended {count} memberships of sessions here"),
        None => String::new(),
    };
    format!("domain {name} is removed{ended}; {}", text(&answer["note"]))
}

/// The most that was measured of any member.
fn worst(domain: &Value, key: &str) -> Value {
    let members = list(&domain["measured"]).iter();
    members.filter_map(|member| member[key].as_u64()).max().map_or(Value::Null, Value::from)
}

fn measured(value: &Value, show: impl Fn(u64) -> String) -> Cell {
    let shown = value.as_u64().map_or_else(|| "-".to_owned(), show);
    Cell::new(shown).set_alignment(CellAlignment::Right)
}

/// At most eight characters.
fn milliseconds(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{:03} ms", us / 1_000, us % 1_000),
        10_000..1_000_000 => format!("{}.{} ms", us / 1_000, us / 100 % 10),
        _ => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
    }
}

fn percent(ppm: u64) -> String {
    match ppm {
        0..100_000 => format!("{}.{:02} %", ppm / 10_000, ppm / 100 % 100),
        _ => format!("{} %", ppm / 10_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Of which there is as much to say as can be.
    fn busy() -> Value {
        let member = json!({
            "node": 3, "round_trip_us": 112_345, "loss_ppm": 123_456, "lag_us": 9_876,
            "breaks": "round trip 112 ms measured, 0.5 ms allowed",
            "stays": "2 of 4 others are known to keep the token hold, not most",
        });
        json!({
            "name": "abroad", "state": "operational", "added": true, "groups": 12,
            "address": "255.255.255.255:65535",
            "thread": { "waited_us": 1_500, "engine_waited_us": 0 },
            "ring": { "id": "123456@65535:1a2b3c4d5e6f", "rotation_us": 250, "members": 64,
                      "nodes": (1..=64).collect::<Vec<_>>() },
            "seal": { "mode": "integrity", "cipher": "AES-256-GMAC", "key": 255 },
            "measured": [{ "node": 2, "round_trip_us": 90, "breaks": null }, member],
            "contract": {
                "state": "broken",
                "members": [{ "node": 2, "round_trip_us": 90, "breaks": null }, member],
                "demoted": [{ "node": 4, "back_in_ms": 30_000, "times": 1 }],
            },
            "bridges": [
                { "name": "up", "from": "abroad/g", "to": "g", "state": "active", "reason": null,
                  "waiting": 12, "dropped": 3 },
                { "name": "down", "from": "h", "to": "abroad/h", "state": "stopped",
                  "reason": "this engine has no domain \"x\" \u{1b}", "waiting": 0, "dropped": 0 },
                { "name": "in", "from": "far/h", "to": "abroad/h", "state": "receiver" },
            ],
        })
    }

    #[test]
    fn a_domain_has_a_line_of_figures_and_sentences_below() {
        let quiet = json!({ "name": "default", "seal": { "mode": "checksum" } });
        let text = overview(&json!({ "domains": [busy(), quiet] }));
        let lines: Vec<&str> = text.lines().collect();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let figures =
            "abroad operational 64 0.250 ms 112.3 ms 12 % 9.876 ms integrity 255 broken 3";
        assert_eq!(words(lines[1]), words(figures), "{text}");
        assert_eq!(words(lines[2]), words("default 0 - - - - open none -"), "{text}");
        for sentence in [
            "abroad   at 255.255.255.255:65535, added, ring 123456@65535:1a2b3c4d5e6f, groups: 12",
            "abroad   nodes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 52 more",
            "abroad   its own thread has waited 1.500 ms for the engine's at most",
            "abroad   contract broken: node 3: round trip 112 ms measured, 0.5 ms allowed",
            "abroad   contract broken: node 3 stays: 2 of 4 others are known to keep the token \
             hold, not most",
            "abroad   contract broken: node 4 is out for 30.000 s",
            "abroad   bridge up to g: active gateway, 12 wait, 3 dropped",
            "abroad   bridge in from far/h: receiver",
        ] {
            assert!(lines.contains(&sentence), "{sentence:?} is not in\n{text}");
        }
        assert!(text.contains("bridge down from h: stopped, this engine has no domain"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_node_that_is_alone_keeps_no_contract() {
        let word = |state: &str, ring: Value| contract_word(&json!({ "state": state }), &ring);
        assert_eq!(word("kept", json!({ "members": 2 })), "kept");
        for alone in [json!({ "members": 1 }), Value::Null] {
            assert_eq!(word("kept", alone.clone()), "-");
            assert_eq!(word("refused", alone.clone()), "refused");
            assert_eq!(word("demoted", alone.clone()), "demoted");
            assert_eq!(contract_word(&Value::Null, &alone), "none");
        }
    }

    #[test]
    fn it_fits_a_terminal_of_a_hundred_columns() {
        let text = overview(&json!({ "domains": [busy(), { "name": "default" }] }));
        let longest = text.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
        assert!(longest.chars().count() <= 100, "{}: {longest}", longest.chars().count());
    }

    #[test]
    fn figures_are_as_short_as_their_columns() {
        let times = [0, 9_999, 10_000, 999_999, 1_000_000, 99_999_999];
        let shown = ["0.000 ms", "9.999 ms", "10.0 ms", "999.9 ms", "1.0 s", "99.9 s"];
        assert_eq!(times.map(milliseconds), shown);
        let shares = [0, 99_999, 100_000, 1_000_000].map(percent);
        assert_eq!(shares, ["0.00 %", "9.99 %", "10 %", "100 %"]);
    }

    #[test]
    fn an_answer_of_another_shape_is_no_panic() {
        for answer in [json!(null), json!([1]), json!({ "domains": [1, null, { "bridges": [1] }] })]
        {
            let _ = overview(&answer);
        }
    }
}
