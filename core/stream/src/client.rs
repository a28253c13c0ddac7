//! The client's carrier: what a session's connection to an engine elsewhere looks like from here.
//! A thread for each connection; it waits for names, connections and answers, so nobody else has
//! to.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anasazi_queue::hello::{Hello, Welcome};
use anasazi_queue::plain::Plain;
use anasazi_queue::ring::Layout;
use mio::{Events, Poll};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::carrier::{Carrier, Step};
use crate::frame::greeting;
use crate::limits::{ADDRESS_TIMEOUT_MIN, GREETING_LEN_MAX, GREETING_TIMEOUT, WATCH_EVERY};
use crate::mirror::Mirror;
use crate::stream::Stream;
use crate::sys::rings::{Rings, Side};
use crate::sys::seqpacket;

/// Where an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The path of a stream socket.
    Unix(PathBuf),
    /// `host:port`; a name is looked up at every attempt.
    Tcp(String),
}

/// Why there is no connection.
#[derive(Debug)]
pub struct Failed {
    /// What was attempted, on what.
    pub what: String,
    /// What the system says.
    pub error: io::Error,
}

/// A connected socket that blocks, with a limit.
enum Line {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// Serves the client behind `door`, which hands its session over as to an engine: connects within
/// that time, passes its hello on, and carries what follows, until either side ends it. Blocks: for
/// a thread of its own. If there is no connection, `failed` hears why before the client sees its
/// socket closed.
pub fn carry(door: OwnedFd, address: &Address, within: Duration, failed: impl FnOnce(Failed)) {
    let until = Instant::now() + within;
    match open(&door, address, until) {
        Ok(Some(opened)) => return run(opened.into_carrier(door, address)),
        Ok(None) => {}
        Err(failure) => failed(failure),
    }
    // The client's end may be in children of this process, too, and so may this one.
    seqpacket::shut(door.as_fd());
}

/// What a hello brought, and the stream to the engine that has said welcome.
struct Opened {
    stream: Stream,
    mirror: Mirror,
    wake: OwnedFd,
}

impl Opened {
    fn into_carrier(self, door: OwnedFd, address: &Address) -> Carrier {
        Carrier::new((self.stream, address.to_string()), self.mirror, door, self.wake)
    }
}

fn open(door: &OwnedFd, address: &Address, until: Instant) -> Result<Option<Opened>, Failed> {
    let failed = |what: &str| {
        let what = format!("{what} {address}");
        move |error| Failed { what, error }
    };
    // First: what becomes of it is told to who has said hello.
    let Some((hello, fds)) = hello(door).map_err(failed("taking a session for"))? else {
        return Ok(None); // the client has given up
    };
    let has_given_up = || seqpacket::wait(door.as_fd(), Duration::ZERO).is_ok();
    let Some(mut line) = connect(address, until, has_given_up)? else { return Ok(None) };
    let left = until.saturating_duration_since(Instant::now()).max(ADDRESS_TIMEOUT_MIN);
    let welcome = line.greet(&hello, left).map_err(failed("greeting"))?;
    let offer = offer(&hello, fds).map_err(failed("taking a session for"))?;
    let stream = line.into_stream().map_err(failed("setting up the stream to"))?;
    let opened = welcome_is_good(&welcome).then(|| {
        let [wake, wake_client] = offer.1;
        Opened { stream, mirror: Mirror::new(offer.0, wake_client), wake }
    });
    seqpacket::send(door.as_fd(), &welcome).map_err(failed("answering for"))?;
    Ok(opened)
}

fn welcome_is_good(bytes: &[u8]) -> bool {
    Welcome::split_from(bytes).is_some_and(|(welcome, _)| welcome.status == 0)
}

/// What the client says to its engine. `None`: nothing, it has gone.
fn hello(door: &OwnedFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; GREETING_LEN_MAX];
    seqpacket::wait(door.as_fd(), GREETING_TIMEOUT)?;
    let received = seqpacket::receive(door.as_fd(), &mut bytes)?;
    bytes.truncate(received.len);
    Ok((received.len > 0).then_some((bytes, received.fds)))
}

