//! Every file of tests/scenarios, its output compared with what it says. `UPDATE=1` writes it;
//! `ONLY=word` runs those with the word in their names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anasazi_protocol::{planted, transitions};
use anasazi_sim::cluster::Cell;
use anasazi_sim::scenario::{Scenario, difference, parse, render, run, shown_by};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// All files, name and text.
fn files() -> Vec<(String, String)> {
    let entries = fs::read_dir(folder()).expect("tests/scenarios is there");
    let paths = entries.map(|entry| entry.expect("a file").path());
    let mut files: Vec<(String, String)> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    files.sort();
    files
}

/// What is wrong with a file, if anything is.
fn check(name: &str, text: &str, update: bool) -> Result<BTreeSet<Cell>, String> {
    let scenario = parse(name, text)?;
    let outcome = run(&scenario)?;
    let now = render(&scenario, &outcome.printed);
    // Whatever it prints, it has to hold.
    outcome.holds(&scenario, &now)?;
    if update {
        fs::write(folder().join(name), now).expect("it can be written");
        return Ok(outcome.cells);
    }
    match difference(text, &now) {
        Some(difference) => Err(format!("{name}: {difference}")),
        None => Ok(outcome.cells),
    }
}

#[test]
fn all_files_say_what_happens() {
    let update = std::env::var_os("UPDATE").is_some();
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut files = files();
    files.retain(|(name, _)| name.contains(&only));
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let cells = Mutex::new(BTreeSet::new());
    assert!(!files.is_empty());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((name, text)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match check(name, text, update) {
                        Ok(reached) => cells.lock().expect("no panic").extend(reached),
                        Err(what) => wrong.lock().expect("no panic").push(what),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    let cells: BTreeSet<Cell> = cells.into_inner().expect("no panic");
    let unreached = transitions::cells().filter(|cell| !cells.contains(cell));
    let unreached: BTreeSet<String> = unreached.map(named).collect();
    assert!(wrong.is_empty(), "{} of {}:\n\n{}", wrong.len(), files.len(), wrong.join("\n\n"));
    if only.is_empty() {
        let table = table();
        let listed = table
            .lines()
            .filter(|line| line.starts_with("| change ") && !line.starts_with("| change |"));
        let listed: BTreeSet<String> =
            listed.filter_map(|line| Some(line.split('|').nth(1)?.trim().to_owned())).collect();
        assert_eq!(unreached, listed, "changes that no file shows, and those in the table");
    }
}

/// As the table names it.
fn named((row, from, on): Cell) -> String {
    format!("change {row} from {from} on {on}")
}

/// Numbers that were never given, and rows of what is not built yet: keys, domains.
const ROWS_ELSEWHERE: &[u32] = &[12, 17, 22, 27, 43, 45, 48, 57, 58, 53, 60, 61, 62];

fn table() -> String {
    fs::read_to_string(folder().join("README.md")).expect("tests/scenarios/README.md")
}

/// The table names every file, every file says what the table says about it, and no row is
/// forgotten.
#[test]
fn the_table_is_complete() {
    let table = table();
    let scenarios: Vec<Scenario> =
        files().iter().map(|(name, text)| parse(name, text).expect("it can be read")).collect();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).collect();
    for (name, text) in files() {
        assert!(text.lines().any(|line| line.starts_with("> ")), "{name} has no output");
    }
    for scenario in &scenarios {
        assert!(table.contains(&scenario.name), "{} is not in the table", scenario.name);
        for shown in &scenario.shows {
            let row = rows.iter().find(|row| row.starts_with(&format!("| {shown} |")));
            let row = row.unwrap_or_else(|| panic!("{}: no {shown} in the table", scenario.name));
            assert!(row.contains(&scenario.name), "{}: {row}", scenario.name);
        }
    }
    for row in &rows {
        assert!(!row.ends_with("|  |"), "nothing shows it: {row}");
        let columns = row.split('|').count() - 2;
        let is_of_table = ["row ", "pitfall ", "correction ", "transition "];
        let is_of_table = is_of_table.iter().any(|kind| row[2..].starts_with(kind));
        assert!(!is_of_table || columns == 4, "{columns} columns, not 4: {row}");
        for word in row.split(['`', ' ']).filter(|word| word.ends_with(".txt")) {
            let scenario = scenarios.iter().find(|s| s.name == word);
            let scenario = scenario.unwrap_or_else(|| panic!("{word} does not exist: {row}"));
            let id = row.split('|').nth(1).unwrap_or_default().trim();
            assert!(scenario.shows.iter().any(|s| s == id), "{word} does not show {id}");
        }
    }
    let ids = |what: &'static str, numbers: RangeInclusive<u32>| {
        numbers.map(move |number| (number, format!("{what}{number}")))
    };
    let rows_here = ids("row ", 1..=63).filter(|(row, _)| !ROWS_ELSEWHERE.contains(row));
    let corrections = ids("correction U", 1..=6);
    let corrections = corrections.chain(ids("correction S", 1..=7));
    let corrections = corrections.chain(ids("correction F", 1..=14));
    for (_, id) in rows_here.chain(ids("pitfall ", 1..=35)).chain(corrections) {
        assert!(table.contains(&format!("| {id} |")), "no {id} in the table");
    }
    for cell in transitions::cells() {
        let Some(place) = shown_by(&named(cell)).filter(|place| *place != "swarm") else {
            continue;
        };
        let path = folder().join("../..").join(place.trim_matches('`'));
        let test = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{place}: {e}"));
        assert!(test.contains(cell.0), "{place} lacks {cell:?}");
    }
    for transition in transitions::names() {
        let place = shown_by(&format!("transition {transition}"));
        let place = place.unwrap_or_else(|| panic!("nothing shows the transition {transition}"));
        // A file of this folder is run, and fails if the transition does not happen.
        if !place.ends_with(".txt`") {
            let path = folder().join("../..").join(place.trim_matches('`'));
            let test = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{place}: {e}"));
            assert!(test.contains(&format!("{transition:?}")), "{place} lacks {transition}");
        }
    }
}

