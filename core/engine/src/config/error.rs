//! What is wrong with a configuration, where it stands, and what to do about it.

use std::fmt;
use std::sync::Arc;

/// Why a configuration was refused: one or more problems, in the order in which they were found.
///
/// Its text has one line per problem: the place, the key, what is wrong and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// The problems; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The errno of a file that could not be read.
    pub fn os_error(&self) -> Option<i32> {
        self.problems.iter().find_map(|problem| problem.os_error)
    }

    /// `Ok` if there are no problems, else the error that holds them.
    pub(super) fn unless_none(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key it is about, as written; none for a file as a whole.
    pub key: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// What is wrong and what is allowed, in a sentence.
    pub text: String,
    /// The errno of a file that could not be read.
    pub os_error: Option<i32>,
}

impl Problem {
    pub(super) fn of_key(key: &str, origin: Origin, text: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), origin, text: text.into(), os_error: None }
    }

    pub(super) fn of_place(origin: Origin, text: impl Into<String>) -> Self {
        Self { key: None, origin, text: text.into(), os_error: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(self.origin, Origin::Default | Origin::Derived | Origin::Call) {
            write!(f, "{}: ", self.origin)?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// Nobody set it in a domain, where it cannot be as at the top level.
    Derived,
    /// The preset of a domain.
    Preset(&'static str),
    /// An entry of a configuration file.
    File {
        /// The file, as it was named to us.
        path: Arc<str>,
        /// Counted from 1; 0 when it is about the file as a whole.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// An option of the command line.
    CommandLine(&'static str),
    /// The program that holds the engine.
    Call,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Derived => f.write_str("derived for this domain"),
            Self::Preset(name) => write!(f, "preset {name}"),
            Self::File { path, line: 0, .. } => f.write_str(path),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Environment(name) => write!(f, "${name}"),
            Self::CommandLine(option) => f.write_str(option),
            Self::Call => f.write_str("set by the program"),
        }
    }
}
