//! Engines in this process.

use std::ptr;

use crate::config::Config;
use crate::generated::{
    anz_engine, anz_engine_connect, anz_engine_fd, anz_engine_free, anz_engine_new,
    anz_engine_process, anz_engine_run, anz_engine_start_thread, anz_engine_stop,
};
use crate::session::Session;
use crate::status::{Failure, Status, explained};

/// An engine: what a daemon is made of. Given back when it is dropped, which may take a second or
/// two and closes its sessions.
#[derive(Debug)]
pub struct Engine(*mut anz_engine);

// SAFETY: a handle, which the library looks up; calls that are for one thread at a time answer
// ANZ_EBUSY to others.
unsafe impl Send for Engine {}
// SAFETY: as above.
unsafe impl Sync for Engine {}

impl Engine {
    /// Opens sockets and state. Blocks for the disk.
    ///
    /// # Errors
    /// As `anz_engine_new()`.
    pub fn new(config: Option<&Config>) -> Result<Self, Failure> {
        let mut made = ptr::null_mut();
        // SAFETY: a configuration or NULL, a place for the handle, and one for the reason.
        explained(|error| unsafe { anz_engine_new(Config::handle(config), &raw mut made, error) })?;
        Ok(Self(made))
    }

    /// Readable when [`process`](Self::process) is to be called.
    ///
    /// # Errors
    /// `ANZ_EFORKED`.
    pub fn fd(&self) -> Result<i32, Status> {
        // SAFETY: a handle.
        Status::check(unsafe { anz_engine_fd(self.0) })
    }

    /// Drives it a bounded while, without blocking; whether there is more to do.
    ///
    /// # Errors
    /// `ANZ_ECLOSED` once it was stopped and has left; `ANZ_EBUSY` while another thread drives it.
    pub fn process(&self, budget: u32) -> Result<bool, Status> {
        // SAFETY: a handle.
        Status::check(unsafe { anz_engine_process(self.0, budget) }).map(|more| more > 0)
    }

    /// Drives it until [`stop`](Self::stop). Blocks.
    ///
    /// # Errors
    /// As `anz_engine_run()`.
    pub fn run(&self) -> Result<(), Status> {
        // SAFETY: a handle.
        Status::check(unsafe { anz_engine_run(self.0) }).map(drop)
    }

    /// Drives it in a thread of the library.
    ///
    /// # Errors
    /// `ANZ_ESTATE` if it is driven already.
    pub fn start_thread(&self) -> Result<(), Status> {
        // SAFETY: a handle.
        Status::check(unsafe { anz_engine_start_thread(self.0) }).map(drop)
    }

    /// Asks for a clean leave.
    ///
    /// # Errors
    /// `ANZ_EFORKED`.
    pub fn stop(&self) -> Result<(), Status> {
        // SAFETY: a handle.
        Status::check(unsafe { anz_engine_stop(self.0) }).map(drop)
    }

    /// A session with it. Blocks for its answer; drives it meanwhile if this thread is who does.
    ///
    /// # Errors
    /// As `anz_engine_connect()`.
    pub fn connect(&self, config: Option<&Config>) -> Result<Session, Failure> {
        let mut made = ptr::null_mut();
        // SAFETY: a handle, a configuration or NULL, a place for the handle, one for the reason.
        explained(|error| unsafe {
            anz_engine_connect(self.0, Config::handle(config), &raw mut made, error)
        })?;
        Ok(Session::of(made))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: a handle of our own, not used again.
        unsafe { anz_engine_free(self.0) }
    }
}
