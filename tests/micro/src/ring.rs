//! The ring by which a client sends, with both of its ends in one thread.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use anasazi_client::SlowPolicy;
use anasazi_client::raw::RawSession;
use anasazi_engine::sys::memory::Lane;
use anasazi_engine::sys::socket;
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{SendRecord, request};
use anasazi_queue::ring::Layout;
use bytes::BytesMut;

/// As long as a session's are by default.
const RING_LEN: u32 = 4 << 20;
/// Agreed.
const SERVICE: u32 = 4;

/// Both ends, and what was taken out last.
pub struct Ring {
    client: RawSession,
    engine: Lane,
    taken: BytesMut,
    _socket: OwnedFd,
}

impl Ring {
    /// A ring with nothing in it.
    ///
    /// # Errors
    /// No memory, or no descriptors.
    pub fn new() -> io::Result<Self> {
        let (near, far) = socket::pair()?;
        let client = RawSession::greet(near, (RING_LEN, RING_LEN), SlowPolicy::Disconnect)?;
        let mut hello = [0; 256];
        let received = socket::receive(far.as_fd(), &mut hello)?;
        let layout = Layout::new(RING_LEN, RING_LEN);
        let (Some(memory), Some(layout)) = (received.fds.first(), layout) else {
            return Err(io::Error::other("the client has sent no memory"));
        };
        let engine = Lane::map(memory, layout)?;
        Ok(Self { client, engine, taken: BytesMut::new(), _socket: far })
    }

    /// A message is put in by the client, copied out by the engine, and its room given back.
    ///
    /// # Panics
    /// It does not come out as it was put in.
    pub fn pass(&mut self, message: &[u8]) -> &[u8] {
        let head = SendRecord { service: SERVICE, ..SendRecord::default() };
        let parts = [head.as_bytes(), message];
        self.client.request(request::SEND, &parts).expect("there is room");
        self.taken.clear();
        self.engine.begin_turn();
        let taken = self.engine.take(&mut self.taken, usize::MAX).expect("nothing is broken");
        assert_eq!(taken.map(|taken| taken.kind), Some(request::SEND));
        _ = self.engine.release_taken();
        &self.taken[parts[0].len()..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let mut ring = Ring::new().expect("a ring");
        let payload: Vec<u8> = (0..65_536_u32).map(|at| at as u8).collect();
        // More than once round.
        for len in [64, 1_024, 65_536].into_iter().cycle().take(300) {
            assert_eq!(ring.pass(&payload[..len]), &payload[..len]);
        }
    }
}
