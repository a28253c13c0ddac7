//! Answers of the administration door, laid out for people.

use anasazi_engine::sys::poll::now_ns;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use serde_json::Value;

use crate::words;

pub(crate) fn status(answer: &Value) -> String {
    let ring = &answer["ring"];
    let way = if ring["multicast"] == true { "multicast" } else { "unicast" };
    let members = ring["members"].as_array().map_or(0, Vec::len);
    let mut rows = vec![
        ("cluster", text(&answer["cluster"])),
        ("node", format!("{} {}", text(&answer["node"]), text(&answer["name"]))),
        ("state", text(&answer["state"])),
        ("address", text(&answer["address"])),
    ];
    if list(&answer["domains"]).len() > 1 {
        rows.push(("domain", text(&answer["domain"])));
    }
    rows.push(match ring.is_null() {
        true => ("ring", "none".to_owned()),
        false => ("ring", format!("{}, nodes: {members}, by {way}", text(&ring["id"]))),
    });
    rows.push(("sealed", seal(&answer["seal"])));
    rows.push(("running for", duration(answer["uptime_ms"].as_u64().unwrap_or(0))));
    rows.push(("sessions", text(&answer["sessions"])));
    rows.push(("groups", text(&answer["groups"])));
    rows.push(("version", text(&answer["version"])));
    for warning in list(&answer["warnings"]) {
        rows.push(("warning", text(warning)));
    }
    let mut table = new_table(&[]);
    for (name, value) in rows {
        table.add_row([name, value.trim_end()]);
    }
    shown(&table)
}

/// As they stand in their file, with the numbers of their lines.
pub(crate) fn rules(answer: &Value) -> String {
    let file = answer["file"].as_str();
    let Some(file) = file else {
        return "no rules: whoever may connect may do everything but act (access.file)".to_owned();
    };
    let rules = list(&answer["rules"]);
    let row = |rule: &Value| format!("{file}:{}: {}", text(&rule["line"]), text(&rule["rule"]));
    match rules.len() {
        0 => format!("{file}: no rules: only those of client.allow_uids and client.allow_gids"),
        _ => rules.iter().map(row).collect::<Vec<_>>().join("\n"),
    }
}

pub(crate) fn reloaded(answer: &Value) -> String {
    format!("{} rules of {} are in force now", text(&answer["rules"]), text(&answer["file"]))
}

pub(crate) fn checked(answer: &Value) -> String {
    let allowed = if answer["allowed"] == true { "allowed" } else { "refused" };
    format!("{allowed}: {}", text(&answer["why"]))
}

fn seal(seal: &Value) -> String {
    match seal["key"].as_u64() {
        Some(key) => format!("{}, {}, key {key}", text(&seal["mode"]), text(&seal["cipher"])),
        None => "no, checksums only".to_owned(),
    }
}

pub(crate) fn bridges(answer: &Value) -> String {
    let mut table = new_table(&[
        "BRIDGE",
        "FROM",
        "TO",
        "STATE",
        "GATEWAYS",
        "FAR MEMBERS",
        "WAITING",
        "FORWARDED",
        "LEFT OUT",
        "DROPPED",
    ]);
    for bridge in list(&answer["bridges"]) {
        let gateways = list(&bridge["gateways"]).iter().map(text);
        // Of one that others are gateways of that is not known.
        let count = |names: &[&str]| {
            let counts: Option<Vec<_>> = names.iter().map(|name| bridge[*name].as_u64()).collect();
            counts.map_or_else(|| number_cell("-"), |counts| number(counts.iter().sum()))
        };
        let state = match bridge["reason"].as_str() {
            Some(_) => format!("{}: {}", text(&bridge["state"]), text(&bridge["reason"])),
            None => text(&bridge["state"]),
        };
        table.add_row([
            Cell::new(text(&bridge["name"])),
            Cell::new(text(&bridge["from"])),
            Cell::new(text(&bridge["to"])),
            Cell::new(state),
            Cell::new(gateways.collect::<Vec<_>>().join(" ")),
            Cell::new(far_members(bridge)),
            count(&["waiting"]),
            count(&["forwarded"]),
            count(&["filtered", "replaced", "looped"]),
            count(&["dropped"]),
        ]);
    }
    shown(&table)
}

