//! Answers as operators read them.

use std::fmt;

use super::rule::Operation;
use super::{Because, Standing, Subject, Verdict};

/// What was asked, beside the answer.
pub(crate) struct Asked<'a> {
    pub(crate) subject: &'a Subject<'a>,
    pub(crate) operation: Operation,
    pub(crate) name: &'a str,
}

impl Asked<'_> {
    /// The answer in a sentence.
    pub(crate) fn explain(&self, verdict: &Verdict<'_>) -> String {
        let may = if verdict.allowed { "may" } else { "may not" };
        let (operation, subject) = (self.operation, self.subject);
        let (does, name) = match (operation, self.name) {
            (Operation::Connect, _) => ("open sessions", ""),
            (Operation::Join, name) => ("join ", name),
            (Operation::Send, name) => ("send to ", name),
            (Operation::Query, name) => ("query ", name),
        };
        let why = match verdict.because {
            Because::Rule(rules, rule) => {
                format!("rule {}:{}, {:?}", rules.path.display(), rule.line, rule.text)
            }
            Because::Standing(standing) => standing.words().to_owned(),
            Because::Nothing(rules) => self.what_would(rules.is_some()),
        };
        format!("{subject} {may} {does}{name}: {why}")
    }

    fn what_would(&self, has_rules: bool) -> String {
        let subject = self.subject;
        if !has_rules {
            return "add it to the engine's own group or to client.allow_uids, or one of its groups \
                    to client.allow_gids, or write a rule (access.file)"
                .to_owned();
        }
        let who = match subject.standing {
            Standing::Remote => format!("socket {}", subject.socket),
            _ => format!("uid {}", subject.uid),
        };
        let name = match self.operation {
            Operation::Connect => String::new(),
            _ => format!(" {}", self.name),
        };
        let operation = self.operation.name();
        format!("no rule allows it; this one would: \"allow {who} {operation}{name}\"")
    }
}

impl Standing {
    fn words(self) -> &'static str {
        match self {
            Self::Trusted => "it is root, or the engine's own user",
            Self::Listed => {
                "it is in the engine's own group, in client.allow_uids or in a group of \
                 client.allow_gids"
            }
            Self::Remote => "there are no rules, and client.listen_streams lets everybody in",
            Self::Stranger => "it is not known",
        }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standing {
            Standing::Remote => write!(f, "who comes by {}", self.socket),
            _ => write!(f, "user {}", self.uid),
        }
    }
}
