//! Which crate may depend on which, and why others are used.

use crate::tree::File;

/// Crates of this project name only those that they are meant to see. Tests may see everything.
pub(crate) fn reach(file: &File) -> Vec<String> {
    let Some(folder) = file.path.strip_suffix("/Cargo.toml") else {
        return Vec::new();
    };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == folder) else {
        return Vec::new();
    };
    let used = section(&file.text, "dependencies").filter_map(|(_, line)| {
        let name = line.split(['.', ' ', '=']).next()?;
        name.strip_prefix("anasazi-")
    });
    used.filter(|name| !allowed.contains(name))
        .map(|name| format!("{}: may not use anasazi-{name}", file.path))
        .collect()
}

/// Every dependency from outside says in the workspace's table what it is for.
pub(crate) fn reasons(file: &File) -> Vec<String> {
    if file.path != "Cargo.toml" {
        return Vec::new();
    }
    section(&file.text, "workspace.dependencies")
        .filter(|(_, line)| !line.contains("path =") && !line.contains("# "))
        .map(|(number, line)| format!("{}:{number}: why is it here? {line}", file.path))
        .collect()
}

/// The entries of a table, with their line numbers.
fn section<'a>(text: &'a str, name: &str) -> impl Iterator<Item = (usize, &'a str)> {
    let header = format!("[{name}]");
    text.lines()
        .enumerate()
        .skip_while(move |(_, line)| line.trim() != header)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| (index + 1, line))
}

/// Folder of a crate, and the crates of this project that it may use.
const ARROWS: [(&str, &[&str]); 14] = [
    ("core/protocol", &[]),
    ("core/bridge", &["protocol"]),
    ("core/transport", &[]),
    ("core/seal", &["transport"]),
    ("core/queue", &[]),
    ("core/stream", &["queue"]),
    ("core/engine", &["protocol", "bridge", "transport", "seal", "queue", "stream"]),
    ("core/client", &["queue", "stream"]),
    ("ffi", &["client", "engine", "queue"]),
    ("daemon", &["engine"]),
    ("console", &["client", "engine", "oracle"]),
    ("core/oracle", &["protocol"]),
    ("tests/chaos", &["client", "protocol", "oracle"]),
    ("tests/sim", &["protocol", "transport", "seal", "queue", "engine", "client", "oracle"]),
];

#[test]
fn a_wrong_arrow_is_found() {
    let text = "[dependencies]\nanasazi-engine.workspace = true\nlibc.workspace = true\n\
                [dev-dependencies]\nanasazi-transport.workspace = true\n";
    assert_eq!(
        reach(&File::new("core/client/Cargo.toml", text)),
        ["core/client/Cargo.toml: may not use anasazi-engine"]
    );
    assert!(reach(&File::new("daemon/Cargo.toml", text)).is_empty());
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let text = "[workspace.dependencies]\na = { path = \"a\" }\nb = \"1\" # for b\nc = \"1\"\n\
                [workspace.lints]\nd = \"1\"\n";
    assert_eq!(
        reasons(&File::new("Cargo.toml", text)),
        ["Cargo.toml:4: why is it here? c = \"1\""]
    );
}
