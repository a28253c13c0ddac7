//! Keys of a domain whose datagrams are sealed: what its members say of theirs in the order, and
//! what comes of that.

use std::time::Duration;

use anasazi_protocol::{Command, Instant, NodeId, Process};
use anasazi_seal::{KeyId, KeyInfo, KeyRing, Rotation, RotationError, RotationOutput, Seal};
use anasazi_transport::Transport;
use bytes::Bytes;

use super::{Domain, Upward};
use crate::storage::Storage;

/// After a pause as long as this one, the machine may have been stopped, copied and gone on in two
/// places, with the same counters: it becomes somebody else.
const RENEW_AFTER_PAUSE: Duration = Duration::from_secs(5);

/// What is known of everybody's keys.
pub(crate) struct Keys {
    rotation: Rotation<NodeId>,
    /// The newest key of others that the rotation knows of.
    heard: Option<KeyId>,
    /// To be said in the order.
    notices: Vec<Bytes>,
    /// What it should have done before the last pause was noticed.
    late_for: Option<Instant>,
}

impl Keys {
    pub(super) fn new(node: NodeId, seal: &Seal) -> Self {
        let rotation = Rotation::new(node, seal.active(), seal.keys());
        Self { rotation, heard: None, notices: Vec::new(), late_for: None }
    }

    pub(crate) fn rotation(&self) -> &Rotation<NodeId> {
        &self.rotation
    }
}

impl<T: Transport, S: Storage> Domain<T, S> {
    /// Takes the keys of a file that was read again.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn stage(&mut self, ring: KeyRing, now: Instant) -> Result<(), String> {
        let Some((seal, keys)) = self.sealing() else { return Err(NOT_SEALED.to_owned()) };
        let other = |info: &KeyInfo| {
            seal.keys().any(|here| here.id == info.id && here.digest != info.digest)
        };
        if let Some(KeyInfo { id, .. }) = ring.infos().find(other) {
            return Err(format!(
                "key {id} in the file is not the key {id} that is here: a new key needs a new \
                 number, unless the old one was retired before"
            ));
        }
        let active = seal.active();
        if !ring.has(active) {
            return Err(format!(
                "key {active}, which is active, is not in the file: put it back until another key \
                 is active"
            ));
        }
        let output = keys.rotation.staged(ring.infos().collect()).map_err(in_words)?;
        seal.add_keys(ring);
        output.into_iter().for_each(|output| self.carry_out(output));
        self.say_notices(now);
        Ok(())
    }

    /// Asks all members to seal with another key.
    ///
    /// # Errors
    /// Not all have it.
    pub(crate) fn activate(&mut self, key: KeyId, now: Instant) -> Result<(), String> {
        let Some((_, keys)) = self.sealing() else { return Err(NOT_SEALED.to_owned()) };
        let output = keys.rotation.activate(key).map_err(in_words)?;
        output.into_iter().for_each(|output| self.carry_out(output));
        self.say_notices(now);
        Ok(())
    }

    /// Opens nothing with a key any more.
    ///
    /// # Errors
    /// Somebody seals with it.
    pub(crate) fn retire(&mut self, key: KeyId, now: Instant) -> Result<(), String> {
        let Some((_, keys)) = self.sealing() else { return Err(NOT_SEALED.to_owned()) };
        let output = keys.rotation.retire(key).map_err(in_words)?;
        output.into_iter().for_each(|output| self.carry_out(output));
        self.say_notices(now);
        Ok(())
    }

    /// A regular configuration begins.
    pub(super) fn keys_in(&mut self, members: &[Process]) {
        let Some((_, keys)) = self.sealing() else { return };
        let members = members.iter().map(|member| member.node).collect();
        let output = keys.rotation.installed(members);
        output.into_iter().for_each(|output| self.carry_out(output));
    }

    /// A member has said something of its keys.
    pub(super) fn keys_of(&mut self, by: NodeId, content: &[u8]) {
        let Some((_, keys)) = self.sealing() else { return };
        let (outputs, _) = keys.rotation.said(by, content);
        outputs.into_iter().for_each(|output| self.carry_out(output));
    }

    /// Others may seal with a newer key by now.
    pub(super) fn hear_keys(&mut self) {
        let Some((seal, keys)) = self.sealing() else { return };
        let newest = seal.newest_heard();
        if keys.heard == newest {
            return;
        }
        keys.heard = newest;
        let output = newest.and_then(|key| keys.rotation.heard(key));
        output.into_iter().for_each(|output| self.carry_out(output));
    }

    /// This process, or the whole machine, did not run for a while: it may have been copied.
    pub(crate) fn renew_seal(&mut self) {
        if let Some(seal) = self.transport.seal_mut()
            && !seal.renew()
        {
            let text = "no randomness from the kernel: nothing is sealed, so nothing sent, until \
                        there is";
            self.up.push(Upward::Told(text.to_owned()));
        }
    }

    /// It should have run long before, so that it may have been copied; once for each such pause.
    pub(super) fn renew_after_pause(&mut self, now: Instant) {
        let Some((_, keys)) = self.sealing() else { return };
        let known = keys.late_for;
        let late_for = self.core.deadline().filter(|at| now.since(*at) > RENEW_AFTER_PAUSE);
        if late_for.is_some() && late_for != known {
            self.renew_seal();
        }
        if let Some(keys) = &mut self.keys {
            keys.late_for = late_for;
        }
    }

    /// The next thing to be said in the order.
    pub(super) fn next_notice(&mut self) -> Option<Command> {
        let notices = &mut self.keys.as_mut()?.notices;
        (!notices.is_empty()).then(|| Command::Notice { content: notices.remove(0) })
    }

    fn carry_out(&mut self, output: RotationOutput<NodeId>) {
        let Some((seal, keys)) = self.sealing() else { return };
        match output {
            RotationOutput::Say(bytes) => keys.notices.push(bytes.into()),
            RotationOutput::Activate(key) => {
                let old = seal.active();
                let text = match seal.activate(key) {
                    true => format!("key {key} seals from now on, no longer key {old}"),
                    // Only who holds a key can have said so.
                    false => format!(
                        "key {key} was to be activated, which is not here: somebody said in this \
                         node's name that it is; key {old} seals, as before"
                    ),
                };
                self.up.push(Upward::Told(text));
            }
            RotationOutput::Drop(key) => {
                let text = match seal.retire(key) {
                    true => format!("key {key} opens nothing here any more"),
                    false => format!("key {key} was to be retired, which is active, or not here"),
                };
                self.up.push(Upward::Told(text));
            }
            RotationOutput::Refused { key, lacking } => {
                let error = RotationError::Lacking(key, lacking);
                let text = format!("key {key} is not activated yet: {error}");
                self.up.push(Upward::Told(text));
            }
        }
    }

    fn sealing(&mut self) -> Option<(&mut Seal, &mut Keys)> {
        Some((self.transport.seal_mut()?, self.keys.as_deref_mut()?))
    }
}

fn in_words(error: RotationError<NodeId>) -> String {
    error.to_string()
}

const NOT_SEALED: &str = "this domain has no keys: its datagrams are not sealed (seal.mode)";
