//! The manual pages are those of the header, name every error, and their examples work.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anasazi_abi::man::{examples, pages};
use anasazi_abi::{compile, root, run};

/// With UPDATE=1 they are written.
#[test]
fn pages_are_up_to_date() {
    let (pages, directory) = (pages(), root().join("docs/man"));
    let names: BTreeSet<String> = pages.iter().map(|page| page.file_name()).collect();
    let is_page = |name: &String| name.ends_with(".3");
    let there = fs::read_dir(&directory)
        .expect("docs/man")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let stale: Vec<String> = there.filter(|name| is_page(name) && !names.contains(name)).collect();
    let update = std::env::var_os("UPDATE").is_some();
    for page in &pages {
        let (path, text) = (directory.join(page.file_name()), page.text(&pages));
        if update {
            fs::write(path, text).expect("written");
        } else {
            let is = fs::read_to_string(path).unwrap_or_default();
            assert!(is == text, "{} is out of date: run `make man`", page.file_name());
        }
    }
    assert!(stale.is_empty(), "pages of functions that are gone: {stale:?}");
}

/// Names that begin as those of errors do.
const EVENTS: [&str; 3] = ["ANZ_EV_", "ANZ_EVF_", "ANZ_ERR_"];

/// What the header speaks of in a comment and another function or an event says.
const OF_OTHERS: [(&str, &str); 1] = [("anz_peer", "ANZ_ENOTMEMBER")];

#[test]
fn pages_name_every_error_of_their_functions() {
    let header = fs::read_to_string(root().join("include/anasazi.h")).expect("the header");
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        words
            .filter(|word| word.starts_with("ANZ_E"))
            .filter(|word| !EVENTS.iter().any(|prefix| word.starts_with(prefix)))
            .map(str::to_owned)
            .collect()
    };
    let known = words(&header);
    for page in pages() {
        let (function, name) = (&page.function, &page.function.name);
        let codes: BTreeSet<String> = page.notes.codes().map(str::to_owned).collect();
        let unknown: Vec<_> = codes.difference(&known).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        let mut expected = words(&function.comment);
        expected.retain(|code| !OF_OTHERS.contains(&(&name[..], &code[..])));
        let gives_status = ["anz_status_t", "int"].contains(&&function.returns[..]);
        if !gives_status || ["anz_has", "anz_conn_close"].contains(&&name[..]) {
            continue;
        }
        if function.has_tag("MT-Owner") {
            expected.insert("ANZ_EBUSY".to_owned());
        }
        let handle = &function.arguments[0];
        if handle.kind.contains("anz_") && !handle.may_be_null && handle.name != "out" {
            expected.insert("ANZ_EINVAL".to_owned());
            let is_handle = !["ev", "out"].contains(&&handle.name[..]);
            let forks = is_handle && handle.name != "cfg";
            expected.extend(is_handle.then(|| "ANZ_ECLOSED".to_owned()));
            expected.extend(forks.then(|| "ANZ_EFORKED".to_owned()));
        }
        let missing: Vec<_> = expected.difference(&codes).collect();
        assert!(missing.is_empty(), "{name} says nothing of {missing:?}");
    }
}

#[test]
fn pages_are_well_formed() {
    let check =
        Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg("/dev/null").output();
    if check.is_err() {
        eprintln!("skipped: mandoc is not installed");
        return;
    }
    let directory = root().join("docs/man");
    for page in pages() {
        let path = directory.join(page.file_name());
        let output =
            Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(path).output();
        let output = output.expect("mandoc");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
    }
}

#[test]
fn examples_are_compiled_and_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let shown: BTreeSet<String> = pages().iter().map(|page| page.example()).collect();
    assert!(shown.iter().eq(&examples()), "an example is on no page: {shown:?}");
    // The one that reads a file.
    let file = directory.path().join("example.toml");
    fs::write(&file, "cluster = \"example\"\n").expect("written");
    for example in shown {
        let program = compile(&example, directory.path());
        let mut command = Command::new("timeout");
        // Nobody else's daemon, and nobody's configuration.
        let printed = run(command.arg("60").arg(program).arg(&file).env_remove("ANASAZI_URL"));
        let said = SAYS.iter().find(|(name, _)| example.ends_with(name));
        assert!(said.is_none_or(|(_, line)| printed.contains(line)), "{example}: {printed}");
    }
}

/// What some examples are about.
const SAYS: [(&str, &str); 2] =
    [("/session.c", "nothing to receive: ANZ_ETIMEDOUT"), ("/wake.c", "woken: ANZ_EINTR")];
