//! `trace.file`: what the core says it did, appended to a file for the oracle, one record a line.
//!
//! The engine only hands batches to a thread and never waits for it. What the thread cannot take is
//! left out, and a `Lost` record stands in its place, so that a reader can tell a gap from silence.
//! The last line of a process that was killed may be cut; opening the file removes that piece.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anasazi_protocol::record::{Entry, Record};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Instant, Process};
use anasazi_stream::thread::spawn_without_signals;

use crate::error::EngineError;
use crate::witness::Witness;

/// Records handed over at a time, at most.
const BATCH_MAX: usize = 512;
/// Batches that may wait for the disk.
const BATCHES_WAITING_MAX: usize = 256;
/// Records that may wait for these, some 10 MiB: a busy machine may leave the thread without a
/// processor for a while.
const RECORDS_WAITING_MAX: usize = 1 << 16;
/// How long the end of an engine waits for the last records to be written.
const END_WAIT_MAX: Duration = Duration::from_secs(2);

/// The engine's end of it.
pub(crate) struct TraceFile {
    process: Process,
    /// Of the next record.
    index: u64,
    /// Unix time at zero of the monotonic clock, in nanoseconds.
    unix_offset_ns: u64,
    batch: Vec<Record>,
    /// Records left out since the last batch that was taken.
    lost: u64,
    /// `None` once the end has begun.
    batches: Option<SyncSender<Vec<Record>>>,
    ended: Receiver<()>,
}

impl TraceFile {
    /// Opens the file and begins the log of this process. `now_ns`: of the monotonic clock.
    ///
    /// # Errors
    /// The file cannot be written: that is of the configuration, since it does not get better by
    /// starting again. There is no room for a thread.
    pub(crate) fn open(
        path: &Path,
        process: Process,
        stored: bool,
        now_ns: u64,
    ) -> Result<Self, EngineError> {
        let sink = Sink::open(path).map_err(|error| {
            EngineError::Config(format!(
                "cannot write trace.file {}: {error}; name a file that the user of this process \
                 may write, or set trace.file = \"\"",
                path.display()
            ))
        })?;
        let (batches, waiting) = sync_channel(BATCHES_WAITING_MAX);
        let (end, ended) = sync_channel(1);
        let body = move || {
            sink.run(&waiting);
            let _ = end.try_send(());
        };
        spawn_without_signals("anasazi-trace", body).map_err(|error| {
            EngineError::System(format!("cannot start the thread of trace.file: {error}"))
        })?;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut trace = Self {
            process,
            index: 0,
            unix_offset_ns: (unix.as_nanos() as u64).saturating_sub(now_ns),
            batch: Vec::with_capacity(BATCH_MAX),
            lost: 0,
            batches: Some(batches),
            ended,
        };
        trace.record(now_ns, Entry::Boot { stored });
        trace.hand_over();
        Ok(trace)
    }

    /// Adds a record. `now_ns`: of the monotonic clock.
    pub(crate) fn record(&mut self, now_ns: u64, entry: Entry) {
        let (process, index, time) = (self.process, self.index, self.unix_offset_ns + now_ns);
        if self.batch.is_empty() && self.lost > 0 {
            // The last lost record's own number is free: nothing with it was written.
            let entry = Entry::Lost { records: self.lost };
            self.batch.push(Record { process, index: index - 1, time, entry });
        }
        self.index += 1;
        self.batch.push(Record { process, index, time, entry });
        if self.batch.len() >= BATCH_MAX {
            self.hand_over();
        }
    }

    /// Gives what there is to the thread; never waits. While the thread is behind, the batch grows.
    pub(crate) fn hand_over(&mut self) {
        let Some(batches) = self.batches.as_ref().filter(|_| !self.batch.is_empty()) else {
            return;
        };
        let batch = core::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_MAX));
        match batches.try_send(batch) {
            Ok(()) => self.lost = 0,
            Err(TrySendError::Full(batch)) if batch.len() < RECORDS_WAITING_MAX => {
                self.batch = batch;
            }
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                let markers = u64::from(self.lost > 0);
                self.lost += batch.len() as u64 - markers;
            }
        }
    }
}

impl Witness for TraceFile {
    fn trace(&mut self, now: Instant, trace: &Trace) {
        self.record(now.0, Entry::Trace(trace.clone()));
    }

    fn flush(&mut self) {
        self.hand_over();
    }
}

/// The file must be whole when the process ends; a disk that hangs is not waited for.
impl Drop for TraceFile {
    fn drop(&mut self) {
        self.hand_over();
        self.batches = None;
        let _ = self.ended.recv_timeout(END_WAIT_MAX);
    }
}

/// The thread's end of it.
struct Sink {
    file: File,
    path: PathBuf,
    /// Up to here the file has whole lines.
    good_len: u64,
    /// Records that could not be written since the last that could.
    lost: u64,
    bytes: Vec<u8>,
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let good_len = whole_lines_len(&mut file)?;
        file.set_len(good_len)?;
        Ok(Self { file, path: path.to_owned(), good_len, lost: 0, bytes: Vec::new() })
    }

    fn run(mut self, batches: &Receiver<Vec<Record>>) {
        while let Ok(batch) = batches.recv() {
            self.write(&batch);
        }
    }

    fn write(&mut self, batch: &[Record]) {
        self.bytes.clear();
        if let (Some(first), true) = (batch.first(), self.lost > 0) {
            let entry = Entry::Lost { records: self.lost };
            append(&mut self.bytes, &Record { entry, index: first.index - 1, ..first.clone() });
        }
        batch.iter().for_each(|record| append(&mut self.bytes, record));
        match self.file.write_all(&self.bytes) {
            Ok(()) => {
                self.good_len += self.bytes.len() as u64;
                self.lost = 0;
            }
            Err(error) => {
                if self.lost == 0 {
                    let path = self.path.display();
                    tracing::error!(target: "anasazi::engine",
                        "trace.file {path} has a gap from now on: {error}");
                }
                self.lost += batch.len() as u64;
                // If even this fails, the reader finds half a line and says so.
                let _ = self.file.set_len(self.good_len);
            }
        }
    }
}

