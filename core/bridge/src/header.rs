//! What travels in front of a forwarded message, within the target's ordered message.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::key::Key;

/// About a forwarded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of the bridge: the same at all its gateways.
    pub bridge: u64,
    /// Where in the source's order it stands.
    pub key: Key,
    /// What comes before it, by what the gateway got and is to be forwarded, whether it was or not;
    /// none: that is not known.
    pub after: Option<Key>,
    /// The domains that it has come through, where it was sent first, by their numbers.
    pub visited: Vec<u64>,
}

/// Bridges that a message may cross at most.
pub const HOPS_MAX: usize = 16;
/// Bytes of the longest header.
pub const HEADER_LEN_MAX: usize = FIXED_LEN + HOPS_MAX * 8 + 2 * Key::LEN;
/// Version, bridge, number of domains, whether `after` is there.
const FIXED_LEN: usize = 1 + 8 + 1 + 1;
const VERSION: u8 = 1;

impl Header {
    /// The header, with the message behind it.
    pub fn with(&self, message: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN_MAX + message.len());
        out.put_u8(VERSION);
        out.put_u64_le(self.bridge);
        out.put_u8(self.visited.len() as u8);
        self.visited.iter().for_each(|domain| out.put_u64_le(*domain));
        self.key.encode(&mut out);
        out.put_u8(u8::from(self.after.is_some()));
        if let Some(after) = self.after {
            after.encode(&mut out);
        }
        out.put_slice(message);
        out.freeze()
    }

    /// Takes the header off; `None`: this is none that this version knows.
    pub fn split(bytes: &mut Bytes) -> Option<Self> {
        let mut rest = &bytes[..];
        if rest.len() < FIXED_LEN || rest.get_u8() != VERSION {
            return None;
        }
        let (bridge, count) = (rest.get_u64_le(), usize::from(rest.get_u8()));
        if count > HOPS_MAX || rest.len() < count * 8 + Key::LEN + 1 {
            return None;
        }
        let visited = (0..count).map(|_| rest.get_u64_le()).collect();
        let key = Key::decode(&mut rest);
        let after = match rest.get_u8() {
            0 => None,
            1 if rest.len() >= Key::LEN => Some(Key::decode(&mut rest)),
            _ => return None,
        };
        let taken = bytes.len() - rest.len();
        bytes.advance(taken);
        Some(Self { bridge, key, after, visited })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::tests::key;

    #[test]
    fn what_is_written_is_read_and_anything_shorter_refused() {
        for after in [None, Some(key(3, 1))] {
            for domains in [0, 1, HOPS_MAX] {
                let visited = (0..domains as u64).collect();
                let header = Header { bridge: 7, key: key(3, 2), after, visited };
                let written = header.with(b"");
                assert!(written.len() <= HEADER_LEN_MAX);
                let mut bytes = header.with(b"message");
                assert_eq!(Header::split(&mut bytes), Some(header));
                assert_eq!(&bytes[..], b"message");
                for len in 0..written.len() {
                    assert_eq!(Header::split(&mut written.slice(..len)), None);
                }
            }
        }
    }

    #[test]
    fn more_domains_than_a_message_may_cross_are_refused() {
        let visited = (0..=HOPS_MAX as u64).collect();
        let header = Header { bridge: 7, key: key(3, 2), after: None, visited };
        assert_eq!(Header::split(&mut header.with(b"message")), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = Bytes::from(bytes);
            let len = bytes.len();
            if Header::split(&mut bytes).is_none() {
                prop_assert_eq!(bytes.len(), len);
            }
        }
    }
}
