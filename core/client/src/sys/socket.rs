//! The engine's socket: connecting, the greeting with its three descriptors, the answer, and the
//! end.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use anasazi_queue::hello::{Hello, Welcome};
use anasazi_queue::plain::Plain;

/// Connects to the socket file of an engine; never blocks. `EAGAIN`: the engine has too many
/// connections waiting.
pub(crate) fn connect(path: &Path) -> io::Result<OwnedFd> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: all-zero is a valid address of no family.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        let text = "a socket's path has at most 107 bytes and no NUL";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: makes a descriptor, which is ours alone, and connects it to an address that lives
    // through the call.
    unsafe {
        let fd = match libc::socket(libc::AF_UNIX, kind, 0) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        };
        match libc::connect(fd.as_raw_fd(), (&raw const address).cast(), len) {
            0 => Ok(fd),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Sends the greeting; never blocks.
pub(crate) fn send_hello(socket: RawFd, hello: &Hello, fds: [RawFd; 3]) -> io::Result<()> {
    let bytes = hello.as_bytes();
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control([0; CONTROL_LEN]);
    // SAFETY: all-zero is a valid message header; then it points to `part` and `control`, which
    // live through the call, and the control buffer has room for one header and three descriptors.
    let sent = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(FDS_LEN) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(FDS_LEN) as _;
        ptr::copy_nonoverlapping(fds.as_ptr(), libc::CMSG_DATA(header).cast::<RawFd>(), fds.len());
        libc::sendmsg(socket, &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    match usize::try_from(sent) {
        Ok(n) if n == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::WriteZero)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Ends the connection, whoever else has copies of the socket.
pub(crate) fn shut(socket: RawFd) {
    // SAFETY: no pointers.
    unsafe { libc::shutdown(socket, libc::SHUT_RDWR) };
}

/// What came out of the socket.
pub(crate) enum Answer {
    /// Nothing yet.
    Nothing,
    Welcome(Box<Welcome>),
    /// Something that is no welcome.
    Nonsense,
    /// The engine closed the connection.
    Closed,
}

/// Looks for the engine's answer, or for the end of the connection; never blocks.
pub(crate) fn receive(socket: RawFd) -> Answer {
    let mut bytes = [0_u8; size_of::<Welcome>() + 1];
    // SAFETY: `bytes` has room for what is asked.
    let got =
        unsafe { libc::recv(socket, bytes.as_mut_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT) };
    match usize::try_from(got) {
        Ok(0) => Answer::Closed,
        Ok(n) => match Welcome::split_from(&bytes[..n]) {
            Some((welcome, [])) => Answer::Welcome(Box::new(welcome)),
            _ => Answer::Nonsense,
        },
        Err(_) => match io::Error::last_os_error().kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Answer::Nothing,
            _ => Answer::Closed,
        },
    }
}

/// Room for control messages, aligned as the kernel wants it.
#[repr(align(8))]
struct Control([u8; CONTROL_LEN]);

const FDS_LEN: u32 = 3 * size_of::<RawFd>() as u32;
const CONTROL_LEN: usize = 64;
// SAFETY: a computation on a number.
const _: () = assert!(unsafe { libc::CMSG_SPACE(FDS_LEN) } as usize <= CONTROL_LEN);
