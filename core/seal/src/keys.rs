//! The keys that an engine has: all of them open, one of them seals.

use std::fmt;

use crate::suite::digest;
use crate::sys::secret::Secret;

/// Which key, as its owners call it: 1 to 255, growing with every new one, and round again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u8);

impl KeyId {
    /// It was made later, as far as numbers that go round can tell.
    pub fn is_newer_than(self, other: Self) -> bool {
        (1..128).contains(&self.0.wrapping_sub(other.0))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key in public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its number.
    pub id: KeyId,
    /// Equal for equal keys; nothing else follows from it.
    pub digest: [u8; 8],
}

/// At least one key, each with an id of its own. The first one is meant to seal when an engine
/// starts.
#[derive(Debug)]
pub struct KeyRing {
    keys: Vec<(KeyInfo, Secret)>,
}

impl KeyRing {
    /// `None` if there is no key, or an id stands twice.
    pub fn new(keys: Vec<(KeyId, Secret)>) -> Option<Self> {
        let is_double = |at: usize| keys[..at].iter().any(|(id, _)| *id == keys[at].0);
        if keys.is_empty() || (0..keys.len()).any(is_double) {
            return None;
        }
        let info = |(id, secret)| (KeyInfo { id, digest: digest(&secret) }, secret);
        Some(Self { keys: keys.into_iter().map(info).collect() })
    }

    /// In the order in which they were given.
    pub fn infos(&self) -> impl Iterator<Item = KeyInfo> + '_ {
        self.keys.iter().map(|(info, _)| *info)
    }

    /// The key that is meant to seal at the start.
    pub fn first(&self) -> KeyId {
        self.keys[0].0.id
    }

    /// Takes those in whose numbers are not there yet.
    pub(crate) fn add(&mut self, other: Self) {
        let new = other.keys.into_iter().filter(|(info, _)| !self.has(info.id));
        let new: Vec<_> = new.collect();
        self.keys.extend(new);
    }

    /// One of the numbers is before all others, as far as numbers that go round can tell.
    pub(crate) fn is_in_order(&self) -> bool {
        let is_first = |first: KeyId| {
            self.keys.iter().all(|(info, _)| info.id == first || info.id.is_newer_than(first))
        };
        self.keys.iter().any(|(info, _)| is_first(info.id))
    }

    /// The newest key.
    pub fn newest(&self) -> KeyId {
        let newer = |newest: KeyId, id: KeyId| if id.is_newer_than(newest) { id } else { newest };
        self.infos().map(|info| info.id).fold(self.first(), newer)
    }

    pub(crate) fn remove(&mut self, id: KeyId) -> bool {
        let before = self.keys.len();
        self.keys.retain(|(info, _)| info.id != id);
        self.keys.len() < before
    }

    pub(crate) fn get(&self, id: KeyId) -> Option<&Secret> {
        self.keys.iter().find(|(info, _)| info.id == id).map(|(_, secret)| secret)
    }

    /// There is a key of this id.
    pub fn has(&self, id: KeyId) -> bool {
        self.get(id).is_some()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A key whose bytes are all the same.
    pub(crate) fn secret(byte: u8) -> Secret {
        Secret::new(&mut [byte; 32]).expect("memory for a key")
    }

    pub(crate) fn ring(ids: &[u8]) -> KeyRing {
        let keys = ids.iter().map(|id| (KeyId(*id), secret(*id))).collect();
        KeyRing::new(keys).expect("different ids")
    }

    #[test]
    fn numbers_go_round() {
        assert!(KeyId(2).is_newer_than(KeyId(1)) && !KeyId(1).is_newer_than(KeyId(2)));
        assert!(KeyId(1).is_newer_than(KeyId(255)) && !KeyId(7).is_newer_than(KeyId(7)));
    }

    #[test]
    fn an_id_stands_once_and_equal_keys_have_equal_digests() {
        assert!(KeyRing::new(Vec::new()).is_none());
        assert!(KeyRing::new(vec![(KeyId(1), secret(1)), (KeyId(1), secret(2))]).is_none());
        let one = KeyRing::new(vec![(KeyId(1), secret(5)), (KeyId(2), secret(6))]).expect("two");
        let other = KeyRing::new(vec![(KeyId(3), secret(6)), (KeyId(4), secret(7))]).expect("two");
        let digests = |ring: &KeyRing| ring.infos().map(|info| info.digest).collect::<Vec<_>>();
        assert_eq!(digests(&one)[1], digests(&other)[0]);
        assert_ne!(digests(&one)[0], digests(&other)[1]);
        assert!(one.has(KeyId(2)) && !one.has(KeyId(3)));
        assert_eq!((one.first(), one.newest()), (KeyId(1), KeyId(2)));
        assert!(ring(&[250, 3, 251]).is_in_order() && ring(&[1, 127]).is_in_order());
        assert!(!ring(&[1, 100, 200]).is_in_order() && !ring(&[1, 129]).is_in_order());
        assert_eq!(ring(&[250, 3, 251]).newest(), KeyId(3));
    }
}
