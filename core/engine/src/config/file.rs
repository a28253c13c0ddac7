//! Configuration files: TOML, with the line and column of every entry.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::bridge;
use super::domain::{self, Named};
use super::error::{Origin, Problem};
use super::keys::{KEYS, Key};
use super::kind::Written;
use super::nearest::{nearest, nearest_key};
use super::settings::{Owner, Setting};

/// What a file says.
pub(super) enum Entry {
    /// A key of somebody is set.
    Value { owner: Owner, setting: Setting },
    /// There is a domain or a bridge.
    Owner(Owner),
}

/// The text of the file at `path`.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    let name: Arc<str> = path.to_string_lossy().into();
    let mut bytes = Vec::new();
    let length_read = File::open(path)
        .and_then(|file| file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(&name, &error))?;
    if length_read as u64 > FILE_LEN_MAX {
        let text = format!("longer than {FILE_LEN_MAX} bytes: is this a configuration file?");
        return Err(Problem::of_place(whole(&name), text));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..at]);
        let origin = Source { name: &name, text: &before }.origin(before.len());
        Problem::of_place(origin, "not UTF-8 from here on: save the file as UTF-8")
    })
}

/// The entries of `text`, and everything that is wrong with it. Error messages call it `name`.
pub(super) fn parse(text: &str, name: &str) -> (Vec<Entry>, Vec<Problem>) {
    let mut reading = Reading {
        source: Source { name: &Arc::from(name), text },
        entries: Vec::new(),
        problems: Vec::new(),
    };
    match DeTable::parse(text) {
        Ok(document) => reading.table("", document.get_ref()),
        Err(error) => {
            let span = error.span().unwrap_or(text.len()..text.len());
            let mut message =
                format!("not valid TOML: {}", error.message().trim().replace('\n', "; "));
            if let (true, Some(key)) = (message.ends_with("key"), text.get(span.clone())) {
                message.push_str(&format!(" {key}"));
            }
            reading.problems.push(Problem::of_place(reading.source.origin(span.start), message));
        }
    }
    (reading.entries, reading.problems)
}

struct Reading<'a> {
    source: Source<'a>,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        // The map is sorted by name; people read problems from the top of the file.
        let mut items: Vec<_> = table.iter().collect();
        items.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in items {
            let name = format!("{prefix}{}", key.get_ref());
            self.item(&name, key, value);
        }
    }

    fn item(&mut self, name: &str, key: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>) {
        let start = key.span().start;
        if key.get_ref().as_ref().contains('.') {
            return self.problem(name, start, "unknown key: write it without quotes".into());
        }
        match (domain::look_up(name), value.get_ref()) {
            (Named::Key(owner, key), _) => self.entry(name, owner, key, value),
            (Named::Owner(owner), DeValue::Table(table)) => match owner.refuse_name() {
                Some(refusal) => self.problem(name, start, refusal),
                None => {
                    self.entries.push(Entry::Owner(owner));
                    self.table(&format!("{name}."), table);
                }
            },
            (Named::Table, DeValue::Table(table)) => self.table(&format!("{name}."), table),
            (Named::Table | Named::Owner(_), other) => {
                let text = format!("{} is not allowed; it is a table: [{name}]", kind(other));
                self.problem(name, value.span().start, text);
            }
            (Named::Unknown, value) => {
                let is_table = matches!(value, DeValue::Table(_));
                self.problem(name, start, unknown(name, is_table));
            }
        }
    }

    fn entry(&mut self, name: &str, owner: Owner, key: &'static Key, value: &Spanned<DeValue<'_>>) {
        let start = value.span().start;
        match key.kind.read(written(value.get_ref())) {
            Ok(value) => {
                let setting = Setting { key, value, origin: self.source.origin(start) };
                self.entries.push(Entry::Value { owner, setting });
            }
            Err(refusal) => {
                let text = format!("{refusal}; allowed: {}", key.kind.allowed());
                self.problem(name, start, text);
            }
        }
    }

    fn problem(&mut self, name: &str, at: usize, text: String) {
        self.problems.push(Problem::of_key(name, self.source.origin(at), text));
    }
}

#[derive(Clone, Copy)]
struct Source<'a> {
    name: &'a Arc<str>,
    text: &'a str,
}

impl Source<'_> {
    /// Line and column of the byte at `at`.
    fn origin(&self, at: usize) -> Origin {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin::File {
            path: self.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// What to say about a name that is no key.
pub(super) fn unknown(name: &str, is_table: bool) -> String {
    if let Some(text) = bridge::unknown(name).or_else(|| domain::unknown(name, is_table)) {
        return text;
    }
    let (what, meant) = if is_table {
        ("table", nearest(name, tables()).map(|table| format!("[{table}]")))
    } else {
        let names = KEYS.iter().map(|key| key.name);
        ("key", nearest_key(name, names).map(str::to_owned))
    };
    match meant {
        Some(meant) => format!("unknown {what}; did you mean {meant}?"),
        None if is_table => format!(
            "unknown table; there are: {}",
            tables()
                .chain(["domain.NAME", "bridge.NAME"])
                .map(|table| format!("[{table}]"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        None => "unknown key; OPERATIONS.md lists all keys, as does `anasazid --check --json`"
            .to_owned(),
    }
}

/// The names of the tables, in the order of the key table.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    KEYS.iter().map(Key::table).filter(move |table| std::mem::replace(&mut last, table) != *table)
}

fn written(value: &DeValue<'_>) -> Written {
    match value {
        DeValue::Boolean(value) => Written::Boolean(*value),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Written::Integer(number),
            Err(_) => Written::Other("an integer of that size"),
        },
        DeValue::String(text) => Written::Text(text.clone().into_owned()),
        DeValue::Array(items) => {
            Written::List(items.iter().map(|item| written(item.get_ref())).collect())
        }
        other => Written::Other(kind(other)),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn whole(name: &Arc<str>) -> Origin {
    Origin::File { path: name.clone(), line: 0, column: 0 }
}

fn unreadable(name: &Arc<str>, error: &io::Error) -> Problem {
    let text = match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory, not a configuration file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied: make it readable by the user who runs this program".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    };
    Problem { os_error: error.raw_os_error(), ..Problem::of_place(whole(name), text) }
}

/// Bytes of a configuration file; one with every key and comment has 20,000.
const FILE_LEN_MAX: u64 = 1 << 20;
