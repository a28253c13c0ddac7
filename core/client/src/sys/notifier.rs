//! The one thread of this library that tells an application when its sessions have something: made
//! when it is first asked for, for all sessions of the process. It only watches their descriptors.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use anasazi_stream::thread::spawn_without_signals;

use super::fork;
use super::poll::{add, forget, new_set};
use super::table::Table;

/// What an application wants to be called.
pub type Call = Box<dyn Fn() + Send>;

/// None once it is not to be made any more; locked while it is made.
type Slot = Mutex<Option<Call>>;

struct Notifier {
    set: OwnedFd,
    /// Of its thread; 0 until that runs.
    thread: AtomicI32,
    fork_mark: u64,
}

/// A call that is made each time that a descriptor becomes readable, until this is dropped.
pub(crate) struct Notification {
    notifier: &'static Notifier,
    fd: RawFd,
    /// Of its slot.
    key: u64,
}

impl Notification {
    /// From now on `call` is made, on a thread of its own, each time that `fd` becomes readable,
    /// and once now if it is. To be dropped before the descriptor is closed.
    ///
    /// # Errors
    /// No descriptors, no memory, no threads.
    pub(crate) fn begin(fd: RawFd, call: Call) -> io::Result<Self> {
        let notifier = Notifier::get()?;
        let key = SLOTS.insert(Mutex::new(Some(call))).ok_or(io::ErrorKind::OutOfMemory)?;
        // Dropped, and thereby taken back, if that fails.
        let notification = Self { notifier, fd, key };
        add(&notifier.set, fd, libc::EPOLLIN | libc::EPOLLET, key)?;
        Ok(notification)
    }

    /// This very thread makes calls.
    pub(crate) fn is_within(&self) -> bool {
        self.notifier.thread.load(Ordering::Acquire) == this_thread()
    }

    /// No call is made any more; waits for the end of one that is under way.
    pub(crate) fn end_and_wait(self) {
        let slot = SLOTS.pin(self.key);
        drop(self);
        let call = slot.and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(call);
    }
}

impl Drop for Notification {
    /// No call begins from now on. One that is under way goes on.
    fn drop(&mut self) {
        forget(&self.notifier.set, self.fd);
        let slot = SLOTS.pin(self.key);
        SLOTS.remove(self.key);
        drop(slot.and_then(|slot| taken(&slot)));
        SLOTS.drop_pending();
    }
}

impl Notifier {
    /// The one of this process. It is never given back: its thread may be anywhere.
    fn get() -> io::Result<&'static Self> {
        let present = NOTIFIER.load(Ordering::Acquire);
        // SAFETY: what is there was leaked below, so it lives for ever.
        if let Some(notifier) = unsafe { present.as_ref() }
            && fork::is_current(notifier.fork_mark)
            && notifier.thread.load(Ordering::Acquire) != ENDED
        {
            return Ok(notifier);
        }
        let made = Box::into_raw(Box::new(Self {
            set: new_set()?,
            thread: AtomicI32::new(0),
            fork_mark: fork::mark(),
        }));
        // SAFETY: made above, and freed below only if no thread has it.
        let notifier: &'static Self = unsafe { &*made };
        if let Err(error) = spawn_without_signals("anasazi-notify", || notifier.run()) {
            // SAFETY: nobody else has seen it.
            drop(unsafe { Box::from_raw(made) });
            return Err(error);
        }
        // If another thread was first, this one's is as good: a second thread, and that is all.
        _ = NOTIFIER.compare_exchange(present, made, Ordering::AcqRel, Ordering::Acquire);
        Ok(notifier)
    }

    fn run(&self) {
        self.thread.store(this_thread(), Ordering::Release);
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        loop {
            // SAFETY: room for 64 events is given for 64.
            let n = unsafe {
                libc::epoll_wait(self.set.as_raw_fd(), events.as_mut_ptr(), 64, FOR_EVER)
            };
            let interrupted = io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
            if n < 0 && !interrupted {
                // Somebody has closed its set, with all else: the next one makes another.
                self.thread.store(ENDED, Ordering::Release);
                return;
            }
            for event in events.iter().take(usize::try_from(n).unwrap_or(0)) {
                self.call(event.u64);
            }
        }
    }

    fn call(&self, key: u64) {
        let Some(slot) = SLOTS.pin(key) else { return };
        match slot.try_lock() {
            Ok(call) => call.iter().for_each(|call| call()),
            Err(TryLockError::Poisoned(call)) => call.into_inner().iter().for_each(|call| call()),
            // Somebody ends it.
            Err(TryLockError::WouldBlock) => return,
        }
        // It was ended meanwhile, by somebody who could not take it.
        let is_ended = SLOTS.pin(key).is_none();
        drop(is_ended.then(|| taken(&slot)));
        drop(slot);
        SLOTS.drop_pending();
    }
}

/// What is to be called, unless that is under way. It is dropped by the caller, without the lock:
/// whatever that does keeps nobody waiting.
fn taken(slot: &Slot) -> Option<Call> {
    match slot.try_lock() {
        Ok(mut call) => call.take(),
        Err(TryLockError::Poisoned(call)) => call.into_inner().take(),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn this_thread() -> i32 {
    // SAFETY: takes no arguments and cannot fail.
    unsafe { libc::gettid() }
}

static NOTIFIER: AtomicPtr<Notifier> = AtomicPtr::new(ptr::null_mut());
/// No lock: a thread that is stopped while it begins or ends to be told keeps nobody waiting.
static SLOTS: Table<Slot> = Table::new(0xA6);
const FOR_EVER: i32 = -1;
/// In the place of its thread: it has none any more.
const ENDED: i32 = -1;
