//! One connection to an engine and nothing above it: for simulators and fuzzers, which speak the
//! session's records themselves, say what no client would say, and die in the middle of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use anasazi_queue::hello::{Hello, MAGIC, Welcome};
use anasazi_queue::record::{SESSION_VERSION, ViewRecord};
use anasazi_queue::ring::{Corrupt, Layout, PushError};

use crate::View;
use crate::group::DEFAULT_DOMAIN;
use crate::session::SlowPolicy;
use crate::sys::link::Link;
use crate::sys::socket::{self, Answer};

/// A connection over which a greeting was sent. Dropping it is a client's death.
pub struct RawSession {
    socket: OwnedFd,
    link: Link,
    memory: File,
    layout: Layout,
}

/// A record from the engine.
#[derive(Clone, Copy)]
pub struct RawRecord<'a> {
    /// See `anasazi_queue::record::event`.
    pub kind: u16,
    /// Its payload.
    pub bytes: &'a [u8],
}

impl RawRecord<'_> {
    /// Shows the view that the record holds, if it is a whole one.
    pub fn view<R>(&self, look: impl FnOnce(&ViewRecord, &View) -> R) -> Option<R> {
        View::of(self.bytes).map(|(record, view)| look(&record, &view))
    }
}

impl RawSession {
    /// Makes rings of these sizes, in bytes, and sends the greeting over a connected socket: with
    /// what is to be done when this side does not read.
    ///
    /// # Errors
    /// No descriptors or no memory; the socket is not connected; the sizes are none
    /// (`InvalidInput`).
    pub fn greet(socket: OwnedFd, lens: (u32, u32), slow: SlowPolicy) -> io::Result<Self> {
        Self::greet_as(socket, lens, slow, Some)
    }

    /// The same as a lane for a domain of the session that got this welcome.
    ///
    /// # Errors
    /// As [`Self::greet`]; no domain can have such a name (`InvalidInput`).
    pub fn greet_lane(
        socket: OwnedFd,
        lens: (u32, u32),
        slow: SlowPolicy,
        (session, domain): (&Welcome, &str),
    ) -> io::Result<Self> {
        let (id, key) = (session.session, session.lane_key);
        Self::greet_as(socket, lens, slow, |hello| hello.into_lane(domain, id, key))
    }

    fn greet_as(
        socket: OwnedFd,
        (send_len, receive_len): (u32, u32),
        slow: SlowPolicy,
        change: impl FnOnce(Hello) -> Option<Hello>,
    ) -> io::Result<Self> {
        let layout = Layout::new(send_len, receive_len);
        let layout = layout.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (link, memory) = Link::create(layout, 1, (0, DEFAULT_DOMAIN.into()), 0)?;
        let hello = Hello {
            magic: MAGIC,
            version_min: SESSION_VERSION,
            version_max: SESSION_VERSION,
            send_capacity: send_len,
            receive_capacity: receive_len,
            slow: slow.number(),
            ..Hello::default()
        };
        let hello = change(hello).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let [wake_engine, wake_client] = link.wake_fds();
        let fds = [memory.as_raw_fd(), wake_engine, wake_client];
        socket::send_hello(socket.as_raw_fd(), &hello, fds)?;
        Ok(Self { socket, link, memory: memory.into(), layout })
    }

    /// The engine's answer, once; `None` if there is none, or the connection has ended.
    pub fn answer(&self) -> Option<Welcome> {
        match socket::receive(self.socket.as_raw_fd()) {
            Answer::Welcome(welcome) => Some(*welcome),
            Answer::Nothing | Answer::Nonsense | Answer::Closed => None,
        }
    }

    /// Puts a record in: any kind, any content.
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn request(&self, kind: u16, parts: &[&[u8]]) -> Result<(), PushError> {
        self.link.request(kind, parts)
    }

    /// Shows the next record, if any, and gives it back.
    ///
    /// # Errors
    /// The ring is broken.
    pub fn take<R>(&mut self, look: impl FnOnce(RawRecord<'_>) -> R) -> Result<Option<R>, Corrupt> {
        let Some(taken) = self.link.next()? else { return Ok(None) };
        let result = look(RawRecord { kind: taken.kind, bytes: taken.bytes });
        self.link.release(std::iter::once(taken.token));
        Ok(Some(result))
    }

    /// Whether this side has woken the engine since the last call: what a poller sees of it.
    pub fn has_woken_engine(&self) -> bool {
        self.link.has_woken_engine()
    }

    /// Bytes of requests that the engine has not taken.
    pub fn requests_waiting(&self) -> u64 {
        self.link.fill_levels()[0]
    }

    /// Bytes that the engine has put in and that were not taken out.
    pub fn records_waiting(&self) -> u64 {
        self.link.fill_levels()[2]
    }

    /// Says that this side is about to sleep until it is woken, and looks again; false if there is
    /// something to take. Before anything else is done, [`Self::stay_awake`].
    pub fn may_sleep(&self) -> bool {
        self.link.may_sleep()
    }

    /// This side looks by itself: the engine need not wake it.
    pub fn stay_awake(&self) {
        self.link.stay_awake();
    }

    /// Whether the engine has woken this side since the last call: what its poller sees of it.
    pub fn is_woken(&self) -> bool {
        self.link.is_woken()
    }

    /// After [`PushError::Full`] for a payload of `len` bytes: asks to be woken when there is room.
    /// True: there is already.
    pub fn want_room(&self, len: usize) -> bool {
        self.link.want_room(len)
    }

    /// Writes anything anywhere into the shared memory, as a client gone wild does.
    ///
    /// # Errors
    /// The system refuses.
    pub fn scribble(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let last = self.layout.len().saturating_sub(bytes.len()) as u64;
        self.memory.write_all_at(bytes, at.min(last))
    }
}
