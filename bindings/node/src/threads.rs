//! Threads for what takes a while: not in libuv's pool, where the end of a process or of a worker
//! waits for what is under way, and so do files and names while four engines do not answer.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// So many threads work at once, in the whole process; what is more waits for one of them.
const THREADS_MAX: usize = 8;
/// So many there are, with those at what nobody waits for any more.
const ALL_MAX: usize = 64;

struct Job {
    run: Box<dyn FnOnce() + Send>,
    stage: Arc<AtomicU8>,
}

struct Jobs {
    waiting: VecDeque<Job>,
    /// Those who are at what somebody waits for.
    threads: usize,
    all: usize,
}

static JOBS: Mutex<Jobs> = Mutex::new(Jobs { waiting: VecDeque::new(), threads: 0, all: 0 });

fn jobs() -> MutexGuard<'static, Jobs> {
    JOBS.lock().unwrap_or_else(PoisonError::into_inner)
}

// Stages of a job, which change while `JOBS` is locked.
const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const UNWANTED: u8 = 2;
const DONE: u8 = 3;

/// What [`soon`] began. When it goes before that is done, another thread may do what waits.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<AtomicU8>);

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut jobs = jobs();
        match self.0.load(Ordering::Relaxed) {
            WAITING => self.0.store(UNWANTED, Ordering::Relaxed),
            RUNNING => {
                self.0.store(UNWANTED, Ordering::Relaxed);
                jobs.threads -= 1;
                // If there is none to be had, one of those that are there does it later.
                let _ = jobs.begin();
            }
            _ => {}
        }
    }
}

impl Jobs {
    /// Another thread, if there may be one and something for it to do.
    fn begin(&mut self) -> io::Result<()> {
        if !self.waiting.is_empty() && self.threads < THREADS_MAX && self.all < ALL_MAX {
            named("anasazi-open").spawn(work)?;
            self.threads += 1;
            self.all += 1;
        }
        Ok(())
    }
}

/// Runs it in one of a few threads, in the order in which it is asked for. Gives what is readable
/// once it is done.
///
/// # Errors
/// There are no two descriptors, or there is no thread.
pub(crate) fn soon(run: impl FnOnce() + Send + 'static) -> io::Result<(UnixStream, Ticket)> {
    let (here, there) = UnixStream::pair()?;
    let stage = Arc::new(AtomicU8::new(WAITING));
    let run = move || {
        run();
        drop(there);
    };
    let mut jobs = jobs();
    jobs.waiting.push_back(Job { run: Box::new(run), stage: Arc::clone(&stage) });
    let begun = jobs.begin();
    let unused = if begun.is_err() && jobs.all == 0 { jobs.waiting.pop_back() } else { None };
    drop(jobs);
    // Others do what there is no thread for, if there are any.
    match (unused, begun) {
        (Some(_), Err(why)) => Err(why),
        _ => Ok((here, Ticket(stage))),
    }
}

/// Runs it in a thread of its own. Gives what is readable once it is done.
///
/// # Errors
/// There are no two descriptors, or there is no thread: it is dropped.
pub(crate) fn now(run: impl FnOnce() + Send + 'static) -> io::Result<UnixStream> {
    let (here, there) = UnixStream::pair()?;
    named("anasazi-close").spawn(move || {
        run();
        drop(there);
    })?;
    Ok(here)
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

/// Until nothing waits: who asks for more after that finds one thread less.
fn work() {
    while let Some(Job { run, stage }) = next() {
        run();
        let mut jobs = jobs();
        if stage.swap(DONE, Ordering::Relaxed) != UNWANTED {
            continue;
        }
        // Another one has taken its place.
        if jobs.threads == THREADS_MAX {
            jobs.all -= 1;
            return;
        }
        jobs.threads += 1;
    }
}

fn next() -> Option<Job> {
    let mut jobs = jobs();
    while let Some(job) = jobs.waiting.pop_front() {
        if job.stage.load(Ordering::Relaxed) == WAITING {
            job.stage.store(RUNNING, Ordering::Relaxed);
            return Some(job);
        }
    }
    jobs.threads -= 1;
    jobs.all -= 1;
    None
}
