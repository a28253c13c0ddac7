//! Why the sockets could not be opened, in words for the operator.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Why [`Udp::open`](crate::Udp::open) failed. The text says what, where, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another socket has the port.
    PortInUse {
        /// The address asked for.
        bind: SocketAddr,
    },
    /// The address belongs to no interface of this machine.
    AddressNotHere {
        /// The address asked for.
        bind: SocketAddr,
        /// Addresses that this machine has, with the names of their interfaces.
        known: Vec<(IpAddr, String)>,
    },
    /// An unspecified address says nothing about where others can reach this machine.
    AddressUnspecified {
        /// The address asked for.
        bind: SocketAddr,
        /// Addresses that this machine has, with the names of their interfaces.
        known: Vec<(IpAddr, String)>,
    },
    /// There is no interface of that name, or it has no address of the family that is needed.
    InterfaceUnknown {
        /// The name asked for.
        interface: String,
        /// What is wrong with it.
        problem: &'static str,
        /// The interfaces that there are.
        known: Vec<String>,
    },
    /// The group is not a multicast address, or has port 0, or is not of the family of the address.
    GroupUnfit {
        /// The address asked for.
        bind: SocketAddr,
        /// The group asked for.
        multicast: SocketAddr,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More than 255.
    TtlTooLarge {
        /// The value asked for.
        multicast_ttl: u32,
    },
    /// The process has no right to use the address.
    Permission {
        /// The address asked for.
        bind: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// This machine has no IPv6, or no IPv4.
    FamilyMissing {
        /// The address asked for.
        bind: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Something else that the system refused.
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// For `map_err`: what was tried.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortInUse { bind } => write!(
                f,
                "UDP port {port} of {ip} is in use (transport.bind): stop the program that has it \
                 (`ss -ulpn 'sport = :{port}'` names it), or use another port; 0 takes a free one",
                port = bind.port(),
                ip = bind.ip(),
            ),
            Self::AddressNotHere { bind, known } => write!(
                f,
                "{} (transport.bind) is not an address of this machine, or its interface is down: \
                 use one of {}",
                bind.ip(),
                Addresses(known),
            ),
            Self::AddressUnspecified { bind, known } => write!(
                f,
                "{} (transport.bind) says nothing about where others can reach this machine: use \
                 one of {}, or name an interface (transport.interface)",
                bind.ip(),
                Addresses(known),
            ),
            Self::InterfaceUnknown { interface, problem, known } => write!(
                f,
                "network interface {interface:?} (transport.interface) {problem}: use one of {}",
                list(known.iter()),
            ),
            Self::GroupUnfit { bind, multicast, problem } => write!(
                f,
                "{multicast} (transport.multicast) {problem}: use {}, or \"off\"",
                if bind.is_ipv6() {
                    "a group such as [ff15::7745]:7745"
                } else {
                    "a group such as 239.192.77.1:7745"
                },
            ),
            Self::TtlTooLarge { multicast_ttl } => {
                write!(f, "{multicast_ttl} (transport.multicast_ttl) is too large: use 0 to 255")
            }
            Self::Permission { bind, source } => write!(
                f,
                "no permission to use {bind} (transport.bind): {source}; ports below 1024 need the \
                 capability CAP_NET_BIND_SERVICE, a larger port does not",
            ),
            Self::FamilyMissing { bind, source } => write!(
                f,
                "this machine cannot use {} (transport.bind): {source}; use an {} address",
                if bind.is_ipv6() { "IPv6" } else { "IPv4" },
                if bind.is_ipv6() { "IPv4" } else { "IPv6" },
            ),
            Self::System { what, source } => write!(
                f,
                "the system refused {what} for UDP: {source}; look for limits on this process \
                 (descriptors, memory, system call filters)",
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Permission { source, .. }
            | Self::FamilyMissing { source, .. }
            | Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// "127.0.0.1 (lo), 192.0.2.2 (eth0)".
struct Addresses<'a>(&'a [(IpAddr, String)]);

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(self.0.iter().map(|(address, name)| format!("{address} ({name})"))))
    }
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    if items.is_empty() { "(there is none)".to_owned() } else { items.join(", ") }
}
