//! The keys of a domain: which there are, who has them, and how they are changed.

use std::path::PathBuf;

use anasazi_queue::status::Status;
use anasazi_seal::{KeyId, KeyInfo, Seal};
use anasazi_transport::Transport;
use serde_json::{Value, json};

use super::{Admin, Refusal, invalid};
use crate::domain::Domain;
use crate::storage::Storage;
use crate::turn::Place;

/// What is to be done with keys.
pub(crate) enum KeyChange {
    /// Read the key file again.
    Stage(PathBuf),
    /// Have all members seal with it.
    Activate(KeyId),
    /// Open nothing with it any more.
    Retire(KeyId),
}

impl Admin {
    /// What was asked for, as far as it can be refused at once.
    pub(super) fn key_change<T: Transport, S: Storage>(
        &self,
        what: &str,
        arguments: &Value,
        place: &Place<T, S>,
    ) -> Result<KeyChange, Refusal> {
        let id = || {
            let id = arguments.get("id").and_then(Value::as_u64);
            let id = id.and_then(|id| u8::try_from(id).ok()).filter(|id| *id > 0);
            id.map(KeyId).ok_or_else(|| invalid("`id` must be the number of a key, 1 to 255"))
        };
        Ok(match what {
            "key-activate" => KeyChange::Activate(id()?),
            "key-retire" => KeyChange::Retire(id()?),
            _ => {
                let all = self.config.all_domains();
                let config = all.iter().find(|config| config.name == place.name);
                let path = config.filter(|_| place.look().transport.seal().is_some());
                let path = path.and_then(|config| config.seal.key_file.clone());
                let none = "this domain has no key file: its datagrams are not sealed \
                            (seal.mode, seal.key_file)";
                KeyChange::Stage(path.ok_or_else(|| Refusal(Status::ESTATE, none.to_owned()))?)
            }
        })
    }
}

/// How a domain's datagrams are protected, in a line of its status.
pub(super) fn summary<T: Transport, S>(domain: &Domain<T, S>) -> Value {
    match domain.transport.seal() {
        None => json!({ "mode": "checksum" }),
        Some(seal) => json!({
            "mode": seal.mode().name(),
            "cipher": seal.suite_name(),
            "key": seal.active().0,
        }),
    }
}

/// All about them; never a key itself.
pub(crate) fn keys<T: Transport, S: Storage>(place: &Place<T, S>) -> Value {
    let domain = &*place.look();
    let mut value = summary(domain);
    let (Some(seal), Some(keys)) = (domain.transport.seal(), &domain.keys) else { return value };
    let members = keys.rotation().members().map(|(node, said)| {
        json!({
            "node": node.0,
            "key": said.map(|(active, _)| active.0),
            "keys": said.map(|(_, keys)| keys.iter().copied().map(info).collect::<Vec<_>>()),
        })
    });
    let missing =
        seal.missing().map(|(key, from)| json!({ "id": key.0, "used_by": from.to_string() }));
    let (greeted, waiting) = seal.boots_len();
    let more = json!({
        "domain": place.name,
        "keys": seal.keys().map(info).collect::<Vec<_>>(),
        "members": members.collect::<Vec<_>>(),
        "missing": missing.collect::<Vec<_>>(),
        "engines_known": greeted,
        "engines_awaited": waiting,
        "counters": counters(seal),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn info(KeyInfo { id, digest }: KeyInfo) -> Value {
    json!({ "id": id.0, "digest": format!("{:016x}", u64::from_be_bytes(digest)) })
}

fn counters(seal: &Seal) -> Value {
    let fields = seal.counters().fields();
    fields.into_iter().map(|(name, count)| (name.to_owned(), Value::from(count))).collect()
}
