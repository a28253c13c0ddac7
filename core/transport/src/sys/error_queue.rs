//! What the network answered to datagrams that were sent (ICMP errors), one by one.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::address;

/// One answer of the network.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NetworkError {
    /// Where the datagram was sent to.
    pub(crate) to: Option<SocketAddr>,
    /// The host is there, and nobody listens at the port.
    pub(crate) port_unreachable: bool,
}

/// Takes the oldest answer from the queue; `None` when it is empty.
pub(crate) fn take(socket: BorrowedFd<'_>) -> io::Result<Option<NetworkError>> {
    let mut to = address::empty();
    let mut control = Control([0; CONTROL_LEN]);
    // SAFETY: plain old data, for which all zeroes is a value. No vector: the start of the datagram
    // is not wanted.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut to).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_LEN as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points at memory of ours that outlives the call, as long as it says.
    if unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) } < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    let port_unreachable = says_port_unreachable(&header);
    Ok(Some(NetworkError { to: address::decode(&to, header.msg_namelen), port_unreachable }))
}

fn says_port_unreachable(header: &libc::msghdr) -> bool {
    // SAFETY: the kernel filled the control buffer of this header, and set its length to what it
    // filled.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a whole control message within the
    // buffer.
    while let Some(message) = unsafe { next.as_ref() } {
        let kind = (message.cmsg_level, message.cmsg_type);
        if kind == (libc::SOL_IP, libc::IP_RECVERR) || kind == (libc::SOL_IPV6, libc::IPV6_RECVERR)
        {
            // SAFETY: the data of these messages begins with this struct; it may not be aligned.
            let error = unsafe {
                libc::CMSG_DATA(message).cast::<libc::sock_extended_err>().read_unaligned()
            };
            let answer = (error.ee_origin, error.ee_type, error.ee_code);
            return answer == (libc::SO_EE_ORIGIN_ICMP, 3, 3)
                || answer == (libc::SO_EE_ORIGIN_ICMP6, 1, 4);
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        next = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    false
}

#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// The error, the address of the host that reported it, and the drop counter.
const CONTROL_LEN: usize = 256;
