//! The log: lines to stderr, written by a thread of their own. A terminal or a journal that stops
//! reading costs lines, which are counted; it never holds up the engine.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use anasazi_engine::spawn_without_signals;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The running log. Dropping it does nothing; [`finish`](Self::finish) writes what is left.
pub(crate) struct Log {
    queue: Queue,
}

/// Starts the log with a filter from `log.level`.
pub(crate) fn start(level: &str) -> Log {
    let queue = Queue::start();
    let filter: Targets =
        level.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(queue.clone());
    let registry = tracing_subscriber::registry().with(filter);
    if is_journal() {
        // The journal has its own time for each line.
        registry.with(lines.without_time()).init();
    } else {
        registry.with(lines).init();
    }
    Log { queue }
}

impl Log {
    /// Waits until what was logged is written, a second at most.
    pub(crate) fn finish(self) {
        let (written, done) = mpsc::channel();
        if self.queue.lines.send(Message::Finish(written)).is_ok() {
            let _ = done.recv_timeout(FINISH_TIMEOUT);
        }
    }
}

/// Lines on their way to the writing thread.
#[derive(Clone)]
struct Queue {
    lines: Sender<Message>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicUsize,
    lost: AtomicUsize,
}

enum Message {
    Line(Vec<u8>),
    Finish(Sender<()>),
}

impl Queue {
    fn start() -> Self {
        let (lines, messages) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let writer_counts = Arc::clone(&counts);
        let spawned = spawn_without_signals("log", move || {
            write_lines(&messages, &writer_counts, &mut io::stderr());
        });
        if let Err(error) = spawned {
            eprintln!("no log: its thread cannot be started: {error}");
        }
        Self { lines, counts }
    }

    fn push(&self, line: Vec<u8>) {
        if self.counts.waiting.fetch_add(1, Ordering::Relaxed) >= LINES_WAITING_MAX {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // The thread is gone only when the process is about to be.
        let _ = self.lines.send(Message::Line(line));
    }
}

fn write_lines(messages: &Receiver<Message>, counts: &Counts, output: &mut dyn Write) {
    for message in messages {
        // A closed stderr is no reason to stop the daemon.
        let _ = match message {
            Message::Line(line) => {
                counts.waiting.fetch_sub(1, Ordering::Relaxed);
                output.write_all(&line)
            }
            Message::Finish(written) => written.send(()).map_err(io::Error::other),
        };
        let lost = counts.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(output, "{lost} log lines were lost: they were not read fast enough");
        }
    }
}

/// One line in the making; it is queued when it is dropped.
struct Line<'a> {
    queue: &'a Queue,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: self, bytes: Vec::new() }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.queue.push(std::mem::take(&mut self.bytes));
    }
}

/// Whether stderr is the stream that systemd opened to the journal: `$JOURNAL_STREAM` names it, but
/// is inherited also by programs whose stderr goes elsewhere.
fn is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(std::fs::File::from);
    stderr
        .and_then(|file| file.metadata())
        .is_ok_and(|metadata| stream == format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// Lines that may wait to be written; more are lost.
const LINES_WAITING_MAX: usize = 4_096;
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing until it is told to.
    struct Blocked(Receiver<()>, Vec<u8>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_reads_are_counted_and_hold_up_nothing() {
        let (lines, messages) = mpsc::channel();
        let queue = Queue { lines, counts: Arc::default() };
        let counts = Arc::clone(&queue.counts);
        for _ in 0..LINES_WAITING_MAX + 7 {
            queue.push(b"line\n".to_vec());
        }
        drop(queue);
        let (read, reads) = mpsc::channel();
        drop(read);
        let mut output = Blocked(reads, Vec::new());
        write_lines(&messages, &counts, &mut output);
        let text = String::from_utf8(output.1).expect("text");
        assert_eq!(text.matches("line\n").count(), LINES_WAITING_MAX);
        assert!(text.contains("7 log lines were lost"), "{text}");
        assert_eq!(counts.waiting.load(Ordering::Relaxed), 0);
    }
}
