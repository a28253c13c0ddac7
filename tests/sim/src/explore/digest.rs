//! A fingerprint wide enough to stand for what it was made of: among a hundred million states, two
//! different ones share 128 bits with a probability of 10^-23.

use std::hash::{Hash, Hasher};

const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0xd6e8_feb8_6659_fd93;

/// Two independent lanes of 64 bits. The same in every run and on every machine of one endianness.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest {
    lanes: [u64; 2],
}

impl Digest {
    pub(super) fn new() -> Self {
        Self { lanes: [FIRST, SECOND] }
    }

    /// Of one value.
    pub(super) fn of(value: &impl Hash) -> u128 {
        let mut digest = Self::new();
        value.hash(&mut digest);
        digest.value()
    }

    pub(super) fn value(self) -> u128 {
        let [a, b] = self.lanes.map(finish);
        u128::from(a) << 64 | u128::from(b)
    }

    fn word(&mut self, word: u64) {
        let [a, b] = &mut self.lanes;
        *a = fold(*a ^ word, FIRST);
        *b = fold(b.rotate_left(23) ^ word, SECOND);
    }
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }

    fn write_u8(&mut self, i: u8) {
        self.word(u64::from(i));
    }

    fn write_u32(&mut self, i: u32) {
        self.word(u64::from(i));
    }

    fn write_u64(&mut self, i: u64) {
        self.word(i);
    }

    fn write_usize(&mut self, i: usize) {
        self.word(i as u64);
    }

    fn finish(&self) -> u64 {
        finish(self.lanes[0])
    }
}

fn fold(value: u64, by: u64) -> u64 {
    let wide = u128::from(value.wrapping_add(by)) * u128::from(by | 1);
    (wide as u64).wrapping_mul(FIRST | 1) ^ (wide >> 64) as u64
}

fn finish(value: u64) -> u64 {
    let mixed = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_length_and_every_bit_count() {
        let mut seen = std::collections::BTreeSet::new();
        for bit in 0..64 {
            assert!(seen.insert(Digest::of(&(1_u64 << bit, 0_u64))));
            assert!(seen.insert(Digest::of(&(0_u64, 1_u64 << bit))));
        }
        assert!(seen.insert(Digest::of(&[1_u8, 2].as_slice())));
        assert!(seen.insert(Digest::of(&[2_u8, 1].as_slice())));
        assert!(seen.insert(Digest::of(&[1_u8, 2, 0].as_slice())));
    }
}
