//! Manual pages, made of the header's declarations and comments, of docs/man/functions.txt and of
//! the examples beside it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use crate::prototypes::{Function, functions};
use crate::root;

/// What functions.txt says of a function.
#[derive(Debug, Default)]
pub struct Notes {
    summary: String,
    returns: Option<String>,
    text: Vec<String>,
    errors: Vec<(String, String)>,
}

/// One page.
pub struct Page {
    /// Its function.
    pub function: Function,
    /// What is written beside the header.
    pub notes: Notes,
    section: String,
}

impl Notes {
    /// The codes that are explained.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().map(|(code, _)| &code[..])
    }
}

/// A condition in C: `r` is what the page of this function allows it to return, or no error.
///
/// # Panics
/// If there is no such page.
pub fn documented(name: &str) -> String {
    let page = pages().into_iter().find(|page| page.function.name == name);
    let page = page.unwrap_or_else(|| panic!("no page of {name}"));
    let codes = page.notes.codes().map(|code| format!(" || r == {code}"));
    let good = if page.function.returns == "anz_status_t" { "r == ANZ_OK" } else { "r >= 0" };
    format!("({good}{})", codes.collect::<String>())
}

/// All pages, in the order of the header.
///
/// # Panics
/// If functions.txt is not as it says it is, or lacks a function or has one too many.
pub fn pages() -> Vec<Page> {
    let header = fs::read_to_string(root().join("include/anasazi.h")).expect("the header");
    let mut notes = notes();
    let pages = functions().into_iter().map(|function| {
        let notes = notes.remove(&function.name);
        let notes = notes.unwrap_or_else(|| panic!("functions.txt has no {}", function.name));
        let section = section_of(&header, &function.name);
        Page { function, notes, section }
    });
    let pages = pages.collect();
    assert!(notes.is_empty(), "functions.txt has functions that are none: {:?}", notes.keys());
    pages
}

/// All examples, by name.
///
/// # Panics
/// If they cannot be listed.
pub fn examples() -> Vec<String> {
    let directory = fs::read_dir(root().join("docs/man/examples")).expect("the examples");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a name");
    let mut all: Vec<String> = directory
        .map(|entry| format!("docs/man/examples/{}", name(entry.expect("an entry"))))
        .collect();
    all.sort();
    all
}

fn notes() -> BTreeMap<String, Notes> {
    let text = fs::read_to_string(root().join("docs/man/functions.txt")).expect("functions.txt");
    let mut all = BTreeMap::new();
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.starts_with('#')) {
        let mut lines = paragraph.lines();
        let head = lines.next().and_then(|line| line.split_once(": "));
        let (name, summary) = head.unwrap_or_else(|| panic!("no name: {paragraph}"));
        let mut notes = Notes { summary: summary.to_owned(), ..Notes::default() };
        lines.for_each(|line| note(&mut notes, line.trim()));
        assert!(all.insert(name.to_owned(), notes).is_none(), "{name} twice");
    }
    all
}

fn note(notes: &mut Notes, line: &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let shared = SHARED.iter().find(|(name, _)| *name == word);
    match (word, shared) {
        ("returns", _) => notes.returns = Some(rest.to_owned()),
        ("text", _) => notes.text.push(rest.to_owned()),
        (_, Some((_, errors))) => errors.iter().for_each(|error| note(notes, error)),
        (code, _) if code.starts_with("ANZ_E") && !rest.is_empty() => {
            match notes.errors.iter_mut().find(|(known, _)| known == code) {
                Some((_, text)) => *text = format!("{text} {rest}"),
                None => notes.errors.push((code.to_owned(), rest.to_owned())),
            }
        }
        _ => panic!("what is `{line}`?"),
    }
}

/// The part of the header in which a function is.
fn section_of(header: &str, name: &str) -> String {
    let mut section = "";
    for line in header.lines() {
        if let Some(title) = line.strip_prefix("/* ---- ") {
            section = title.split([':', ' ']).next().unwrap_or_default();
        }
        if line.starts_with("ANZ_API ") && line.contains(&format!("{name}(")) {
            return section.to_owned();
        }
    }
    panic!("{name} is not declared")
}

