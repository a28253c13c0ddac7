//! Liveness connections: they carry nothing, and end with their process. A host on which an engine
//! was killed closes its connections at once, whether or not its ring has anything to send, and
//! however often others have asked: unlike the answer that nobody listens at a port, of which a
//! kernel gives one a second.
//!
//! Everybody calls everybody at the TCP port that has the number of the UDP port. Who is called
//! says its name, and nothing more. A connection that ends proves little: networks cut connections,
//! too. So the other one is called once more, and has ended only if its host answers that nobody
//! listens there, or somebody else. Whose connection never came about is not judged at all: there
//! may be a firewall. Nor is who says something else.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::counters::TransportCounters;
use crate::sys::epoll::{Epoll, Interest};
use crate::transport::Life;

/// Both ends of liveness connections.
pub(crate) struct Liveness {
    epoll: Epoll,
    listener: Socket,
    /// The listener is in the set; not while there are no descriptors for who calls.
    listening: bool,
    local: SocketAddr,
    /// What callers are told, once it is known.
    greeting: Option<Greeting>,
    lines: BTreeMap<u64, Line>,
    /// Who called.
    guests: BTreeMap<u64, Socket>,
    last_key: u64,
    ended: Vec<Life>,
    /// How many there were.
    proven: u64,
}

/// A call to another engine.
struct Line {
    socket: Socket,
    to: SocketAddr,
    life: Life,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is proven yet.
    Calling,
    /// It is who it should be.
    Held,
    /// One before it has ended; so many more calls may tell whether the process has, too.
    Asking(u32),
}

/// What is found at the end of a line.
#[derive(Clone, Copy)]
enum Found {
    Nothing,
    /// It said its name: as expected, or another.
    Name {
        expected: bool,
    },
    /// Nobody listens there.
    Nobody,
    /// The connection is over, and that is all.
    End,
    /// Nothing comes from there.
    Silence,
    /// It does not behave, or cannot be reached.
    Unfit,
}

type Greeting = [u8; MAGIC.len() + size_of::<Life>()];

impl Liveness {
    /// Listens at `local`, over TCP.
    pub(crate) fn open(local: SocketAddr) -> io::Result<Self> {
        let listener = socket(local)?;
        // Connections of who was here before may linger.
        listener.set_reuse_address(true)?;
        listener.bind(&local.into())?;
        listener.listen(BACKLOG)?;
        let epoll = Epoll::new()?;
        epoll.add(listener.as_fd(), LISTENER_KEY, Interest::Readable)?;
        Ok(Self {
            epoll,
            listener,
            listening: true,
            local,
            greeting: None,
            lines: BTreeMap::new(),
            guests: BTreeMap::new(),
            last_key: LISTENER_KEY,
            ended: Vec::new(),
            proven: 0,
        })
    }

    /// Readable while [`turn`](Self::turn) has something to do.
    pub(crate) fn fd(&self) -> RawFd {
        self.epoll.fd()
    }

    /// See [`Transport::watch`](crate::Transport::watch).
    pub(crate) fn watch(&mut self, own: Life, others: &[(SocketAddr, Life)]) {
        self.greeting = Some(greeting(own));
        if !self.listening {
            self.listening =
                self.epoll.add(self.listener.as_fd(), LISTENER_KEY, Interest::Readable).is_ok();
        }
        let gone = |line: &Line| !others.contains(&(line.to, line.life));
        for line in self.lines.extract_if(.., |_, line| gone(line)).map(|(_, line)| line) {
            let _ = self.epoll.remove(line.socket.as_fd());
        }
        for (to, life) in others {
            if !self.lines.values().any(|line| (line.to, line.life) == (*to, *life)) {
                self.call(*to, *life, Stage::Calling);
            }
        }
    }

    /// Appends whose ends are proven.
    pub(crate) fn ended(&mut self, out: &mut Vec<Life>) {
        out.append(&mut self.ended);
    }

    /// Does what is to be done now, a bounded part of it.
    pub(crate) fn turn(&mut self, counters: &mut TransportCounters) {
        let mut ready = Vec::new();
        self.epoll.ready(&mut ready);
        for key in ready {
            if key == LISTENER_KEY {
                self.let_in(counters);
            } else if let Some(guest) = self.guests.remove(&key) {
                // They have nothing to say: it is the end.
                let _ = self.epoll.remove(guest.as_fd());
            } else if let Some(line) = self.lines.remove(&key) {
                self.look_at(key, line);
            }
        }
        let held = self.lines.values().filter(|line| line.stage == Stage::Held).count();
        counters.liveness_held = held as u64;
        counters.liveness_ended = self.proven;
    }

    fn let_in(&mut self, counters: &mut TransportCounters) {
        for _ in 0..CALLS_PER_TURN {
            let guest = match self.listener.accept() {
                Ok((guest, _)) => guest,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if is_out_of_room(&error) => {
                    // Until the next ring: it would be ready all the time.
                    self.listening = self.epoll.remove(self.listener.as_fd()).is_err();
                    return;
                }
                // Of the one that has called.
                Err(_) => continue,
            };
            let Some(greeting) = self.greeting else { continue };
            if self.guests.len() >= GUESTS_MAX {
                counters.liveness_refused += 1;
                continue;
            }
            let key = self.fresh_key();
            // Whose host is gone without a word must not stay for ever.
            let is_ready = guest.set_nonblocking(true).is_ok()
                && guest.set_tcp_keepalive(&keepalive()).is_ok()
                && self.epoll.add(guest.as_fd(), key, Interest::Readable).is_ok();
            if !is_ready {
                continue;
            }
            match (&guest).write(&greeting) {
                Ok(len) if len == greeting.len() => _ = self.guests.insert(key, guest),
                _ => _ = self.epoll.remove(guest.as_fd()),
            }
        }
    }

