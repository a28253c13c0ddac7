//! The rules about single files. Each gives its findings, as `path:line: what`.

use crate::rust;
use crate::tree::File;

/// `unsafe` only where it is looked for: in folders named sys, in the queue, at the C fence.
pub(crate) fn unsafe_fence(file: &File) -> Vec<String> {
    let fenced = file.path.split('/').any(|folder| folder == "sys")
        || file.path.starts_with("core/queue/")
        || file.path.starts_with("ffi/");
    if file.extension() != "rs" || fenced {
        return Vec::new();
    }
    let code = rust::blank(&file.text);
    rust::words(&code)
        .filter(|(_, word)| *word == "unsafe")
        .map(|(at, _)| finding(file, line_of(&code, at), "unsafe outside its fence"))
        .collect()
}

/// The header promises that no thread of an application waits for another one: locks in what an
/// application calls are only where somebody has said why that holds.
pub(crate) fn locks(file: &File) -> Vec<String> {
    let is_called = ["core/client/src/", "core/engine/src/", "core/queue/src/", "core/stream/src/"]
        .into_iter()
        .chain(["ffi/src/"])
        .any(|folder| file.path.starts_with(folder));
    let is_explained = LOCKS.iter().any(|(path, _)| *path == file.path);
    if file.extension() != "rs" || !is_called || is_explained || is_test(&file.path) {
        return Vec::new();
    }
    let code = rust::without_tests(&rust::blank(&file.text));
    rust::words(&code)
        .filter(|(_, word)| ["Mutex", "RwLock", "Condvar", "ReentrantLock"].contains(word))
        .map(|(at, _)| finding(file, line_of(&code, at), "a lock: say in tidy's LOCKS who waits"))
        .collect()
}

pub(crate) fn function_length(file: &File) -> Vec<String> {
    if file.extension() != "rs" || is_test(&file.path) {
        return Vec::new();
    }
    let code = rust::without_tests(&rust::blank(&file.text));
    rust::functions(&code)
        .into_iter()
        .filter(|function| function.lines > FUNCTION_LINES_MAX)
        .map(|function| {
            let text = format!(
                "fn {} has {} lines, {FUNCTION_LINES_MAX} are allowed",
                function.name, function.lines
            );
            finding(file, function.first_line, &text)
        })
        .collect()
}

pub(crate) fn file_length(file: &File) -> Vec<String> {
    if file.extension() != "rs" || is_test(&file.path) {
        return Vec::new();
    }
    let code = rust::without_tests(&rust::blank(&file.text));
    let code_lines = code.lines().filter(|line| !line.trim().is_empty()).count();
    if code_lines <= FILE_CODE_LINES_MAX {
        return Vec::new();
    }
    let text = format!("{code_lines} lines of code, {FILE_CODE_LINES_MAX} are allowed");
    vec![finding(file, 1, &text)]
}

pub(crate) fn line_width(file: &File) -> Vec<String> {
    if !matches!(file.extension(), "rs" | "c" | "h" | "hpp") || file.is_generated() {
        return Vec::new();
    }
    lines_with(file, |line| {
        let width = line.chars().count();
        (width > LINE_WIDTH_MAX).then(|| format!("{width} columns, {LINE_WIDTH_MAX} are allowed"))
    })
}

/// Marks of unfinished work.
pub(crate) fn left_for_later(file: &File) -> Vec<String> {
    // In two parts each: this file is checked, too.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
    ];
    if file.is_generated() {
        return Vec::new();
    }
    lines_with(file, |line| {
        let mark = marks.iter().find(|mark| stands_alone(line, mark))?;
        Some(format!("{mark}: finish it, or write what is missing into the documentation"))
    })
}

/// Modules whose name says that their content has no place of its own.
pub(crate) fn drawers(file: &File) -> Vec<String> {
    let is_source = matches!(file.extension(), "rs" | "c" | "h" | "hpp" | "py" | "js" | "ts");
    let mut parts = file.path.split('/').map(|part| part.split('.').next().unwrap_or_default());
    match parts.find(|part| DRAWERS.contains(part)).filter(|_| is_source) {
        Some(name) => vec![finding(file, 1, &format!("{name} says nothing about what is in it"))],
        None => Vec::new(),
    }
}

pub(crate) fn crate_doc(file: &File) -> Vec<String> {
    let is_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
    if !is_root || file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![finding(file, 1, "a crate begins with a sentence (//!) on what it is")]
}

pub(crate) fn one_title(file: &File) -> Vec<String> {
    if file.extension() != "md" {
        return Vec::new();
    }
    let mut in_code = false;
    let titles = file.text.lines().filter(|line| {
        in_code ^= line.trim_start().starts_with("```");
        !in_code && line.starts_with("# ")
    });
    match titles.count() {
        1 => Vec::new(),
        count => vec![finding(file, 1, &format!("{count} titles (# ...), one is needed"))],
    }
}

pub(crate) fn tabs(file: &File) -> Vec<String> {
    if file.name() == "Makefile" || file.extension() == "mk" || file.is_generated() {
        return Vec::new();
    }
    lines_with(file, |line| line.contains('\t').then(|| "a tab".to_owned()))
}

