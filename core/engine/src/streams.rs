//! Sessions that come in over streams: where the configuration says, handed to the engine as those
//! of this host are.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use anasazi_protocol::Instant;
use anasazi_stream::engine::{Host, Importance, Limits, Listening, Origin, Streams};

use crate::chatter::Chatter;
use crate::config::{ClientConfig, StreamAddress};
use crate::domains::DOMAINS_MAX;
use crate::engine::EngineHandle;
use crate::error::EngineError;
use crate::session::Listener;
use crate::sys::poll::now_ns;
use crate::sys::socket::{self, Peer, Way};

/// Streams that may be on their way in or out beside those that are sessions.
const SPARE_STREAMS: usize = 64;

/// Everything that listens for streams. Dropping it waits until the last words have left, for a
/// second at most.
pub(crate) struct StreamSessions {
    streams: Streams,
    /// Where, with the ports that the system chose.
    pub(crate) addresses: Vec<StreamAddress>,
    /// Take their files away.
    files: Vec<Listener>,
}

impl StreamSessions {
    /// Nobody is let in any more; what was said last still leaves. Does not wait.
    pub(crate) fn stop(&mut self) {
        self.streams.stop();
        self.files.clear();
    }
}

/// Where sessions over streams get into the engine.
struct Entrance {
    engine: EngineHandle,
    /// Where it listens.
    places: Vec<StreamAddress>,
    chatter: Chatter,
}

impl Host for Entrance {
    fn enter(&mut self, door: OwnedFd, origin: Origin<'_>) -> io::Result<()> {
        self.engine.enter(door, Some(peer(origin, &self.places)?))
    }

    fn tell(&mut self, importance: Importance, mut what: String) {
        if importance == Importance::Notice {
            match self.chatter.next(Instant(now_ns())) {
                Some(None) => {}
                Some(Some(withheld)) => what += &format!("; {withheld} more were not logged"),
                None => return,
            }
        }
        self.engine.tell(importance, what);
    }
}

/// Logs what the thread of the streams has told: on the engine's own, where its owner expects it.
pub(crate) fn log((importance, what): (Importance, String)) {
    match importance {
        Importance::Warning => tracing::warn!(target: "anasazi::engine", "{what}"),
        Importance::Notice => tracing::info!(target: "anasazi::engine", "{what}"),
        Importance::Detail => tracing::debug!(target: "anasazi::engine", "{what}"),
    }
}

/// Listens where the configuration says; `None` if nowhere.
///
/// # Errors
/// Says which place it cannot listen at, why, and what to do.
pub(crate) fn listen(
    config: &ClientConfig,
    engine: EngineHandle,
) -> Result<Option<StreamSessions>, EngineError> {
    if config.listen_streams.is_empty() {
        return Ok(None);
    }
    let mut files = Vec::new();
    let (mut listening, mut addresses) = (Vec::new(), Vec::new());
    for address in &config.listen_streams {
        let opened = open(address, config.listen_mode, &mut files);
        let (open, address) = opened.map_err(|error| EngineError::Socket(error.to_string()))?;
        tracing::info!(target: "anasazi::engine", "sessions at {address}");
        listening.push(open);
        addresses.push(address);
    }
    let limits = Limits {
        // Each has a lane for each domain at most; those beyond its limits the engine refuses.
        streams_max: config.sessions_max.saturating_mul(DOMAINS_MAX).saturating_add(SPARE_STREAMS),
        ring_len_max: config.stream_ring_len_max,
    };
    let places = addresses.clone();
    let entrance = Entrance { engine, places, chatter: Chatter::default() };
    let streams = Streams::start(listening, limits, Box::new(entrance))
        .map_err(|error| EngineError::System(format!("cannot serve streams: {error}")))?;
    Ok(Some(StreamSessions { streams, addresses, files }))
}

fn open(
    address: &StreamAddress,
    mode: u32,
    files: &mut Vec<Listener>,
) -> io::Result<(Listening, StreamAddress)> {
    match address {
        StreamAddress::Unix(path) => {
            let listener = Listener::bind_streams(path, mode)?;
            let socket = listener.as_fd().try_clone_to_owned()?;
            files.push(listener);
            Ok((Listening::Unix(socket.into()), address.clone()))
        }
        StreamAddress::Tcp(place) => {
            let explain = |error: io::Error| {
                let text = format!(
                    "cannot listen at {address}: {error}; set client.listen_streams to an address \
                     of this host and a port that is free"
                );
                io::Error::new(error.kind(), text)
            };
            let socket = TcpListener::bind(place).map_err(explain)?;
            let bound = socket.local_addr().map_err(explain)?;
            Ok((Listening::Tcp(socket), StreamAddress::Tcp(bound)))
        }
    }
}

fn peer(origin: Origin<'_>, places: &[StreamAddress]) -> io::Result<Peer> {
    match origin {
        Origin::Unix(stream) => {
            let path = socket::own_path(stream)?.unwrap_or_default();
            let socket = format!("unix:{path}").into();
            Ok(Peer { way: Way::Unix, socket, ..socket::peer(stream)? })
        }
        Origin::Tcp { from, to } => {
            let is_it = |place: &SocketAddr| {
                place.port() == to.port() && (place.ip() == to.ip() || place.ip().is_unspecified())
            };
            let place = places.iter().find_map(|place| match place {
                StreamAddress::Tcp(place) if is_it(place) => Some(*place),
                _ => None,
            });
            let socket = StreamAddress::Tcp(place.unwrap_or(to)).to_string();
            Ok(Peer::remote(from, socket.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// So who comes over a stream of this host is held to client.allow_uids as all others are.
    #[test]
    fn whose_a_stream_is_the_kernel_says_where_it_knows() {
        let (near, _far) = UnixStream::pair().expect("a pair");
        let here = peer(Origin::Unix(near.as_fd()), &[]).expect("known");
        assert_eq!((here.uid, here.way), (socket::own_uid(), Way::Unix));
        assert_eq!(here.pid, std::process::id() as i32);
        let places = ["127.0.0.1:9", "0.0.0.0:10"]
            .map(|place| StreamAddress::Tcp(place.parse().expect("an address")));
        let of = |to: &str| {
            let from = "192.0.2.1:9".parse().expect("an address");
            let to = to.parse().expect("an address");
            peer(Origin::Tcp { from, to }, &places).expect("known")
        };
        let there = of("192.0.2.7:10");
        assert_eq!((there.pid, there.uid, there.gid), (0, u32::MAX, u32::MAX));
        assert_eq!(&*there.socket, "tcp://0.0.0.0:10");
        assert_eq!(&*of("127.0.0.1:9").socket, "tcp://127.0.0.1:9");
    }
}