    /// Something happened on a line, which is not in the list.
    fn look_at(&mut self, key: u64, mut line: Line) {
        let found = match line.socket.take_error() {
            Ok(Some(error)) | Err(error) => of_error(&error),
            Ok(None) => read(&line.socket, line.life),
        };
        let next = match (line.stage, found) {
            (stage, Found::Nothing) => Some(stage),
            (Stage::Calling | Stage::Asking(_), Found::Name { expected: true }) => {
                Some(Stage::Held)
            }
            _ => None,
        };
        if let Some(stage) = next {
            line.stage = stage;
            self.lines.insert(key, line);
            return;
        }
        let _ = self.epoll.remove(line.socket.as_fd());
        self.over(line.to, line.life, line.stage, found);
    }

    /// A line is no more.
    fn over(&mut self, to: SocketAddr, life: Life, stage: Stage, found: Found) {
        match (stage, found) {
            (Stage::Held, Found::End | Found::Nobody | Found::Silence) => {
                self.call(to, life, Stage::Asking(CALLS_MAX));
            }
            // Whoever it was has let in and gone, before it could say its name.
            (Stage::Calling, Found::End) => self.call(to, life, Stage::Asking(0)),
            (Stage::Asking(_), Found::Nobody | Found::Name { .. }) => {
                self.proven += 1;
                self.ended.push(life);
            }
            // It was about to end.
            (Stage::Asking(left @ 1..), Found::End) => {
                self.call(to, life, Stage::Asking(left - 1));
            }
            _ => {}
        }
    }

    fn call(&mut self, to: SocketAddr, life: Life, stage: Stage) {
        let key = self.fresh_key();
        match self.begin_call(to, key) {
            Ok(socket) => {
                self.lines.insert(key, Line { socket, to, life, stage });
            }
            Err(error) => self.over(to, life, stage, of_error(&error)),
        }
    }

    fn begin_call(&self, to: SocketAddr, key: u64) -> io::Result<Socket> {
        let socket = socket(self.local)?;
        // From where the datagrams come, too.
        let mut from = self.local;
        from.set_port(0);
        socket.bind(&from.into())?;
        if socket.local_addr()?.as_socket() == Some(to) {
            // It would call itself: nobody else has that port.
            return Err(ErrorKind::ConnectionRefused.into());
        }
        // Firewalls forget what is silent.
        let _ = socket.set_tcp_keepalive(&keepalive());
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => self.epoll.add(socket.as_fd(), key, Interest::Readable)?,
        }
        Ok(socket)
    }

    fn fresh_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(SILENT_FOR).with_interval(SILENT_FOR / 4)
}

/// Non-blocking and closed on exec from the start.
fn socket(local: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(local), kind, Some(Protocol::TCP))?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn greeting(life: Life) -> Greeting {
    let mut greeting = [0; _];
    let (magic, name) = greeting.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    name.copy_from_slice(&life);
    greeting
}

fn read(mut socket: &Socket, life: Life) -> Found {
    let mut buffer = [0; size_of::<Greeting>() + 1];
    match socket.read(&mut buffer) {
        Ok(0) => Found::End,
        Ok(len) if buffer[..len] == greeting(life) => Found::Name { expected: true },
        Ok(len) if len == size_of::<Greeting>() && buffer.starts_with(MAGIC) => {
            Found::Name { expected: false }
        }
        Ok(_) => Found::Unfit,
        Err(error) => of_error(&error),
    }
}

fn of_error(error: &io::Error) -> Found {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Found::Nothing,
        ErrorKind::ConnectionRefused => Found::Nobody,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Found::End,
        ErrorKind::TimedOut => Found::Silence,
        _ => Found::Unfit,
    }
}

fn is_out_of_room(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].iter().any(|c| code == Some(*c))
}

/// What every greeting begins with.
const MAGIC: &[u8; 16] = b"anasazi lives 1\n";
const LISTENER_KEY: u64 = 0;
/// Who calls and is not let in yet.
const BACKLOG: libc::c_int = 128;
const CALLS_PER_TURN: usize = 16;
/// Strangers must not use up the descriptors.
const GUESTS_MAX: usize = 256;
/// Further calls to who is about to end.
const CALLS_MAX: u32 = 8;
/// A connection that said nothing for so long is kept alive.
const SILENT_FOR: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes pass until a kernel says so.
    #[test]
    fn who_never_answered_is_not_judged_and_who_fell_silent_is_asked() {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let silence = of_error(&ErrorKind::TimedOut.into());
        for (stage, asked) in
            [(Stage::Calling, false), (Stage::Asking(CALLS_MAX), false), (Stage::Held, true)]
        {
            let local = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut liveness = Liveness::open(local).expect("a free port");
            liveness.over(nobody, [1; 16], stage, silence);
            let calls = liveness.lines.len() + liveness.ended.len();
            assert_eq!(calls, usize::from(asked));
        }
    }
}