impl Page {
    /// Its file.
    pub fn file_name(&self) -> String {
        format!("{}.3", self.function.name)
    }

    /// The file of the example that it shows: that of its section, or if that does without the
    /// function, the first that calls it.
    ///
    /// # Panics
    /// If none does.
    pub fn example(&self) -> String {
        let name = &self.function.name;
        let of_section = EXAMPLES.iter().find(|(section, _)| *section == self.section);
        let (_, first) = of_section.unwrap_or_else(|| panic!("no example for {}", self.section));
        let first = format!("docs/man/examples/{first}.c");
        let calls = |path: &String| {
            let text = fs::read_to_string(root().join(path)).expect("an example");
            text.contains(&format!("{name}("))
        };
        std::iter::once(first)
            .chain(examples())
            .find(calls)
            .unwrap_or_else(|| panic!("no example in docs/man/examples calls {name}()"))
    }

    /// The page, for man(1). `others`: all pages.
    pub fn text(&self, others: &[Self]) -> String {
        let name = &self.function.name;
        let mut page = String::from(
            ".\\\" Made of include/anasazi.h and docs/man/functions.txt by `make man`.\n",
        );
        _ = writeln!(page, ".TH {} 3 {DATE} \"Anasazi 1.0\" \"Anasazi\"", name.to_uppercase());
        _ = writeln!(page, ".SH NAME\n{name} \\- {}", escaped(&self.notes.summary));
        _ = writeln!(page, ".SH SYNOPSIS\n.nf\n.B #include <anasazi.h>\n.PP\n{}", self.prototype());
        page.push_str(".fi\n.PP\nLink with \\fB\\-lanasazi\\fP.\n.SH DESCRIPTION\n");
        let first = description(&self.function.comment);
        let rest = self.notes.text.iter().map(String::as_str);
        let paragraphs: Vec<String> = [&first[..]]
            .into_iter()
            .chain(rest)
            .filter(|text| !text.is_empty())
            .map(filled)
            .collect();
        page.push_str(&paragraphs.join(".PP\n"));
        _ = write!(page, ".SH RETURN VALUE\n{}", filled(self.returns()));
        self.write_errors(&mut page);
        self.write_attributes(&mut page);
        page.push_str(".SH HISTORY\nSince version 1.0 (symbol version ANASAZI_1.0).\n");
        let example = fs::read_to_string(root().join(self.example())).expect("an example");
        _ = writeln!(page, ".SH EXAMPLE\n.nf\n.ft CR\n{}.ft\n.fi", escaped_lines(&example));
        let beside = others.iter().filter(|other| other.section == self.section);
        let beside = beside.map(|other| &other.function.name).filter(|other| *other != name);
        let beside: Vec<String> = beside.map(|name| format!(".BR {name} (3)")).collect();
        if !beside.is_empty() {
            _ = writeln!(page, ".SH SEE ALSO\n{}", beside.join(" ,\n"));
        }
        page
    }

    fn prototype(&self) -> String {
        let Function { returns, name, arguments, .. } = &self.function;
        let space = if returns.ends_with('*') { "" } else { " " };
        let mut text = format!("\\fB{}{space}{name}(\\fP", escaped(returns));
        if arguments.is_empty() {
            text.push_str("void");
        }
        let mut width = returns.len() + name.len();
        for (at, argument) in arguments.iter().enumerate() {
            let len = argument.kind.len() + argument.name.len() + 2;
            width += len;
            let between = match at {
                0 => "",
                _ if width > SYNOPSIS_WIDTH => ",\n        ",
                _ => ", ",
            };
            width = if between.contains('\n') { len } else { width };
            text += &format!("{between}{}", shown_argument(argument));
        }
        text + "\\fB);\\fP"
    }

