//! Sentences to rules:
//!
//! ```text
//!   allow|deny  any | uid N | user NAME | gid N | group NAME | socket URL  WHAT[,WHAT]  [NAMES]
//! ```

use std::io;

use super::rule::{Operation, Operations, Pattern, Rule, Who};
use crate::domains::DEFAULT_NAME;

/// Rules of one file.
const RULES_MAX: usize = 16_384;
/// Problems that are listed; of a file of another kind each line is one.
const PROBLEMS_MAX: usize = 20;

/// Finds the numbers of users and groups.
pub(super) trait Names {
    fn uid(&self, name: &str) -> io::Result<Option<u32>>;
    fn gid(&self, name: &str) -> io::Result<Option<u32>>;
}

/// What is wrong, and where in its line: the column, in characters from 1.
struct Problem(usize, String);

/// A word of a rule, and the column at which it begins.
type Word<'a> = (usize, &'a str);

/// The rules of a text, one a line, that messages call `name`.
///
/// # Errors
/// A line for each thing that is wrong: where, what, and what is allowed.
pub(super) fn parse(text: &str, name: &str, names: &dyn Names) -> Result<Vec<Rule>, String> {
    let (mut rules, mut problems, mut wrong) = (Vec::new(), Vec::new(), 0);
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        match parse_line(line, line_number, names) {
            Ok(rule) => rules.extend(rule),
            Err(Problem(column, text)) => {
                wrong += 1;
                if wrong <= PROBLEMS_MAX {
                    problems.push(format!("{name}:{line_number}:{column}: {text}"));
                }
            }
        }
        if rules.len() > RULES_MAX {
            let text = format!(
                "{name}:{line_number}:1: more than {RULES_MAX} rules: write some \
                                for groups of users, or for all groups whose names begin alike"
            );
            return Err(text);
        }
    }
    if wrong == 0 {
        return Ok(rules);
    }
    if wrong > PROBLEMS_MAX {
        problems.push(format!("{name}: and {} lines more", wrong - PROBLEMS_MAX));
    }
    Err(problems.join("\n"))
}

fn parse_line(line: &str, number: usize, names: &dyn Names) -> Result<Option<Rule>, Problem> {
    if line.trim_start().starts_with('#') || line.trim().is_empty() {
        return Ok(None);
    }
    if let Some(at) = line.find(|c: char| c.is_control() && c != '\t') {
        let column = line[..at].chars().count() + 1;
        return Err(Problem(column, "a control character: is this a file of rules?".to_owned()));
    }
    let all = words(line);
    let mut rest = all.iter().copied();
    let end = line.chars().count() + 1;
    let mut next = |what: &str| rest.next().ok_or_else(|| Problem(end, missing(what)));
    let allows = match next(VERBS)? {
        (_, "allow") => true,
        (_, "deny") => false,
        word => return Err(not_allowed(word, VERBS)),
    };
    let who = match next(WHO)? {
        (_, "any") => Who::Any,
        (_, kind @ ("uid" | "user" | "gid" | "group" | "socket")) => {
            who(kind, next(&format!("what stands behind {kind:?}"))?, names)?
        }
        word => return Err(not_allowed(word, WHO)),
    };
    let what_at = next(WHAT)?;
    let what = operations(what_at)?;
    let pattern = rest.next();
    let names = pattern.map_or_else(|| Ok(Pattern::Prefix("".into())), pattern_of)?;
    if let Some((column, word)) = rest.next() {
        let text = format!(
            "{word:?} is one word too many: a rule ends with the names of groups, in one word; \
             for a name with blanks write what stands before them, and *"
        );
        return Err(Problem(column, text));
    }
    let is_named = what_at.1 != "all" && what.contains(Operation::Connect);
    if let (true, false, Some((column, word))) = (is_named, names.everything(), pattern) {
        let text = format!(
            "connect is of no group: leave {word:?} out, or write a rule of its own for connect; \
             whoever is allowed anything may connect"
        );
        return Err(Problem(column, text));
    }
    let text = all.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" ").into();
    Ok(Some(Rule { allows, who, what, names, text, line: number }))
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
        let word = &rest[start..];
        let len = word.find(char::is_whitespace).unwrap_or(word.len());
        let at = line.len() - word.len();
        words.push((line[..at].chars().count() + 1, &word[..len]));
        rest = &word[len..];
    }
    words
}

