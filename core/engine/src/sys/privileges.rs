//! For tests: what one thread may do, and which file systems it sees.

use std::io;

/// Takes all privileges from this thread, alone.
pub(crate) fn drop_privileges() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        thread: i32,
    }
    let header = Header { version: 0x2008_0522, thread: 0 };
    let none = [[0u32; 3]; 2];
    // SAFETY: version 3 of this call reads the header and two sets of three numbers.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives this thread, alone, file systems of its own: what it mounts goes away with it. Needs root.
pub(crate) fn enter_new_mounts() -> io::Result<()> {
    // SAFETY: no pointers are passed; only this thread is affected.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let (none, root) = (std::ptr::null(), c"/".as_ptr());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the path is terminated, and the other arguments are not used with these flags.
    if unsafe { libc::mount(none, root, none, private, none.cast()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