    fn returns(&self) -> &str {
        match (&self.notes.returns, &self.function.returns[..]) {
            (Some(text), _) => text,
            (None, "anz_status_t") => "ANZ_OK, or a negative status.",
            (None, other) => panic!("{}: what does {other} say?", self.function.name),
        }
    }

    fn write_errors(&self, page: &mut String) {
        if self.notes.errors.is_empty() {
            return;
        }
        page.push_str(".SH ERRORS\n");
        for (code, why) in &self.notes.errors {
            _ = write!(page, ".TP\n.B {code}\n{}", filled(why));
        }
        if !self.function.has_tag("AS-Safe") {
            let why = "A bug was caught in the library, or the engine is out of use for one.";
            _ = write!(page, ".TP\n.B ANZ_EINTERNAL\n{}", filled(why));
        }
        if self.function.arguments.iter().any(|argument| argument.name == "err") {
            let why = "What err points to, unless it is NULL, says what failed, on what, why, and \
                       what to do.";
            _ = write!(page, ".PP\n{}", filled(why));
        }
    }

    fn write_attributes(&self, page: &mut String) {
        let has = |tag| self.function.has_tag(tag);
        let rows = [
            ("Threads", if has("MT-Owner") { "MT-Owner" } else { "MT-Safe" }, THREADS),
            ("Signal handlers", if has("AS-Safe") { "AS-Safe" } else { "AS-Unsafe" }, SIGNALS),
            ("Waiting", if has("BLK") { "BLK" } else { "NB" }, WAITING),
        ];
        page.push_str(".SH ATTRIBUTES\n");
        for (what, tag, meanings) in rows {
            let meaning = meanings.iter().find(|(name, _)| *name == tag).expect("a known tag").1;
            _ = write!(page, ".TP\n{what}: \\fB{}\\fP\n{}", escaped(tag), filled(meaning));
        }
    }
}

fn shown_argument(argument: &crate::prototypes::Argument) -> String {
    let name = &argument.name;
    if let Some((before, after)) = argument.kind.split_once("(*") {
        let after = after.split_once(')').expect("a name").1;
        return format!("\\fB{}(*\\fP\\fI{name}\\fP\\fB){}\\fP", escaped(before), escaped(after));
    }
    let space = if argument.kind.ends_with('*') { "" } else { " " };
    format!("\\fB{}{space}\\fP\\fI{name}\\fP", escaped(&argument.kind))
}

/// The comment without the tags, which have a section of their own.
fn description(comment: &str) -> String {
    let comment = comment.replace("*/", " ");
    let words: Vec<&str> = comment.split_whitespace().filter(|word| *word != "*").collect();
    let is_tag = |word: &str| TAGS.contains(&word.trim_matches([',', ';', ':', '.']));
    let in_run = |at: usize| {
        let beside = at.checked_sub(1).is_some_and(|before| is_tag(words[before]));
        is_tag(words[at]) && (beside || words.get(at + 1).is_some_and(|next| is_tag(next)))
    };
    let mut text = String::new();
    for at in (0..words.len()).filter(|at| !in_run(*at)) {
        let begins = text.is_empty() || text.ends_with('.') && at > 0 && in_run(at - 1);
        let word = words[at];
        let capital = begins && word.starts_with(|c: char| c.is_lowercase()) && !is_name(word);
        if !text.is_empty() {
            text.push(' ');
        }
        match word.chars().next().filter(|_| capital) {
            Some(first) => text.extend(first.to_uppercase().chain(word.chars().skip(1))),
            None => text.push_str(word),
        }
    }
    if !text.is_empty() && !text.ends_with('.') {
        text.push('.');
    }
    text
}

fn is_name(word: &str) -> bool {
    word.contains(['_', '(', '<'])
}

