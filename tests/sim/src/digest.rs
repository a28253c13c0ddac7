//! One number for everything that happened: equal for two runs of one seed, or something is not
//! deterministic.

use std::fmt::{self, Write};

/// A running FNV-1a over the text of what is added.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Adds anything.
    pub fn add(&mut self, what: &impl fmt::Debug) {
        // Writing into a number cannot fail.
        let _ = write!(self, "{what:?};");
    }

    /// The number.
    pub fn value(&self) -> u64 {
        self.0
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
