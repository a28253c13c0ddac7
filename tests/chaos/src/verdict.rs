//! The logs of daemons and clients, before the oracle.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anasazi_oracle::Options;
use anasazi_oracle::offline::{Logs, NoVerdict};
use anasazi_protocol::NodeId;

use crate::place::WIPED;
use crate::trouble::Trouble;

/// A file that says that all was at rest when the logs ended.
const AT_REST: &str = "AT_REST";

/// What the oracle found, if it found nothing wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Process incarnations.
    pub(crate) processes: u64,
    /// Regular configurations installed, all processes together.
    pub(crate) configurations: u64,
    /// Messages delivered, all processes together.
    pub(crate) deliveries: u64,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processes, configurations, deliveries } = self;
        write!(f, "{processes} processes, {configurations} configurations, {deliveries} deliveries")
    }
}

/// Judges everything in a directory. Err: a violation, or why there is no verdict. `quiesced`:
/// everybody has had the time to get everything.
pub(crate) fn judge(directory: &Path, quiesced: bool) -> Result<Verdict, Trouble> {
    let no_verdict = |why: NoVerdict| {
        Trouble::Setup(format!("no verdict from the traces in {}: {why}", directory.display()))
    };
    let logs = Logs::read(&traces(directory)).map_err(no_verdict)?;
    // As `client` does it.
    let options = Options {
        senders_are_members: true,
        clients_hear_themselves: true,
        state_losses: Some(state_losses(directory)),
        ..Options::default()
    };
    let judged = logs.judge(&options, quiesced).map_err(no_verdict)?;
    let summary = judged.map_err(|violation| Trouble::Violation(violation.to_string()))?;
    Ok(Verdict {
        processes: summary.processes,
        configurations: summary.configurations,
        deliveries: summary.deliveries,
    })
}

/// How often the state of each node was taken.
fn state_losses(directory: &Path) -> BTreeMap<NodeId, u32> {
    let mut losses = BTreeMap::new();
    for line in fs::read_to_string(directory.join(WIPED)).unwrap_or_default().lines() {
        if let Ok(node) = line.parse() {
            *losses.entry(NodeId(node)).or_default() += 1;
        }
    }
    losses
}

/// Says in the directory that everybody has had the time to get everything.
pub(crate) fn note_rest(directory: &Path) -> Result<(), Trouble> {
    fs::write(directory.join(AT_REST), "").map_err(Trouble::io("cannot note that all is at rest"))
}

/// Judges a directory that was kept, as it was judged then.
pub(crate) fn judge_again(directory: &Path) -> Result<Verdict, Trouble> {
    judge(directory, directory.join(AT_REST).exists())
}

/// The files of daemons and clients.
pub(crate) fn traces(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "trace")).collect();
    files.sort();
    files
}
