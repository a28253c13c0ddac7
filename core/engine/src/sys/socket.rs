//! Unix sockets in the file system, and who is at the other end of one.

use std::fmt;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

pub use anasazi_stream::seqpacket::{Received, pair, receive, send, send_with};

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("shared memory"),
            Self::Unix => f.write_str("unix stream"),
            Self::Tcp(address) => write!(f, "tcp from {address}"),
        }
    }
}

/// Who is at the other end, as the kernel saw it when the connection was made.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Process id; 0 if it is in a namespace that cannot be seen from here.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// How it comes here.
    pub way: Way,
    /// The socket of the engine that it came in by, as its URL; `inproc` for none, in this process.
    pub socket: Arc<str>,
    /// Whether its process is there.
    pub life: Life,
}

/// Knows whether a process has ended. The end of its sockets does not tell: its children may have
/// copies of them.
#[derive(Clone, Debug, Default)]
pub struct Life(Option<Arc<OwnedFd>>);

impl Life {
    /// Of the process at the other end. Of this one itself, of those that cannot be seen from here,
    /// and before Linux 5.3 nothing is known.
    fn of(socket: BorrowedFd<'_>, pid: i32) -> Self {
        // SAFETY: no pointers, no failure.
        if pid <= 0 || pid == unsafe { libc::getpid() } {
            return Self(None);
        }
        let (mut fd, mut len): (RawFd, _) = (-1, size_of::<RawFd>() as libc::socklen_t);
        // SAFETY: room for `len` bytes.
        let got = unsafe { option(socket, SO_PEERPIDFD, (&raw mut fd).cast(), &mut len) };
        if got != 0 {
            // Before Linux 6.5. If that process has ended meanwhile, another one with its number
            // lives longer than its socket.
            // SAFETY: no pointers.
            let made = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
            fd = RawFd::try_from(made).unwrap_or(-1);
        }
        Self(owned(fd).ok().map(Arc::new))
    }

    /// Readable once it has ended.
    pub fn fd(&self) -> Option<RawFd> {
        self.0.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// It has, for sure.
    pub fn has_ended(&self) -> bool {
        let Some(fd) = self.fd() else { return false };
        let mut fd = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor is given as one; nothing is waited for.
        unsafe { libc::poll(&raw mut fd, 1, 0) == 1 && fd.revents & libc::POLLIN != 0 }
    }
}

/// How a client comes to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With memory of its own.
    Memory,
    /// Over a stream of this host.
    Unix,
    /// Over TCP, from this address: nobody knows who it is.
    Tcp(SocketAddr),
}

impl Peer {
    /// Somebody of whom only the address is known, and the socket it came in by.
    pub fn remote(address: SocketAddr, socket: Arc<str>) -> Self {
        let (uid, gid) = (u32::MAX, u32::MAX);
        let (way, life) = (Way::Tcp(address), Life::default());
        Self { pid: 0, uid, gid, groups: Vec::new(), way, socket, life }
    }
}

/// What goes over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Messages, with descriptors: a session is handed over.
    Packets,
    /// Bytes: a session is repeated over it.
    Stream,
}

/// A non-blocking socket.
///
/// # Errors
/// The process or the system has no descriptors left.
pub fn open(kind: Kind) -> io::Result<OwnedFd> {
    let kind = match kind {
        Kind::Packets => libc::SOCK_SEQPACKET,
        Kind::Stream => libc::SOCK_STREAM,
    };
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers.
    owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })
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
    let libc::ucred { pid, uid, gid } = credentials;
    let (way, life) = (Way::Memory, Life::of(socket, pid));
    let socket =
        own_path(socket)?.map_or_else(|| "inproc".to_owned(), |path| format!("shm:{path}"));
    Ok(Peer { pid, uid, gid, groups, way, socket: socket.into(), life })
}

/// Where the listener is that a connection was accepted at; `None` for one that has no place.
///
/// # Errors
/// As getsockname(2).
pub fn own_path(socket: BorrowedFd<'_>) -> io::Result<Option<String>> {
    // SAFETY: all zero is a valid address.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    let data = (&raw mut address).cast();
    // SAFETY: room for `len` bytes.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), data, &raw mut len) })?;
    let offset = std::mem::offset_of!(libc::sockaddr_un, sun_path);
    let len = (len as usize).saturating_sub(offset).min(address.sun_path.len());
    let path = address.sun_path[..len].iter().map(|byte| *byte as u8);
    let path: Vec<u8> = path.take_while(|byte| *byte != 0).collect();
    Ok((!path.is_empty()).then(|| String::from_utf8_lossy(&path).into_owned()))
}

/// The effective user of this process.
pub fn own_uid() -> u32 {
    // SAFETY: no pointers, no failure.
    unsafe { libc::geteuid() }
}

/// The effective group of this process.
pub fn own_gid() -> u32 {
    // SAFETY: no pointers, no failure.
    unsafe { libc::getegid() }
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

/// Of the kernel's interface, since 6.5.
const SO_PEERPIDFD: i32 = 77;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

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
        let socket = open(Kind::Packets).expect("socket");
        let error = bind(&socket, Path::new(&"x".repeat(108))).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("107"), "{error}");
    }
}
