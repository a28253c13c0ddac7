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
    /// Nobody counts on this key here any more: let go of it.
    Drop(KeyId),
    /// A key that was asked for here was not activated: these lack it, have another one for it, or
    /// have not said yet what they have.
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

#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    active: KeyId,
    keys: Vec<KeyInfo>,
}

const HAVE: u8 = 1;
const ACTIVATE: u8 = 2;

/// What is known of everybody's keys. `P` is a member.
///
/// Who has said that it has a key keeps it until that was taken back in the order: a word to seal
/// with it may be before that.
#[derive(Debug)]
pub struct Rotation<P> {
    me: P,
    /// What is so here; what is said is this, when it is said.
    own: Said,
    /// Keys that are here and will not be, once that was said and reached.
    dropping: Vec<KeyInfo>,
    /// A word about our keys is on its way in the order.
    is_saying: bool,
    members: Vec<P>,
    said: BTreeMap<P, Said>,
    /// The newest key that others seal with, or that was asked for here.
    wanted: Option<KeyId>,
    /// Asked for here, on its way in the order.
    asked: Option<KeyId>,
}

impl<P: Ord + Copy> Rotation<P> {
    /// Nothing is known of others yet.
    pub fn new(me: P, active: KeyId, keys: impl Iterator<Item = KeyInfo>) -> Self {
        Self {
            me,
            own: Said { active, keys: keys.collect() },
            dropping: Vec::new(),
            is_saying: false,
            members: Vec::new(),
            said: BTreeMap::new(),
            wanted: None,
            asked: None,
        }
    }

    /// A regular configuration begins.
    pub fn installed(&mut self, members: Vec<P>) -> Option<RotationOutput<P>> {
        self.members = members;
        self.said.clear();
        self.say()
    }

    /// These keys are here now, beside those that were; those are let go of in time.
    ///
    /// # Errors
    /// One that is not among them is in use.
    pub fn staged(
        &mut self,
        keys: Vec<KeyInfo>,
    ) -> Result<Option<RotationOutput<P>>, RotationError<P>> {
        let gone: Vec<KeyInfo> =
            self.own.keys.iter().filter(|info| !keys.contains(info)).copied().collect();
        gone.iter().try_for_each(|info| self.may_retire(info.id))?;
        self.dropping.retain(|info| !keys.contains(info));
        self.dropping.extend(gone);
        self.own.keys = keys;
        Ok(self.say())
    }

    /// One of the keys is to go.
    ///
    /// # Errors
    /// It is in use.
    pub fn retire(&mut self, key: KeyId) -> Result<Option<RotationOutput<P>>, RotationError<P>> {
        self.may_retire(key)?;
        self.dropping.extend(self.own.info(key));
        self.own.keys.retain(|info| info.id != key);
        Ok(self.say())
    }

    /// Somebody seals with this key.
    pub fn heard(&mut self, key: KeyId) -> Option<RotationOutput<P>> {
        self.wanted = Some(key);
        self.follow()
    }

    /// Asks for a key to be activated. If somebody turns out to lack it, it is as soon as all have
    /// it.
    ///
    /// # Errors
    /// Not everybody has it, as far as is known here, or it is not one that can follow.
    pub fn activate(&mut self, key: KeyId) -> Result<Option<RotationOutput<P>>, RotationError<P>> {
        let output = self.ask(key)?;
        self.wanted = Some(key);
        Ok(output)
    }

    /// Nothing while something asked for here is on its way: at most one word of each kind is.
    fn ask(&mut self, key: KeyId) -> Result<Option<RotationOutput<P>>, RotationError<P>> {
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
        if self.asked.is_some() {
            return Ok(None);
        }
        self.asked = Some(key);
        Ok(Some(RotationOutput::Say(encode_activate(info))))
    }

