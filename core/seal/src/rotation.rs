//! When a new key is sealed with: once all members of the configuration have said, in the order,
//! that they have it; and at the same place in the order at all of them. It says nothing itself
//! and knows no order: what is to be said is handed out, and what was said is handed in.
//!
//! The members of a configuration have heard the same of each other at the same place, so they all
//! decide alike. The old key opens until it is taken away: whoever was elsewhere meanwhile is
//! understood when it comes back, and finds by what it hears that there is a newer key.

use std::collections::BTreeMap;
use std::fmt;

use crate::keys::{KeyId, KeyInfo};
use crate::limits::KEYS_MAX;

/// What is to be done now, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationOutput<P> {
    /// Say this to all members, in the order.
    Say(Vec<u8>),
    /// Seal with this key from now on.
    Activate(KeyId),
    /// A key was to be activated that these lack, or have another one for.
    Refused {
        /// Which.
        key: KeyId,
        /// Who.
        lacking: Vec<P>,
    },
}

/// Why a key cannot be activated or retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationError<P> {
    /// It is not here.
    Missing(KeyId),
    /// It seals already.
    Active(KeyId),
    /// The active one is newer.
    Older {
        /// Which was asked for.
        key: KeyId,
        /// Which is active.
        active: KeyId,
    },
    /// These members lack it, have another one by its number, or have not said yet what they have.
    Lacking(KeyId, Vec<P>),
    /// These members seal with it still, or have not said yet what they seal with.
    InUse(KeyId, Vec<P>),
}

impl<P: fmt::Display> fmt::Display for RotationError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |of: &[P]| of.iter().map(P::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Missing(key) => write!(
                f,
                "there is no key {key} here: add it to the key file of every node, and have each \
                 of them read it (`anasazi key stage`)"
            ),
            Self::Active(key) => write!(f, "key {key} is active already"),
            Self::Older { key, active } => write!(
                f,
                "key {key} is older than key {active}, which is active: a key that replaces it \
                 needs a number that follows it"
            ),
            Self::Lacking(key, who) => write!(
                f,
                "key {key} is not the same at all members, or not there yet; it is missing at {}: \
                 add it to the key file there, and have it read (`anasazi key stage`)",
                list(who)
            ),
            Self::InUse(key, who) => write!(
                f,
                "key {key} is still used by {}: activate another one first, and wait until all \
                 have it (`anasazi key status`)",
                list(who)
            ),
        }
    }
}

#[derive(Clone, Debug)]
struct Said {
    active: KeyId,
    keys: Vec<KeyInfo>,
}

const HAVE: u8 = 1;
const ACTIVATE: u8 = 2;

/// What is known of everybody's keys. `P` is a member.
#[derive(Debug)]
pub struct Rotation<P> {
    own: Said,
    members: Vec<P>,
    said: BTreeMap<P, Said>,
    /// The newest key that others seal with.
    heard: Option<KeyId>,
    /// Said in this configuration, and not reached in the order yet.
    asked: Option<KeyId>,
}

impl<P: Ord + Copy> Rotation<P> {
    /// Nothing is known of others yet.
    pub fn new(active: KeyId, keys: impl Iterator<Item = KeyInfo>) -> Self {
        let own = Said { active, keys: keys.collect() };
        Self { own, members: Vec::new(), said: BTreeMap::new(), heard: None, asked: None }
    }

    /// A regular configuration begins.
    pub fn installed(&mut self, members: Vec<P>) -> RotationOutput<P> {
        (self.members, self.asked) = (members, None);
        self.said.clear();
        self.say()
    }

    /// The keys here are others now, or another one is active.
    pub fn changed(
        &mut self,
        active: KeyId,
        keys: impl Iterator<Item = KeyInfo>,
    ) -> RotationOutput<P> {
        self.own = Said { active, keys: keys.collect() };
        self.say()
    }

    /// Somebody seals with this key.
    pub fn heard(&mut self, key: KeyId) -> Option<RotationOutput<P>> {
        self.heard = Some(key);
        self.follow()
    }

    /// Asks for a key to be activated.
    ///
    /// # Errors
    /// Not everybody has it, as far as is known here, or it is not one that can follow.
    pub fn activate(&mut self, key: KeyId) -> Result<RotationOutput<P>, RotationError<P>> {
        let active = self.own.active;
        let Some(info) = self.own.info(key) else { return Err(RotationError::Missing(key)) };
        if key == active {
            return Err(RotationError::Active(key));
        }
        if !key.is_newer_than(active) {
            return Err(RotationError::Older { key, active });
        }
        let lacking = self.lacking(info);
        if !lacking.is_empty() {
            return Err(RotationError::Lacking(key, lacking));
        }
        self.asked = Some(key);
        Ok(RotationOutput::Say(encode_activate(info)))
    }

