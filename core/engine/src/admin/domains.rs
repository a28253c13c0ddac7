//! Domains are added to a running engine, and removed from it. What can be refused at once is
//! refused here; the rest takes its time, and is answered when it is done.

use anasazi_queue::status::Status;
use serde_json::{Value, json};

use super::{Admin, Refusal, invalid};
use crate::config::ValidConfig;
use crate::domains::{DEFAULT_NAME, DomainId};
use crate::turn::Table;

/// A domain that is to be added, and the configuration with it.
pub(crate) struct Addition {
    pub(crate) name: String,
    pub(crate) config: ValidConfig,
}

impl Admin {
    pub(super) fn add<T, S>(
        &self,
        arguments: &Value,
        domains: &Table<T, S>,
    ) -> Result<Addition, Refusal> {
        let name = name(arguments)?;
        let settings = settings(arguments)?;
        let state = |text: &str| {
            let text = format!("the domain {name:?} {text}");
            Err(Refusal(Status::EEXIST, text))
        };
        match domains.find(&name).map(|id| domains[id].removal.is_some()) {
            Some(true) => return state("is being removed: ask again when that is done"),
            Some(false) if name == DEFAULT_NAME => {}
            Some(false) => return state("is there already: remove it first, or take another name"),
            None if self.config.domains.iter().any(|of| of.name == name) => {
                return state("is being added already");
            }
            None => {}
        }
        let config = self.config.with_domain(&name, &settings);
        let config = config.map_err(|error| Refusal(Status::ECONFIG, error.to_string()))?;
        Ok(Addition { name, config })
    }

    pub(super) fn remove<T, S>(
        &self,
        arguments: &Value,
        domains: &Table<T, S>,
    ) -> Result<DomainId, Refusal> {
        let name = name(arguments)?;
        match domains.find(&name) {
            Some(DomainId::DEFAULT) => Err(invalid(
                "the domain \"default\" is what the engine itself is configured for, and cannot be \
                 removed: stop the engine instead",
            )),
            Some(id) => Ok(id),
            None => {
                let known = domains.names().join(", ");
                let text = format!("this engine has no domain {name:?}; it has: {known}");
                Err(invalid(&text))
            }
        }
    }

    /// What whoever has added a domain is told. `shown`: how it is.
    pub(crate) fn added(&self, name: &str, shown: Value) -> Value {
        let note = "this engine has it until it ends: for later ones, too, put the section into \
                    the configuration file";
        json!({ "done": true, "domain": shown, "section": self.config.section(name), "note": note })
    }

    /// What whoever has removed one is told.
    pub(crate) fn removed(name: &str, memberships: usize) -> Value {
        let note = format!(
            "the configuration file is as it was: if it has a section [domain.{name}], the next \
             engine will have the domain again"
        );
        json!({ "done": true, "removed": name, "memberships_ended": memberships, "note": note })
    }
}

fn name(arguments: &Value) -> Result<String, Refusal> {
    let name = arguments.get("name").and_then(Value::as_str);
    name.map(str::to_owned).ok_or_else(|| invalid("`name` must be the name of a domain"))
}

/// Keys and values, as text.
fn settings(arguments: &Value) -> Result<Vec<(String, String)>, Refusal> {
    let none = serde_json::Map::new();
    let settings = match arguments.get("settings") {
        None => &none,
        Some(Value::Object(settings)) => settings,
        Some(_) => {
            let text = "`settings` must be an object of keys and values, such as {\"preset\": \
                        \"wan\"}";
            return Err(invalid(text));
        }
    };
    let as_text = |(key, value): (&String, &Value)| {
        let text = match value {
            Value::Array(items) => {
                let items: Option<Vec<_>> = items.iter().map(plain).collect();
                items.map(|items| items.join(","))
            }
            value => plain(value),
        };
        let wrong = || {
            invalid(&format!(
                "the value of {key:?} must be text, a number, a boolean or \
                                         a list of these"
            ))
        };
        Ok((key.clone(), text.ok_or_else(wrong)?))
    };
    settings.iter().map(as_text).collect()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
