//! Lines of files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use anasazi_protocol::record::{Entry, Record};

use super::{Logs, NoVerdict};
use crate::client::ClientRecord;

/// Adds what a file says.
pub(super) fn read(path: &Path, logs: &mut Logs) -> Result<(), NoVerdict> {
    let unreadable = |text: String| NoVerdict::Unreadable { path: path.to_owned(), text };
    let bytes = fs::read(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    // A kill cuts the last line; what comes after the last line end is such a piece.
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    for (number, line) in bytes[..whole].split(|b| *b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice::<Record>(line) {
            Ok(record) => logs.processes.entry(record.process).or_default().push(record),
            Err(error) => match serde_json::from_slice::<ClientRecord>(line) {
                Ok(record) => logs.clients.entry(record.client).or_default().push(record),
                Err(_) => {
                    let text = format!("line {} is no record: {error}", number + 1);
                    return Err(unreadable(text));
                }
            },
        }
    }
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
