//! Rules of access that are read again while the engine runs. Their file waits for the disk, and
//! the names in it for whoever knows them, which a turn does not: whoever drives it has the file
//! read elsewhere, and brings what is in it.

use std::path::PathBuf;

use anasazi_protocol::Instant;
use anasazi_queue::status::Status;
use anasazi_transport::Transport;
use serde_json::json;

use super::Turn;
use super::removal::Asker;
use crate::access::Rules;
use crate::storage::Storage;

/// Who waits for the rules to be read.
#[derive(Default)]
pub(super) struct Rereading {
    /// Those who have asked since it was begun: what they mean may not be in it.
    asked: Vec<Asker>,
    /// Those for whom it is being read.
    served: Vec<Asker>,
}

impl Rereading {
    pub(super) fn is_due(&self) -> bool {
        !self.asked.is_empty() && self.served.is_empty()
    }
}

impl<T: Transport, S: Storage> Turn<T, S> {
    /// These rules are in force from now on.
    pub(crate) fn put_rules(&mut self, rules: Rules) {
        self.sessions.put_rules(rules);
    }

    /// A session wants the rules to be read again.
    pub(super) fn reread_for(&mut self, asker: Asker) {
        self.rereading.asked.push(asker);
    }

    /// The file of rules that is to be read, once.
    pub(crate) fn take_rereading(&mut self) -> Option<PathBuf> {
        if !self.rereading.is_due() {
            return None;
        }
        self.rereading.served = std::mem::take(&mut self.rereading.asked);
        self.admin.config.access.file.clone()
    }

    /// The rules were read, or are wrong: then those in force stay.
    pub(crate) fn rules_read(&mut self, read: Result<Rules, String>, now: Instant) {
        let askers = std::mem::take(&mut self.rereading.served);
        let by = askers.first().map(|asker| self.sessions.name_of(asker.0)).unwrap_or_default();
        let (status, answer) = match read {
            Ok(rules) => {
                let (count, path) = (rules.list.len(), rules.path.display().to_string());
                let text = format!("{count} access rules of {path} are in force, read for {by}");
                tracing::info!(target: "anasazi::engine", "{text}");
                self.admin.journal.of_access(now.0, text);
                self.sessions.put_rules(rules);
                (Status::OK, json!({ "done": true, "file": path, "rules": count }))
            }
            Err(problems) => {
                let text = format!("{problems}\nthe access rules stay as they were");
                tracing::warn!(target: "anasazi::engine", "read for {by}: {text}");
                self.admin.journal.of_access(now.0, text.clone());
                (Status::ECONFIG, json!({ "error": text }))
            }
        };
        askers.into_iter().for_each(|asker| self.tell(asker, status, &answer));
    }
}
