//! A master key, on a page of its own.

use std::fmt;
use std::io;
use std::ptr::NonNull;

use zeroize::Zeroize;

use crate::limits::KEY_LEN;

/// Thirty-two bytes that are never written to a disk: not swapped out, not in core dumps, not in
/// child processes, not shown by `Debug`, and overwritten at their end.
pub struct Secret {
    page: NonNull<[u8; KEY_LEN]>,
    page_len: usize,
    /// A child of this process does not have the page.
    owner: u32,
}

/// Why there is no memory for a key.
#[derive(Debug)]
pub enum SecretError {
    /// The system gives no page.
    NoMemory(io::Error),
    /// The page cannot be kept from being swapped out: RLIMIT_MEMLOCK is used up.
    NotLocked(io::Error),
    /// The page cannot be kept out of core dumps, or of child processes.
    Advice(io::Error),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory(error) => write!(f, "no memory for a key: {error}"),
            Self::NotLocked(error) => write!(
                f,
                "a key could be swapped out, since its memory cannot be locked ({error}): raise \
                 the limit of locked memory (LimitMEMLOCK= of the systemd unit, `ulimit -l`)"
            ),
            Self::Advice(error) => write!(
                f,
                "a key would be in core dumps and child processes, since madvise() failed: {error}"
            ),
        }
    }
}

impl std::error::Error for SecretError {}

// SAFETY: the page belongs to this value alone, as a Box would.
unsafe impl Send for Secret {}
// SAFETY: it is only read through `&self`.
unsafe impl Sync for Secret {}

impl Secret {
    /// Takes the bytes over; they are overwritten where they were.
    ///
    /// # Errors
    /// If the system does not keep a page off its disks.
    pub fn new(bytes: &mut [u8; KEY_LEN]) -> Result<Self, SecretError> {
        // SAFETY: no pointer is involved.
        let page_len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        // SAFETY: a fresh anonymous mapping, at an address that the kernel chooses.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                page_len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let page = NonNull::new(page.cast()).filter(|_| page != libc::MAP_FAILED);
        let page = page.ok_or_else(|| SecretError::NoMemory(io::Error::last_os_error()))?;
        let mut secret = Self { page, page_len, owner: std::process::id() };
        // SAFETY: the mapping made above, all of it.
        if unsafe { libc::mlock(secret.page.as_ptr().cast(), page_len) } != 0 {
            return Err(SecretError::NotLocked(io::Error::last_os_error()));
        }
        // Locks are not inherited; and a child that went on with a page that is wiped in it would
        // seal with a key that everybody knows.
        for advice in [libc::MADV_DONTDUMP, libc::MADV_DONTFORK] {
            // SAFETY: as above.
            if unsafe { libc::madvise(secret.page.as_ptr().cast(), page_len, advice) } != 0 {
                return Err(SecretError::Advice(io::Error::last_os_error()));
            }
        }
        secret.bytes_mut().copy_from_slice(bytes);
        bytes.zeroize();
        Ok(secret)
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_LEN] {
        // SAFETY: the page is mapped, readable and as long as this until the value is dropped.
        unsafe { self.page.as_ref() }
    }

    fn bytes_mut(&mut self) -> &mut [u8; KEY_LEN] {
        // SAFETY: as above, and nobody else has it.
        unsafe { self.page.as_mut() }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        if std::process::id() != self.owner {
            return;
        }
        self.bytes_mut().zeroize();
        // SAFETY: mapped by `new`, and not used again.
        unsafe { libc::munmap(self.page.as_ptr().cast(), self.page_len) };
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the page: locked, and not dumped.
    #[test]
    fn the_page_is_locked_and_not_in_dumps_and_the_source_is_wiped() {
        let mut bytes = [7; KEY_LEN];
        let secret = Secret::new(&mut bytes).expect("a page");
        assert_eq!(bytes, [0; KEY_LEN]);
        assert_eq!(secret.bytes(), &[7; KEY_LEN]);
        assert_eq!(format!("{secret:?}"), "Secret");
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("smaps");
        let place = format!("{:x}-", secret.page.as_ptr() as usize);
        let of_page = maps.split_once(&place).expect("the page is mapped").1;
        let flags = of_page.split_once("VmFlags:").expect("flags").1;
        let flags = flags.lines().next().expect("a line");
        let is_kept = [" lo", " dd", " dc"].iter().all(|flag| flags.contains(flag));
        assert!(is_kept, "locked, not dumped, not copied: {flags}");
    }
}
