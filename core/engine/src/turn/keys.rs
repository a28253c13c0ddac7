//! Keys are staged, activated and retired while the engine runs. Reading a key file waits for the
//! disk, which a turn does not: whoever drives it has the file read elsewhere.

use std::path::PathBuf;

use anasazi_protocol::Instant;
use anasazi_queue::status::Status;
use anasazi_seal::{KeyId, KeyRing, Seal, SealCounters};
use anasazi_transport::Transport;
use serde_json::json;

use super::Turn;
use super::removal::Asker;
use crate::admin::{KeyChange, show};
use crate::domains::DomainId;
use crate::error::EngineError;
use crate::session::Readiness;
use crate::storage::Storage;

/// A key file that is to be read, for the domain of that name.
pub(crate) struct KeyOrder {
    pub(crate) domain: String,
    pub(crate) path: PathBuf,
    pub(crate) asker: Asker,
}

/// What came of it.
pub(crate) struct KeysRead {
    pub(crate) domain: String,
    pub(crate) asker: Asker,
    pub(crate) result: Result<KeyRing, EngineError>,
}

impl<T: Transport, S: Storage> Turn<T, S> {
    /// A session changes the keys of a domain.
    pub(super) fn change_keys(
        &mut self,
        id: DomainId,
        change: KeyChange,
        asker: Asker,
        now: Instant,
        readiness: &dyn Readiness,
    ) {
        let domain = self.domains[id].name.clone();
        let words = change_words(&change);
        let result = match change {
            KeyChange::Stage(path) => {
                return self.key_orders.push(KeyOrder { domain, path, asker });
            }
            KeyChange::Activate(key) => self.activate_key(id, key, now),
            KeyChange::Retire(key) => self.retire_key(id, key, now),
        };
        self.keys_changed(id, words, asker, result, now);
        self.hand_up_of(id, now, readiness);
    }

    /// Takes the keys of a file that was read again, in one domain.
    ///
    /// # Errors
    /// Why it does not.
    pub fn stage_keys(&mut self, id: DomainId, ring: KeyRing, now: Instant) -> Result<(), String> {
        self.domains[id].work().stage(ring, now)
    }

    /// Asks all members of a domain to seal with another key.
    ///
    /// # Errors
    /// Not all have it.
    pub fn activate_key(&mut self, id: DomainId, key: KeyId, now: Instant) -> Result<(), String> {
        self.domains[id].work().activate(key, now)
    }

    /// Opens nothing with a key any more.
    ///
    /// # Errors
    /// Somebody seals with it.
    pub fn retire_key(&mut self, id: DomainId, key: KeyId, now: Instant) -> Result<(), String> {
        self.domains[id].work().retire(key, now)
    }

    /// The key that seals in a domain, if its datagrams are sealed.
    pub fn active_key(&self, id: DomainId) -> Option<KeyId> {
        self.domains[id].look().transport.seal().map(Seal::active)
    }

    /// The newest key that a domain was sent something with and does not have.
    pub fn missing_key(&self, id: DomainId) -> Option<KeyId> {
        let domain = self.domains[id].look();
        let newer =
            |newest: KeyId, key: KeyId| if key.is_newer_than(newest) { key } else { newest };
        domain.transport.seal()?.missing().map(|(key, _)| key).reduce(newer)
    }

    /// This process, or the whole machine, may have been copied: it goes on as somebody else in all
    /// domains.
    pub fn renew_seals(&mut self) {
        self.domains.iter_mut().for_each(|place| place.work().renew_seal());
    }

    /// What has been sealed and opened in a domain, and what has not.
    pub fn seal_counters(&self, id: DomainId) -> Option<SealCounters> {
        self.domains[id].look().transport.seal().map(Seal::counters)
    }

    /// Key files that are to be read.
    pub(crate) fn take_key_orders(&mut self) -> Vec<KeyOrder> {
        core::mem::take(&mut self.key_orders)
    }

    /// A key file was read.
    pub(crate) fn keys_read(&mut self, read: KeysRead, now: Instant) {
        let KeysRead { domain, asker, result } = read;
        // It may have been removed meanwhile.
        let Some(id) = self.domains.find(&domain) else {
            let error = json!({ "error": format!("the domain {domain:?} is gone") });
            return self.tell(asker, Status::ESTATE, &error);
        };
        let result = result.map_err(|error| error.to_string());
        let result = result.and_then(|ring| self.stage_keys(id, ring, now));
        self.keys_changed(id, "staged keys".to_owned(), asker, result, now);
    }

    fn keys_changed(
        &mut self,
        id: DomainId,
        what: String,
        asker: Asker,
        result: Result<(), String>,
        now: Instant,
    ) {
        match result {
            Ok(()) => {
                let by = self.sessions.name_of(asker.0);
                let place = self.domains[id].words();
                self.admin.journal.of_domain(now.0, format!("{place}{by} {what}"));
                let keys = show::keys(&self.domains[id]);
                self.tell(asker, Status::OK, &json!({ "done": true, "keys": keys }));
            }
            Err(error) => self.tell(asker, Status::ESTATE, &json!({ "error": error })),
        }
    }
}

fn change_words(change: &KeyChange) -> String {
    match change {
        KeyChange::Stage(path) => format!("staged the keys of {}", path.display()),
        KeyChange::Activate(KeyId(key)) => format!("asked all members to activate key {key}"),
        KeyChange::Retire(KeyId(key)) => format!("retired key {key}"),
    }
}
