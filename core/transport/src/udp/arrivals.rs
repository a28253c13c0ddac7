//! From arrivals to datagrams that share their memory.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crossbeam_queue::ArrayQueue;

use crate::sys::receive::{self, Arrival, Buffer};

/// Takes arrivals apart. Long ones keep the buffer that they came in, which is used again once
/// nobody refers to any of their datagrams; short ones are copied, many to one allocation, for they
/// would pin down a buffer many times their size.
pub(crate) struct Arrivals {
    arena: BytesMut,
    /// Buffers that nobody uses.
    free: Arc<ArrayQueue<Buffer>>,
}

/// A buffer with something in it.
struct Kept {
    buffer: Buffer,
    home: Arc<ArrayQueue<Buffer>>,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        Self {
            arena: BytesMut::with_capacity(ARENA_LEN),
            free: Arc::new(ArrayQueue::new(FREE_MAX)),
        }
    }

    /// The datagrams of an arrival, in order.
    pub(crate) fn take(&mut self, arrival: Arrival<'_>) -> impl Iterator<Item = Bytes> {
        let Arrival { buffer, len, part_len, .. } = arrival;
        let rest =
            if len >= KEPT_LEN_MIN { self.keep(buffer, len) } else { self.copy(buffer, len) };
        parts(rest, part_len)
    }

    fn keep(&self, buffer: &mut Buffer, len: usize) -> Bytes {
        let fresh = self.free.pop().unwrap_or_else(receive::new_buffer);
        let buffer = std::mem::replace(buffer, fresh);
        let mut kept = Bytes::from_owner(Kept { buffer, home: Arc::clone(&self.free) });
        kept.truncate(len);
        kept
    }

    fn copy(&mut self, buffer: &[u8], len: usize) -> Bytes {
        self.arena.extend_from_slice(&buffer[..len]);
        self.arena.split().freeze()
    }
}

/// At least one: a datagram may be empty.
fn parts(run: Bytes, part_len: usize) -> impl Iterator<Item = Bytes> {
    let mut rest = Some(run);
    std::iter::from_fn(move || {
        let mut first = rest.take()?;
        if first.len() > part_len {
            rest = Some(first.split_off(part_len));
        }
        Some(first)
    })
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Of those that are too many the memory goes back.
        drop(self.home.push(std::mem::take(&mut self.buffer)));
    }
}

/// Bytes from which on an arrival keeps its buffer, a quarter of that.
const KEPT_LEN_MIN: usize = 16 << 10;
/// Buffers that wait for use.
const FREE_MAX: usize = 64;
/// Bytes of one allocation for what is copied: one datagram of it that is kept pins it down.
const ARENA_LEN: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn cut(run: &[u8], part_len: usize) -> Vec<Bytes> {
        parts(Bytes::copy_from_slice(run), part_len).collect()
    }

    #[test]
    fn a_run_is_taken_apart() {
        assert_eq!(cut(b"abcdef", 2), [&b"ab"[..], b"cd", b"ef"]);
        assert_eq!(cut(b"abcde", 2), [&b"ab"[..], b"cd", b"e"]);
        assert_eq!(cut(b"abc", 3), [&b"abc"[..]]);
        assert_eq!(cut(b"abc", 9), [&b"abc"[..]]);
        assert_eq!(cut(b"", 1), [&b""[..]]);
    }

    fn arrived(arrivals: &mut Arrivals, buffer: &mut Buffer, len: usize) -> Vec<Bytes> {
        let from = SocketAddr::from(([127, 0, 0, 1], 1));
        buffer[..len].iter_mut().zip(0..).for_each(|(byte, at)| *byte = (at % 251) as u8);
        arrivals.take(Arrival { from, buffer, len, part_len: 1000 }).collect()
    }

    #[test]
    fn a_long_arrival_keeps_its_buffer_and_the_last_of_its_datagrams_gives_it_back() {
        let mut arrivals = Arrivals::new();
        let mut buffer = receive::new_buffer();
        let place = buffer.as_ptr();
        let mut datagrams = arrived(&mut arrivals, &mut buffer, KEPT_LEN_MIN + 1);
        assert_eq!(datagrams[0].as_ptr(), place);
        assert_ne!(buffer.as_ptr(), place);
        assert_eq!(datagrams.len(), 17);
        assert!(datagrams.concat().iter().zip(0..).all(|(byte, at)| *byte == (at % 251) as u8));
        let last = datagrams.pop().expect("some");
        drop(datagrams);
        assert!(arrivals.free.is_empty());
        drop(last);
        assert_eq!(arrivals.free.len(), 1);
        arrived(&mut arrivals, &mut buffer, KEPT_LEN_MIN);
        assert_eq!(buffer.as_ptr(), place, "used again");
    }

    #[test]
    fn a_short_arrival_is_copied() {
        let mut arrivals = Arrivals::new();
        let mut buffer = receive::new_buffer();
        let place = buffer.as_ptr();
        let datagrams = arrived(&mut arrivals, &mut buffer, KEPT_LEN_MIN - 1);
        assert_eq!(buffer.as_ptr(), place);
        buffer.fill(0xFF);
        assert_eq!(datagrams.len(), 17);
        assert!(datagrams.concat().iter().zip(0..).all(|(byte, at)| *byte == (at % 251) as u8));
    }

    #[test]
    fn no_more_buffers_wait_than_may() {
        let mut arrivals = Arrivals::new();
        let mut buffer = receive::new_buffer();
        let kept: Vec<_> = (0..2 * FREE_MAX)
            .flat_map(|_| arrived(&mut arrivals, &mut buffer, KEPT_LEN_MIN))
            .collect();
        drop(kept);
        assert_eq!(arrivals.free.len(), FREE_MAX);
    }
}
