//! How a session gets a connected socket.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

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
