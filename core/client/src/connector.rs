//! How a session gets a connected socket.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anasazi_queue::status::Status;
use anasazi_stream::client::{Address, Failed, carry};
use anasazi_stream::seqpacket::pair;
use anasazi_stream::thread::spawn_without_signals;

use crate::failure::Failure;
use crate::sys::socket;

/// Gives a session connections to its engine: the first, and another one each time the engine was
/// lost.
pub trait Connector: Send + Sync {
    /// Connects. Must not block.
    ///
    /// # Errors
    /// A [`Failure`]; if it is not retryable the session ends with it.
    fn open(&self) -> Result<OwnedFd, Failure>;

    /// Why the connection that was opened last was closed before the engine has answered, if that
    /// is known.
    fn failure(&self) -> Option<Failure> {
        None
    }

    /// What it means that a connection was opened and no answer came within that time, in words.
    fn no_answer(&self, within: Duration) -> String {
        format!(
            "the engine accepted the connection but did not answer within {} ms; is it stopped, \
             or overloaded?",
            within.as_millis()
        )
    }

    /// Why no connection will come about any more, if that is known. Asked after each attempt that
    /// failed, in whatever way.
    fn lost(&self) -> Option<Failure> {
        None
    }

    /// Called again and again while the engine's answer is awaited: an engine that the caller
    /// drives can do its part.
    fn turn(&self) {}
}

/// Connects to the socket file of a local engine.
#[derive(Clone, Debug)]
pub struct SocketFile(pub PathBuf);

impl Connector for SocketFile {
    fn open(&self) -> Result<OwnedFd, Failure> {
        socket::connect(&self.0).map_err(|error| {
            let what = format!("connecting to {}", self.0.display());
            let advice = match error.raw_os_error() {
                Some(libc::ENOENT | libc::ECONNREFUSED) => {
                    "is anasazid running, and is this its client.listen?"
                }
                Some(libc::EACCES) => {
                    "this user may not write to the socket: see client.listen_mode and \
                     client.allow_gids"
                }
                Some(libc::EAGAIN) => "too many clients connect at once; try again",
                _ => "",
            };
            Failure::system(&what, &error, advice)
        })
    }
}

/// Connects over a stream: to an engine of another host, or to one of this host without sharing
/// memory with it. Each connection is carried by a thread of this library, without signals.
#[derive(Debug)]
pub struct Stream {
    address: Address,
    within: Duration,
    /// Why the latest connection was closed.
    failed: Mutex<Arc<Mutex<Option<Failure>>>>,
}

impl Stream {
    /// To the engine at that address, each time within `within`.
    pub fn new(address: Address, within: Duration) -> Self {
        Self { address, within, failed: Mutex::default() }
    }
}

impl Connector for Stream {
    fn open(&self) -> Result<OwnedFd, Failure> {
        let none = |error| {
            Failure::system("making a session's stream", &error, "see ulimit -n and ulimit -u")
        };
        let (client, door) = pair().map_err(none)?;
        // Not that of the attempt before, which may still be under way.
        let failed = Arc::default();
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&failed);
        let (address, within) = (self.address.clone(), self.within);
        let carries = move || {
            carry(door, &address, within, |why| {
                let failure = explain(&address, &why);
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            });
        };
        spawn_without_signals("anasazi-stream", carries).map_err(none)?;
        Ok(client)
    }

    fn no_answer(&self, within: Duration) -> String {
        format!(
            "{} was neither refused nor welcomed within {} ms; is the address right, and is the \
             engine there neither stopped nor overloaded?",
            self.address,
            within.as_millis()
        )
    }

    fn failure(&self) -> Option<Failure> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn explain(address: &Address, failed: &Failed) -> Failure {
    let Failed { what, error } = failed;
    let advice = match (address, error.raw_os_error()) {
        (Address::Unix(_), Some(libc::EPROTOTYPE)) => {
            "memory is shared over that socket: use shm: and its path, or a path of the engine's \
             client.listen_streams"
        }
        (_, Some(libc::ENOENT | libc::ECONNREFUSED)) => {
            "does the engine run, and is this one of its client.listen_streams?"
        }
        (_, Some(libc::EACCES)) => "this user may not write to the socket: see client.listen_mode",
        _ => "",
    };
    let failure = Failure::system(what, error, advice);
    let status = match error.kind() {
        ErrorKind::TimedOut => Status::ETIMEDOUT,
        ErrorKind::InvalidData => Status::EVERSION,
        ErrorKind::InvalidInput => Status::EINVAL,
        // It was let in, and closed again: there are many at the door.
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Status::EAGAIN,
        _ if failure.os_errno == 0 => Status::ECONNREFUSED,
        _ => return failure,
    };
    let message = format!("{what}: {error}");
    Failure { message, ..Failure::new(status, "") }
}
