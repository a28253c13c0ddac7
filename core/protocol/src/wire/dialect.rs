//! What a process can speak: a range of wire versions, and optional features. A ring speaks one
//! version, and uses the features that all its members have; both are fixed when it is formed, so
//! that daemons can be replaced one by one. Rings without a common version stay apart.

use core::fmt;

use super::codec::{Reader, Writer};
use super::header::WireError;
use crate::limits;

/// Ranges of versions have this in their favour: if each two of some processes have a version in
/// common, then so have all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Dialect {
    min: u8,
    max: u8,
    features: u32,
}

impl Default for Dialect {
    fn default() -> Self {
        Self::new(limits::WIRE_VERSIONS, 0)
    }
}

impl Dialect {
    /// A range without any version is taken as its upper end.
    pub(crate) fn new((min, max): (u8, u8), features: u32) -> Self {
        Self { min: min.min(max), max, features }
    }

    /// What both speak.
    pub(crate) fn common(self, other: Self) -> Option<Self> {
        let (min, max) = (self.min.max(other.min), self.max.min(other.max));
        (min <= max).then_some(Self { min, max, features: self.features & other.features })
    }

    /// What all of them speak; `None` also if there are none.
    pub(crate) fn common_of(mut all: impl Iterator<Item = Self>) -> Option<Self> {
        let first = all.next()?;
        all.try_fold(first, Self::common)
    }

    /// The version that a ring of those who have this in common uses: the newest.
    pub(crate) fn version(self) -> u8 {
        self.max
    }

    pub(crate) fn has(self, feature: u32) -> bool {
        self.features & feature == feature
    }

    pub(super) fn encode(self, w: &mut Writer) {
        w.u8(self.min);
        w.u8(self.max);
        w.u32(self.features);
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (min, max, features) = (r.u8()?, r.u8()?, r.u32()?);
        if min > max {
            return Err(WireError::Invalid("range of wire versions"));
        }
        Ok(Self { min, max, features })
    }
}

/// For people: the versions.
impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dialects() -> impl Strategy<Value = Dialect> {
        (0u8..12, 0u8..12, any::<u32>())
            .prop_map(|(a, b, features)| Dialect::new((a.min(b), a.max(b)), features))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_an_empty_range_is_refused(
            min in any::<u8>(),
            max in any::<u8>(),
            features in any::<u32>(),
        ) {
            let dialect = Dialect { min, max, features };
            let mut w = Writer::default();
            dialect.encode(&mut w);
            let read = Dialect::decode(&mut Reader::new(&w.bytes.freeze()));
            prop_assert_eq!(read.ok(), (min <= max).then_some(dialect));
        }

        #[test]
        fn all_agree_iff_each_two_do(all in proptest::collection::vec(dialects(), 1..6)) {
            let pairs = all.iter().all(|a| all.iter().all(|b| a.common(*b).is_some()));
            let common = Dialect::common_of(all.iter().copied());
            prop_assert_eq!(common.is_some(), pairs);
            if let Some(common) = common {
                let newest = all.iter().map(|d| d.max).min();
                prop_assert_eq!(Some(common.version()), newest);
                prop_assert!(all.iter().all(|d| (d.min..=d.max).contains(&common.version())));
                prop_assert!(all.iter().all(|d| d.has(common.features)));
            }
        }
    }
}