fn who(kind: &str, (column, word): Word<'_>, names: &dyn Names) -> Result<Who, Problem> {
    let found = |found: io::Result<Option<u32>>, database: &str| match found {
        Ok(Some(number)) => Ok(number),
        Ok(None) => {
            let text = format!(
                "this system knows no {kind} {word:?} (getent {database} {word}): correct it, or \
                 write its number"
            );
            Err(Problem(column, text))
        }
        Err(error) => {
            let text =
                format!("the {kind} {word:?} cannot be looked up: {error}; write its number");
            Err(Problem(column, text))
        }
    };
    match kind {
        "user" => found(names.uid(word), "passwd").map(Who::Uid),
        "group" => found(names.gid(word), "group").map(Who::Gid),
        "socket" => socket(word).map(Who::Socket).map_err(|text| Problem(column, text)),
        _ => match word.parse::<u32>() {
            Ok(number) if number < u32::MAX && kind == "uid" => Ok(Who::Uid(number)),
            Ok(number) if number < u32::MAX => Ok(Who::Gid(number)),
            _ => {
                let of_name = if kind == "uid" { "user" } else { "group" };
                let text = format!(
                    "{word:?} is not a number; allowed: 0 to {}; a name is written as {of_name} \
                     NAME",
                    u32::MAX - 1
                );
                Err(Problem(column, text))
            }
        },
    }
}

/// The URL of a socket, or what those of one kind begin with.
fn socket(word: &str) -> Result<Box<str>, String> {
    let path = |scheme: &str| word.strip_prefix(scheme).is_some_and(|path| path.starts_with('/'));
    let of_tcp = |word: &str| word.parse::<std::net::SocketAddr>().ok();
    match word {
        "shm" | "unix" | "tcp" => Ok(format!("{word}:").into()),
        "inproc" => Ok(word.into()),
        _ if path("shm:") || path("unix:") => Ok(word.into()),
        _ => match word.strip_prefix("tcp://").and_then(of_tcp) {
            Some(address) => Ok(format!("tcp://{address}").into()),
            None => Err(format!(
                "{word:?} is no socket; allowed: shm:/path, unix:/path or tcp://ip:port as in \
                 client.listen and client.listen_streams, shm, unix or tcp for all of that kind, \
                 inproc for sessions of the engine's own process"
            )),
        },
    }
}

fn operations((column, word): Word<'_>) -> Result<Operations, Problem> {
    if word == "all" {
        return Ok(Operations::ALL);
    }
    let (mut what, mut column) = (Operations::default(), column);
    for name in word.split(',') {
        let operation = Operation::named(name);
        what.insert(operation.ok_or_else(|| not_allowed((column, name), WHAT))?);
        column += name.chars().count() + 1;
    }
    Ok(what)
}

fn pattern_of((column, word): Word<'_>) -> Result<Pattern, Problem> {
    let problem = |text: String| Err(Problem(column, text));
    let (name, is_prefix) = word.strip_suffix('*').map_or((word, false), |name| (name, true));
    if name.contains('*') {
        return problem(format!("{word:?} has a * that is not its end: {NAMES}"));
    }
    if name.is_empty() && is_prefix {
        return Ok(Pattern::Prefix("".into()));
    }
    let Some((domain, group)) = name.split_once('/') else {
        return problem(format!(
            "{word:?} names no domain: {NAMES}; for groups of the domain {DEFAULT_NAME} write \
             {DEFAULT_NAME}/{word}"
        ));
    };
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if domain.is_empty() || !domain.bytes().all(fits) {
        return problem(format!(
            "{domain:?} is no name of a domain, which has a to z, 0 to 9 and -: {NAMES}"
        ));
    }
    if group.is_empty() && !is_prefix {
        let text = format!("{word:?} names no group: write {word}* for all of that domain");
        return problem(text);
    }
    Ok(if is_prefix { Pattern::Prefix(name.into()) } else { Pattern::Name(name.into()) })
}

fn missing(what: &str) -> String {
    format!("the rule ends too early; next would be {what}")
}

fn not_allowed((column, word): Word<'_>, allowed: &str) -> Problem {
    let word = match word.char_indices().nth(SHOWN_LEN_MAX) {
        Some((end, _)) => format!("{:?}...", &word[..end]),
        None => format!("{word:?}"),
    };
    Problem(column, format!("{word} is not allowed here; allowed: {allowed}"))
}

/// Characters of a word that are shown.
const SHOWN_LEN_MAX: usize = 60;
const VERBS: &str = "allow or deny";
const WHO: &str = "any, uid N, user NAME, gid N, group NAME, or socket URL";
const WHAT: &str = "connect, join, send and query, divided by commas without blanks, or all";
const NAMES: &str =
    "a full name such as prices/x, or the beginning of some and *, such as prices/*";