/// Those that are named, and how many more there are.
fn far_members(bridge: &Value) -> String {
    let members = list(&bridge["source_members"]);
    let mut words: Vec<_> = members.iter().map(words::member_in_json).collect();
    let count = bridge["source_count"].as_u64().unwrap_or(0);
    let more = count.saturating_sub(members.len() as u64);
    words.extend((more > 0).then(|| format!("and {more} more")));
    words.join(" ")
}

pub(crate) fn members(answer: &Value) -> String {
    let mut table = new_table(&["NODE", "ADDRESS", "INCARNATION", ""]);
    for member in list(&answer["members"]) {
        let mark = if member["self"] == true { "this node" } else { "" };
        let incarnation = member["incarnation"].as_u64().unwrap_or(0);
        table.add_row([
            text(&member["node"]),
            text(&member["address"]),
            format!("{incarnation:x}"),
            mark.to_owned(),
        ]);
    }
    shown(&table)
}

pub(crate) fn groups(answer: &Value) -> String {
    let mut table = new_table(&["GROUP", "MEMBERS", "MESSAGES", "HELD BY", "WHO"]);
    for group in list(&answer["groups"]) {
        let members = list(&group["members"]);
        let names: Vec<String> = members.iter().map(words::member_in_json).collect();
        let held_by: Vec<String> = list(&group["held_by"]).iter().map(text).collect();
        table.add_row([
            Cell::new(text(&group["name"])),
            number(names.len() as u64),
            number(group["messages"].as_u64().unwrap_or(0)),
            Cell::new(if held_by.is_empty() { "-".to_owned() } else { held_by.join(" ") }),
            Cell::new(names.join(" ")),
        ]);
    }
    shown(&table)
}

pub(crate) fn sessions(answer: &Value) -> String {
    let mut table = new_table(&[
        "SESSION",
        "DOMAIN",
        "PID",
        "UID",
        "BY",
        "GROUPS",
        "TO ENGINE",
        "FROM ENGINE",
        "BACKLOG",
        "IF SLOW",
        "MISSED",
        "HOLDS",
        "OPEN CLAIM",
    ]);
    for session in list(&answer["sessions"]) {
        let id = session["session"].as_u64().unwrap_or(0);
        let groups = &session["groups"];
        let mut row = vec![Cell::new(words::session(id)), Cell::new(text(&session["domain"]))];
        // Nobody knows them of who comes over TCP.
        row.extend(
            ["pid", "uid"].map(|key| session[key].as_u64().map_or_else(|| Cell::new("-"), number)),
        );
        row.push(Cell::new(text(&session["way"])));
        row.push(number(groups.as_u64().unwrap_or_else(|| list(groups).len() as u64)));
        let fills = ["send_used", "receive_used", "backlog"];
        row.extend(fills.map(|key| number(session[key].as_u64().unwrap_or(0))));
        row.push(Cell::new(text(&session["slow_policy"])));
        row.push(number(session["skipped"].as_u64().unwrap_or(0)));
        row.extend(
            ["holds_ms", "claim_open_ms"].map(|key| {
                Cell::new(session[key].as_u64().map_or_else(|| "-".to_owned(), duration))
            }),
        );
        table.add_row(row);
    }
    shown(&table)
}

pub(crate) fn stats(answer: &Value) -> String {
    let mut table = new_table(&["PART", "COUNTER", "VALUE"]);
    for part in ["protocol", "transport"] {
        for (name, value) in answer[part].as_object().into_iter().flatten() {
            let name = words::plain(name);
            table.add_row([Cell::new(part), Cell::new(name), number(value.as_u64().unwrap_or(0))]);
        }
    }
    shown(&table)
}