/// Files that hold nothing but tests. The crates in tests/ are products of their own.
fn is_test(path: &str) -> bool {
    path.split('/').skip(1).any(|part| part == "tests" || part == "benches")
        || path.ends_with("tests.rs")
}

fn lines_with(file: &File, complaint: impl Fn(&str) -> Option<String>) -> Vec<String> {
    file.text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| Some(finding(file, index + 1, &complaint(line)?)))
        .collect()
}

/// Whether `line` has `mark` in it, and not as a part of a longer word.
fn stands_alone(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !is_letter(line[..at].chars().next_back())
            && !is_letter(line[at + mark.len()..].chars().next())
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn finding(file: &File, line: usize, text: &str) -> String {
    format!("{}:{line}: {text}", file.path)
}

/// Where there are locks in what an application calls, and why it does not wait for itself there.
const LOCKS: [(&str, &str); 10] = [
    ("core/client/src/connector.rs", "between a session's owner and the thread that carries it"),
    ("core/client/src/core.rs", "the owner's; others try, and get EBUSY"),
    ("core/client/src/sys/fake_engine.rs", "a stand-in, for tests"),
    ("core/client/src/sys/notifier.rs", "to wait for a call that is under way, as is said there"),
    (
        "core/engine/src/domain/shared.rs",
        "between the engine and the thread of a domain, for a batch",
    ),
    ("core/engine/src/engine.rs", "between the engine and the thread of its streams"),
    ("core/engine/src/inproc.rs", "engines by name: the header names anz_connect()"),
    ("core/engine/src/writer.rs", "between the engine and the thread of its disk"),
    ("ffi/src/config.rs", "the owner's; others try, and get EBUSY"),
    ("ffi/src/engine.rs", "the owner's; others try. The header names anz_engine_free()"),
];

const FUNCTION_LINES_MAX: usize = 70;
/// Without comments, blank lines and tests.
const FILE_CODE_LINES_MAX: usize = 600;
const LINE_WIDTH_MAX: usize = 100;
const DRAWERS: [&str; 6] = ["utils", "util", "helpers", "helper", "common", "misc"];

#[cfg(test)]
mod tests {
    use super::*;

    type Rule = fn(&File) -> Vec<String>;

    fn found(rule: Rule, path: &str, text: &str) -> usize {
        rule(&File::new(path, text)).len()
    }

    #[test]
    fn offences_are_found() {
        let long = format!("fn f() {{\n{}}}\n", "    a;\n".repeat(70));
        let marked = concat!("// TO", "DO: more");
        for (rule, path, text) in [
            (unsafe_fence as Rule, "core/engine/src/a.rs", "unsafe { a() }"),
            (locks, "core/engine/src/a.rs", "static A: Mutex<u8>"),
            (function_length, "core/engine/src/a.rs", &long),
            (file_length, "core/engine/src/a.rs", &"a;\n".repeat(601)),
            (line_width, "core/engine/src/a.rs", &"a".repeat(101)),
            (line_width, "bindings/c-examples/a.c", &"a".repeat(101)),
            (left_for_later, "docs/A.md", marked),
            (drawers, "core/engine/src/utils.rs", ""),
            (drawers, "core/engine/tests/common/mod.rs", ""),
            (crate_doc, "core/engine/src/lib.rs", "pub mod a;\n"),
            (one_title, "docs/A.md", "text\n"),
            (one_title, "docs/A.md", "# a\n# b\n"),
            (tabs, "packaging/a.sh", "\ta\n"),
        ] {
            assert_eq!(found(rule, path, text), 1, "{path} {text:.40}");
        }
    }

    #[test]
    fn the_rest_is_left_alone() {
        let long = format!("fn f() {{\n{}}}\n", "    a;\n".repeat(68));
        let long_test = format!("#[cfg(test)]\nmod tests {{\nfn f() {{\n{long}}}\n}}\n");
        for (rule, path, text) in [
            (unsafe_fence as Rule, "core/engine/src/sys/a.rs", "unsafe { a() }"),
            (unsafe_fence, "core/engine/src/a.rs", "#![deny(unsafe_code)] // unsafe \n\"unsafe\""),
            (locks, "core/engine/src/a.rs", "// a Mutex\nMutexGuard"),
            (locks, "core/engine/src/writer.rs", "Mutex"),
            (locks, "daemon/src/a.rs", "Mutex"),
            (function_length, "core/engine/src/a.rs", &long),
            (function_length, "core/engine/src/a.rs", &long_test),
            (file_length, "core/engine/src/a.rs", &"// a\n".repeat(601)),
            (line_width, "include/anasazi.h", &"a".repeat(101)),
            (left_for_later, "docs/A.md", concat!("a XX", "XX b")),
            (drawers, "docs/common.md", ""),
            (one_title, "docs/A.md", "# a\n```\n# b\n```\n## c\n"),
            (tabs, "Makefile", "\ta\n"),
        ] {
            assert_eq!(found(rule, path, text), 0, "{path} {text:.40}");
        }
    }
}
