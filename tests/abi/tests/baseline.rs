//! The interface only grows. `tests/abi/baseline` has it as it was at the last release; what was
//! there must be there still, as it was. `BASELINE=1 cargo test -p anasazi-abi --test baseline`
//! takes the present one as the new baseline, for a release, unless it breaks the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anasazi_abi::prototypes::{Function, functions};
use anasazi_abi::{release, root, run};

fn baseline(name: &str) -> PathBuf {
    root().join("tests/abi/baseline").join(name)
}

fn takes_new_baseline() -> bool {
    std::env::var_os("BASELINE").is_some()
}

#[test]
fn every_symbol_of_the_baseline_is_exported_in_its_version() {
    let library = release().join("libanasazi.so.1");
    let listing = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let present: BTreeSet<&str> =
        listing.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let path = baseline("exports.txt");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let lacking: Vec<&str> = text.lines().filter(|symbol| !present.contains(symbol)).collect();
    assert!(lacking.is_empty(), "programs need {lacking:?}");
    if takes_new_baseline() {
        let all: String = present.iter().map(|symbol| format!("{symbol}\n")).collect();
        fs::write(&path, all).expect("a writable baseline");
    }
    assert!(present.len() > 45, "{present:?}");
    assert!(takes_new_baseline() || !text.is_empty(), "no baseline");
}

/// Numbers are in programs that were compiled before.
#[test]
fn every_number_of_the_baseline_is_what_it_was() {
    let defines = |path: PathBuf| -> BTreeMap<String, String> {
        let text = fs::read_to_string(path).expect("a header");
        let defined = |line: &str| {
            let (name, value) = line.strip_prefix("#define ANZ_")?.split_once(' ')?;
            let value = value.split("/*").next().unwrap_or_default().trim();
            Some((name.to_owned(), value.to_owned()))
        };
        text.lines().filter_map(defined).collect()
    };
    let (before, now) =
        (defines(baseline("include/anasazi.h")), defines(root().join("include/anasazi.h")));
    assert!(before.len() > 60, "{} numbers", before.len());
    let may_grow = |name: &str| name.starts_with("VERSION_");
    for (name, value) in before.iter().filter(|(name, _)| !may_grow(name)) {
        assert_eq!(now.get(name), Some(value), "ANZ_{name}");
    }
}

/// A library of nothing but the header's functions, without anything in them: what debuggers, and
/// abidiff, know of the interface.
fn hollow(into: &Path) -> PathBuf {
    let mut source = "#include <anasazi.h>\n".to_owned();
    for Function { returns, name, arguments, .. } in functions() {
        let list: Vec<String> = arguments
            .iter()
            .map(|argument| match argument.kind.contains("(*") {
                true => argument.kind.clone(),
                false => format!("{} {}", argument.kind, argument.name),
            })
            .collect();
        let list = if list.is_empty() { "void".to_owned() } else { list.join(", ") };
        let body = if returns == "void" { "" } else { "return 0;" };
        _ = writeln!(source, "{returns} {name}({list}) {{ {body} }}");
    }
    let library = into.join("libhollow.so");
    fs::write(into.join("hollow.c"), source).expect("a source file");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-g", "-shared", "-fPIC", "-w", "-I"]).arg(root().join("include"));
    // From within: the debugging information shall not say where this was.
    run(compiler.arg("-o").arg(&library).arg("hollow.c").current_dir(into));
    library
}

#[test]
fn abidiff_finds_nothing_that_breaks_programs() {
    if Command::new("abidiff").arg("--version").output().is_err() {
        _ = writeln!(io::stderr(), "skipped: abidiff is not installed");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (library, old) = (hollow(directory.path()), baseline("anasazi.abi"));
    if old.exists() {
        let output = Command::new("abidiff").arg(&old).arg(&library).output().expect("abidiff");
        let said = String::from_utf8_lossy(&output.stdout);
        // Bits: 1 and 2, it failed; 4, there are changes; 8, they break programs.
        let bits = output.status.code().expect("an exit status");
        assert!(bits & (1 | 2 | 8) == 0, "{bits}: {said}");
        assert!(takes_new_baseline() || bits == 0, "it has grown; a release takes it: {said}");
    }
    if takes_new_baseline() {
        let mut writer = Command::new("abidw");
        writer.args(["--no-comp-dir-path", "--no-show-locs", "--no-corpus-path", "--out-file"]);
        run(writer.arg(&old).arg(&library));
    }
    assert!(old.exists(), "no baseline");
}

/// Compiled against the header of the baseline, run with the present library.
#[test]
fn programs_of_the_baseline_run_on() {
    let header = baseline("include/anasazi.h");
    if takes_new_baseline() {
        fs::create_dir_all(header.parent().expect("a directory")).expect("a directory");
        fs::copy(root().join("include/anasazi.h"), &header).expect("a writable baseline");
    }
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["session", "services", "forked", "storm"] {
        let program = directory.path().join(name);
        run(Command::new("cc")
            .args(["-std=c99", "-O1", "-w", "-I"])
            .arg(header.parent().expect("a directory"))
            .arg("-o")
            .arg(&program)
            .arg(root().join(format!("tests/abi/c/{name}.c")))
            .arg("-L")
            .arg(release())
            .args(["-lanasazi", "-lpthread"])
            .arg(format!("-Wl,-rpath,{}", release().display())));
        let printed = run(Command::new("timeout").arg("100").arg(program));
        assert!(printed.ends_with("ok\n"), "{name}: {printed}");
    }
}