/// A paragraph that groff fills: names in bold.
fn filled(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_start_matches(|c: char| !c.is_alphanumeric());
        let bare =
            bare.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let is_code = bare.starts_with("ANZ_") || bare.starts_with("anz_");
        let escaped = escaped(word);
        if is_code { escaped.replacen(bare, &format!("\\fB{bare}\\fP"), 1) } else { escaped }
    });
    let mut lines = vec![String::new()];
    for word in words {
        let line = lines.last_mut().expect("one at least");
        if line.len() + word.len() > 78 {
            lines.push(word);
        } else {
            line.extend((!line.is_empty()).then_some(' '));
            line.push_str(&word);
        }
    }
    lines.into_iter().map(|line| protected(&line) + "\n").collect()
}

/// Lines that are shown as they are.
fn escaped_lines(text: &str) -> String {
    text.lines().map(|line| protected(&escaped(line)) + "\n").collect()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('^', "\\(ha").replace('~', "\\(ti")
}

/// A line that begins with a dot or a quote would be a request.
fn protected(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

/// Characters of a line of a declaration.
const SYNOPSIS_WIDTH: usize = 64;
/// When the pages were first written.
const DATE: &str = "2026-11-28";
const TAGS: [&str; 5] = ["MT-Safe", "MT-Owner", "AS-Safe", "NB", "BLK"];
const THREADS: &[(&str, &str)] = &[
    ("MT-Safe", "any thread may call it at any time, with the same arguments too."),
    ("MT-Owner", "one thread at a time; a second one gets ANZ_EBUSY."),
];
const SIGNALS: &[(&str, &str)] = &[
    (
        "AS-Safe",
        "a signal handler may call it, whatever it has interrupted, this library included. errno \
         is kept. It takes 512 bytes of stack, 640 for several groups. The program must be bound \
         when it starts (-Wl,-z,now), or have got the function by dlsym(3).",
    ),
    ("AS-Unsafe", "not to be called by a signal handler."),
];
const WAITING: &[(&str, &str)] =
    &[("NB", "it never waits."), ("BLK", "it may wait: see the description.")];

/// Sections of the header, by the first word of their titles, and the program that shows them.
const EXAMPLES: [(&str, &str); 8] = [
    ("library", "library"),
    ("configuration", "configuration"),
    ("engine", "engine"),
    ("sessions", "session"),
    ("groups", "group"),
    ("send", "send"),
    ("receive", "receive"),
    ("introspection", "query"),
];

/// Errors that many functions have for one reason.
const SHARED: [(&str, &[&str]); 7] = [
    (
        "@conn",
        &[
            "ANZ_EINVAL c is NULL.",
            "ANZ_ECLOSED c was closed, or is none.",
            "ANZ_EFORKED The session belongs to the parent of this process.",
        ],
    ),
    ("@live", &["@conn", "ANZ_ECLOSED Or the session has ended (ANZ_EV_CLOSED)."]),
    (
        "@group",
        &[
            "ANZ_EINVAL g is NULL.",
            "ANZ_ECLOSED The group has ended (ANZ_EV_LEFT), its session was closed, or g is none.",
            "ANZ_EFORKED The session belongs to the parent of this process.",
        ],
    ),
    (
        "@engine",
        &[
            "ANZ_EINVAL e is NULL.",
            "ANZ_ECLOSED e was freed, or is none.",
            "ANZ_EFORKED The engine belongs to the parent of this process.",
        ],
    ),
    ("@config", &["ANZ_EINVAL cfg is NULL.", "ANZ_ECLOSED cfg was freed, or is none."]),
    ("@owner", &["ANZ_EBUSY Another thread is in such a call with the same handle."]),
    (
        "@send",
        &[
            "ANZ_EAGAIN There is no room now, or no connection. One ANZ_EV_WRITABLE of the group \
             tells when it is worth trying again; anz_group_wait_writable(3) waits for it.",
            "ANZ_EMSGSIZE It is longer than the engine takes (message.len_max), or than an \
             unreliable message can be.",
            "ANZ_ENOTMEMBER The group is being left.",
            "ANZ_ENOTSUP The service has a flag that is not built into this library.",
            "ANZ_EINVAL The service is none, or has flags that do not go together; or data is NULL \
             and len is not 0.",
            "@group",
        ],
    ),
];
