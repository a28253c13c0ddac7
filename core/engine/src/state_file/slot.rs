//! One copy of the values, as bytes: 64 of them, little-endian, with a checksum.
//!
//! ```text
//!   0  magic "ANZSTATE"        28  node id, 0 when nothing was ever stored
//!   8  format version, u32     32  incarnation, u64
//!  12  zero                    40  ring number reserved, u64
//!  16  generation, u64         48  zero
//!  24  zero                    60  crc32c of bytes 0..60
//! ```

use super::{Stored, VALUE_MAX};

pub(super) const SLOT_LEN: usize = 64;

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Grows with every write.
    pub(super) generation: u64,
    pub(super) stored: Option<Stored>,
}

impl Slot {
    pub(super) fn encode(&self) -> [u8; SLOT_LEN] {
        let stored = self.stored.unwrap_or(NOTHING);
        let mut bytes = [0; SLOT_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        bytes[28..32].copy_from_slice(&stored.node_id.to_le_bytes());
        bytes[32..40].copy_from_slice(&stored.incarnation.to_le_bytes());
        bytes[40..48].copy_from_slice(&stored.ring_sequence_reserved.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// What the bytes say, or what is wrong with them.
    pub(super) fn decode(bytes: &[u8; SLOT_LEN]) -> Result<Self, String> {
        if bytes[..8] != *MAGIC {
            return Err("it does not begin like one".to_owned());
        }
        if crc32c::crc32c(&bytes[..CHECKSUM_AT]) != u32_at(bytes, CHECKSUM_AT) {
            return Err("its checksum is wrong".to_owned());
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(format!(
                "it has format {version}, and this program knows format {VERSION}"
            ));
        }
        let stored = Stored {
            node_id: u32_at(bytes, 28),
            incarnation: u64_at(bytes, 32),
            ring_sequence_reserved: u64_at(bytes, 40),
        };
        let generation = u64_at(bytes, 16);
        let stored = (stored != NOTHING).then_some(stored);
        match stored.and_then(|stored| stored.impossible()) {
            Some(problem) => Err(problem),
            None if generation > VALUE_MAX => Err("its generation is impossible".to_owned()),
            None => Ok(Self { generation, stored }),
        }
    }
}

/// The slot to believe: the one that is whole, or the later of two; or why there is none.
pub(super) fn choose(slots: &[Result<Slot, String>; 2]) -> Result<(usize, Slot), String> {
    match slots {
        [Err(first), Err(second)] if first == second => Err(format!("both copies: {first}")),
        [Err(first), Err(second)] => Err(format!("first copy: {first}; second copy: {second}")),
        [Ok(first), Err(_)] => Ok((0, *first)),
        [Err(_), Ok(second)] => Ok((1, *second)),
        [Ok(first), Ok(second)] => {
            let (newest, newer, older) = match first.generation >= second.generation {
                true => (0, first, second),
                false => (1, second, first),
            };
            let equal = newer.generation == older.generation;
            let back = match (&older.stored, &newer.stored) {
                (Some(older), Some(newer)) => older.forbids(newer),
                (Some(_), None) => Some("the later one is empty".to_owned()),
                _ => None,
            };
            match back {
                _ if equal && newer != older => Err("its two copies contradict each other".into()),
                Some(problem) => Err(format!("its two copies contradict each other: {problem}")),
                None => Ok((newest, *newer)),
            }
        }
    }
}

fn u32_at(bytes: &[u8; SLOT_LEN], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8; SLOT_LEN], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

/// How a new file says that nothing was stored.
const NOTHING: Stored = Stored { node_id: 0, incarnation: 0, ring_sequence_reserved: 0 };
const MAGIC: &[u8; 8] = b"ANZSTATE";
const VERSION: u32 = 1;
const CHECKSUM_AT: usize = 60;