    fn may_retire(&self, key: KeyId) -> Result<(), RotationError<P>> {
        if self.own.info(key).is_none() {
            return Err(RotationError::Missing(key));
        }
        let uses = |member: &&P| self.said.get(member).is_none_or(|said| said.active == key);
        let mut users: Vec<P> = self.members.iter().filter(uses).copied().collect();
        if self.own.active == key && !users.contains(&self.me) {
            users.push(self.me);
        }
        if users.is_empty() { Ok(()) } else { Err(RotationError::InUse(key, users)) }
    }

    /// What a member said, at its place in the order. False at the end: no member of ours says so.
    pub fn said(&mut self, by: P, bytes: &[u8]) -> (Vec<RotationOutput<P>>, bool) {
        let mut out = Vec::new();
        match decode(bytes) {
            Some(Words::Have(said)) => {
                if by == self.me {
                    self.own_was_reached(&said, &mut out);
                }
                self.said.insert(by, said);
                out.extend(self.follow());
            }
            Some(Words::Activate(info)) => {
                let was_asked = by == self.me && self.asked.take().is_some();
                self.reached(info, was_asked, &mut out);
                out.extend(self.follow());
            }
            None => return (out, false),
        }
        (out, true)
    }

    /// Each member with its active key and all its keys, as far as it has said.
    pub fn members(&self) -> impl Iterator<Item = (P, Option<(KeyId, &[KeyInfo])>)> + '_ {
        let of = |member: &P| self.said.get(member).map(|said| (said.active, &said.keys[..]));
        self.members.iter().map(move |member| (*member, of(member)))
    }

    /// What was said of the keys here has its place in the order.
    fn own_was_reached(&mut self, said: &Said, out: &mut Vec<RotationOutput<P>>) {
        self.is_saying = false;
        for info in std::mem::take(&mut self.dropping) {
            if said.keys.contains(&info) {
                // It was said before that was to be taken back.
                self.dropping.push(info);
            } else {
                out.push(RotationOutput::Drop(info.id));
            }
        }
        if *said != self.own {
            out.extend(self.say());
        }
    }

    /// "Seal with this one" was reached in the order: all who have said alike decide alike.
    fn reached(&mut self, info: KeyInfo, was_asked: bool, out: &mut Vec<RotationOutput<P>>) {
        if !info.id.is_newer_than(self.own.active) {
            return;
        }
        let lacking = self.lacking(info);
        if !lacking.is_empty() {
            if was_asked {
                out.push(RotationOutput::Refused { key: info.id, lacking });
            }
            return;
        }
        // It was to be taken back, and that comes too late.
        self.own.keys.extend(self.dropping.extract_if(.., |gone| *gone == info));
        self.own.active = info.id;
        out.push(RotationOutput::Activate(info.id));
        out.extend(self.say());
    }

    /// Others have gone over to a newer key, while this ring did not hear it: it follows once all
    /// its members can.
    fn follow(&mut self) -> Option<RotationOutput<P>> {
        let others = self.said.values().map(|said| said.active);
        let newest = others.chain(self.wanted).fold(self.own.active, |newest, key| {
            if key.is_newer_than(newest) { key } else { newest }
        });
        if newest == self.own.active {
            return None;
        }
        self.ask(newest).ok().flatten()
    }

    fn lacking(&self, info: KeyInfo) -> Vec<P> {
        let lacks =
            |member: &&P| self.said.get(member).and_then(|said| said.info(info.id)) != Some(info);
        self.members.iter().filter(lacks).copied().collect()
    }

    /// Says what is here, unless that is on its way; then it is said again when that was reached.
    fn say(&mut self) -> Option<RotationOutput<P>> {
        if std::mem::replace(&mut self.is_saying, true) {
            return None;
        }
        let mut bytes = vec![HAVE, self.own.active.0];
        for KeyInfo { id, digest } in &self.own.keys {
            bytes.push(id.0);
            bytes.extend_from_slice(digest);
        }
        Some(RotationOutput::Say(bytes))
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
