//! The network interfaces of this machine and their addresses.

use std::ffi::CStr;
use std::io;
use std::net::IpAddr;

use crate::sys::address;

/// One address of one interface; `address` is missing when it has none of IPv4 or IPv6 in this
/// entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    /// Positive.
    pub(crate) index: u32,
    pub(crate) address: Option<IpAddr>,
    /// The bits of `address` that name the network are those set in here.
    pub(crate) netmask: Option<IpAddr>,
    /// It is switched on; there may be no cable all the same.
    pub(crate) is_up: bool,
}

/// All of them, an entry per address.
pub(crate) fn list() -> io::Result<Vec<Interface>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `first` is writable.
    if unsafe { libc::getifaddrs(&raw mut first) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut interfaces = Vec::new();
    let mut next = first;
    // SAFETY: a list that ends with null and lives until freeifaddrs.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: a terminated string within the list.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) };
        // SAFETY: as above.
        let index = unsafe { libc::if_nametoindex(entry.ifa_name) };
        if index == 0 {
            continue; // it went away meanwhile
        }
        // SAFETY: both are null or point into the list, at an address of the family that they say.
        let (address, netmask) = unsafe { (ip(entry.ifa_addr), ip(entry.ifa_netmask)) };
        let name = name.to_string_lossy().into_owned();
        let is_up = entry.ifa_flags & libc::IFF_UP as u32 != 0;
        interfaces.push(Interface { name, index, address, netmask, is_up });
    }
    // SAFETY: made by getifaddrs, and nothing borrowed from it is left.
    unsafe { libc::freeifaddrs(first) };
    Ok(interfaces)
}

/// # Safety
/// `pointer` is null or points at an address that is as long as its family says.
unsafe fn ip(pointer: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: promised by the caller; every address begins with its family.
    let family = i32::from(unsafe { pointer.as_ref() }?.sa_family);
    let len = match family {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => return None,
    };
    let mut storage = address::empty();
    // SAFETY: `len` bytes are readable by the promise, and writable in the storage, which is
    // longer.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut storage).cast::<u8>(), len);
    }
    address::decode(&storage, len as libc::socklen_t).map(|address| address.ip())
}
