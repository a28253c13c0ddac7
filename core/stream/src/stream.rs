//! A byte stream of either kind, and how its sockets are set.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use crate::limits::{KEEPALIVE_AFTER, KEEPALIVE_EVERY, KEEPALIVE_PROBES, SILENCE_MAX};

/// A connected stream that never blocks.
#[derive(Debug)]
pub(crate) enum Stream {
    Unix(mio::net::UnixStream),
    Tcp(mio::net::TcpStream),
}

impl Stream {
    /// # Errors
    /// As setsockopt(2).
    pub(crate) fn of_unix(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::Unix(mio::net::UnixStream::from_std(socket)))
    }

    /// Small records leave at once, and a peer that is silent for good is noticed.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub(crate) fn of_tcp(socket: std::net::TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        set_tcp(&SockRef::from(&socket))?;
        Ok(Self::Tcp(mio::net::TcpStream::from_std(socket)))
    }

    /// One that a listener has accepted, as [`Self::of_tcp`].
    ///
    /// # Errors
    /// As setsockopt(2).
    pub(crate) fn of_accepted_tcp(socket: mio::net::TcpStream) -> io::Result<Self> {
        set_tcp(&SockRef::from(&socket))?;
        Ok(Self::Tcp(socket))
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.source().register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Nothing more leaves; the other side sees the end behind all that has left.
    pub(crate) fn end_writing(&self) {
        // Who has gone already needs no end.
        _ = match self {
            Self::Unix(socket) => socket.shutdown(Shutdown::Write),
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
        };
    }

    /// It ends for both sides, whoever else has copies of its socket.
    pub(crate) fn shut(&self) {
        _ = match self {
            Self::Unix(socket) => socket.shutdown(Shutdown::Both),
            Self::Tcp(socket) => socket.shutdown(Shutdown::Both),
        };
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Unix(socket) => socket,
            Self::Tcp(socket) => socket,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.read(buffer),
            Self::Tcp(socket) => socket.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.write(bytes),
            Self::Tcp(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn set_tcp(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(SILENCE_MAX))
}
