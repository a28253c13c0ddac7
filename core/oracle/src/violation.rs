//! What the oracle says when it is unhappy, for a reader at 3 a.m.

use std::fmt;

/// Records shown before the one in question.
const EXCERPT_BEFORE: usize = 7;
/// Records shown after it.
const EXCERPT_AFTER: usize = 3;

/// The rules, by the ids that docs/PROTOCOL.md uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "`title` says what each one means")]
pub enum Axiom {
    Log,
    Id,
    B1,
    B2,
    B3,
    B4,
    C1,
    C2,
    C3,
    C4,
    C5,
    C6,
    Sd,
    Vs,
    Ca,
    To1,
    To2,
    To3,
    RegMax,
    Sa1,
    Sa2,
    Lv,
    G1,
    G2,
    G3,
    G4,
    G5,
    G6,
    G7,
    G8,
    G9,
    G10,
    Cl,
    L3,
}

impl Axiom {
    /// All of them, in the order of docs/PROTOCOL.md.
    pub const ALL: [Self; 34] = [
        Self::Log,
        Self::Id,
        Self::B1,
        Self::B2,
        Self::B3,
        Self::B4,
        Self::C1,
        Self::C2,
        Self::C3,
        Self::C4,
        Self::C5,
        Self::C6,
        Self::Sd,
        Self::Vs,
        Self::Ca,
        Self::To1,
        Self::To2,
        Self::To3,
        Self::RegMax,
        Self::Sa1,
        Self::Sa2,
        Self::Lv,
        Self::G1,
        Self::G2,
        Self::G3,
        Self::G4,
        Self::G5,
        Self::G6,
        Self::G7,
        Self::G8,
        Self::G9,
        Self::G10,
        Self::Cl,
        Self::L3,
    ];

    /// What the rule promises.
    pub fn title(self) -> &'static str {
        match self {
            Self::Log => "the log itself is well-formed",
            Self::Id => "a former process never acts or appears beside the one that came after it",
            Self::B1 => "only what was sent is delivered, unchanged, where it was ordered",
            Self::B2 => "no message is delivered twice",
            Self::B3 => "nothing happens outside of the current configuration",
            Self::B4 => "one ordinal of a ring names one packet",
            Self::C1 => "a process is a member of each configuration that it installs",
            Self::C2 => "equal configuration, equal members",
            Self::C3 => "configurations follow each other as regular, transitional, regular",
            Self::C4 => "ring ids of a node only grow",
            Self::C5 => "the transitional members are exactly those who move together",
            Self::C6 => "a member that is alive installs what the others installed",
            Self::Sd => "a process delivers its own messages",
            Self::Vs => "those who move together delivered the same",
            Self::Ca => "a message is delivered after what its sender knew",
            Self::To1 => "delivered ordinals increase",
            Self::To2 => "a regular configuration has no holes",
            Self::To3 => "behind a hole only what cannot depend on it is delivered",
            Self::RegMax => "what can be delivered in the regular configuration is",
            Self::Sa1 => "a safe message is delivered by every member that does not crash",
            Self::Sa2 => {
                "after a safe delivery in a regular configuration every member had installed it"
            }
            Self::Lv => "who leaves in order leaves nothing undelivered behind",
            Self::G1 => "a member is in every view that it gets",
            Self::G2 => "equal view, equal members",
            Self::G3 => "members in one place see one sequence of views and messages",
            Self::G4 => "members who move to the next view together got the same messages",
            Self::G5 => "membership begins with a view and ends for good",
            Self::G6 => "a member's messages come before the view without it",
            Self::G7 => "a same-view message is delivered in its view, or nowhere",
            Self::G8 => "a group is told exactly if some of it do not come along",
            Self::G9 => "a change that does not touch a group is not shown to it",
            Self::L3 => "what was accepted is delivered by all members of its configuration",
            Self::Cl => "a client sees exactly what its node gave to it",
            Self::G10 => "a configuration change is one view, before anything else of the new ring",
        }
    }
}

impl fmt::Display for Axiom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_uppercase())
    }
}

/// A broken rule, with the histories around the place where it was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub axiom: Axiom,
    /// One sentence: who did what.
    pub sentence: String,
    /// The histories; the first one is of the process that broke the rule.
    pub excerpts: Vec<Excerpt>,
}

/// About ten records of one process or client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Whose, in words.
    pub whose: String,
    /// The number of the record in question.
    pub marked: u64,
    /// It and its neighbours, in order: number, and the record in words.
    pub lines: Vec<(u64, String)>,
}

impl Excerpt {
    /// The records around `position`, in the words that `line` has for them.
    pub(crate) fn around<T>(
        whose: String,
        records: &[T],
        position: usize,
        line: impl Fn(&T) -> (u64, String),
    ) -> Self {
        let first = position.saturating_sub(EXCERPT_BEFORE);
        let end = (position + EXCERPT_AFTER + 1).min(records.len());
        let marked = records.get(position).map_or(0, |record| line(record).0);
        Self { whose, marked, lines: records[first..end].iter().map(line).collect() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} violated ({}):", self.axiom, self.axiom.title())?;
        writeln!(f, "  {}", self.sentence)?;
        for excerpt in &self.excerpts {
            writeln!(f, "  history of {}:", excerpt.whose)?;
            for (number, line) in &excerpt.lines {
                let mark = if *number == excerpt.marked { ">>" } else { "  " };
                writeln!(f, "  {mark} {line}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}

/// A place in the histories: the n-th process that was seen, its n-th record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub process: usize,
    pub position: usize,
}

/// A broken rule before its excerpts are cut out.
#[derive(Debug)]
pub(crate) struct Finding {
    pub axiom: Axiom,
    pub sentence: String,
    pub places: Vec<Place>,
}

impl Finding {
    pub(crate) fn new(axiom: Axiom, place: Place, sentence: String) -> Self {
        Self { axiom, sentence, places: vec![place] }
    }

    /// Shows the history around another place as well.
    /// With another history, if it is known where to look.
    pub(crate) fn and(mut self, place: impl Into<Option<Place>>) -> Self {
        self.places.extend(place.into());
        self
    }
}

pub(crate) type Verdict = Result<(), Finding>;
