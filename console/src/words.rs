//! Members, views and messages in words for people, and as JSON for programs.

use anasazi_client::{Member, OwnedEvent, OwnedView, Status};
use serde_json::{Value, json};

/// A member as people see it: node and session. The session's number is shown without the start
/// of its engine, which no two members of one view with the same node differ in.
pub(crate) fn member(member: &Member) -> String {
    format!("{}/{}", member.node, session(member.session))
}

/// The counter within an engine's life, which is what tells its sessions apart.
pub(crate) fn session(id: u64) -> String {
    format!("{:x}", id & SESSION_COUNTER_MASK)
}

pub(crate) fn member_in_json(value: &Value) -> String {
    let part = |key| value[key].as_u64().unwrap_or(0);
    member(&Member { node: part("node"), session: part("session") })
}

/// Everything but messages, in lines that begin with an asterisk.
pub(crate) fn happening(event: &OwnedEvent, me: Member) -> Vec<String> {
    let line = match event {
        OwnedEvent::View { view: seen, .. } => return view(seen, me),
        OwnedEvent::Suspended { reason } => {
            format!("* the engine is gone: {}", plain(reason))
        }
        OwnedEvent::Resumed { identity } => {
            format!("* the engine is back; you are {} now", member(identity))
        }
        OwnedEvent::Gap { count: 0, .. } => {
            "* messages of another domain are missing here, or may be".to_owned()
        }
        OwnedEvent::Gap { count, .. } => {
            format!("* {count} messages were skipped here: you did not read fast enough")
        }
        OwnedEvent::Receipt { status, .. } => {
            let fate = if *status == Status::ELOST { "lost" } else { "refused" };
            format!("* a message of yours was {fate}: {}", status.text())
        }
        _ => return Vec::new(),
    };
    vec![line]
}

/// What changed and why, one line a fact: `* 7/3 joined (join: ...)`, then who is there.
pub(crate) fn view(view: &OwnedView, me: Member) -> Vec<String> {
    let why = format!("{}: {}", cause(view.cause), plain(&view.reason));
    let mut lines = Vec::new();
    let named = |members: &[Member]| members.iter().map(member).collect::<Vec<_>>().join(" ");
    for gone in &view.left {
        lines.push(format!("* {} left ({why})", member(gone)));
    }
    for new in view.joined.iter().filter(|new| **new != me) {
        lines.push(format!("* {} joined ({why})", member(new)));
    }
    if view.joined.contains(&me) {
        lines.push(format!("* you are {} ({why})", member(&me)));
    } else if lines.is_empty() {
        lines.push(format!("* the view changed ({why})"));
    }
    lines.push(format!("* here: {}", named(&view.members)));
    lines
}

/// The bytes of a message as text that cannot steer a terminal.
pub(crate) fn text(data: &[u8]) -> String {
    plain(&String::from_utf8_lossy(data))
}

/// Without characters that steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\t' { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The same of JSON, which stays what it is: such characters stand in strings only, and are written
/// there as JSON writes them.
pub(crate) fn plain_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\n' | '\r' | '\t') {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// An event as one JSON object; `None` for those that mean nothing to a reader.
pub(crate) fn in_json(event: &OwnedEvent, group_name: &str) -> Option<Value> {
    Some(match event {
        OwnedEvent::Closed { status, reason } => {
            json!({ "event": "closed", "status": status.name(), "reason": reason })
        }
        OwnedEvent::Gap { count, .. } => {
            json!({ "event": "gap", "group": group_name, "count": count })
        }
        OwnedEvent::Left { status, reason, .. } => json!({
            "event": "left", "group": group_name, "status": status.name(), "reason": reason,
        }),
        OwnedEvent::Message { sender, service: level, sequence, tag, data, .. } => {
            let mut object = json!({
                "event": "message",
                "group": group_name,
                "sender": member_json(sender),
                "service": service(*level),
                "sequence": sequence,
                "tag": tag,
                "len": data.len(),
            });
            match std::str::from_utf8(data) {
                Ok(text) => object["text"] = text.into(),
                Err(_) => object["hex"] = hex(data).into(),
            }
            object
        }
        OwnedEvent::Receipt { status, tag, .. } => {
            json!({ "event": "receipt", "group": group_name, "status": status.name(), "tag": tag })
        }
        OwnedEvent::Resumed { identity } => {
            json!({ "event": "resumed", "self": member_json(identity) })
        }
        OwnedEvent::Suspended { reason } => json!({ "event": "suspended", "reason": reason }),
        OwnedEvent::Transitional { view, .. } => view_json("transitional", view, group_name),
        OwnedEvent::View { view, .. } => view_json("view", view, group_name),
        OwnedEvent::Reply { .. } | OwnedEvent::Writable { .. } => return None,
    })
}

