//! Whether own multicasts come back to this host: they must where another engine here listens to
//! the group, and else only cost a fourth of what a member of a ring of four receives.
//!
//! They do not come back while the others that are watched are all on other hosts, until somebody
//! on this host is heard: who begins hears none of the group, but can be heard, since it does not
//! watch anybody yet.

use std::net::{IpAddr, SocketAddr};

use socket2::Socket;

use crate::sys::interfaces;

/// The setting of the socket that sends.
pub(crate) struct Echo {
    is_on: bool,
    /// Addresses of this host.
    here: Vec<IpAddr>,
}

impl Echo {
    /// As sockets are opened: it is on.
    pub(crate) fn new() -> Self {
        Self { is_on: true, here: Vec::new() }
    }

    /// These others are watched from now on.
    pub(crate) fn watch(&mut self, socket: &Socket, others: impl Iterator<Item = SocketAddr>) {
        // Interfaces come and go. Without a list everybody may be here.
        let here = interfaces::list().ok();
        let is_known = here.is_some();
        self.here = here.into_iter().flatten().filter_map(|one| one.address).collect();
        let mut others = others.peekable();
        let wanted = !is_known || others.peek().is_none() || others.any(|o| self.is_here(o.ip()));
        self.set(socket, wanted);
    }

    /// Somebody on this host was heard.
    pub(crate) fn neighbour_heard(&mut self, socket: &Socket) {
        if !self.is_on {
            self.set(socket, true);
        }
    }

    /// It is an address of this host.
    pub(crate) fn is_here(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.here.contains(&ip)
    }

    fn set(&mut self, socket: &Socket, wanted: bool) {
        if wanted == self.is_on {
            return;
        }
        let done = match socket.local_addr().is_ok_and(|local| local.is_ipv6()) {
            true => socket.set_multicast_loop_v6(wanted),
            false => socket.set_multicast_loop_v4(wanted),
        };
        // What cannot be set stays as it is, and is tried again.
        if done.is_ok() {
            self.is_on = wanted;
        }
    }
}