fn offer(hello: &[u8], fds: Vec<OwnedFd>) -> io::Result<(Rings, [OwnedFd; 2])> {
    let invalid =
        || io::Error::new(ErrorKind::InvalidInput, "the session is not one of this library's");
    let (hello, _) = Hello::split_from(hello).ok_or_else(invalid)?;
    let layout = Layout::new(hello.send_capacity, hello.receive_capacity).ok_or_else(invalid)?;
    let [memory, wake_engine, wake_client] =
        <[OwnedFd; 3]>::try_from(fds).map_err(|_| invalid())?;
    Ok((Rings::of(&memory, layout, Side::Engine)?, [wake_engine, wake_client]))
}

/// `None`: the client has given up meanwhile.
fn connect(
    address: &Address,
    until: Instant,
    has_given_up: impl Fn() -> bool,
) -> Result<Option<Line>, Failed> {
    let failed = |error| Failed { what: format!("connecting to {address}"), error };
    match address {
        Address::Unix(path) => {
            connect_unix(path).map(|line| Some(Line::Unix(line))).map_err(failed)
        }
        Address::Tcp(place) => {
            let looked_up = |error: io::Error| {
                let text = format!("the name cannot be looked up: {error}");
                failed(io::Error::new(error.kind(), text))
            };
            let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
            let mut places = place.to_socket_addrs().map_err(looked_up)?.collect::<Vec<_>>();
            places.reverse();
            while let Some(place) = places.pop() {
                // One that does not answer leaves time for the others.
                let left = until.saturating_duration_since(Instant::now());
                let share = left / (places.len() as u32 + 1);
                let socket = TcpStream::connect_timeout(&place, share.max(ADDRESS_TIMEOUT_MIN));
                if has_given_up() {
                    return Ok(None);
                }
                match socket {
                    Ok(socket) => return Ok(Some(Line::Tcp(socket))),
                    Err(error) => last = error,
                }
            }
            Err(failed(last))
        }
    }
}

/// Without waiting at a door where too many wait.
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(OwnedFd::from(socket).into())
}

impl Line {
    /// Says the hello, and hears the answer within that time.
    fn greet(&mut self, hello: &[u8], within: Duration) -> io::Result<Vec<u8>> {
        let until = Some(within);
        match self {
            Self::Unix(socket) => {
                socket.set_read_timeout(until)?;
                socket.set_write_timeout(until)?;
                exchange(socket, hello)
            }
            Self::Tcp(socket) => {
                socket.set_read_timeout(until)?;
                socket.set_write_timeout(until)?;
                exchange(socket, hello)
            }
        }
    }

    fn into_stream(self) -> io::Result<Stream> {
        match self {
            Self::Unix(socket) => Stream::of_unix(socket),
            Self::Tcp(socket) => Stream::of_tcp(socket),
        }
    }
}

fn exchange(socket: &mut (impl Read + Write), hello: &[u8]) -> io::Result<Vec<u8>> {
    socket.write_all(&greeting(hello))?;
    let mut len = [0; 4];
    socket.read_exact(&mut len).map_err(unanswered)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > GREETING_LEN_MAX {
        let text = "what listens there does not speak the session protocol of this library";
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    let mut welcome = vec![0; len];
    socket.read_exact(&mut welcome).map_err(unanswered)?;
    Ok(welcome)
}

fn unanswered(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            io::Error::new(ErrorKind::TimedOut, "the connection stands, but no answer comes")
        }
        ErrorKind::UnexpectedEof => {
            let text = "the connection was closed without an answer";
            io::Error::new(ErrorKind::ConnectionReset, text)
        }
        _ => error,
    }
}

fn run(mut carrier: Carrier) {
    // Without a set to wait on there is nothing to be done but to close the connection.
    let Ok(mut poll) = Poll::new() else { return };
    let watched = carrier.register_stream(poll.registry(), 0);
    if watched.and_then(|()| carrier.register(poll.registry(), 0)).is_ok() {
        turn(&mut carrier, &mut poll);
    }
    carrier.close(poll.registry());
}

fn turn(carrier: &mut Carrier, poll: &mut Poll) {
    let mut events = Events::with_capacity(8);
    loop {
        let now = Instant::now();
        let timeout = match carrier.turn(now) {
            Step::Over(_) => return,
            Step::More => Some(Duration::ZERO),
            Step::Idle if carrier.is_watched() => Some(WATCH_EVERY),
            Step::Idle => carrier.deadline().map(|at| at.saturating_duration_since(now)),
        };
        match poll.poll(&mut events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
        let now = Instant::now();
        events.iter().for_each(|event| carrier.ready(event.token().0, now));
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(place) => write!(f, "tcp://{place}"),
        }
    }
}
