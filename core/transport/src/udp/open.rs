//! Opening the sockets: what fails names the option at fault, what is merely worse than wished
//! becomes a warning.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::counters::TransportCounters;
use crate::sys::interfaces::{self, Interface};
use crate::sys::options::{self, TooLarge};
use crate::udp::liveness::Liveness;
use crate::udp::{OpenError, UdpOptions};

/// What was opened.
pub(crate) struct Sockets {
    pub(crate) unicast: Socket,
    pub(crate) multicast: Option<Socket>,
    pub(crate) liveness: Option<Liveness>,
    /// The address of `unicast`.
    pub(crate) local: SocketAddr,
    /// With the sizes of the buffers filled in.
    pub(crate) counters: TransportCounters,
}

/// Opens both sockets; also returns warnings.
pub(crate) fn open(options: &UdpOptions) -> Result<(Sockets, Vec<String>), OpenError> {
    check_group(options)?;
    let machine = interfaces::list().map_err(OpenError::system("a list of interfaces"))?;
    let bind = resolve_bind(options, &machine)?;
    let mut warnings = Vec::new();
    let (unicast, local, liveness) = bind_both(options, bind, &machine, &mut warnings)?;
    let counters = size_buffers(&unicast, options, &mut warnings)?;
    prepare_receiving(&unicast)?;
    // Whoever wants to know what a path takes sends a probe; all else has to arrive.
    options::set_too_large(unicast.as_fd(), bind.is_ipv6(), TooLarge::Fragment)
        .map_err(OpenError::system("fragments"))?;
    options::set_dscp(unicast.as_fd(), bind.is_ipv6(), options.dscp)
        .map_err(OpenError::system("a differentiated services code point (transport.dscp)"))?;
    options::enable_error_queue(unicast.as_fd(), bind.is_ipv6())
        .map_err(OpenError::system("an error queue"))?;
    let mut multicast = None;
    if let Some(group) = options.multicast {
        let interface = multicast_interface(options, bind, &machine)?;
        match join(&unicast, local, group, &interface, options) {
            Ok(socket) => multicast = Some(socket),
            Err(error) => warnings.push(no_multicast(group, &interface.name, &error)),
        }
    }
    Ok((Sockets { unicast, multicast, liveness, local, counters }, warnings))
}

/// The socket for datagrams and the liveness connections have one port number, each of its kind.
fn bind_both(
    options: &UdpOptions,
    bind: SocketAddr,
    machine: &[Interface],
    warnings: &mut Vec<String>,
) -> Result<(Socket, SocketAddr, Option<Liveness>), OpenError> {
    let mut left = if bind.port() == 0 { PORTS_TRIED_MAX } else { 1 };
    loop {
        let unicast = socket(bind)?;
        unicast.bind(&bind.into()).map_err(|error| bind_error(error, bind, machine))?;
        let local = unicast.local_addr().map_err(OpenError::system("the socket's own address"))?;
        let local = local.as_socket().unwrap_or(bind);
        if !options.liveness {
            return Ok((unicast, local, None));
        }
        left -= 1;
        match Liveness::open(local) {
            Ok(liveness) => return Ok((unicast, local, Some(liveness))),
            Err(error) if left > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                warnings.push(format!(
                    "no liveness connections at TCP port {} ({error}): that a process of the \
                     cluster has ended may be noticed later; free the port, or set \
                     transport.liveness to false",
                    local.port()
                ));
                return Ok((unicast, local, None));
            }
        }
    }
}

fn check_group(options: &UdpOptions) -> Result<(), OpenError> {
    if options.multicast_ttl > 255 {
        return Err(OpenError::TtlTooLarge { multicast_ttl: options.multicast_ttl });
    }
    let Some(multicast) = options.multicast else { return Ok(()) };
    let problem = if multicast.is_ipv6() != options.bind.is_ipv6() {
        "is not of the same family (IPv4, IPv6) as transport.bind"
    } else if !multicast.ip().is_multicast() {
        "is not a multicast address"
    } else if multicast.port() == 0 {
        "has no port"
    } else {
        return Ok(());
    };
    Err(OpenError::GroupUnfit { bind: options.bind, multicast, problem })
}

/// The address to bind to: as given, or that of the interface.
fn resolve_bind(options: &UdpOptions, machine: &[Interface]) -> Result<SocketAddr, OpenError> {
    let bind = options.bind;
    let Some(name) = &options.interface else {
        return match bind.ip().is_unspecified() {
            true => Err(OpenError::AddressUnspecified { bind, known: addresses(bind, machine) }),
            false => Ok(bind),
        };
    };
    let unknown = |problem| {
        let mut known: Vec<_> = machine.iter().map(|entry| entry.name.clone()).collect();
        known.dedup();
        known.sort_unstable();
        known.dedup();
        OpenError::InterfaceUnknown { interface: name.clone(), problem, known }
    };
    let entries = || machine.iter().filter(|entry| entry.name == *name);
    if entries().next().is_none() {
        return Err(unknown("does not exist on this machine"));
    }
    if !bind.ip().is_unspecified() {
        return Ok(bind);
    }
    let address = entries().filter_map(|entry| entry.address).find(|ip| usable(*ip, bind));
    let address = address.ok_or_else(|| unknown("has no address that transport.bind could use"))?;
    Ok(SocketAddr::new(address, bind.port()))
}

