//! The engine's carrier: takes streams in, hands each to the engine as a session over shared
//! memory, and carries it. One thread for all streams of an engine.
//!
//! ```text
//!   Greeting --hello--> Opening --welcome--> open (a `Carrier`)
//!      |                   |
//!      +--- too late, nonsense, refused: answered, and closed
//! ```

mod arrival;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::carrier::{Carrier, Step, TOKENS};
use crate::limits::{
    ACCEPT_MAX, ACCEPT_PAUSE, ACCEPT_REST, ACCEPT_REST_MAX, ANSWER_PAUSE, GREETING_MAX,
    LINGER_AT_STOP, TELL_EVERY,
};
use crate::stream::Stream;
use crate::thread::spawn_without_signals;
#[cfg(feature = "fuzzing")]
pub(crate) use arrival::greets;
use arrival::{Arrival, Became};

/// Where streams come in.
#[derive(Debug)]
pub enum Listening {
    /// A stream socket in the file system.
    Unix(UnixListener),
    /// A port.
    Tcp(TcpListener),
}

/// Where a stream comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A process of this host; the kernel knows whose, by this socket.
    Unix(BorrowedFd<'a>),
    /// Somebody at another address.
    Tcp {
        /// That address.
        from: SocketAddr,
        /// The own one that it called.
        to: SocketAddr,
    },
}

/// What streams may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams at the same time; further ones are closed.
    pub streams_max: usize,
    /// Bytes of a ring, at most: they are in the memory of this process.
    pub ring_len_max: u32,
}

/// The engine behind the streams, as this thread reaches it.
pub trait Host: Send {
    /// Gives it its end of a session's socket.
    ///
    /// # Errors
    /// It has ended, or cannot tell whose the stream is.
    fn enter(&mut self, door: OwnedFd, origin: Origin<'_>) -> io::Result<()>;

    /// What its operator should know, in whole sentences.
    fn tell(&mut self, importance: Importance, what: String);
}

/// How much the operator should know something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Something is wrong.
    Warning,
    /// Somebody was refused, or cut: clients can bring that about at will.
    Notice,
    /// As it goes with networks.
    Detail,
}

/// All streams of an engine, until it is dropped: then what the engine has said last still leaves,
/// for a second at most.
pub struct Streams {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    waker: Waker,
    stop: AtomicBool,
}

/// What the thread has.
struct Porter {
    poll: Poll,
    shared: Arc<Shared>,
    listeners: Vec<Door>,
    limits: Limits,
    host: Box<dyn Host>,
    guests: HashMap<usize, Guest>,
    arrivals: usize,
    next: usize,
    /// Who has more to do.
    busy: Vec<usize>,
    /// When the doors are looked at again although nothing has happened there: nobody is let in
    /// before, if somebody could not be.
    pause: Option<Instant>,
    /// When it was last told that somebody could not be let in.
    told: Option<Instant>,
}

enum Door {
    Unix(mio::net::UnixListener),
    Tcp(mio::net::TcpListener),
}

enum Guest {
    Arriving(Box<Arrival>),
    Open(Box<Carrier>),
}

