//! The words of a line, taken one by one, with errors that say what would have been right.

use std::cmp::Ordering;

/// More machines than any scenario has.
pub(crate) const NODES_MAX: usize = 64;

/// What is left of a line.
pub(crate) struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
    /// How many nodes there are.
    nodes: usize,
}

/// A time in the file: of its own, or the one that is swept over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// In nanoseconds.
    Fixed(u64),
    Swept,
}

impl Time {
    pub(crate) fn nanoseconds(self, swept: u64) -> u64 {
        match self {
            Self::Fixed(time) => time,
            Self::Swept => swept,
        }
    }
}

/// Nodes by index; `None` is all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nodes(pub(crate) Option<Vec<usize>>);

impl Nodes {
    pub(crate) fn of(&self, count: usize) -> Vec<usize> {
        self.0.clone().unwrap_or_else(|| (0..count).collect())
    }
}

/// A client: its node and its name, which is empty for the first one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client {
    pub(crate) node: usize,
    pub(crate) name: String,
}

/// `= 3`, `<= 3`, `>= 3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Bound {
    pub(crate) fn holds(self, value: u64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.low.cmp(&self.high), self.high) {
            (Ordering::Equal, _) => write!(f, "{}", self.low),
            (_, u64::MAX) => write!(f, "at least {}", self.low),
            _ => write!(f, "at most {}", self.high),
        }
    }
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str, nodes: usize) -> Self {
        Self { words: line.split_whitespace().collect(), at: 0, nodes }
    }

    pub(crate) fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    /// The next word, which must be there.
    pub(crate) fn next(&mut self, what: &str) -> Result<&'a str, String> {
        let word = self.peek().ok_or_else(|| format!("{what} is missing at the end"))?;
        self.at += 1;
        Ok(word)
    }

    /// Takes the word if it comes next.
    pub(crate) fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn must(&mut self, word: &str) -> Result<(), String> {
        let found = self.next(&format!("`{word}`"))?;
        if found == word { Ok(()) } else { Err(format!("`{word}` expected, not `{found}`")) }
    }

    /// All that is left, in one.
    pub(crate) fn rest(&mut self) -> String {
        let rest = self.words[self.at..].join(" ");
        self.at = self.words.len();
        rest
    }

    pub(crate) fn end(&self) -> Result<(), String> {
        match self.peek() {
            Some(word) => Err(format!("`{word}` is too much")),
            None => Ok(()),
        }
    }

    pub(crate) fn number(&mut self, what: &str) -> Result<u64, String> {
        let word = self.next(what)?;
        number(word).ok_or_else(|| format!("`{word}` is no number, but {what} is wanted"))
    }

    pub(crate) fn time(&mut self) -> Result<Time, String> {
        let word = self.next("a time")?;
        if word == "swept" { Ok(Time::Swept) } else { time(word).map(Time::Fixed) }
    }

    /// One node at least, as many as follow.
    pub(crate) fn nodes(&mut self) -> Result<Nodes, String> {
        if self.take("all") || self.take("any") {
            return Ok(Nodes(None));
        }
        let mut nodes = vec![self.node()?];
        while self.peek().and_then(node).is_some() {
            nodes.push(self.node()?);
        }
        Ok(Nodes(Some(nodes)))
    }

    pub(crate) fn node(&mut self) -> Result<usize, String> {
        let word = self.next("a node")?;
        let node = node(word).filter(|n| *n < self.nodes);
        node.ok_or_else(|| format!("`{word}` is no node; they are n1 to n{}", self.nodes))
    }

    pub(crate) fn client(&mut self) -> Result<Client, String> {
        let word = self.next("a client")?;
        let client = client(word).filter(|c| c.node < self.nodes);
        client.ok_or_else(|| format!("`{word}` is no client; they are n1, n1/name"))
    }

    /// As many clients as follow, at least one.
    pub(crate) fn clients(&mut self) -> Result<Vec<Client>, String> {
        let mut clients = vec![self.client()?];
        while self.peek().and_then(client).is_some() {
            clients.push(self.client()?);
        }
        Ok(clients)
    }

    /// `3` or `3..5`, counted from 1.
    pub(crate) fn range(&mut self, what: &str) -> Result<(u64, u64), String> {
        let word = self.next(what)?;
        let (first, last) = word.split_once("..").unwrap_or((word, word));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if 1 <= first && first <= last => Ok((first, last)),
            _ => Err(format!("`{word}` does not say which {what}; that is 3 or 2..5")),
        }
    }

    pub(crate) fn bound(&mut self) -> Result<Bound, String> {
        let sign = self.next("`=`, `<=` or `>=`")?;
        let word = self.next("a number")?;
        let value = number(word)
            .or_else(|| time(word).ok())
            .ok_or_else(|| format!("`{word}` is neither a number nor a time"))?;
        match sign {
            "=" => Ok(Bound { low: value, high: value }),
            "<=" => Ok(Bound { low: 0, high: value }),
            ">=" => Ok(Bound { low: value, high: u64::MAX }),
            _ => Err(format!("`=`, `<=` or `>=` expected, not `{sign}`")),
        }
    }

    /// `FROM -> TO` or `FROM <-> TO`; the last part says whether it is both ways.
    pub(crate) fn route(&mut self) -> Result<(Nodes, Nodes, bool), String> {
        let from = self.nodes()?;
        let arrow = self.next("`->` or `<->`")?;
        let both = match arrow {
            "->" => false,
            "<->" => true,
            _ => return Err(format!("`->` or `<->` expected, not `{arrow}`")),
        };
        Ok((from, self.nodes()?, both))
    }
}

/// Digits, with `_` between them where that reads better.
pub(crate) fn number(word: &str) -> Option<u64> {
    word.replace('_', "").parse().ok()
}

pub(crate) fn time(word: &str) -> Result<u64, String> {
    let split = word.find(|c: char| !c.is_ascii_digit() && c != '_' && c != '.');
    let (digits, unit) = word.split_at(split.unwrap_or(word.len()));
    let factor = match unit {
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return Err(format!("`{word}` is no time; they are 20us, 5ms, 1.5s")),
    };
    let value: f64 = digits.replace('_', "").parse().map_err(|_| format!("`{word}` is no time"))?;
    Ok((value * factor).round() as u64)
}

fn node(word: &str) -> Option<usize> {
    let number: usize = word.strip_prefix('n')?.parse().ok()?;
    (1..=NODES_MAX).contains(&number).then(|| number - 1)
}

fn client(word: &str) -> Option<Client> {
    let (at, name) = word.split_once('/').unwrap_or((word, ""));
    Some(Client { node: node(at)?, name: name.to_owned() })
}
