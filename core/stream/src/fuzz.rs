//! Doors for the fuzz targets in `tests/fuzz`. Not for anybody else.

use anasazi_queue::ring::{Consumer, Producer};

use crate::engine::{self, Limits};
use crate::mirror::Mirror;
use crate::sys::blocks::{Block, bytes_of};

/// A carrier, and who uses the rings that it carries.
pub struct Carried {
    carrier: Mirror,
    taker: Consumer,
    giver: Producer,
    held: Vec<u64>,
    /// Dropped last: the ends above are in it.
    _block: Block,
}

impl Carried {
    /// A carrier at the engine, or at a client.
    pub fn new(at_engine: bool) -> Self {
        let block = Block::new();
        let (carrier, taker, giver) = if at_engine {
            let (taker, giver) = block.as_engine();
            (block.carrier_at_engine(), taker, giver)
        } else {
            let (giver, taker) = block.as_client();
            (block.carrier_at_client(), taker, giver)
        };
        Self { carrier, taker, giver, held: Vec::new(), _block: block }
    }

    /// Bytes come over the stream. False: the carrier wants no more of them.
    pub fn hear(&mut self, bytes: &[u8]) -> bool {
        self.carrier.take(bytes).is_ok()
    }

    /// What the user of the rings finds: the length of the next record. Held until
    /// [`release`](Self::release).
    ///
    /// # Panics
    /// The ring holds what no carrier may put there.
    pub fn take(&mut self) -> Option<usize> {
        let record = self.taker.next();
        let record = record.unwrap_or_else(|_| panic!("a carrier has broken its own ring"))?;
        assert!(record.len <= self.taker.record_len_max(), "longer than the ring allows");
        self.held.push(record.position);
        Some(bytes_of(&record).len())
    }

    /// It gives one of those back that it holds.
    pub fn release(&mut self, which: usize) {
        if !self.held.is_empty() {
            let which = which % self.held.len();
            self.taker.release(self.held.swap_remove(which));
        }
    }

    /// It says something; the bytes that leave over the stream then.
    pub fn say(&mut self, bytes: &[u8]) -> usize {
        _ = self.giver.push(1, 0, &[bytes]);
        let mut left = Vec::new();
        while self.carrier.turn(&mut Sink(&mut left)).unwrap_or(false) {}
        left.len()
    }
}

/// Takes everything, and gives nothing.
struct Sink<'a>(&'a mut Vec<u8>);

impl std::io::Read for Sink<'_> {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}

impl std::io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the engine's carrier makes of the start of a stream; whether a session is offered for it.
pub fn greeting(bytes: &[u8]) -> bool {
    engine::greets(bytes, &Limits { streams_max: 1, ring_len_max: 1 << 20 })
}
