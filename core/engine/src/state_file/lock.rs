//! Files that one engine at a time has, on the whole machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::StateFileError;

/// An open file that is locked, and has the name by which it was opened, until this is dropped.
#[derive(Debug)]
pub(super) struct Locked(pub(super) File);

impl Locked {
    /// Opens and locks a file for reading and writing; `None` if it does not exist and need not.
    pub(super) fn open(path: &Path, create: bool) -> Result<Option<Self>, StateFileError> {
        for _ in 0..ATTEMPTS {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(create).mode(MODE);
            let file = match options.open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !create => {
                    return Ok(None);
                }
                Err(error) => return Err(StateFileError::io("open", path)(error)),
            };
            if let Some(locked) = Self::lock(file, path)? {
                return Ok(Some(locked));
            }
        }
        Err(StateFileError::InUse { path: path.to_owned() })
    }

    /// Locks a file that was opened as `path`; `None` if it lost that name before it was locked.
    pub(super) fn lock(file: File, path: &Path) -> Result<Option<Self>, StateFileError> {
        let locked = match file.try_lock() {
            Ok(()) => Self(file),
            Err(TryLockError::WouldBlock) => {
                return Err(StateFileError::InUse { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(StateFileError::io("lock", path)(error)),
        };
        let opened = locked.metadata().map_err(StateFileError::io("read", path))?;
        let same = |named: fs::Metadata| (named.dev(), named.ino()) == (opened.dev(), opened.ino());
        Ok(fs::metadata(path).is_ok_and(same).then_some(locked))
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing is not enough: a child process that was forked meanwhile shares the lock.
        let _ = self.0.unlock();
    }
}

/// Only for the user of the daemon: who could write it could make the node repeat itself.
const MODE: u32 = 0o600;
/// Another process would have to rename the file between opening and locking it, this many times.
const ATTEMPTS: u32 = 8;