#[test]
fn errors_name_the_line_and_what_is_allowed() {
    let error = |text: &str| parse("x.txt", text).expect_err("an error");
    assert_eq!(
        error("title x\nring 3\nsend n4 g 1 safe\n"),
        "x.txt:3: `n4` is no client; they are n1, n1/name: send n4 g 1 safe"
    );
    assert!(error("title x\nring 3\ndorp token n1 -> n2").contains("they are title, shows"));
    assert!(error("title x\nring 3\ndrop tok n1 -> n2").contains("data, token, token-ack"));
    assert!(error("title x\nring 3 los=3").contains("they are seed, multicast=on"));
    assert!(error("title x\nring 3\nexpect n1 stat tokens >= 3").contains("tokens_received"));
    assert!(error("title x\nring 3\ntick 5").contains("they are 20us, 5ms, 1.5s"));
    assert!(error("title x\nring 3\nrepeat 3").contains("without `end`"));
    assert!(error("title x\ncrash n1").contains("the first command"));
    assert!(error("title x\nring 3\ndrop token n1 -> n2 0").contains("3 or 2..5"));
}

/// A scenario whose log lacks a delivery must fail: the oracle watches every file.
#[test]
fn a_planted_violation_is_found() {
    let text = "title x\nplant forgotten-packet\nring 3\nload 2 100\nrest within 1s\n";
    let scenario = parse("x.txt", text).expect("it can be read");
    let error = run(&scenario).expect_err("the oracle must object");
    assert!(error.contains("violated"), "{error}");
}

/// Corrections of the design without which a promise breaks, and the bug that leaves each of them
/// out: a file that is named for one has to notice.
const CORRECTIONS: [(&str, &str); 12] = [
    ("who-is-dead-is-not-agreed", "called_without_votes"), // F1
    ("token-before-the-plan", "plan_not_awaited"),         // F13
    ("recovery-that-lacks-a-packet", "install_before_all_sent"), // U1
    ("thousands-to-recover", "install_before_all_sent"),
    ("retry-after-one-has-installed", "install_before_all_sent"),
    ("behind-a-hole", "obligation_at_plan"), // U2
    ("behind-a-hole", "obligation_never"),
    ("join-under-way-in-one-part", "table_of_now"), // U3
    ("cold-start", "boot_not_durable"),             // U4
    ("restart-before-it-is-missed", "boot_not_durable"),
    ("killed-while-it-starts", "boot_not_durable"),
    ("line-of-a-repeated-packet", "safe_line_of_repeats"), // U6
];

#[test]
fn a_file_about_a_correction_fails_without_it() {
    let files: BTreeMap<String, String> = files().into_iter().collect();
    let mut blind = Vec::new();
    for (name, bug) in CORRECTIONS {
        let name = format!("{name}.txt");
        let text = files.get(&name).unwrap_or_else(|| panic!("{name} is gone"));
        planted::set(Some(bug)).expect("a bug of this name");
        // What it prints may well change; it has to fail. A core may notice itself.
        let found = catch_unwind(|| {
            let scenario = parse(&name, text)?;
            run(&scenario)?.failure.map_or(Ok(()), Err)
        });
        planted::set(None).expect("no bug");
        if matches!(found, Ok(Ok(()))) {
            blind.push(format!("{name} does not notice {bug}"));
        }
    }
    assert!(blind.is_empty(), "{}", blind.join("\n"));
}
