//! The engines that this one hears. An engine is believed to be alive only once it has repeated
//! this engine's boot id, which was drawn at random, and only what it sealed after that is taken:
//! so nothing is that was recorded before this engine started, be its sender alive or not.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;

use crate::keys::KeyId;
use crate::limits::{ASKS_EVERY, BOOTS_MAX, DATAGRAMS_PER_KEY_LOG2, WAITING_BOOTS_MAX};
use crate::suite::{Cipher, Suite};
use crate::window::Window;

/// One run of an engine in one domain: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub [u8; 16]);

impl Boot {
    /// What stands in datagrams that are for this boot alone; never 0, which is for all.
    pub(crate) fn addressee(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Which lot of its sender's datagrams it belongs to.
pub(crate) fn part(counter: u64) -> u64 {
    counter >> DATAGRAMS_PER_KEY_LOG2
}

/// Ciphers that are kept of a sender: around a change of keys, and of the lot of datagrams.
const CIPHERS_MAX: usize = 4;

/// Derives a cipher, if its key is here.
pub(crate) type Derive<'a> = &'a dyn Fn(Boot, CipherName) -> Option<Cipher>;

/// What is known of a sender.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) window: Window,
    ciphers: VecDeque<(CipherName, Cipher)>,
    /// It has repeated our boot id.
    has_greeted: bool,
    /// Datagrams before that, or for somebody else.
    strange: u64,
    /// Offers of keys.
    offers: u64,
}

/// Which cipher of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CipherName {
    pub(crate) key: KeyId,
    pub(crate) suite: Suite,
    pub(crate) part: u64,
}

impl Known {
    pub(crate) fn cipher(&self, name: CipherName) -> Option<&Cipher> {
        self.ciphers.iter().find(|(of, _)| *of == name).map(|(_, cipher)| cipher)
    }

    /// Something was opened with it.
    pub(crate) fn keep_cipher(&mut self, name: CipherName, cipher: Cipher) {
        if self.ciphers.len() == CIPHERS_MAX {
            self.ciphers.pop_back();
        }
        self.ciphers.push_front((name, cipher));
    }

    /// Something was opened with it again: those that are not used go first.
    pub(crate) fn use_cipher(&mut self, name: CipherName) {
        let is_it = |(of, _): &(CipherName, Cipher)| *of == name;
        if !self.ciphers.front().is_some_and(is_it)
            && let Some(at) = self.ciphers.iter().position(is_it)
            && let Some(used) = self.ciphers.remove(at)
        {
            self.ciphers.push_front(used);
        }
    }

    /// Has this cipher of the suite that it seals with, too.
    fn foresee(&mut self, boot: Boot, key: KeyId, part: u64, derive: Derive) {
        let Some((CipherName { suite, .. }, _)) = self.ciphers.front() else { return };
        let name = CipherName { key, suite: *suite, part };
        if self.cipher(name).is_none()
            && let Some(cipher) = derive(boot, name)
        {
            // Behind the one in use.
            self.ciphers.truncate(CIPHERS_MAX - 1);
            self.ciphers.insert(1, (name, cipher));
        }
    }

    pub(crate) fn has_greeted(&self) -> bool {
        self.has_greeted
    }

    /// One more datagram of a sender that has not greeted, or that is not for us; whether to greet
    /// it. Not each time, since it may be a recording, or somebody may show us what is for others.
    pub(crate) fn is_greeted_again(&mut self) -> bool {
        is_due_again(&mut self.strange)
    }

    /// The same for one more offer of a key. They are counted by themselves: datagrams and offers
    /// that alternate would otherwise have all answers go to the ones (seed 521145).
    pub(crate) fn is_answered_again(&mut self) -> bool {
        is_due_again(&mut self.offers)
    }
}

fn is_due_again(count: &mut u64) -> bool {
    *count += 1;
    count.is_power_of_two() || count.is_multiple_of(ASKS_EVERY)
}

/// All that are known.
#[derive(Default)]
pub(crate) struct Boots {
    known: BTreeMap<Boot, Known>,
    /// Those that have not greeted, in the order of their first datagram.
    waiting: VecDeque<Boot>,
    /// Who greeted last from there.
    addresses: BTreeMap<SocketAddr, Boot>,
}

impl Boots {
    pub(crate) fn get(&self, boot: Boot) -> Option<&Known> {
        self.known.get(&boot)
    }

    /// What was just authenticated is of this boot.
    pub(crate) fn get_or_begin(&mut self, boot: Boot) -> &mut Known {
        if !self.known.contains_key(&boot) {
            if self.waiting.len() == WAITING_BOOTS_MAX
                && let Some(oldest) = self.waiting.pop_front()
            {
                // Nothing of it was taken: if it is alive, it will be heard again.
                self.known.remove(&oldest);
            }
            self.waiting.push_back(boot);
        }
        self.known.entry(boot).or_default()
    }

    /// Those who are alive, as far as is known, will seal with this key: their first datagrams with
    /// it are opened at once, whatever strangers send.
    pub(crate) fn foresee_key(&mut self, key: KeyId, derive: Derive) {
        let alive: Vec<Boot> = self.addresses.values().copied().collect();
        alive.into_iter().for_each(|boot| self.foresee_key_of(boot, key, derive));
    }

    /// The same for one of them.
    pub(crate) fn foresee_key_of(&mut self, boot: Boot, key: KeyId, derive: Derive) {
        if let Some(known) = self.known.get(&boot) {
            self.foresee_part(boot, key, part(known.window.next()), derive);
        }
    }

    /// The same for the next lot of its datagrams.
    pub(crate) fn foresee_part(&mut self, boot: Boot, key: KeyId, part: u64, derive: Derive) {
        if let Some(known) = self.known.get_mut(&boot).filter(|known| known.has_greeted) {
            known.foresee(boot, key, part, derive);
        }
    }

    /// It is alive, there, and knew us when it sealed the datagram with this counter.
    pub(crate) fn greeted(&mut self, boot: Boot, counter: u64, from: SocketAddr) {
        let known = self.get_or_begin(boot);
        if !known.has_greeted {
            known.has_greeted = true;
            known.window.begin_after(counter);
            self.waiting.retain(|waiting| *waiting != boot);
        }
        if self.addresses.len() >= BOOTS_MAX {
            self.addresses.clear();
        }
        self.addresses.insert(from, boot);
    }

    /// Who is there, if it has greeted.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<Boot> {
        self.addresses.get(&address).copied()
    }

    /// Whoever is known must stay known, since a recording of an ended one would have it greet
    /// again: when there are too many, a new boot id of our own makes all of them worthless.
    pub(crate) fn are_too_many(&self) -> bool {
        self.known.len() - self.waiting.len() >= BOOTS_MAX
    }

    /// How many have greeted since this engine's boot id is what it is.
    pub(crate) fn greeted_len(&self) -> usize {
        self.known.len() - self.waiting.len()
    }

    /// How many are waited for.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// Nothing is opened with this key any more.
    pub(crate) fn forget_key(&mut self, key: KeyId) {
        self.known.values_mut().for_each(|known| known.ciphers.retain(|(name, _)| name.key != key));
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}
