//! How long daemons were without the token, read from their logs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use anasazi_oracle::{Entry, Record};
use anasazi_protocol::trace::Trace;

use crate::verdict::traces;

/// The longest time between two visits of the token, of all daemons; from this moment on, in
/// nanoseconds of Unix time.
pub(crate) fn worst(directory: &Path, since: u64) -> Duration {
    let gaps = traces(directory).into_iter().filter_map(|path| worst_in(&path, since));
    Duration::from_nanos(gaps.max().unwrap_or(0))
}

fn worst_in(path: &Path, since: u64) -> Option<u64> {
    let lines = BufReader::new(File::open(path).ok()?).lines().map_while(Result::ok);
    let mut last = None;
    let mut worst = None;
    for line in lines {
        // The logs of clients have other records.
        let Ok(record) = serde_json::from_str::<Record>(&line) else { continue };
        if !matches!(record.entry, Entry::Trace(Trace::TokenVisit { .. })) || record.time < since {
            continue;
        }
        if let Some(last) = last.replace(record.time) {
            worst = worst.max(Some(record.time.saturating_sub(last)));
        }
    }
    worst
}