/// An address of the family of `bind` that means the same to everybody.
fn usable(ip: IpAddr, bind: SocketAddr) -> bool {
    match ip {
        IpAddr::V4(_) => bind.is_ipv4(),
        IpAddr::V6(v6) => bind.is_ipv6() && !v6.is_unicast_link_local(),
    }
}

fn addresses(bind: SocketAddr, machine: &[Interface]) -> Vec<(IpAddr, String)> {
    let named = |entry: &Interface| Some((entry.address?, entry.name.clone()));
    machine.iter().filter_map(named).filter(|(ip, _)| usable(*ip, bind)).collect()
}

fn socket(bind: SocketAddr) -> Result<Socket, OpenError> {
    // Non-blocking and closed on exec from the start.
    let kind = Type::DGRAM.nonblocking();
    let socket =
        Socket::new(Domain::for_address(bind), kind, Some(Protocol::UDP)).map_err(|source| {
            match source.raw_os_error() {
                Some(libc::EAFNOSUPPORT) => OpenError::FamilyMissing { bind, source },
                _ => OpenError::System { what: "a socket", source },
            }
        })?;
    if bind.is_ipv6() {
        socket.set_only_v6(true).map_err(OpenError::system("a socket for IPv6 only"))?;
    }
    Ok(socket)
}

fn bind_error(source: io::Error, bind: SocketAddr, machine: &[Interface]) -> OpenError {
    match source.raw_os_error() {
        Some(libc::EADDRINUSE) => OpenError::PortInUse { bind },
        // EINVAL: a link-local IPv6 address without its scope.
        Some(libc::EADDRNOTAVAIL | libc::EINVAL | libc::ENODEV) => {
            OpenError::AddressNotHere { bind, known: addresses(bind, machine) }
        }
        Some(libc::EACCES | libc::EPERM) => OpenError::Permission { bind, source },
        _ => OpenError::System { what: "the address", source },
    }
}

/// Runs of datagrams, and the kernel's drop counter. Neither is needed for receiving at all.
fn prepare_receiving(socket: &Socket) -> Result<(), OpenError> {
    options::enable_drop_counter(socket.as_fd()).map_err(OpenError::system("a drop counter"))?;
    // Kernels without it hand over single datagrams.
    let _ = options::enable_receive_runs(socket.as_fd());
    Ok(())
}

/// Sizes the buffers as wished if this process may, else up to the system's limit; warns when that
/// is less.
fn size_buffers(
    socket: &Socket,
    options: &UdpOptions,
    warnings: &mut Vec<String>,
) -> Result<TransportCounters, OpenError> {
    let refused = OpenError::system;
    let (receive_len, send_len) = (options.receive_buffer_len, options.send_buffer_len);
    if options::force_receive_buffer_len(socket.as_fd(), receive_len).is_err() {
        socket.set_recv_buffer_size(receive_len).map_err(refused("a receive buffer"))?;
    }
    if options::force_send_buffer_len(socket.as_fd(), send_len).is_err() {
        socket.set_send_buffer_size(send_len).map_err(refused("a send buffer"))?;
    }
    // The kernel doubles what it is given, for its own use, and says the double.
    let receive_given = socket.recv_buffer_size().map_err(refused("a receive buffer"))? / 2;
    let send_given = socket.send_buffer_size().map_err(refused("a send buffer"))? / 2;
    for (kind, option, limit, given, wanted) in [
        (
            "receive",
            "transport.receive_buffer_len",
            "net.core.rmem_max",
            receive_given,
            receive_len,
        ),
        ("send", "transport.send_buffer_len", "net.core.wmem_max", send_given, send_len),
    ] {
        if given < wanted {
            warnings.push(format!(
                "the {kind} buffer has {given} bytes instead of {wanted} ({option}), and bursts \
                 may be lost: raise the limit (`sysctl -w {limit}={wanted}`), or give this process \
                 the capability CAP_NET_ADMIN"
            ));
        }
    }
    Ok(TransportCounters {
        receive_buffer_len: receive_given as u64,
        receive_buffer_len_wanted: receive_len as u64,
        send_buffer_len: send_given as u64,
        send_buffer_len_wanted: send_len as u64,
        ..Default::default()
    })
}