fn append(bytes: &mut Vec<u8>, record: &Record) {
    let start = bytes.len();
    match serde_json::to_writer(&mut *bytes, record) {
        Ok(()) => bytes.push(b'\n'),
        // Cannot happen: no map, no foreign type. The gap in the numbers would show.
        Err(_) => bytes.truncate(start),
    }
}

/// How much of the file is lines with an end.
fn whole_lines_len(file: &mut File) -> io::Result<u64> {
    const CHUNK_LEN: u64 = 64 << 10;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK_LEN);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.iter().rposition(|b| *b == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use anasazi_protocol::trace::Trace;
    use anasazi_protocol::{Incarnation, NodeId};

    use super::*;

    fn process(incarnation: u64) -> Process {
        Process { node: NodeId(7), incarnation: Incarnation(incarnation) }
    }

    fn read(path: &Path) -> Vec<Record> {
        let text = fs::read_to_string(path).expect("a file");
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[test]
    fn a_log_begins_with_its_boot_and_is_whole_when_it_is_dropped() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("trace");
        for incarnation in [1, 2] {
            let mut trace =
                TraceFile::open(&path, process(incarnation), incarnation > 1, 5).expect("a file");
            (0..2_000).for_each(|n| {
                trace.record(10 + n, Entry::Trace(Trace::Stopped { waited_ms: None }))
            });
            drop(trace);
            let written = fs::read(&path).expect("a file");
            // As SIGKILL leaves it: the next one cuts it away.
            fs::write(&path, [&written[..], b"{\"process\":{\"no"].concat()).expect("a file");
        }
        let text = fs::read_to_string(&path).expect("a file");
        fs::write(&path, &text[..text.rfind('\n').expect("lines") + 1]).expect("a file");
        let records = read(&path);
        assert_eq!(records.len(), 2 * 2_001);
        assert_eq!(records[0].entry, Entry::Boot { stored: false });
        assert_eq!(records[2_001].entry, Entry::Boot { stored: true });
        assert_eq!(records[2_001].process, process(2));
        assert!(records.is_sorted_by_key(|r| (r.process, r.index, r.time)));
        assert_eq!(records[1].time - records[0].time, 5);
    }

    /// A trace whose thread takes nothing but what is asked of it here.
    fn with_slow_thread() -> (TraceFile, Receiver<Vec<Record>>) {
        let (batches, waiting) = sync_channel(1);
        let (_, ended) = sync_channel(1);
        let trace = TraceFile {
            process: process(1),
            index: 0,
            unix_offset_ns: 0,
            batch: Vec::new(),
            lost: 0,
            batches: Some(batches),
            ended,
        };
        (trace, waiting)
    }

    #[test]
    fn a_thread_that_is_behind_loses_nothing() {
        let (mut trace, waiting) = with_slow_thread();
        for now in 0..3 {
            trace.record(now, Entry::Trace(Trace::Stopped { waited_ms: None }));
            trace.hand_over();
        }
        assert_eq!(waiting.recv().expect("a batch").len(), 1);
        trace.hand_over();
        let batch = waiting.recv().expect("a batch");
        assert_eq!(batch.iter().map(|r| r.index).collect::<Vec<_>>(), [1, 2]);
    }

    /// The queue is full: the engine goes on at once, and the file says what is missing.
    #[test]
    fn a_gap_is_marked() {
        let (mut trace, waiting) = with_slow_thread();
        let missing = RECORDS_WAITING_MAX as u64;
        trace.record(0, Entry::Trace(Trace::Stopped { waited_ms: None }));
        trace.hand_over();
        (0..missing)
            .for_each(|now| trace.record(now, Entry::Trace(Trace::Stopped { waited_ms: None })));
        assert_eq!(waiting.recv().expect("a batch").len(), 1);
        trace.record(missing, Entry::Trace(Trace::Stopped { waited_ms: None }));
        trace.hand_over();
        let batch = waiting.recv().expect("a batch");
        assert_eq!(batch[0].entry, Entry::Lost { records: missing });
        let indexes = batch.iter().map(|r| r.index).collect::<Vec<_>>();
        assert_eq!(indexes, [missing, missing + 1]);
    }

    #[test]
    fn a_full_disk_leaves_whole_lines_and_no_hanging_engine() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let mut file = OpenOptions::new().write(true).open("/dev/full").expect("a device");
        assert!(file.write_all(b"x").is_err());
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("trace");
        let mut sink = Sink::open(&path).expect("a file");
        let good = core::mem::replace(&mut sink.file, file);
        let record = |index, entry| Record { process: process(1), index, time: 0, entry };
        sink.write(&[record(0, Entry::Boot { stored: false })]);
        sink.file = good;
        sink.write(&[record(1, Entry::Trace(Trace::Stopped { waited_ms: None }))]);
        let entries: Vec<Entry> = read(&path).into_iter().map(|r| r.entry).collect();
        assert_eq!(
            entries,
            [Entry::Lost { records: 1 }, Entry::Trace(Trace::Stopped { waited_ms: None })]
        );
    }
}
