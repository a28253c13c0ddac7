//! Who may do what: rules that an operator writes, and the answer that they give.
//!
//! | file | what |
//! |---|---|
//! | `rule` | one rule: whom it is about, what, and which groups |
//! | `parse` | sentences to rules, and what is wrong with them |
//! | `file` | the file in which they stand |
//! | `words` | answers as operators read them |
//!
//! The first rule that fits decides. Behind the last one stand those whom the configuration lets
//! in: root, the engine's own user, `client.allow_uids`, `client.allow_gids`. Nothing here asks the
//! system for anything but `file`, which is not for the engine's thread.

mod file;
mod parse;
mod rule;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;

pub use file::check;
pub(crate) use file::read;
pub(crate) use rule::{Operation, Rule};
pub(crate) use words::Asked;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Its user; `u32::MAX` is nobody's.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Further groups.
    pub(crate) groups: &'a [u32],
    /// The socket that it came in by, as its URL.
    pub(crate) socket: &'a str,
    pub(crate) standing: Standing,
}

/// What it is by the configuration, whatever the rules are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Root, or the engine's own user: they may do more than ask, so that no rule locks them out.
    Trusted,
    /// In the engine's own group, client.allow_uids or client.allow_gids.
    Listed,
    /// From another host: nobody knows who it is.
    Remote,
    Stranger,
}

/// The rules of one reading of their file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Where they stand.
    pub(crate) path: Box<Path>,
    pub(crate) list: Vec<Rule>,
}

/// An answer, and what it rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict<'a> {
    pub(crate) allowed: bool,
    because: Because<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Because<'a> {
    Rule(&'a Rules, &'a Rule),
    Standing(Standing),
    /// Neither a rule nor the configuration says anything of it.
    Nothing(Option<&'a Rules>),
}

/// Whether somebody may do something. `name`: of a group with its domain, `prices/x`; `prices/*`
/// for all of a domain, `*` for all that there is.
pub(crate) fn decide<'a>(
    rules: Option<&'a Rules>,
    subject: &Subject<'_>,
    operation: Operation,
    name: &str,
) -> Verdict<'a> {
    let standing = subject.standing;
    // Who may change the rules is not kept from seeing them.
    let always = matches!(operation, Operation::Connect | Operation::Query);
    if standing == Standing::Trusted && always {
        return Verdict { allowed: true, because: Because::Standing(standing) };
    }
    if let Some(rules) = rules
        && let Some(rule) = rules.list.iter().find(|rule| rule.fits(subject, operation, name))
    {
        return Verdict { allowed: rule.allows, because: Because::Rule(rules, rule) };
    }
    match standing {
        Standing::Trusted | Standing::Listed => {
            Verdict { allowed: true, because: Because::Standing(standing) }
        }
        // It was let in before there were rules.
        Standing::Remote if rules.is_none() => {
            Verdict { allowed: true, because: Because::Standing(standing) }
        }
        Standing::Remote | Standing::Stranger => {
            Verdict { allowed: false, because: Because::Nothing(rules) }
        }
    }
}
