//! A stream before it is a session: its hello, and the engine's answer.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use anasazi_queue::hello::{Hello, Welcome};
use anasazi_queue::plain::Plain;
use anasazi_queue::ring::Layout;
use anasazi_queue::status::Status;
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::{Host, Importance, Limits, Origin};
use crate::carrier::{Carrier, DOOR};
use crate::frame::greeting;
use crate::limits::{GREETING_LEN_MAX, GREETING_TIMEOUT};
use crate::mirror::Mirror;
use crate::stream::Stream;
use crate::sys::eventfd::eventfd;
use crate::sys::rings::{Rings, Side};
use crate::sys::seqpacket;

/// A stream that is no session yet.
pub(super) struct Arrival {
    stream: Stream,
    from: Option<SocketAddr>,
    deadline: Instant,
    /// The greeting, as far as it has come.
    heard: Vec<u8>,
    offered: Option<Offered>,
}

/// What the engine was given for it.
struct Offered {
    door: OwnedFd,
    /// `None`: the hello made no sense; the engine will say so.
    carries: Option<(Mirror, OwnedFd)>,
}

/// What it has become.
pub(super) enum Became {
    /// What it was.
    Nothing,
    /// The same; its answer is awaited now.
    Offered,
    /// A session.
    Open,
    Over,
}

impl Arrival {
    pub(super) fn new(stream: Stream, from: Option<SocketAddr>, now: Instant) -> Self {
        let deadline = now + GREETING_TIMEOUT;
        Self { stream, from, deadline, heard: Vec::new(), offered: None }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// It has not said who it is: the oldest of these gives way to a newer one.
    pub(super) fn is_unheard(&self) -> bool {
        self.offered.is_none()
    }

    /// Turns it away while nothing is known of it.
    pub(super) fn give_way(mut self, host: &mut dyn Host) {
        let text = "too many connections that say nothing; this one was the oldest: try again";
        self.refuse(host, Status::EAGAIN, text);
    }

    /// Does what can be done.
    pub(super) fn turn(
        &mut self,
        id: usize,
        now: Instant,
        limits: &Limits,
        host: &mut dyn Host,
        registry: &Registry,
    ) -> Became {
        let became = match &self.offered {
            None => self.hear(limits, host),
            Some(_) => self.answer(),
        };
        if let (Became::Offered, Some(offered)) = (&became, &self.offered) {
            return match watch(registry, &offered.door, id) {
                Ok(()) => Became::Nothing,
                Err(_) => Became::Over,
            };
        }
        match became {
            Became::Nothing if self.deadline <= now => Became::Over,
            became => became,
        }
    }

    /// The session that it is now; `None` if that cannot be watched.
    pub(super) fn into_carrier(
        mut self,
        id: usize,
        registry: &Registry,
        host: &mut dyn Host,
    ) -> Option<Carrier> {
        let offered = self.offered.take()?;
        let (mirror, wake) = offered.carries?;
        _ = unwatch(registry, &offered.door);
        let peer = name(self.from);
        let carrier = Carrier::new((self.stream, peer), mirror, offered.door, wake);
        if let Err(error) = carrier.register(registry, id) {
            let text = format!("a session's stream was closed: it cannot be watched: {error}");
            host.tell(Importance::Warning, text);
            carrier.close(registry);
            return None;
        }
        Some(carrier)
    }

    /// Reads on until the greeting is whole. What comes behind it stays in the socket.
    fn hear(&mut self, limits: &Limits, host: &mut dyn Host) -> Became {
        loop {
            let lacking = match lacking(&self.heard) {
                Ok(0) => return self.offer(limits, host),
                Ok(lacking) => lacking,
                Err(reason) => {
                    self.refuse(host, Status::EINVAL, reason);
                    return Became::Over;
                }
            };
            let mut bytes = vec![0; lacking];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Became::Over,
                Ok(len) => self.heard.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Became::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Became::Over,
            }
        }
    }

    /// Gives the engine a session, as a client of this host would.
    fn offer(&mut self, limits: &Limits, host: &mut dyn Host) -> Became {
        let hello = &self.heard[LEN_LEN..];
        let offered = match layout(hello, limits) {
            Err(reason) => {
                self.refuse(host, Status::EINVAL, &reason);
                return Became::Over;
            }
            Ok(layout) => offer(hello, layout),
        };
        let origin = match (&self.stream, self.from) {
            (Stream::Unix(socket), _) => Some(Origin::Unix(socket.as_fd())),
            // One that has ended meanwhile is of nowhere.
            (Stream::Tcp(socket), from) => {
                (from.zip(socket.local_addr().ok())).map(|(from, to)| Origin::Tcp { from, to })
            }
        };
        match (offered, origin) {
            (Ok((engine, offered)), Some(origin)) => {
                if let Err(error) = host.enter(engine, origin) {
                    self.refuse(host, Status::ECONNREFUSED, &error.to_string());
                    return Became::Over;
                }
                self.offered = Some(offered);
                Became::Offered
            }
            (Err(error), _) => {
                let text = format!("the engine has no room for another stream: {error}");
                self.refuse(host, Status::ENOMEM, &text);
                Became::Over
            }
            (_, None) => Became::Over,
        }
    }

