//! Seals what this engine sends.

use bytes::{Bytes, BytesMut};

use crate::boots::{Boot, part};
use crate::header::{Header, Kind};
use crate::keys::KeyId;
use crate::limits::OVERHEAD_LEN;
use crate::opener::DomainKeys;
use crate::suite::{Cipher, Suite};

/// Room that is asked for at once.
const ARENA_LEN: usize = 64 << 10;

pub(crate) struct Sealer {
    suite: Suite,
    boot: Boot,
    key: KeyId,
    /// Of the next datagram.
    counter: u64,
    /// Which lot of datagrams the cipher is for.
    part: u64,
    cipher: Cipher,
    arena: BytesMut,
}

impl Sealer {
    /// Under the first key. The boot has not been used before.
    pub(crate) fn new(keys: &DomainKeys, suite: Suite, boot: Boot) -> Self {
        let key = keys.ring.first();
        let cipher = keys.cipher(key, suite, boot, 0).expect("a ring has its first key");
        Self { suite, boot, key, counter: 0, part: 0, cipher, arena: BytesMut::new() }
    }

    pub(crate) fn boot(&self) -> Boot {
        self.boot
    }

    pub(crate) fn key(&self) -> KeyId {
        self.key
    }

    pub(crate) fn suite(&self) -> Suite {
        self.suite
    }

    /// Goes on under another key; counters go on. False: there is no such key.
    pub(crate) fn set_key(&mut self, keys: &DomainKeys, key: KeyId) -> bool {
        let Some(cipher) = keys.cipher(key, self.suite, self.boot, self.part) else { return false };
        (self.key, self.cipher) = (key, cipher);
        true
    }

    /// Goes on as somebody else.
    pub(crate) fn set_boot(&mut self, keys: &DomainKeys, boot: Boot) {
        let cipher = keys.cipher(self.key, self.suite, boot, 0);
        self.cipher = cipher.expect("the key in use is never removed");
        (self.boot, self.counter, self.part) = (boot, 0, 0);
    }

    /// As if so many had been sealed before.
    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, counter: u64) {
        self.counter = counter;
    }

    /// `addressee`: see [`Boot::addressee`]; 0: all.
    pub(crate) fn seal(
        &mut self,
        keys: &DomainKeys,
        (kind, addressee): (Kind, u64),
        content: &[u8],
    ) -> Bytes {
        let counter = self.counter;
        self.counter += 1;
        let part = part(counter);
        if part != self.part {
            self.part = part;
            let cipher = keys.cipher(self.key, self.suite, self.boot, part);
            self.cipher = cipher.expect("the key in use is never removed");
        }
        let hint = keys.hint(self.key).expect("the key in use is never removed");
        let (suite, key, boot) = (self.suite, self.key, self.boot);
        let header = Header { suite, kind, key, hint, boot, addressee, counter };
        let len = content.len() + OVERHEAD_LEN;
        if self.arena.capacity() < len {
            self.arena.reserve(ARENA_LEN.max(len));
        }
        self.arena.resize(len, 0);
        self.cipher.seal(&header.encode(), counter, content, &mut self.arena);
        self.arena.split().freeze()
    }

    /// Says to whoever hears it that this engine has a key that it does not seal with. `None`:
    /// there is no such key.
    pub(crate) fn offer(&mut self, keys: &DomainKeys, key: KeyId) -> Option<Bytes> {
        let (suite, boot, counter) = (self.suite, self.boot, self.counter);
        let cipher = keys.cipher(key, suite, boot, part(counter))?;
        let (kind, hint) = (Kind::Offer, keys.hint(key)?);
        let header = Header { suite, kind, key, hint, boot, addressee: 0, counter };
        self.counter += 1;
        let mut bytes = [0; OVERHEAD_LEN];
        cipher.seal(&header.encode(), counter, &[], &mut bytes);
        Some(Bytes::copy_from_slice(&bytes))
    }
}
