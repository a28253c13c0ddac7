//! Opens what a domain needs that is added while the engine runs, in a thread: the state file is
//! made durable before anybody hears of the domain, and an engine does not wait for a disk. Key
//! files are read in the same way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

use anasazi_stream::thread::spawn_without_signals;
use anasazi_transport::Udp;

use crate::error::EngineError;
use crate::key_file;
use crate::open::open_added;
use crate::own_thread::OwnThread;
use crate::sys::poll::Waker;
use crate::sys::schedule;
use crate::turn::{KeyOrder, KeysRead, Opened, Order};
use crate::writer::Writer;

/// A domain, and its thread, if it has one.
type RealOpened = (Opened<Udp, Option<Writer>>, Option<OwnThread>);

/// What threads of this engine open.
pub(crate) struct Openings {
    sender: Sender<RealOpened>,
    opened: Receiver<RealOpened>,
    keys_sender: Sender<KeysRead>,
    keys: Receiver<KeysRead>,
    waker: Waker,
}

impl Openings {
    pub(crate) fn new(waker: Waker) -> Self {
        let (sender, opened) = channel();
        let (keys_sender, keys) = channel();
        Self { sender, opened, keys_sender, keys, waker }
    }

    /// Carries an order out; the engine is woken when it is done. A thread for each: they are few,
    /// and short.
    pub(crate) fn start(&self, order: Order) {
        let (sender, waker) = (self.sender.clone(), self.waker.clone());
        let name = order.name.clone();
        let work = move || {
            if !order.config.thread.cpus.is_empty()
                && let Err(error) = schedule::run_anywhere()
            {
                tracing::warn!(target: "anasazi::engine", "the opener is pinned: {error}");
            }
            let result = catch_unwind(AssertUnwindSafe(|| open_added(&order, &waker)));
            let broken = || EngineError::System("a bug in Anasazi was caught".to_owned());
            let result = result.unwrap_or_else(|_| Err(broken()));
            let (result, thread) = match result {
                Ok((ready, thread)) => (Ok(ready), thread),
                Err(error) => (Err(error), None),
            };
            // If the engine has ended, what was opened is closed.
            _ = sender.send((Opened { name: order.name, result }, thread));
            waker.wake();
        };
        if let Err(error) = spawn_without_signals("anasazi-opener", work) {
            let error = EngineError::System(format!("no thread to open it with: {error}"));
            _ = self.sender.send((Opened { name, result: Err(error) }, None));
            self.waker.wake();
        }
    }

    /// Has a key file read; the engine is woken when it is done.
    pub(crate) fn read_keys(&self, order: KeyOrder) {
        let (sender, waker) = (self.keys_sender.clone(), self.waker.clone());
        let KeyOrder { domain, path, asker } = order;
        let of = domain.clone();
        let work = move || {
            let read = catch_unwind(AssertUnwindSafe(|| key_file::read(&path)));
            let broken = || EngineError::System("a bug in Anasazi was caught".to_owned());
            let result = read.unwrap_or_else(|_| Err(broken()));
            _ = sender.send(KeysRead { domain, asker, result });
            waker.wake();
        };
        if let Err(error) = spawn_without_signals("anasazi-keys", work) {
            let error = EngineError::System(format!("no thread to read it with: {error}"));
            _ = self.keys_sender.send(KeysRead { domain: of, asker, result: Err(error) });
            self.waker.wake();
        }
    }

    pub(crate) fn take_keys(&self) -> impl Iterator<Item = KeysRead> {
        self.keys.try_iter()
    }

    pub(crate) fn take(&self) -> impl Iterator<Item = RealOpened> {
        self.opened.try_iter()
    }
}
