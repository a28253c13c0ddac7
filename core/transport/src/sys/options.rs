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

/// What routers and switches are to treat it as: the upper six bits of the octet.
pub(crate) fn set_dscp(socket: BorrowedFd<'_>, ipv6: bool, dscp: u8) -> io::Result<()> {
    let octet = libc::c_int::from(dscp) << 2;
    match ipv6 {
        true => set(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &octet),
        false => set(socket, libc::IPPROTO_IP, libc::IP_TOS, &octet),
    }
}

/// How datagrams go out that are larger than the path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// In fragments.
    Fragment,
    /// Not at all: no router may fragment them, and what the kernel has heard about the path does
    /// not count.
    Lose,
}

/// Says what to do with what is too large for the path, from now on.
pub(crate) fn set_too_large(socket: BorrowedFd<'_>, ipv6: bool, what: TooLarge) -> io::Result<()> {
    let (level, name, fragment, lose) = match ipv6 {
        true => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DONT,
            libc::IPV6_PMTUDISC_PROBE,
        ),
        false => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DONT,
            libc::IP_PMTUDISC_PROBE,
        ),
    };
    let value: libc::c_int = if what == TooLarge::Fragment { fragment } else { lose };
    set(socket, level, name, &value)
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
