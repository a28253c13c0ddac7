//! Lines of files.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anasazi_protocol::Process;
use anasazi_protocol::record::{Entry, Record};
use anasazi_protocol::trace::Trace;

use super::{Logs, NoVerdict};
use crate::client::ClientRecord;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Device and inode: one file may have several names. `None`: it was no file.
    place: Option<(u64, u64)>,
    /// Whose records it has.
    pub(super) processes: BTreeSet<Process>,
    end: End,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the end of its process, or as a client's file may.
    Whole,
    /// The last process has no end.
    Open,
    /// In the middle of this line.
    Cut(usize),
}

impl Source {
    /// What is missing at its end, in words.
    pub(super) fn missing_end(&self) -> Option<String> {
        match self.end {
            End::Whole => None,
            End::Open => Some("ends without `stopped`".to_owned()),
            End::Cut(line) => Some(format!("ends in the middle of line {line}")),
        }
    }
}

/// Adds what a file says.
pub(super) fn read(path: &Path, logs: &mut Logs) -> Result<(), NoVerdict> {
    let unreadable = |text: String| NoVerdict::Unreadable { path: path.to_owned(), text };
    let no_file = |error: io::Error| unreadable(format!("cannot be read: {error}"));
    let metadata = fs::metadata(path).map_err(no_file)?;
    let place = Some((metadata.dev(), metadata.ino()));
    if let Some(same) = logs.sources.iter().find(|source| source.place == place) {
        let text = match same.path == path {
            true => "is given twice".to_owned(),
            false => format!("is the same file as {}", same.path.display()),
        };
        return Err(unreadable(text));
    }
    let bytes = fs::read(path).map_err(no_file)?;
    parse(path, place, &bytes, logs)
}

/// Adds what these lines say.
pub(super) fn parse(
    path: &Path,
    place: Option<(u64, u64)>,
    bytes: &[u8],
    logs: &mut Logs,
) -> Result<(), NoVerdict> {
    let unreadable = |text: String| NoVerdict::Unreadable { path: path.to_owned(), text };
    // A kill cuts the last line; what comes after the last line end is such a piece.
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut source =
        Source { path: path.to_owned(), place, processes: BTreeSet::new(), end: End::Whole };
    let mut lines = 0;
    for line in bytes[..whole].split_inclusive(|b| *b == b'\n') {
        lines += 1;
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice::<Record>(line) {
            Ok(record) => {
                let is_end =
                    matches!(record.entry, Entry::Crash | Entry::Trace(Trace::Stopped { .. }));
                source.end = if is_end { End::Whole } else { End::Open };
                source.processes.insert(record.process);
                logs.processes.entry(record.process).or_default().push(record);
            }
            Err(error) => match serde_json::from_slice::<ClientRecord>(line) {
                Ok(record) => logs.clients.entry(record.client).or_default().push(record),
                Err(_) => {
                    return Err(unreadable(format!("line {lines} is no record: {error}")));
                }
            },
        }
    }
    if whole < bytes.len() {
        source.end = End::Cut(lines + 1);
    }
    logs.sources.push(source);
    Ok(())
}

/// For a harness that killed the process whose log ends the file: writes that down, after removing
/// the piece of a line that the kill may have left. Without it, a killed process that never started
/// again looks like one that still runs.
///
/// # Errors
/// The file cannot be read or written, or has no whole record at its end.
pub fn append_crash(path: &Path) -> io::Result<()> {
    let bytes = fs::read(path)?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let last = bytes[..whole].split(|b| *b == b'\n').rfind(|line| !line.is_empty());
    let last = last.ok_or_else(|| io::Error::other("the file has no whole record"))?;
    let last: Record = serde_json::from_slice(last)?;
    let crash = Record { index: last.index + 1, entry: Entry::Crash, ..last };
    let mut line = serde_json::to_vec(&crash)?;
    line.push(b'\n');
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.set_len(whole as u64)?;
    file.write_all(&line)
}
