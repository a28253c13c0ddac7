//! Reads the rules of access again, in a thread: an engine does not wait for a disk, nor for
//! whoever knows the names of users.

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use anasazi_stream::thread::spawn_without_signals;

use crate::access::{self, Rules};
use crate::sys::poll::Waker;
use crate::sys::schedule;

type Read = Result<Rules, String>;

/// What a thread of this engine reads.
pub(crate) struct Readings {
    sender: Sender<Read>,
    read: Receiver<Read>,
    waker: Waker,
}

impl Readings {
    pub(crate) fn new(waker: Waker) -> Self {
        let (sender, read) = channel();
        Self { sender, read, waker }
    }

    /// Reads the rules at `path`; the engine is woken when that is done. `is_pinned`: the calling
    /// thread has processors of its own, which are not for this.
    pub(crate) fn start(&self, path: PathBuf, is_pinned: bool) {
        let (sender, waker) = (self.sender.clone(), self.waker.clone());
        let work = move || {
            if is_pinned && let Err(error) = schedule::run_anywhere() {
                tracing::warn!(target: "anasazi::engine", "the reader is pinned: {error}");
            }
            let read = catch_unwind(|| access::read(&path));
            let broken = |_| Err("a bug in Anasazi was caught".to_owned());
            // If the engine has ended, nobody needs them.
            _ = sender.send(read.unwrap_or_else(broken));
            waker.wake();
        };
        if let Err(error) = spawn_without_signals("anasazi-reader", work) {
            _ = self.sender.send(Err(format!("no thread to read the rules with: {error}")));
            self.waker.wake();
        }
    }

    pub(crate) fn take(&self) -> impl Iterator<Item = Read> {
        self.read.try_iter()
    }
}