pub(crate) fn events(answer: &Value) -> String {
    let now_ms = now_ns() / 1_000_000;
    let mut table = new_table(&["AGO", "KIND", "WHAT"]);
    for event in list(&answer["events"]) {
        let ago_ms = now_ms.saturating_sub(event["time_ms"].as_u64().unwrap_or(0));
        let ago = Cell::new(duration(ago_ms)).set_alignment(CellAlignment::Right);
        table.add_row([ago, Cell::new(text(&event["kind"])), Cell::new(text(&event["text"]))]);
    }
    shown(&table)
}

pub(crate) fn config(answer: &Value) -> String {
    let mut table = new_table(&["KEY", "VALUE", "FROM"]);
    for entry in list(&answer["config"]) {
        table.add_row(["key", "value", "origin"].map(|key| text(&entry[key])));
    }
    shown(&table)
}

pub(crate) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !header.is_empty() {
        table.set_header(header.to_vec());
    }
    table
}

/// Without the blanks that a table has at its edges.
pub(crate) fn shown(table: &Table) -> String {
    let lines = table.lines().map(|line| line.trim_end().trim_start_matches(' ').to_owned());
    lines.collect::<Vec<String>>().join("\n")
}

pub(crate) fn number(value: u64) -> Cell {
    number_cell(&value.to_string())
}

fn number_cell(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // Clients chose some of it.
        Value::String(text) => words::plain(text).replace('\t', "\\t"),
        other => words::plain(&other.to_string()),
    }
}

pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds}.{:03} s", ms % 1_000),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_have_two_figures() {
        for (ms, shown) in [
            (0, "0.000 s"),
            (59_999, "59.999 s"),
            (61_000, "1 min 1 s"),
            (7_380_000, "2 h 3 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(ms), shown);
        }
    }

    #[test]
    fn nothing_in_an_answer_steers_the_terminal() {
        let answer = json!({ "groups": [{ "name": [{ "a\u{7f}\u{9b}2J": "\u{1b}" }] }] });
        let shown = groups(&answer);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        let text = words::plain_json(&serde_json::to_string_pretty(&answer).unwrap());
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), answer);
    }

    #[test]
    fn a_node_without_a_ring_is_shown_so() {
        let answer = json!({ "cluster": "a", "node": 7, "name": "", "state": "probation" });
        let shown = status(&answer);
        assert!(shown.contains("probation") && shown.contains("none"), "{shown}");
        assert!(!shown.contains("null"), "{shown}");
    }

    #[test]
    fn a_bridge_shows_who_is_at_its_other_end() {
        let bridge = json!({
            "name": "up", "from": "fast/g", "to": "g", "state": "standby", "gateways": [3, 1],
            "source_members": [{ "node": 2, "session": (7_u64 << 24) + 5 }], "waiting": 12,
            "filtered": 1, "replaced": 2, "looped": 4,
        });
        let received = json!({
            "name": "in", "state": "receiver", "gateways": [6], "source_count": 300,
            "source_members": [{ "node": 4, "session": (7_u64 << 24) + 1 }],
        });
        let stopped = json!({ "name": "down", "state": "stopped", "reason": "no domain \u{1b}" });
        let shown = bridges(&json!({ "bridges": [bridge, received, stopped] }));
        for part in ["standby", "3 1", "2/5", " 12 ", " 7 ", "stopped: no domain"] {
            assert!(shown.contains(part), "{shown}");
        }
        let words: Vec<_> = shown.lines().nth(2).unwrap_or_default().split_whitespace().collect();
        assert_eq!(words.join(" "), "in receiver 6 4/1 and 299 more - - - -");
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn an_answer_of_another_shape_is_no_panic() {
        for answer in [json!(null), json!([1]), json!({ "members": 1, "groups": [1, null, {}] })] {
            for show in [status, bridges, members, groups, sessions, stats, events, config] {
                let _ = show(&answer);
            }
        }
    }

    #[test]
    fn names_of_groups_cannot_steer_the_terminal() {
        let name = "a\u{1b}[2J\tb";
        let answer = json!({ "groups": [{ "name": name, "members": [] }] });
        assert!(!groups(&answer).contains('\u{1b}'));
        let answer = json!({ "events": [{ "kind": "view", "text": name }] });
        assert!(!events(&answer).contains(['\u{1b}', '\t']));
    }
}
