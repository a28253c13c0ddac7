//! Socket options that socket2 does not have.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sends multicasts through the interface with this index.
pub(crate) fn set_multicast_interface_v4(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: index as libc::c_int,
    };
    set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &request)
}

/// Lets the kernel hand over several datagrams of one sender at once.
pub(crate) fn enable_receive_runs(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SOL_UDP, libc::UDP_GRO, &TRUE)
}

/// Whether this kernel knows runs at sending at all.
pub(crate) fn knows_send_runs(socket: BorrowedFd<'_>) -> bool {
    let none: libc::c_int = 0;
    set(socket, libc::SOL_UDP, libc::UDP_SEGMENT, &none).is_ok()
}

/// Lets the kernel report, with each datagram, how many it has dropped.
pub(crate) fn enable_drop_counter(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &TRUE)
}

/// Lets the kernel queue what the network answers to datagrams (ICMP errors).
pub(crate) fn enable_error_queue(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    match ipv6 {
        true => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &TRUE),
        false => set(socket, libc::IPPROTO_IP, libc::IP_RECVERR, &TRUE),
    }
}

/// Sizes the receive buffer beyond the system's limit; needs CAP_NET_ADMIN.
pub(crate) fn force_receive_buffer_len(socket: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &buffer_len(len))
}

/// Sizes the send buffer beyond the system's limit; needs CAP_NET_ADMIN.
pub(crate) fn force_send_buffer_len(socket: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &buffer_len(len))
}

/// The kernel doubles what it is given, in an `int`.
fn buffer_len(len: usize) -> libc::c_int {
    len.min(libc::c_int::MAX as usize / 2) as libc::c_int
}

fn set<T>(socket: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let pointer: *const T = value;
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is readable for its size, and the kernel copies it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer.cast(), len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const TRUE: libc::c_int = 1;
