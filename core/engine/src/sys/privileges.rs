//! What this process may do, and less of it.

use std::io;

use super::names::User;

/// Something that only root may do, unless it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// Ports below net.ipv4.ip_unprivileged_port_start.
    NetBindService = 10,
    /// Socket buffers larger than net.core.rmem_max, among much else.
    NetAdmin = 12,
    /// Real-time priorities.
    SysNice = 23,
}

impl Capability {
    /// As in capabilities(7).
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetBindService => "CAP_NET_BIND_SERVICE",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysNice => "CAP_SYS_NICE",
        }
    }
}

/// Turns this process from root into another user, for good, with some of root's capabilities. Only
/// the calling thread and those that it starts from then on keep these: to be called before there
/// are others.
///
/// # Errors
/// This process is not root, or lacks the capabilities for it. It may be partly done: end then.
pub fn become_user(user: &User, groups: &[u32], keep: &[Capability]) -> io::Result<()> {
    // What is not in here no program that is run can get back.
    for number in 0..CAPABILITIES_MAX {
        let kept = keep.iter().any(|kept| *kept as u8 == number);
        if !kept && !drop_from_bounds(number)? {
            break;
        }
    }
    control(libc::PR_SET_KEEPCAPS, 1)?;
    // SAFETY: that many numbers are readable.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::setresgid(user.gid, user.gid, user.gid) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::setresuid(user.uid, user.uid, user.uid) })?;
    control(libc::PR_SET_KEEPCAPS, 0)?;
    set_capabilities(keep.iter().fold(0, |set, kept| set | 1 << *kept as u8))
}

/// No program that this process runs has more privileges than it has. For the calling thread and
/// those that it starts.
///
/// # Errors
/// None that a caller could cause.
pub fn forbid_new_privileges() -> io::Result<()> {
    control(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Leaves no core file, and lets nobody but root look into this process. A change of its user
/// undoes or does this by the system's settings, so it is for afterwards.
///
/// # Errors
/// None that a caller could cause.
pub fn hide_memory() -> io::Result<()> {
    control(libc::PR_SET_DUMPABLE, 0)
}

/// False: there is no capability of this number.
fn drop_from_bounds(number: u8) -> io::Result<bool> {
    match control(libc::PR_CAPBSET_DROP, number.into()) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

fn control(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let none: libc::c_ulong = 0;
    // SAFETY: these options take numbers.
    check(unsafe { libc::prctl(option, value, none, none, none) })
}

/// The calling thread has these and no others; none is passed on to programs that it runs.
fn set_capabilities(set: u64) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        thread: i32,
    }
    let header = Header { version: 0x2008_0522, thread: 0 };
    // Effective, permitted and inheritable: the lower half of each, then the upper one.
    let halves = [set as u32, (set >> 32) as u32];
    let sets = halves.map(|half| [half, half, 0]);
    // SAFETY: version 3 of this call reads the header and two times three numbers.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// More than there are.
const CAPABILITIES_MAX: u8 = 64;

/// Takes all privileges from this thread, alone.
#[cfg(test)]
pub(crate) fn drop_privileges() -> io::Result<()> {
    set_capabilities(0)
}

/// Gives this thread, alone, file systems of its own: what it mounts goes away with it. Needs root.
#[cfg(test)]
pub(crate) fn enter_new_mounts() -> io::Result<()> {
    // SAFETY: no pointers are passed; only this thread is affected.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let (none, root) = (std::ptr::null(), c"/".as_ptr());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the path is terminated, and the other arguments are not used with these flags.
    check(unsafe { libc::mount(none, root, none, private, none.cast()) })
}
