//! Names of things. A process is a node in one incarnation; nothing below is ever used twice for
//! two things.

use core::fmt;

/// A node, by its configured or randomly drawn number; never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeId(pub u32);

/// One start of a node; strictly larger at every start (milliseconds since 2020, or the stored one
/// plus 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// Larger ones have no room in a session's id; the clock gets there in 2054.
    pub const MAX: Self = Self((1 << 40) - 1);

    /// One that a node may take whose clock is behind the start that others know of. `drawn` is
    /// any number, since it may have started there before without being heard: within the next
    /// minute or so, so that the clock soon leads again.
    pub fn above(known: Self, drawn: u64) -> Self {
        Self(known.0.saturating_add(1 + drawn % (1 << 16)))
    }
}

/// A node in one incarnation: "a process" in every axiom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Process {
    /// The node.
    pub node: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
}

/// A ring, and the regular configuration that it carries. Ordered by sequence first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RingId {
    /// Larger than any ring number that any of its members had seen or promised.
    pub sequence: u64,
    /// The process that formed it.
    pub representative: Process,
}

/// A configuration in which messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Configuration {
    /// The members of a ring.
    Regular(RingId),
    /// Those members of `old` that move to `new` together.
    Transitional {
        /// The ring that broke or was left.
        old: RingId,
        /// The ring being entered.
        new: RingId,
    },
}

impl Configuration {
    /// The regular configuration that this one is or follows.
    pub fn regular(self) -> RingId {
        match self {
            Self::Regular(ring) => ring,
            Self::Transitional { old, .. } => old,
        }
    }
}

/// A client session of a node; unique for ever (incarnation times 2^24 plus a counter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SessionId(pub u64);

impl SessionId {
    /// The first session of an incarnation; later ones count up from it.
    pub fn first(incarnation: Incarnation) -> Self {
        Self(incarnation.0 << 24 | 1)
    }

    /// Which one it is of its incarnation, from 1 on: for people.
    pub fn number(self) -> u64 {
        self.0 & SESSION_COUNTER_MASK
    }
}

/// A group member: a session on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MemberId {
    /// The node whose daemon or engine serves the session.
    pub node: NodeId,
    /// The session.
    pub session: SessionId,
}

/// A group on the wire: a 64-bit hash of its name. Two names with one hash cannot exist at the same
/// time: the second join is refused, at every node alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupId(pub u64);

impl GroupId {
    /// The id of the group with this name.
    pub fn of(name: &str) -> Self {
        Self(hash64(name.as_bytes()))
    }
}

/// A message as accepted from a session by a daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MessageId {
    /// Who accepted it.
    pub origin: Process,
    /// 1, 2, 3 ... per process, in the order of acceptance.
    pub counter: u64,
}

/// Where in the ordered history a view stands. Equal ids mean equal members, everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ViewId {
    /// The ring that orders the view; in a transitional configuration the ring being entered.
    pub ring: RingId,
    /// The ordinal that caused it; for the transitional signal the index of the component that
    /// moves together.
    pub ordinal: u64,
    /// The frame within the ordinal, from 1; 0 for a view caused by a configuration change. In a
    /// transitional configuration 2^31 + component * 2^16 + frame, since several parts of an old
    /// ring may reach the same ordinal.
    pub sub: u32,
}

/// FNV-1a with a final mix: stable on every platform and for ever, since its results travel.
pub fn hash64(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed(fnv)
}

/// What stands for the content of a message or packet in traces, and for what is sent in parts:
/// eight bytes at a time, since while traces are taken that is of everything. Results are compared
/// within one version only.
pub fn content_hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    // The length is spread first, or a short content could take it back.
    mixed(words.fold(mixed(!(bytes.len() as u64)), |h, word| {
        // Both halves of the product: the highest bits of a word count as much as the lowest.
        let product = u128::from(h ^ word) * 0x9e37_79b9_7f4a_7c15_u128;
        product as u64 ^ (product >> 64) as u64
    }))
}

/// The finalizer of SplitMix64: each bit depends on all.
fn mixed(h: u64) -> u64 {
    let h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}", self.node, self.incarnation.0)
    }
}

impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.sequence, self.representative)
    }
}

/// The part of a session id that counts within an incarnation.
const SESSION_COUNTER_MASK: u64 = (1 << 24) - 1;

/// For people: node and number of the session there. Numbers begin again when the node restarts.
impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.session.number())
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regular(ring) => write!(f, "regular {ring}"),
            Self::Transitional { old, new } => write!(f, "transitional {old} -> {new}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::content_hash;

    #[test]
    fn contents_that_differ_in_a_bit_or_in_length_have_other_hashes() {
        let content: Vec<u8> = (0..40).collect();
        let lengths = (0..=content.len()).map(|len| content_hash(&content[..len]));
        let bits = (0..content.len() * 8).map(|bit| {
            let mut other = content.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            content_hash(&other)
        });
        // A difference that a product of 64 bits takes on as it is, and one that takes it back.
        let two: Vec<u8> = [1_u64 << 63, (1 << 63) | (1 << 31)].map(u64::to_le_bytes).concat();
        assert_ne!(content_hash(&two), content_hash(&[0; 16]));
        let zeros = (3..=40).map(|len| content_hash(&vec![0; len]));
        let long: BTreeSet<u64> = lengths.skip(3).chain(bits).chain(zeros).collect();
        assert_eq!(long.len(), 38 + 320 + 38);
        let short: BTreeSet<u64> = (0..=u16::MAX)
            .flat_map(|pair| [content_hash(&pair.to_le_bytes()), content_hash(&[pair as u8])])
            .chain([content_hash(&[])])
            .collect();
        assert_eq!(short.len(), 65_536 + 256 + 1);
    }
}
