//! Judges files: of real daemons, and of client programs.

mod file;
mod merge;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anasazi_protocol::record::{Entry, Record};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Incarnation, MemberId, NodeId, Process};

use crate::checker::{Checker, Options, Summary};
use crate::client::{ClientEntry, ClientRecord};
use crate::group::clients;
use crate::violation::Violation;
use file::Source;
pub use file::append_crash;

/// What was read, by process and by client.
#[derive(Debug, Default)]
pub struct Logs {
    processes: BTreeMap<Process, Vec<Record>>,
    clients: BTreeMap<MemberId, Vec<ClientRecord>>,
    sources: Vec<Source>,
}

/// A file that may not be whole: it ends in the middle of a line, or without the end of the process
/// that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unended {
    /// Which.
    pub path: PathBuf,
    /// What is missing, in words.
    pub text: String,
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoVerdict {
    /// A file is not what it should be.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What is wrong and where, in words.
        text: String,
    },
    /// The files do not tell everything that the axioms need; in words.
    Incomplete(String),
}

impl fmt::Display for NoVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, text } => write!(f, "{}: {text}", path.display()),
            Self::Incomplete(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NoVerdict {}

impl Logs {
    /// Reads any number of files. A file may hold several processes, one after the other, and lines
    /// of clients; the last line of a file may be cut.
    ///
    /// # Errors
    /// A file that cannot be read, that is given twice, or with a line that is no record.
    pub fn read(paths: &[impl AsRef<Path>]) -> Result<Self, NoVerdict> {
        let mut logs = Self::default();
        for path in paths {
            file::read(path.as_ref(), &mut logs)?;
        }
        Ok(logs)
    }

    /// Adds the lines of one more log that is in memory; `name` is what errors call it.
    ///
    /// # Errors
    /// A line that is no record.
    pub fn add(&mut self, name: &Path, lines: &[u8]) -> Result<(), NoVerdict> {
        file::parse(name, None, lines, self)
    }

    /// The files that may not be whole.
    pub fn unended(&self) -> Vec<Unended> {
        let unended = |source: &Source| {
            Some(Unended { path: source.path.clone(), text: source.missing_end()? })
        };
        self.sources.iter().filter_map(unended).collect()
    }

    /// Judges everything. `quiesced`: the nodes had healed and were at rest when the files were
    /// taken, so that nothing may be outstanding; then a file without an end is that of a process
    /// that still runs, unless a later one of its node, or a `Crash` record, says otherwise.
    /// Without it such a process counts as killed.
    ///
    /// # Errors
    /// The files are incomplete. The inner result is the verdict.
    pub fn judge(
        mut self,
        options: &Options,
        quiesced: bool,
    ) -> Result<Result<Summary, Box<Violation>>, NoVerdict> {
        self.check_complete()?;
        let mut options = options.clone();
        options.lost_tails.extend(self.end_the_killed(quiesced));
        let hear_themselves = options.clients_hear_themselves;
        let mut checker = Checker::new(options);
        let order = merge::Merge::new(self.processes);
        for record in order {
            if let Err(violation) = checker.observe(&record) {
                return Ok(Err(Box::new(violation)));
            }
        }
        let clients = clients::check(checker.history(), &self.clients, hear_themselves, quiesced);
        if let Err(violation) = clients {
            return Ok(Err(violation));
        }
        let undelivered = quiesced.then(|| checker.undelivered()).flatten();
        let mut verdict = checker.finish(quiesced).map_err(Box::new);
        if let Ok(summary) = &mut verdict {
            summary.clients = self.clients.len() as u64;
        }
        Ok(verdict.and_then(|summary| undelivered.map_or(Ok(summary), |lost| Err(Box::new(lost)))))
    }

    /// Nothing of the middle is missing, and everybody who took part is there.
    fn check_complete(&self) -> Result<(), NoVerdict> {
        let incomplete = |text: String| Err(NoVerdict::Incomplete(text));
        if self.processes.is_empty() {
            return incomplete("no file has records of a node".to_owned());
        }
        let mut seen = BTreeMap::new();
        for (process, records) in &self.processes {
            for (at, record) in records.iter().enumerate() {
                if let Entry::Lost { records } = record.entry {
                    return incomplete(format!(
                        "the log of {process} ({}) has a gap of {records} records before number \
                         {}: its disk was full or too slow",
                        self.files_of(*process),
                        record.index
                    ));
                }
                if record.index != at as u64 {
                    let files = self.files_of(*process);
                    let what = match record.index < at as u64 {
                        true => "lines are there twice, or one file is a copy of another",
                        false => "lines are missing",
                    };
                    return incomplete(format!(
                        "the log of {process} ({files}) has number {} where {at} should be: {what}",
                        record.index
                    ));
                }
                if let Entry::Trace(Trace::Regular { members, .. }) = &record.entry {
                    members.iter().for_each(|member| _ = seen.entry(*member).or_insert(*process));
                }
            }
        }
        let mut missing = seen.iter().filter(|(member, _)| !self.processes.contains_key(member));
        if let Some((member, by)) = missing.next() {
            return incomplete(format!("no file has the log of {member}, which {by} was with"));
        }
        for (client, records) in &self.clients {
            let has_gap = |(at, r): (usize, &ClientRecord)| {
                r.index != at as u64 || r.entry == ClientEntry::Lost
            };
            if let Some(at) = records.iter().enumerate().position(has_gap) {
                return incomplete(format!("the log of the client {client} has a gap at {at}"));
            }
            let process = records[0].process();
            if !self.processes.contains_key(&process) {
                return incomplete(format!(
                    "no file has the log of {process}, which served the client {client}"
                ));
            }
        }
        Ok(())
    }

    /// The names of the files that have records of a process.
    fn files_of(&self, process: Process) -> String {
        let having = self.sources.iter().filter(|source| source.processes.contains(&process));
        having.map(|source| source.path.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Adds `Crash` where a process was killed; returns those whose last words may be missing.
    fn end_the_killed(&mut self, quiesced: bool) -> Vec<Process> {
        let newest: BTreeMap<NodeId, Incarnation> =
            self.processes.keys().map(|p| (p.node, p.incarnation)).collect();
        let mut killed = Vec::new();
        for (process, records) in &mut self.processes {
            let Some(last) = records.last() else { continue };
            match last.entry {
                Entry::Trace(Trace::Stopped { .. }) => continue,
                Entry::Crash => {}
                _ if quiesced && newest.get(&process.node) == Some(&process.incarnation) => {
                    continue;
                }
                _ => {
                    let crash =
                        Record { index: last.index + 1, entry: Entry::Crash, ..last.clone() };
                    records.push(crash);
                }
            }
            killed.push(*process);
        }
        killed
    }
}