impl Streams {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no room for a thread or a descriptor.
    pub fn start(
        listening: Vec<Listening>,
        limits: Limits,
        host: Box<dyn Host>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let shared = Arc::new(Shared { waker, stop: AtomicBool::new(false) });
        let mut listeners = listening.into_iter().map(Door::of).collect::<io::Result<Vec<_>>>()?;
        for (number, door) in listeners.iter_mut().enumerate() {
            door.source().register(poll.registry(), Token(number), Interest::READABLE)?;
        }
        let next = TOKENS * listeners.len().div_ceil(TOKENS);
        let mut porter = Porter {
            poll,
            shared: Arc::clone(&shared),
            listeners,
            limits,
            host,
            guests: HashMap::new(),
            arrivals: 0,
            next,
            busy: Vec::new(),
            pause: None,
            told: None,
        };
        let thread = spawn_without_signals("anasazi-streams", move || porter.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Streams {
    /// Nobody is let in any more, and what there is ends; does not wait for that.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        _ = self.shared.waker.wake();
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

impl Porter {
    fn run(&mut self) {
        let mut events = Events::with_capacity(128);
        let mut stopping = false;
        while !(stopping && self.guests.is_empty()) {
            let timeout = self.timeout(Instant::now());
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let text = format!("sessions over streams have ended: polling failed: {error}");
                    return self.host.tell(Importance::Warning, text);
                }
            }
            let now = Instant::now();
            if self.shared.stop.load(Ordering::Acquire) && !stopping {
                stopping = true;
                self.begin_to_stop(now);
            }
            self.look_at(&events, now);
            for id in std::mem::take(&mut self.busy) {
                self.turn(id, now);
            }
            self.expire(now);
        }
    }

    fn look_at(&mut self, events: &Events, now: Instant) {
        let knocks = events.iter().any(|event| event.token().0 < self.listeners.len());
        if self.pause.map_or(knocks, |until| until <= now) {
            // What has happened at the doors is told once: all of them are looked at.
            let doors = 0..self.listeners.len();
            let first = doors.filter_map(|number| self.accept(number, now)).min();
            let after = Instant::now();
            let rest = ((after - now) * ACCEPT_REST).min(ACCEPT_REST_MAX);
            self.pause = first.map(|until| until.max(after + rest));
        }
        for event in events.iter().filter(|event| event.token() != WAKER) {
            let (id, which) = (event.token().0 / TOKENS * TOKENS, event.token().0 % TOKENS);
            let Some(guest) = self.guests.get_mut(&id) else { continue };
            if let Guest::Open(carrier) = guest {
                carrier.ready(which, now);
            }
            if !self.busy.contains(&id) {
                self.busy.push(id);
            }
        }
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.busy.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadlines = self.guests.values().filter_map(Guest::deadline);
        let first = deadlines.chain(self.pause).min();
        first.map(|at| at.saturating_duration_since(now))
    }

    fn expire(&mut self, now: Instant) {
        let is_late = |guest: &Guest| guest.deadline().is_some_and(|at| at <= now);
        let late = self.guests.iter().filter(|(_, guest)| is_late(guest)).map(|(id, _)| *id);
        for id in late.collect::<Vec<_>>() {
            self.turn(id, now);
        }
    }

    fn begin_to_stop(&mut self, now: Instant) {
        for mut door in self.listeners.drain(..) {
            _ = door.source().deregister(self.poll.registry());
        }
        self.pause = None;
        for guest in self.guests.values_mut() {
            if let Guest::Open(carrier) = guest {
                carrier.end(now, LINGER_AT_STOP, LINGER_AT_STOP);
            }
        }
        self.guests.retain(|_, guest| matches!(guest, Guest::Open(_)));
        self.busy = self.guests.keys().copied().collect();
    }

    // ---- taking streams in

    /// Lets in who waits; when to look again, if not when somebody else comes.
    fn accept(&mut self, number: usize, now: Instant) -> Option<Instant> {
        for _ in 0..ACCEPT_MAX {
            if self.arrivals >= GREETING_MAX && !self.make_room() {
                return Some(now + ANSWER_PAUSE);
            }
            match self.listeners.get(number)?.accept() {
                Ok(stream) => self.take_in(stream, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if is_about_one(&error) => {}
                Err(error) => {
                    if self.told.is_none_or(|told| now - told >= TELL_EVERY) {
                        self.told = Some(now);
                        let text = format!(
                            "connections of clients cannot be taken in: {error}; where it is \
                             descriptors that are lacking, raise their limit (LimitNOFILE, ulimit \
                             -n)"
                        );
                        self.host.tell(Importance::Warning, text);
                    }
                    return Some(now + ACCEPT_PAUSE);
                }
            }
        }
        Some(now)
    }

    /// The oldest of those that say nothing gives way. False: all have said something.
    fn make_room(&mut self) -> bool {
        let unheard = self.guests.iter().filter_map(|(id, guest)| match guest {
            Guest::Arriving(arrival) if arrival.is_unheard() => Some(*id),
            _ => None,
        });
        let Some(oldest) = unheard.min() else { return false };
        if let Some(Guest::Arriving(arrival)) = self.guests.remove(&oldest) {
            self.arrivals -= 1;
            arrival.give_way(&mut *self.host);
        }
        true
    }

    fn take_in(&mut self, (mut stream, from): (Stream, Option<SocketAddr>), now: Instant) {
        if self.guests.len() >= self.limits.streams_max {
            let text = format!(
                "a stream from {} was closed unheard: there are {} already, as many as \
                 client.sessions_max allows with a lane for each domain, and some that come and \
                 go",
                arrival::name(from),
                self.guests.len()
            );
            return self.host.tell(Importance::Notice, text);
        }
        let id = self.next;
        if let Err(error) = stream.register(self.poll.registry(), Token(id)) {
            let text = format!("a stream was closed unheard: it cannot be watched: {error}");
            return self.host.tell(Importance::Warning, text);
        }
        self.next += TOKENS;
        self.arrivals += 1;
        let arrival = Arrival::new(stream, from, now);
        self.guests.insert(id, Guest::Arriving(Box::new(arrival)));
        self.busy.push(id);
    }

    // ---- serving them

    fn turn(&mut self, id: usize, now: Instant) {
        match self.guests.remove(&id) {
            Some(Guest::Arriving(arrival)) => self.turn_arriving(id, arrival, now),
            Some(Guest::Open(carrier)) => self.turn_open(id, carrier, now),
            None => {}
        }
    }

    fn turn_arriving(&mut self, id: usize, mut arrival: Box<Arrival>, now: Instant) {
        let registry = self.poll.registry();
        match arrival.turn(id, now, &self.limits, &mut *self.host, registry) {
            Became::Nothing | Became::Offered => {
                self.guests.insert(id, Guest::Arriving(arrival));
            }
            Became::Over => self.arrivals -= 1,
            Became::Open => {
                self.arrivals -= 1;
                if let Some(carrier) = arrival.into_carrier(id, registry, &mut *self.host) {
                    self.turn_open(id, Box::new(carrier), now);
                }
            }
        }
    }

    fn turn_open(&mut self, id: usize, mut carrier: Box<Carrier>, now: Instant) {
        match carrier.turn(now) {
            Step::Over(why) => {
                if let Some((importance, text)) = why {
                    self.host.tell(importance, text);
                }
                return carrier.close(self.poll.registry());
            }
            Step::More => self.busy.push(id),
            Step::Idle => {}
        }
        self.guests.insert(id, Guest::Open(carrier));
    }
}

impl Door {
    fn of(listening: Listening) -> io::Result<Self> {
        Ok(match listening {
            Listening::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Self::Unix(mio::net::UnixListener::from_std(socket))
            }
            Listening::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Self::Tcp(mio::net::TcpListener::from_std(socket))
            }
        })
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Unix(socket) => socket,
            Self::Tcp(socket) => socket,
        }
    }

    /// The next stream, and the address that it comes from if it has one.
    fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Unix(socket) => Ok((Stream::Unix(socket.accept()?.0), None)),
            Self::Tcp(socket) => {
                let (stream, from) = socket.accept()?;
                Ok((Stream::of_accepted_tcp(stream)?, Some(from)))
            }
        }
    }
}

impl Guest {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Arriving(arrival) => Some(arrival.deadline()),
            Self::Open(carrier) => carrier.deadline(),
        }
    }
}

/// The connection that was next is of no use any more; the one behind it may be.
fn is_about_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::InvalidInput
    )
}

const WAKER: Token = Token(usize::MAX);
