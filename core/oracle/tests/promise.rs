//! docs/PROTOCOL.md and the oracle speak of the same promises.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anasazi_oracle::Axiom;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The ids in the first column of the tables of "What is promised".
fn promised() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/PROTOCOL.md")).expect("the document");
    let (_, rest) = text.split_once("\n## What is promised\n").expect("the chapter");
    let (chapter, _) = rest.split_once("\n## ").expect("the next chapter");
    let ids = chapter.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    ids.filter(|id| *id != "id").map(str::to_owned).collect()
}

#[test]
fn every_axiom_is_promised_and_every_promise_is_an_axiom() {
    let promised = promised();
    // The simulator sees to these, with its knowledge of when faults ended.
    let by_the_simulator = ["L1", "L2", "L3", "L4", "L5", "L6", "L8"];
    let mut known: BTreeSet<String> = by_the_simulator.map(str::to_owned).into();
    known.extend(Axiom::ALL.iter().filter(|a| **a != Axiom::Log).map(ToString::to_string));
    let (undocumented, unchecked) = (known.difference(&promised), promised.difference(&known));
    let (undocumented, unchecked): (Vec<_>, Vec<_>) = (undocumented.collect(), unchecked.collect());
    assert!(undocumented.is_empty(), "not in docs/PROTOCOL.md: {undocumented:?}");
    assert!(unchecked.is_empty(), "in docs/PROTOCOL.md, and unknown to the oracle: {unchecked:?}");
}

/// `Axiom::ALL` is written by hand.
#[test]
fn all_axioms_are_listed_once() {
    let source = root().join("core/oracle/src/violation.rs");
    let text = fs::read_to_string(source).expect("the source");
    let (_, rest) = text.split_once("pub enum Axiom {\n").expect("the enum");
    let (variants, _) = rest.split_once("\n}").expect("its end");
    let listed: Vec<String> = Axiom::ALL.iter().map(|axiom| format!("{axiom:?}")).collect();
    let written: Vec<&str> =
        variants.lines().map(|line| line.trim().trim_end_matches(',')).collect();
    assert_eq!(listed, written);
}

/// Every axiom has a test that plants a violation of it.
#[test]
fn every_axiom_can_be_broken_in_a_test() {
    let mut tests = String::new();
    for file in ["configurations.rs", "groups.rs", "messages.rs", "offline.rs", "services.rs"] {
        let path = root().join("core/oracle/tests").join(file);
        tests += &fs::read_to_string(path).expect("a test");
    }
    let untested: Vec<_> =
        Axiom::ALL.iter().filter(|a| !tests.contains(&format!("Axiom::{a:?}"))).collect();
    assert!(untested.is_empty(), "no test breaks {untested:?}");
}

/// The code says which of its rules carries which promise.
#[test]
fn every_promise_is_cited_by_the_code_that_keeps_it() {
    let mut words = BTreeSet::new();
    let folders = ["core/protocol/src", "core/engine/src"].map(|folder| root().join(folder));
    let mut open: Vec<PathBuf> = folders.into();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let comments = text.lines().filter_map(|line| line.split_once("//"));
            let of = |c: char| !c.is_alphanumeric();
            words.extend(comments.flat_map(|(_, c)| c.split(of)).map(str::to_owned));
        }
    }
    let uncited: Vec<_> = promised().into_iter().filter(|id| !words.contains(id)).collect();
    assert!(uncited.is_empty(), "no code says that it keeps {uncited:?}");
}
