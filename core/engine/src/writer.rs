//! The helper thread for writes that must be durable: the engine never waits for a disk. Started
//! when first needed, with all signals blocked; its completions come back through a list and a
//! wake-up.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anasazi_stream::thread::spawn_without_signals;

use crate::state_file::{StateFile, Stored};
use crate::storage::Storage;
use crate::sys::poll::Waker;
use crate::sys::schedule;

/// A write that was asked for.
struct Job {
    ticket: u64,
    stored: Stored,
}

/// A write that ended: its ticket, and the error in words.
pub(crate) type Done = (u64, Result<(), String>);

/// Writes the state file in the background.
pub(crate) struct Writer {
    /// Until the thread takes it over.
    file: Option<StateFile>,
    jobs: Option<Sender<Job>>,
    done: Arc<Mutex<Vec<Done>>>,
    /// Why writes failed, as far as nobody was told.
    failures: Vec<String>,
    /// Of those whom the end of a write matters to.
    wakers: Vec<Waker>,
    /// The engine's thread stays on some processors, on which it may leave no room for this one.
    is_pinned: bool,
}

impl Writer {
    pub(crate) fn new(file: StateFile, wakers: Vec<Waker>, is_pinned: bool) -> Self {
        Self {
            file: Some(file),
            jobs: None,
            done: Arc::default(),
            failures: Vec::new(),
            wakers,
            is_pinned,
        }
    }

    fn finish(&self, ticket: u64, result: Result<(), String>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((ticket, result));
        self.wakers.iter().for_each(Waker::wake);
    }
}

impl Storage for Writer {
    fn write(&mut self, ticket: u64, stored: Stored) {
        if let Some(file) = self.file.take() {
            let (sender, receiver) = channel();
            let (done, wakers) = (Arc::clone(&self.done), self.wakers.clone());
            let is_pinned = self.is_pinned;
            match spawn_without_signals("anasazi-writer", move || {
                if is_pinned && let Err(error) = schedule::run_anywhere() {
                    tracing::warn!(target: "anasazi::engine", "the writer is pinned: {error}");
                }
                run(file, &receiver, &done, &wakers);
                // The file is closed by now, which this tells.
                drop(done);
                wakers.iter().for_each(Waker::wake);
            }) {
                Ok(_) => self.jobs = Some(sender),
                Err(error) => self.finish(ticket, Err(format!("no thread to write with: {error}"))),
            }
        }
        match self.jobs.as_ref().map(|jobs| jobs.send(Job { ticket, stored })) {
            Some(Ok(())) => {}
            _ => self.finish(ticket, Err("the writer is gone".to_owned())),
        }
    }

    fn take_written(&mut self, out: &mut Vec<(u64, bool)>) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        for (ticket, result) in done.drain(..) {
            out.push((ticket, result.is_ok()));
            self.failures.extend(result.err());
        }
    }

    fn take_failures(&mut self) -> Vec<String> {
        std::mem::take(&mut self.failures)
    }

    fn close(&mut self) -> bool {
        (self.file, self.jobs) = (None, None);
        // The thread holds the other one, as long as it has the file.
        Arc::strong_count(&self.done) == 1
    }
}

fn run(mut file: StateFile, jobs: &Receiver<Job>, done: &Mutex<Vec<Done>>, wakers: &[Waker]) {
    while let Ok(job) = jobs.recv() {
        let result = file.store(&job.stored).map_err(|error| error.to_string());
        done.lock().unwrap_or_else(PoisonError::into_inner).push((job.ticket, result));
        wakers.iter().for_each(Waker::wake);
    }
}
