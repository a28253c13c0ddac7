//! Unix sockets of type SOCK_SEQPACKET, over which a session is handed to its engine: messages with
//! descriptors.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A message, and what came with it.
#[derive(Debug)]
pub struct Received {
    /// Bytes of the message that are in the buffer; 0 at the end of the connection.
    pub len: usize,
    /// The message was longer than the buffer, or had more descriptors than anybody needs.
    pub truncated: bool,
    /// Descriptors came that could not be taken: too many, or none are left to this process.
    pub fds_lost: bool,
    /// The descriptors; closed when dropped.
    pub fds: Vec<OwnedFd>,
}

/// Two non-blocking sockets, connected with each other.
///
/// # Errors
/// The process or the system has no descriptors left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    Ok((owned(fds[0])?, owned(fds[1])?))
}

/// Sends one message without ever blocking or raising SIGPIPE.
///
/// # Errors
/// As send(2).
pub fn send(socket: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (data, len) = (message.as_ptr().cast(), message.len());
    // SAFETY: `len` initialised bytes.
    check_len(unsafe { libc::send(socket.as_raw_fd(), data, len, flags) })?;
    Ok(())
}

/// Ends the connection for both ends, whoever else has copies of them. Nothing if it has ended.
pub fn shut(socket: BorrowedFd<'_>) {
    // SAFETY: no pointers.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

/// Waits until there is a message or the other end is closed.
///
/// # Errors
/// As poll(2); `TimedOut`.
pub fn wait(socket: BorrowedFd<'_>, at_most: Duration) -> io::Result<()> {
    let mut fd = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout = libc::c_int::try_from(at_most.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: one descriptor is given as one.
    match check(unsafe { libc::poll(&raw mut fd, 1, timeout) })? {
        0 => Err(io::Error::from(io::ErrorKind::TimedOut)),
        _ => Ok(()),
    }
}

/// Takes one message without ever blocking, whatever mode the other end put the socket into.
///
/// # Errors
/// As recvmsg(2); `WouldBlock` if there is none.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control { bytes: [0; CONTROL_LEN] };
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    // SAFETY: a plain array.
    message.msg_control = unsafe { control.bytes.as_mut_ptr() }.cast();
    message.msg_controllen = CONTROL_LEN as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: every pointer in the message is valid for its length.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let len = check_len(got)?;
    // SAFETY: filled in by the kernel.
    let fds = unsafe { descriptors(&message) };
    let has = |flag| message.msg_flags & flag != 0;
    let (truncated, fds_lost) = (has(libc::MSG_TRUNC), has(libc::MSG_CTRUNC));
    Ok(Received { len, truncated, fds_lost, fds })
}

/// Sends one message with descriptors, without ever blocking or raising SIGPIPE.
///
/// # Errors
/// As sendmsg(2); `InvalidInput`: more than eight descriptors.
pub fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> io::Result<()> {
    if fds.len() > FDS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "more than eight descriptors"));
    }
    let mut control = Control { bytes: [0; CONTROL_LEN] };
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        // SAFETY: a plain array.
        message.msg_control = unsafe { control.bytes.as_mut_ptr() }.cast();
        // SAFETY: arithmetic only.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of_val(fds) as u32) } as _;
        // SAFETY: the control buffer has room for FDS_MAX descriptors behind one aligned header.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of_val(fds) as u32) as _;
            let room = libc::CMSG_DATA(header).cast::<RawFd>();
            std::ptr::copy_nonoverlapping(fds.as_ptr(), room, fds.len());
        }
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: every pointer in the message is valid for its length.
    check_len(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) })?;
    Ok(())
}

/// Takes the descriptors out of a received message.
///
/// # Safety
/// The message was filled in by recvmsg(2), and its descriptors are not taken yet.
unsafe fn descriptors(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: the macros stay inside the control buffer, whose lengths the kernel wrote.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(part) = header.as_ref() {
            if part.cmsg_level == libc::SOL_SOCKET && part.cmsg_type == libc::SCM_RIGHTS {
                #[allow(clippy::unnecessary_cast, reason = "another type with musl")]
                let bytes = part.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(part).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    fds.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(message, part);
        }
    }
    fds
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: just made by the kernel, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// A buffer for ancillary data, aligned as its headers want it.
#[repr(C)]
union Control {
    bytes: [u8; CONTROL_LEN],
    _align: libc::cmsghdr,
}

/// Descriptors taken with one message; more than that shows as truncated.
const FDS_MAX: usize = 8;
const CONTROL_LEN: usize = 64;
// SAFETY: arithmetic only.
const _: () = assert!(unsafe { libc::CMSG_SPACE((FDS_MAX * 4) as u32) } as usize <= CONTROL_LEN);

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn messages_keep_their_borders_and_descriptors() {
        let (near, far) = pair().expect("socketpair");
        let (extra, _) = pair().expect("socketpair");
        send(near.as_fd(), b"one").expect("sent");
        send_with(near.as_fd(), b"two!", &[extra.as_raw_fd(); 3]).expect("sent");
        send_with(near.as_fd(), b"3", &[extra.as_raw_fd(); 8]).expect("sent");
        let mut buffer = [0; 3];
        let first = receive(far.as_fd(), &mut buffer).expect("there");
        assert_eq!((first.len, first.truncated, first.fds.len()), (3, false, 0));
        assert_eq!(&buffer, b"one");
        let second = receive(far.as_fd(), &mut buffer).expect("there");
        assert_eq!((second.len, second.truncated, second.fds.len()), (3, true, 3));
        let third = receive(far.as_fd(), &mut buffer).expect("there");
        assert_eq!((third.len, third.truncated, third.fds.len()), (1, false, 8));
        let none = receive(far.as_fd(), &mut buffer).expect_err("empty");
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        drop(near);
        assert_eq!(receive(far.as_fd(), &mut buffer).expect("the end").len, 0);
        assert!(send(far.as_fd(), b"x").is_err());
    }
}
