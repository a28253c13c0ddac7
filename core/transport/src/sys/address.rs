//! Socket addresses as the kernel writes them.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The address in `storage`, of which the kernel wrote `len` bytes; `None` if it is not an internet
/// address. The flow label is left out, so that one sender has one address.
pub(crate) fn decode(storage: &libc::sockaddr_storage, len: libc::socklen_t) -> Option<SocketAddr> {
    let pointer: *const libc::sockaddr_storage = storage;
    match i32::from(storage.ss_family) {
        libc::AF_INET if len as usize >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: a sockaddr_storage is large enough and aligned for every address; the family
            // says which it is.
            let v4 = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let ip = u32::from_be(v4.sin_addr.s_addr).into();
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 if len as usize >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let v6 = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Room for an address, with no family.
pub(crate) fn empty() -> libc::sockaddr_storage {
    // SAFETY: plain old data, for which all zeroes is a value.
    unsafe { std::mem::zeroed() }
}