/// The interface that is named, or else the one to which the address belongs.
fn multicast_interface(
    options: &UdpOptions,
    bind: SocketAddr,
    machine: &[Interface],
) -> Result<Interface, OpenError> {
    let by_name = |entry: &&Interface| Some(&entry.name) == options.interface.as_ref();
    let exactly = |entry: &&Interface| entry.address == Some(bind.ip());
    // All of 127.0.0.0/8 is here, and listed as 127.0.0.1 only.
    let by_network = |entry: &&Interface| same_network(entry, bind.ip());
    let found = match &options.interface {
        Some(_) => machine.iter().find(by_name),
        None => machine.iter().find(exactly).or_else(|| machine.iter().find(by_network)),
    };
    let known = || addresses(bind, machine);
    found.cloned().ok_or_else(|| OpenError::AddressNotHere { bind, known: known() })
}

fn same_network(entry: &Interface, ip: IpAddr) -> bool {
    let (Some(IpAddr::V4(own)), Some(IpAddr::V4(mask)), IpAddr::V4(ip)) =
        (entry.address, entry.netmask, ip)
    else {
        return false;
    };
    own & mask == ip & mask
}

/// Makes the unicast socket able to send to the group, and opens the socket that hears it.
fn join(
    unicast: &Socket,
    local: SocketAddr,
    group: SocketAddr,
    interface: &Interface,
    options: &UdpOptions,
) -> io::Result<Socket> {
    let index = interface.index;
    prepare_sending(unicast, group, index, options.multicast_ttl)?;
    // One that is down has no route now; when it is up, it may. Whoever starts before its network
    // must not be without multicast for ever.
    if interface.is_up {
        check_route(local, group, index, options.multicast_ttl)?;
    }
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(group), kind, Some(Protocol::UDP))?;
    // Several engines of this machine hear the group.
    socket.set_reuse_address(true)?;
    match group.ip() {
        IpAddr::V4(ip) => {
            // Else the kernel hands over groups that other programs joined.
            socket.set_multicast_all_v4(false)?;
            socket.bind(&group.into())?;
            socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(index))?;
        }
        IpAddr::V6(ip) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_all_v6(false)?;
            socket.bind(&scoped(group, index).into())?;
            socket.join_multicast_v6(&ip, index)?;
        }
    }
    let mut ignored = Vec::new();
    size_buffers(&socket, options, &mut ignored).map_err(io::Error::other)?;
    prepare_receiving(&socket).map_err(io::Error::other)?;
    Ok(socket)
}

fn prepare_sending(socket: &Socket, group: SocketAddr, index: u32, ttl: u32) -> io::Result<()> {
    match group {
        SocketAddr::V4(_) => {
            options::set_multicast_interface_v4(socket.as_fd(), index)?;
            socket.set_multicast_ttl_v4(ttl)?;
            socket.set_multicast_loop_v4(true)
        }
        SocketAddr::V6(_) => {
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_hops_v6(ttl)?;
            socket.set_multicast_loop_v6(true)
        }
    }
}

/// Asks the kernel for a route, as sending would, without sending.
fn check_route(local: SocketAddr, group: SocketAddr, index: u32, ttl: u32) -> io::Result<()> {
    let probe = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    prepare_sending(&probe, group, index, ttl)?;
    let mut from = local;
    from.set_port(0);
    probe.bind(&from.into())?;
    probe.connect(&scoped(group, index).into())
}

/// A group that is valid on one link only needs to say which.
fn scoped(group: SocketAddr, index: u32) -> SocketAddr {
    let SocketAddr::V6(mut v6) = group else { return group };
    if matches!(v6.ip().segments()[0] & 0xf, 1 | 2) {
        v6.set_scope_id(index);
    }
    v6.into()
}

fn no_multicast(group: SocketAddr, interface: &str, error: &io::Error) -> String {
    format!(
        "no multicast to {group} on {interface} ({error}): every datagram goes to each peer by \
         itself, and peers must be listed (transport.peers); set transport.multicast to \"off\" if \
         this is meant to be so"
    )
}

/// Free ports tried, until one is free for both kinds.
const PORTS_TRIED_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_sent_bears_its_code_point() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let options = UdpOptions {
                bind: bind.parse().expect("an address"),
                multicast: None,
                interface: None,
                multicast_ttl: 1,
                receive_buffer_len: 100 << 10,
                send_buffer_len: 100 << 10,
                dscp: 46,
                liveness: false,
            };
            let (sockets, _) = open(&options).expect("sockets");
            let octet = match options.bind.is_ipv6() {
                true => sockets.unicast.tclass_v6(),
                false => sockets.unicast.tos_v4(),
            };
            assert_eq!(octet.expect("an octet"), 46 << 2, "{bind}");
        }
    }
}
