//! The system's users and groups, by name. These calls may read files and ask name services: they
//! wait.

use std::ffi::{CString, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;

/// Bytes for an entry, at first and at most.
const ENTRY_LEN_MIN: usize = 4 << 10;
const ENTRY_LEN_MAX: usize = 16 << 20;
/// Groups of one user, at most.
const GROUPS_MAX: usize = 65_536;

/// A user of this system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
}

/// The user of this name, if there is one.
///
/// # Errors
/// As getpwnam_r(3).
pub fn user(name: &str) -> io::Result<Option<User>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    look_up(|entry: *mut libc::passwd, buffer, len, found| {
        // SAFETY: a terminated name, room for an entry, for `len` bytes and for a pointer.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, len, found) }
    })
    .map(|entry| entry.map(|entry| User { uid: entry.pw_uid, gid: entry.pw_gid }))
}

/// The number of the group of this name, if there is one.
///
/// # Errors
/// As getgrnam_r(3).
pub fn group(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    look_up(|entry: *mut libc::group, buffer, len, found| {
        // SAFETY: a terminated name, room for an entry, for `len` bytes and for a pointer.
        unsafe { libc::getgrnam_r(name.as_ptr(), entry, buffer, len, found) }
    })
    .map(|entry| entry.map(|entry| entry.gr_gid))
}

/// All groups of a user, with the one that is its own.
///
/// # Errors
/// It has more than a process can have.
pub fn groups_of(name: &str, own: u32) -> io::Result<Vec<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(vec![own]) };
    let mut groups = vec![0_u32; 64];
    loop {
        let mut count = groups.len() as c_int;
        // SAFETY: a terminated name, and room for `count` numbers.
        let result =
            unsafe { libc::getgrouplist(name.as_ptr(), own, groups.as_mut_ptr(), &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if result >= 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        if groups.len() >= GROUPS_MAX {
            return Err(io::Error::other(format!("more than {GROUPS_MAX} groups")));
        }
        groups.resize(count.max(2 * groups.len()).min(GROUPS_MAX), 0);
    }
}

/// The numbers in what a call finds; the text that it points to is gone then.
fn look_up<T: Copy>(
    call: impl Fn(*mut T, *mut c_char, usize, *mut *mut T) -> c_int,
) -> io::Result<Option<T>> {
    let mut buffer: Vec<c_char> = vec![0; ENTRY_LEN_MIN];
    loop {
        let mut entry = MaybeUninit::<T>::uninit();
        let mut found = std::ptr::null_mut();
        match call(entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &raw mut found) {
            0 if found.is_null() => return Ok(None),
            // SAFETY: what was found was written to `entry`.
            0 => return Ok(Some(unsafe { entry.assume_init() })),
            libc::EINTR => {}
            libc::ERANGE if buffer.len() < ENTRY_LEN_MAX => buffer.resize(buffer.len() * 2, 0),
            // Some systems say so of a name that they do not know.
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nobody_else_is_made_up() {
        assert_eq!(user("root").expect("asked"), Some(User { uid: 0, gid: 0 }));
        assert_eq!(group("root").expect("asked"), Some(0));
        assert!(groups_of("root", 0).expect("asked").contains(&0));
        assert_eq!(user("no-such-user-here").expect("asked"), None);
        assert_eq!(group("no-such-group-here").expect("asked"), None);
        assert_eq!(user("with\0nul").expect("asked"), None);
    }
}
