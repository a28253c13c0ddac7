//! One rule, and whom and what it fits.

use super::Subject;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Open a session.
    Connect,
    /// Become a member of a group.
    Join,
    /// Send to a group.
    Send,
    /// Ask the engine about a domain or a group.
    Query,
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allows: bool,
    pub(super) who: Who,
    pub(super) what: Operations,
    pub(super) names: Pattern,
    /// As it was written.
    pub(crate) text: Box<str>,
    /// Where, from 1.
    pub(crate) line: usize,
}

/// Whom a rule is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Who {
    Any,
    Uid(u32),
    Gid(u32),
    /// Whoever came in by one of these sockets: a URL, or the beginning that some have in common.
    Socket(Box<str>),
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Operations(u8);

/// Which groups, by their full names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// That one.
    Name(Box<str>),
    /// All whose names begin so.
    Prefix(Box<str>),
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [Self::Connect, Self::Join, Self::Send, Self::Query];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Join => "join",
            Self::Send => "send",
            Self::Query => "query",
        }
    }

    /// The operation of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }
}

impl Operations {
    pub(super) const ALL: Self = Self(0b1111);

    pub(super) fn insert(&mut self, operation: Operation) {
        self.0 |= 1 << operation as u8;
    }

    pub(super) fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }
}

impl Pattern {
    pub(super) fn everything(&self) -> bool {
        matches!(self, Self::Prefix(prefix) if prefix.is_empty())
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => **own == *name,
            Self::Prefix(prefix) => name.starts_with(&**prefix),
        }
    }
}

impl Rule {
    pub(super) fn fits(&self, subject: &Subject<'_>, operation: Operation, name: &str) -> bool {
        let of_what = match operation {
            // Whoever may do anything needs a session for it.
            Operation::Connect if self.allows => true,
            Operation::Connect => self.what.contains(operation) && self.names.everything(),
            _ => self.what.contains(operation) && self.names.fits(name),
        };
        of_what && self.who.fits(subject)
    }
}

impl Who {
    fn fits(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Uid(uid) => *uid == subject.uid,
            Self::Gid(gid) => *gid == subject.gid || subject.groups.contains(gid),
            // A path may end like that, too.
            Self::Socket(url) if url.ends_with(':') && !url.contains('/') => {
                subject.socket.starts_with(&**url)
            }
            Self::Socket(url) => **url == *subject.socket,
        }
    }
}