    /// Passes the engine's answer on.
    fn answer(&mut self) -> Became {
        let Some(offered) = &self.offered else { return Became::Over };
        let mut bytes = [0; GREETING_LEN_MAX];
        let len = match seqpacket::receive(offered.door.as_fd(), &mut bytes) {
            Ok(received) if received.len > 0 => received.len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Became::Nothing,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Became::Nothing,
            Ok(_) | Err(_) => return Became::Over,
        };
        let is_good = Welcome::split_from(&bytes[..len]).is_some_and(|(w, _)| w.status == 0);
        let said = self.say(&bytes[..len]);
        let is_carried = self.offered.as_ref().is_some_and(|offered| offered.carries.is_some());
        if said && is_good && is_carried { Became::Open } else { Became::Over }
    }

    fn refuse(&mut self, host: &mut dyn Host, status: Status, reason: &str) {
        let text = format!("a stream from {} was refused: {reason}", name(self.from));
        host.tell(Importance::Notice, text);
        self.say(Welcome::refusal(status, reason).as_bytes());
    }

    /// Nothing was written to the stream before, so there is room.
    fn say(&mut self, welcome: &[u8]) -> bool {
        let bytes = greeting(welcome);
        self.stream.write(&bytes).is_ok_and(|len| len == bytes.len())
    }
}

fn watch(registry: &Registry, door: &OwnedFd, id: usize) -> std::io::Result<()> {
    SourceFd(&door.as_raw_fd()).register(registry, Token(id + DOOR), Interest::READABLE)
}

fn unwatch(registry: &Registry, door: &OwnedFd) -> std::io::Result<()> {
    SourceFd(&door.as_raw_fd()).deregister(registry)
}

/// Where a stream comes from, in words.
pub(super) fn name(from: Option<SocketAddr>) -> String {
    from.map_or_else(|| "a unix socket".to_owned(), |address| address.to_string())
}

/// How many bytes a greeting that has come so far lacks, at least.
fn lacking(heard: &[u8]) -> Result<usize, &'static str> {
    let Some((len, hello)) = heard.split_first_chunk::<LEN_LEN>() else {
        return Ok(LEN_LEN - heard.len());
    };
    match u32::from_le_bytes(*len) as usize {
        0 => Err("the hello is not one of Anasazi's: it is empty"),
        len if len > GREETING_LEN_MAX => Err("the hello is not one of Anasazi's: it is too long"),
        len => Ok(len.saturating_sub(hello.len())),
    }
}

/// Whether a session is offered for a stream that begins with these bytes.
#[cfg(feature = "fuzzing")]
pub(crate) fn greets(bytes: &[u8], limits: &Limits) -> bool {
    let mut heard = Vec::new();
    loop {
        match lacking(&heard) {
            Ok(0) => return matches!(layout(&heard[LEN_LEN..], limits), Ok(Some(_))),
            Ok(more) if heard.len() + more <= bytes.len() => {
                heard.extend_from_slice(&bytes[heard.len()..][..more]);
            }
            Ok(_) | Err(_) => return false,
        }
    }
}

/// The rings that a hello asks for. `Ok(None)`: none that there are; the engine knows why.
fn layout(hello: &[u8], limits: &Limits) -> Result<Option<Layout>, String> {
    let Some((hello, [])) = Hello::split_from(hello) else { return Ok(None) };
    for (name, len) in [
        ("session.send_ring_len", hello.send_capacity),
        ("session.receive_ring_len", hello.receive_capacity),
    ] {
        if len > limits.ring_len_max {
            return Err(format!(
                "{name} = {len}: over a stream a ring is in the engine's memory, too, and has \
                 {} bytes at most there (client.stream_ring_len_max)",
                limits.ring_len_max
            ));
        }
    }
    Ok(Layout::new(hello.send_capacity, hello.receive_capacity))
}

/// The engine's end of a socket over which a session is offered, and our part of that session.
fn offer(hello: &[u8], layout: Option<Layout>) -> std::io::Result<(OwnedFd, Offered)> {
    let (door, engine) = seqpacket::pair()?;
    let Some(layout) = layout else {
        seqpacket::send(door.as_fd(), hello)?;
        return Ok((engine, Offered { door, carries: None }));
    };
    let (rings, memory) = Rings::create(layout, Side::Client)?;
    let (wake_engine, wake_client) = (eventfd()?, eventfd()?);
    let fds = [memory.as_raw_fd(), wake_engine.as_raw_fd(), wake_client.as_raw_fd()];
    seqpacket::send_with(door.as_fd(), hello, &fds)?;
    let mirror = Mirror::new(rings, wake_engine);
    Ok((engine, Offered { door, carries: Some((mirror, wake_client)) }))
}

/// Bytes of the length before a greeting.
const LEN_LEN: usize = size_of::<u32>();