    /// Whether a key may be taken away here.
    ///
    /// # Errors
    /// A member seals with it still.
    pub fn may_retire(&self, key: KeyId) -> Result<(), RotationError<P>> {
        if self.own.info(key).is_none() {
            return Err(RotationError::Missing(key));
        }
        let uses = |member: &&P| self.said.get(member).is_none_or(|said| said.active == key);
        let users: Vec<P> = self.members.iter().filter(uses).copied().collect();
        let is_used = self.own.active == key || !users.is_empty();
        if is_used { Err(RotationError::InUse(key, users)) } else { Ok(()) }
    }

    /// What a member said, at its place in the order. False at the end: no member of ours says so.
    pub fn said(&mut self, by: P, bytes: &[u8]) -> (Vec<RotationOutput<P>>, bool) {
        match decode(bytes) {
            Some(Words::Have(said)) => {
                self.said.insert(by, said);
                (self.follow().into_iter().collect(), true)
            }
            Some(Words::Activate(info)) => (self.reached(info), true),
            None => (Vec::new(), false),
        }
    }

    /// Each member with its active key and all its keys, as far as it has said.
    pub fn members(&self) -> impl Iterator<Item = (P, Option<(KeyId, &[KeyInfo])>)> + '_ {
        let of = |member: &P| self.said.get(member).map(|said| (said.active, &said.keys[..]));
        self.members.iter().map(move |member| (*member, of(member)))
    }

    /// "Seal with this one" was reached in the order.
    fn reached(&mut self, info: KeyInfo) -> Vec<RotationOutput<P>> {
        if self.asked == Some(info.id) {
            self.asked = None;
        }
        if !info.id.is_newer_than(self.own.active) {
            return Vec::new();
        }
        let lacking = self.lacking(info);
        if !lacking.is_empty() || self.own.info(info.id) != Some(info) {
            return vec![RotationOutput::Refused { key: info.id, lacking }];
        }
        self.own.active = info.id;
        vec![RotationOutput::Activate(info.id), self.say()]
    }

    /// Others have gone over to a newer key, while this ring did not hear it: it follows once all
    /// its members can.
    fn follow(&mut self) -> Option<RotationOutput<P>> {
        let others = self.said.values().map(|said| said.active);
        let newest = others.chain(self.heard).fold(self.own.active, |newest, key| {
            if key.is_newer_than(newest) { key } else { newest }
        });
        if newest == self.own.active || self.asked == Some(newest) {
            return None;
        }
        self.activate(newest).ok()
    }

    fn lacking(&self, info: KeyInfo) -> Vec<P> {
        let lacks =
            |member: &&P| self.said.get(member).and_then(|said| said.info(info.id)) != Some(info);
        self.members.iter().filter(lacks).copied().collect()
    }

    fn say(&self) -> RotationOutput<P> {
        let mut bytes = vec![HAVE, self.own.active.0];
        for KeyInfo { id, digest } in &self.own.keys {
            bytes.push(id.0);
            bytes.extend_from_slice(digest);
        }
        RotationOutput::Say(bytes)
    }
}

impl Said {
    fn info(&self, key: KeyId) -> Option<KeyInfo> {
        self.keys.iter().find(|info| info.id == key).copied()
    }
}

enum Words {
    Have(Said),
    Activate(KeyInfo),
}

fn encode_activate(info: KeyInfo) -> Vec<u8> {
    let mut bytes = vec![ACTIVATE, info.id.0];
    bytes.extend_from_slice(&info.digest);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Words> {
    let info = |bytes: &[u8]| {
        let (id, digest) = bytes.split_first()?;
        Some(KeyInfo { id: KeyId(*id), digest: digest.try_into().ok()? })
    };
    match bytes {
        [HAVE, active, keys @ ..] => {
            let infos = keys.chunks(9).map(info).collect::<Option<Vec<_>>>()?;
            let is_sound = !infos.is_empty() && infos.len() <= KEYS_MAX;
            is_sound.then_some(Words::Have(Said { active: KeyId(*active), keys: infos }))
        }
        [ACTIVATE, rest @ ..] => info(rest).map(Words::Activate),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
