//! Where things lie in the block of memory that holds both rings.

/// Smallest capacity of a ring, in bytes.
pub const CAPACITY_MIN: u32 = if cfg!(loom) { 64 } else { 64 << 10 };
/// Largest capacity of a ring, in bytes.
pub const CAPACITY_MAX: u32 = 256 << 20;

/// Which of the two rings, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Client to engine.
    Send,
    /// Engine to client.
    Receive,
}

/// The shape of the block: two control areas, then the send ring's records, then the receive
/// ring's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    send_capacity: u32,
    receive_capacity: u32,
}

impl Layout {
    /// The shape for two capacities in bytes, each a power of two from [`CAPACITY_MIN`] to
    /// [`CAPACITY_MAX`]; `None` for any other.
    pub const fn new(send_capacity: u32, receive_capacity: u32) -> Option<Self> {
        if valid(send_capacity) && valid(receive_capacity) {
            Some(Self { send_capacity, receive_capacity })
        } else {
            None
        }
    }

    /// Bytes of the whole block.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub const fn len(&self) -> usize {
        CONTROLS_LEN + self.send_capacity as usize + self.receive_capacity as usize
    }

    /// Bytes of records that a ring holds, headers included.
    pub const fn capacity(&self, direction: Direction) -> u32 {
        match direction {
            Direction::Send => self.send_capacity,
            Direction::Receive => self.receive_capacity,
        }
    }

    /// Where a ring's control area starts, in bytes.
    pub(super) const fn control_offset(&self, direction: Direction) -> usize {
        match direction {
            Direction::Send => 0,
            Direction::Receive => CONTROL_LEN,
        }
    }

    /// Where a ring's records start, in bytes.
    pub(super) const fn data_offset(&self, direction: Direction) -> usize {
        match direction {
            Direction::Send => CONTROLS_LEN,
            Direction::Receive => CONTROLS_LEN + self.send_capacity as usize,
        }
    }
}

const fn valid(capacity: u32) -> bool {
    capacity.is_power_of_two() && capacity >= CAPACITY_MIN && capacity <= CAPACITY_MAX
}

/// Bytes between two words that different sides write: two cache lines, since some processors fetch
/// them in pairs.
pub(super) const LINE_PAIR: usize = 128;
/// Where the consumer publishes how far it has released. Written by the consumer.
pub(super) const HEAD: usize = 0;
/// How far it has released, or is about to: for a producer that outlives it. Beside the head.
pub(super) const PASSED: usize = 8;
/// A hint how far producers have claimed; their own memory has the truth. Written by producers.
pub(super) const TAIL: usize = LINE_PAIR;
/// 1 while the consumer sleeps or is about to. Written by both sides.
pub(super) const SLEEPING: usize = 2 * LINE_PAIR;
/// How many free bytes a producer waits for; 0 if none waits. Written by both sides.
pub(super) const WANTED: usize = 3 * LINE_PAIR;

/// Bytes of a control area.
const CONTROL_LEN: usize = 4 * LINE_PAIR;
/// Bytes before the first record: both control areas, and up to the next page.
const CONTROLS_LEN: usize = 4_096;

const _: () = assert!(2 * CONTROL_LEN <= CONTROLS_LEN);
const _: () = assert!(CAPACITY_MIN.is_power_of_two() && CAPACITY_MAX.is_power_of_two());
