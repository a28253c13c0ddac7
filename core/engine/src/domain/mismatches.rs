//! Others who seal in another way than this node are told of: whoever does not meet them would
//! otherwise find nothing but counters. It may be strangers who are heard, so all that comes of
//! them is a sentence.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anasazi_protocol::Instant;
use anasazi_seal::{KeyId, Mismatch, Mode};
use anasazi_transport::Transport;

use super::{Domain, Upward};
use crate::storage::Storage;

/// One sentence of each kind in this time, whatever is sent.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// When something of each kind was told last.
#[derive(Default)]
pub(super) struct Told(BTreeMap<&'static str, Instant>);

impl Told {
    fn is_due(&mut self, kind: &'static str, now: Instant) -> bool {
        let is_due = self.0.get(kind).is_none_or(|at| now.since(*at) >= TOLD_EVERY);
        if is_due {
            self.0.insert(kind, now);
        }
        is_due
    }
}

impl<T: Transport, S: Storage> Domain<T, S> {
    /// Tells of those who were heard just now. What is not due is forgotten: nothing is told that
    /// was put right meanwhile.
    pub(super) fn tell_mismatches(&mut self, now: Instant) {
        for (mismatch, from) in self.transport.take_mismatches() {
            let kind = kind(mismatch);
            if self.told.is_due(kind, now) {
                let seal = self.transport.seal().map(|seal| (seal.mode(), seal.active()));
                let text = words(mismatch, from, seal);
                self.up.push(Upward::Mismatch { kind, text });
            }
        }
    }
}

/// A word for programs.
fn kind(mismatch: Mismatch) -> &'static str {
    match mismatch {
        Mismatch::Key(_) => "seal-key",
        Mismatch::Missing(_) => "seal-key-missing",
        Mismatch::Mode(_) => "seal-mode",
        Mismatch::Unsealed => "unsealed",
    }
}

/// `ours`: how this node seals, and with which key.
fn words(mismatch: Mismatch, from: SocketAddr, ours: Option<(Mode, KeyId)>) -> String {
    let mode = ours.map_or("checksum", |(mode, _)| mode.name());
    let (what, advice) = match (mismatch, ours) {
        (Mismatch::Key(id), _) => (
            format!("seals with another key of number {id}, or for another cluster or domain"),
            "compare seal.key_file (DIGEST in `anasazi key status`)",
        ),
        (Mismatch::Missing(id), Some((_, active))) if active.is_newer_than(id) => (
            format!("seals with key {id}, which is not here any more, this node with key {active}"),
            "give it the newer keys, too, and have it read them (`anasazi key stage` there)",
        ),
        (Mismatch::Missing(id), _) => (
            format!("seals with key {id}, which is not here"),
            "add the key to seal.key_file and have it read (`anasazi key stage`)",
        ),
        (Mismatch::Mode(theirs), None) => (
            format!(
                "seals (mode {}), this node does not (seal.mode = \"checksum\")",
                theirs.name()
            ),
            SAME_MODE,
        ),
        (Mismatch::Mode(theirs), Some(_)) => {
            (format!("seals in mode {}, this node in {mode}", theirs.name()), SAME_MODE)
        }
        (Mismatch::Unsealed, _) => {
            (format!("does not seal, this node does (seal.mode = \"{mode}\")"), SAME_MODE)
        }
    };
    format!("{from} {what}: no ring is formed with it; {advice}; it may be a stranger")
}

const SAME_MODE: &str = "set the same seal.mode at all nodes of the domain";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_a_minute() {
        let mut told = Told::default();
        let at = |s: u64| Instant(s * 1_000_000_000);
        let due = [0, 1, 59, 60, 61, 119, 120].map(|s| told.is_due("unsealed", at(s)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
        assert!(told.is_due("seal-key", at(121)));
    }

    #[test]
    fn words_say_who_it_is_what_is_different_and_where_to_look() {
        let from = "10.0.0.7:7745".parse().expect("an address");
        let said = |mismatch, ours: Option<Mode>| {
            let text = words(mismatch, from, ours.map(|mode| (mode, KeyId(2))));
            assert!(text.starts_with("10.0.0.7:7745 "), "{text}");
            assert!(text.contains("no ring is formed with it"), "{text}");
            assert!(text.contains("may be a stranger"), "{text}");
            text
        };
        let key = said(Mismatch::Key(KeyId(2)), Some(Mode::Aead));
        assert!(key.contains("seals with another key of number 2"), "{key}");
        assert!(key.contains("compare seal.key_file"), "{key}");
        let missing = said(Mismatch::Missing(KeyId(3)), Some(Mode::Aead));
        assert!(missing.contains("seals with key 3, which is not here"), "{missing}");
        assert!(missing.contains("add the key to seal.key_file"), "{missing}");
        let old = said(Mismatch::Missing(KeyId(1)), Some(Mode::Aead));
        assert!(old.contains("seals with key 1, which is not here any more"), "{old}");
        assert!(old.contains("give it the newer keys"), "{old}");
        let mode = said(Mismatch::Mode(Mode::Integrity), Some(Mode::Aead));
        assert!(mode.contains("seals in mode integrity, this node in aead"), "{mode}");
        let sealed = said(Mismatch::Mode(Mode::Aead), None);
        assert!(sealed.contains("seals (mode aead), this node does not"), "{sealed}");
        let unsealed = said(Mismatch::Unsealed, Some(Mode::Integrity));
        assert!(unsealed.contains("this node does (seal.mode = \"integrity\")"), "{unsealed}");
    }
}
