//! The memory of a session: a sealed memfd, mapped shared.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

/// A mapping of a memfd; unmapped when dropped.
pub struct Mapping {
    base: *mut u8,
    len: usize,
}

impl Mapping {
    /// Makes `len` zero bytes, sealed against being shrunk or grown, and maps them.
    ///
    /// # Errors
    /// No memory, or no descriptors.
    pub fn create(len: usize) -> io::Result<(Self, OwnedFd)> {
        let name = c"anasazi-session";
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: `name` is a NUL-terminated string; the descriptor returned is ours alone.
        let fd = unsafe {
            match libc::memfd_create(name.as_ptr(), flags) {
                -1 => return Err(io::Error::last_os_error()),
                fd => OwnedFd::from_raw_fd(fd),
            }
        };
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        let raw = fd.as_raw_fd();
        // SAFETY: calls on a descriptor that we own; the mapping goes where the kernel likes.
        unsafe {
            if libc::ftruncate(raw, len as libc::off_t) != 0
                || libc::fcntl(raw, libc::F_ADD_SEALS, seals) != 0
            {
                return Err(io::Error::last_os_error());
            }
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let base = libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, raw, 0);
            if base == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let mapping = Self { base: base.cast(), len };
            mapping.keep_from_children();
            Ok((mapping, fd))
        }
    }

    /// Maps the first `len` bytes of what somebody else made; whether they will stay there is for
    /// the caller to check.
    ///
    /// # Errors
    /// As mmap(2).
    pub fn of(memory: &OwnedFd, len: usize) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let (anywhere, fd) = (ptr::null_mut(), memory.as_raw_fd());
        // SAFETY: a fresh mapping, wherever there is room.
        let base = unsafe { libc::mmap(anywhere, len, access, libc::MAP_SHARED, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { base: base.cast(), len })
    }

    /// A child does not get it, and so cannot write into its parent's rings. Best effort: every
    /// call checks for a fork first.
    pub fn keep_from_children(&self) {
        // SAFETY: our own mapping, of this length.
        unsafe { libc::madvise(self.base.cast(), self.len, libc::MADV_DONTFORK) };
    }

    /// First byte; page-aligned, and valid for the length that was asked for.
    pub fn base(&self) -> *mut u8 {
        self.base
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `create` or `of` mapped exactly this, and whoever holds pointers into it keeps
        // the mapping alive.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

// SAFETY: an address range, the same in all threads; what is in it is shared by atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}
