//! The functions of the header, read from it.

use std::fs;

use crate::root;

/// A function as the header declares it.
#[derive(Debug)]
pub struct Function {
    /// The comment above it.
    pub comment: String,
    /// What it returns, as in the header.
    pub returns: String,
    /// Its name.
    pub name: String,
    /// What it takes; empty for `void`.
    pub arguments: Vec<Argument>,
}

/// An argument of a function.
#[derive(Debug)]
pub struct Argument {
    /// Its type, without marks about NULL.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The header says that it may be NULL.
    pub may_be_null: bool,
}

impl Function {
    /// Whether the comment says so of the function itself: tags stand beside each other, and not in
    /// a sentence about something else.
    pub fn has_tag(&self, tag: &str) -> bool {
        let words = self.comment.split_whitespace();
        let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        words.windows(2).any(|pair| pair.contains(&tag) && pair.iter().all(|w| TAGS.contains(w)))
    }
}

/// What the header says of how a function may be called; its beginning explains them.
const TAGS: [&str; 5] = ["MT-Safe", "MT-Owner", "AS-Safe", "NB", "BLK"];

impl Argument {
    /// Whether NULL can be passed at all.
    pub fn is_pointer(&self) -> bool {
        self.kind.contains('*') || self.kind == "anz_log_fn"
    }
}

/// All functions of the header.
///
/// # Panics
/// If there is no header, or it is not laid out as we do it.
pub fn functions() -> Vec<Function> {
    let header = fs::read_to_string(root().join("include/anasazi.h")).expect("the header");
    let pieces: Vec<&str> = header.split("\nANZ_API ").collect();
    let comment = |before: &str| before.rsplit_once("/*").map_or("", |(_, text)| text).to_owned();
    pieces.windows(2).filter_map(|pair| read(pair[1], comment(pair[0]))).collect()
}

fn read(text: &str, comment: String) -> Option<Function> {
    let (text, _) = text.split_once(");")?;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("ANZ_MUST_USE ", "");
    let (head, arguments) = text.split_once('(')?;
    let (returns, name) = split_name(head);
    let arguments = match arguments {
        "void" => Vec::new(),
        list => split_list(list).map(|text| argument(&text)).collect(),
    };
    Some(Function { comment, returns, name, arguments })
}

/// At commas, but not at those inside brackets.
fn split_list(list: &str) -> impl Iterator<Item = String> {
    let mut pieces = vec![String::new()];
    let mut depth = 0;
    for character in list.chars() {
        depth += i32::from(character == '(') - i32::from(character == ')');
        match character {
            ',' if depth == 0 => pieces.push(String::new()),
            other => pieces.last_mut().expect("one at least").push(other),
        }
    }
    pieces.into_iter().map(|piece| piece.trim().to_owned())
}

fn argument(text: &str) -> Argument {
    let may_be_null = text.contains("ANZ_NULLABLE");
    let text = text.replace("ANZ_NULLABLE ", "");
    let (kind, name) = match text.split_once("(*") {
        Some((_, rest)) => (text.clone(), rest.split_once(')').expect("a name").0.to_owned()),
        None => split_name(&text),
    };
    Argument { kind, name, may_be_null }
}

/// The last word, and what comes before it.
fn split_name(text: &str) -> (String, String) {
    let at = text.rfind([' ', '*']).expect("a type before the name") + 1;
    (text[..at].trim().to_owned(), text[at..].to_owned())
}