/// The name of a service level.
pub(crate) fn service(level: u32) -> &'static str {
    const NAMES: [&str; 6] = ["unreliable", "reliable", "fifo", "causal", "agreed", "safe"];
    NAMES.get((level & 0xff) as usize).unwrap_or(&"unknown")
}

fn cause(cause: u32) -> &'static str {
    const NAMES: [&str; 8] =
        ["?", "join", "leave", "disconnect", "network", "merge", "demoted", "removed"];
    NAMES.get(cause as usize).unwrap_or(&"?")
}

fn view_json(event: &str, view: &OwnedView, group_name: &str) -> Value {
    let members = |list: &[Member]| list.iter().map(member_json).collect::<Vec<_>>();
    json!({
        "event": event,
        "group": group_name,
        "id": {
            "ring_seq": view.id.ring_seq,
            "ring_rep": view.id.ring_rep,
            "ring_incarnation": view.id.ring_incarnation,
            "ordinal": view.id.ordinal,
            "sub": view.id.sub,
        },
        "cause": cause(view.cause),
        "reason": view.reason,
        "members": members(&view.members),
        "joined": members(&view.joined),
        "left": members(&view.left),
        "together": members(&view.together),
    })
}

fn member_json(member: &Member) -> Value {
    json!({ "node": member.node, "session": member.session })
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The low bits of a session's number count the sessions of one life of an engine.
const SESSION_COUNTER_MASK: u64 = (1 << 24) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn someone(node: u64) -> Member {
        Member { node, session: (77 << 24) + 3 }
    }

    #[test]
    fn a_view_says_who_came_who_went_and_why() {
        let seen = OwnedView {
            id: anasazi_client::ViewId::default(),
            cause: 4,
            members: vec![someone(1), someone(2)],
            joined: vec![],
            left: vec![someone(9)],
            together: vec![],
            sets: vec![],
            reason: "node 9 is gone".to_owned(),
        };
        assert_eq!(
            view(&seen, someone(1)),
            ["* 9/3 left (network: node 9 is gone)", "* here: 1/3 2/3"]
        );
        let joined = OwnedView { cause: 1, joined: vec![someone(1)], left: vec![], ..seen };
        assert_eq!(view(&joined, someone(1))[0], "* you are 1/3 (join: node 9 is gone)");
        assert_eq!(view(&joined, someone(2))[0], "* 1/3 joined (join: node 9 is gone)");
    }

    #[test]
    fn messages_cannot_steer_the_terminal() {
        assert_eq!(text(b"a\x1b[2J\r\nb\x80"), "a\\u{1b}[2J\\r\\nb\u{fffd}");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_hex() {
        let message = |data: &[u8]| OwnedEvent::Message {
            group: anasazi_client::GroupHandle(1),
            groups: vec![anasazi_client::GroupHandle(1)],
            sender: someone(1),
            service: 5,
            sequence: 1,
            tag: 0,
            data: data.to_vec(),
        };
        let object = in_json(&message(&[0xff, 0]), "g").unwrap();
        assert_eq!(
            (object["hex"].as_str(), object["service"].as_str()),
            (Some("ff00"), Some("safe"))
        );
        assert_eq!(in_json(&message(b"hi"), "g").unwrap()["text"], "hi");
    }
}
