//! Unix sockets of type SOCK_SEQPACKET, which std does not have: messages with descriptors, and who
//! sent them.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Who is at the other end, as the kernel saw it when the connection was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Process id; 0 if it is in a namespace that cannot be seen from here.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

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

/// A non-blocking socket.
///
/// # Errors
/// The process or the system has no descriptors left.
pub fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers.
    owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })
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

/// Gives the socket its place in the file system.
///
/// # Errors
/// As bind(2); `InvalidInput` if the path is too long.
pub fn bind(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    let (address, len) = address(path)?;
    // SAFETY: an initialised address of that length.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(())
}

/// Connects to the socket at that place.
///
/// # Errors
/// As connect(2).
pub fn connect(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    let (address, len) = address(path)?;
    // SAFETY: an initialised address of that length.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    Ok(())
}

/// Lets connections come in.
///
/// # Errors
/// As listen(2).
pub fn listen(socket: &OwnedFd, backlog: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(())
}

/// The next connection; non-blocking, as is the listener.
///
/// # Errors
/// As accept(2); `WouldBlock` if there is none.
pub fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let none = std::ptr::null_mut();
    // SAFETY: the peer's address is not asked for.
    owned(unsafe { libc::accept4(listener.as_raw_fd(), none, none.cast(), flags) })
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
/// Tests only: engines send none.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> io::Result<()> {
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

/// Who connected, or made the pair.
///
/// # Errors
/// As getsockopt(2).
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    let data = (&raw mut credentials).cast();
    // SAFETY: room for `len` bytes.
    check(unsafe { option(socket, libc::SO_PEERCRED, data, &mut len) })?;
    let groups = peer_groups(socket).unwrap_or_default();
    Ok(Peer { pid: credentials.pid, uid: credentials.uid, gid: credentials.gid, groups })
}

/// The effective user of this process.
pub fn own_uid() -> u32 {
    // SAFETY: no pointers, no failure.
    unsafe { libc::geteuid() }
}

fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let mut len = size_of_val(&groups[..]) as libc::socklen_t;
        let data = groups.as_mut_ptr().cast();
        // SAFETY: room for `len` bytes.
        let result = check(unsafe { option(socket, libc::SO_PEERGROUPS, data, &mut len) });
        let count = len as usize / size_of::<u32>();
        match result {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // The kernel says how much room it needs.
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && count > groups.len() => {
                groups.resize(count, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// # Safety
/// `data` must have room for `len` bytes.
unsafe fn option(
    socket: BorrowedFd<'_>,
    name: i32,
    data: *mut libc::c_void,
    len: &mut libc::socklen_t,
) -> i32 {
    // SAFETY: by contract.
    unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, data, &raw mut *len) }
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

fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: all zero is a valid address.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        let text = format!("a socket's path has 1 to {} bytes", address.sun_path.len() - 1);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let len = std::mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    Ok((address, len as libc::socklen_t))
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

    #[test]
    fn the_kernel_says_who_it_is() {
        let (near, _far) = pair().expect("socketpair");
        let peer = peer(near.as_fd()).expect("credentials");
        assert_eq!(peer.pid, std::process::id() as i32);
        // SAFETY: no pointers.
        assert_eq!((peer.uid, peer.gid), unsafe { (libc::geteuid(), libc::getegid()) });
    }

    #[test]
    fn long_paths_are_refused_in_words() {
        let socket = open().expect("socket");
        let error = bind(&socket, Path::new(&"x".repeat(108))).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("107"), "{error}");
    }
}
