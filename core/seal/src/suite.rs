//! The ciphers. Which one is used follows from the mode and the processor.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use crate::boots::Boot;
use crate::limits::{HEADER_LEN, KEY_LEN, TAG_LEN};
use crate::sys::secret::Secret;

/// What a seal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nobody without a key reads, changes, makes or repeats datagrams.
    Aead,
    /// Nobody without a key changes, makes or repeats datagrams; everybody can read them.
    Integrity,
}

impl Mode {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aead => "aead",
            Self::Integrity => "integrity",
        }
    }

    /// The suite for this processor.
    pub(crate) fn suite(self) -> Suite {
        match self {
            Self::Integrity => Suite::Aes256Gmac,
            Self::Aead if has_aes() => Suite::Aes256Gcm,
            Self::Aead => Suite::ChaCha20Poly1305,
        }
    }
}

fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    return false;
}

/// How a datagram is sealed, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// NIST SP 800-38D.
    Aes256Gcm = 1,
    /// RFC 8439.
    ChaCha20Poly1305 = 2,
    /// AES-256-GCM that encrypts nothing and authenticates all (NIST SP 800-38D, section 3).
    Aes256Gmac = 3,
}

impl Suite {
    pub(crate) fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Aes256Gcm),
            2 => Some(Self::ChaCha20Poly1305),
            3 => Some(Self::Aes256Gmac),
            _ => None,
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "AES-256-GCM",
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
            Self::Aes256Gmac => "AES-256-GMAC",
        }
    }

    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => Mode::Aead,
            Self::Aes256Gmac => Mode::Integrity,
        }
    }
}

/// A key as one sender uses it in one domain, for some of its datagrams.
pub(crate) struct Cipher {
    suite: Suite,
    key: LessSafeKey,
}

impl Cipher {
    /// For what `boot` seals in `domain` as its `part`-th lot of datagrams.
    pub(crate) fn derive(
        master: &Secret,
        suite: Suite,
        boot: Boot,
        domain: u64,
        part: u64,
    ) -> Self {
        let mut salt = [0; 24];
        salt[..16].copy_from_slice(&boot.0);
        salt[16..].copy_from_slice(&domain.to_le_bytes());
        let info: [&[u8]; 3] = [b"anasazi seal 1", &[suite as u8], &part.to_le_bytes()];
        let key: Zeroizing<[u8; KEY_LEN]> = expand(master, &salt, &info);
        let algorithm = match suite {
            Suite::Aes256Gcm | Suite::Aes256Gmac => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, &*key).expect("all three have keys of 32 bytes");
        Self { suite, key: LessSafeKey::new(key) }
    }

    /// Seals `content` behind `header` into `out`, which is as long as all of it.
    pub(crate) fn seal(
        &self,
        header: &[u8; HEADER_LEN],
        counter: u64,
        content: &[u8],
        out: &mut [u8],
    ) {
        let (all, tag) = out.split_at_mut(HEADER_LEN + content.len());
        all[..HEADER_LEN].copy_from_slice(header);
        let sealed = if self.suite == Suite::Aes256Gmac {
            all[HEADER_LEN..].copy_from_slice(content);
            let aad = Aad::from(&*all);
            self.key.seal_out_of_place_scatter(nonce(counter), aad, &[], &mut [], &[], tag)
        } else {
            let body = &mut all[HEADER_LEN..];
            self.key.seal_out_of_place_scatter(
                nonce(counter),
                Aad::from(header),
                content,
                body,
                &[],
                tag,
            )
        };
        sealed.expect("lengths are those of the suite");
    }

    /// Opens a whole datagram into `out`, which is as long as its content; where nothing is
    /// encrypted it stays empty, since the content stands in the datagram. False: it was not sealed
    /// with this key, or not like this.
    pub(crate) fn open(&self, datagram: &[u8], counter: u64, out: &mut [u8]) -> bool {
        let (all, tag) = datagram.split_at(datagram.len() - TAG_LEN);
        let (header, content) = all.split_at(HEADER_LEN);
        let opened = if self.suite == Suite::Aes256Gmac {
            self.key.open_separate_gather(nonce(counter), Aad::from(all), &[], tag, &mut [])
        } else {
            self.key.open_separate_gather(nonce(counter), Aad::from(header), content, tag, out)
        };
        opened.is_ok()
    }
}

/// Never the same twice under one key, since counters are not.
fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// HKDF-SHA256 (RFC 5869).
pub(crate) fn expand<const LEN: usize>(
    master: &Secret,
    salt: &[u8],
    info: &[&[u8]],
) -> Zeroizing<[u8; LEN]> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = Zeroizing::new([0; LEN]);
    let key = Salt::new(HKDF_SHA256, salt).extract(master.bytes());
    let expanded = key.expand(info, Length(LEN)).and_then(|expanded| expanded.fill(&mut *out));
    expanded.expect("less than 255 hashes");
    out
}

/// The 32 bits by which receivers tell keys of the same id apart, without trying them.
pub(crate) fn hint(master: &Secret, domain: u64) -> [u8; 4] {
    *expand(master, &domain.to_le_bytes(), &[b"anasazi hint 1"])
}

/// What tells two keys apart in public: 64 bits, from which nothing follows about the key.
pub(crate) fn digest(master: &Secret) -> [u8; 8] {
    *expand(master, &[], &[b"anasazi digest 1"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::secret;

    /// A key is for one master key, boot, domain, lot of datagrams and suite.
    #[test]
    fn whatever_differs_the_key_differs() {
        let (one, other) = (secret(1), secret(2));
        let boots = [Boot([1; 16]), Boot([2; 16])];
        let mut tags = std::collections::BTreeSet::new();
        let mut count = 0;
        for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305, Suite::Aes256Gmac] {
            for (master, boot) in [(&one, boots[0]), (&other, boots[0]), (&one, boots[1])] {
                for (domain, part) in [(1, 0), (2, 0), (1, 1)] {
                    let cipher = Cipher::derive(master, suite, boot, domain, part);
                    let mut out = [0; HEADER_LEN + 4 + TAG_LEN];
                    cipher.seal(&[0; HEADER_LEN], 7, b"same", &mut out);
                    tags.insert(out[HEADER_LEN + 4..].to_vec());
                    count += 1;
                }
            }
        }
        assert_eq!(tags.len(), count);
    }

    #[test]
    fn hints_and_digests_tell_keys_apart() {
        let (one, other) = (secret(1), secret(2));
        assert_ne!(hint(&one, 1), hint(&other, 1));
        assert_ne!(hint(&one, 1), hint(&one, 2));
        assert_eq!(digest(&one), digest(&secret(1)));
        assert_ne!(digest(&one), digest(&other));
        assert_ne!(hint(&one, 1)[..], digest(&one)[..4]);
    }
}
