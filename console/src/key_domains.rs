//! Keys of one domain, or of all, one after the other: what is refused in one of them is done in
//! the others.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ask::ANSWER_MAX;
use crate::fault::{Exit, Fault};
use crate::keys::Key;
use crate::options::General;
use crate::place::{Need, Place};
use crate::table::{list, text};
use crate::{print, words};

/// Asks, and prints what came of it in each domain.
pub(crate) fn run(general: &General, key: &Key) -> Result<(), Fault> {
    let place = Place::open(general, Need::Existing)?;
    let until = general.timeout.map(|timeout| Instant::now() + timeout);
    let asking = Asking { as_json: general.json, key, place: &place, until };
    let result = match key.domain() {
        Some(name) => asking.of_one(name),
        None => asking.of_all(),
    };
    place.close();
    result
}

struct Asking<'a> {
    as_json: bool,
    key: &'a Key,
    place: &'a Place,
    /// By when all has to be answered.
    until: Option<Instant>,
}

impl Asking<'_> {
    fn of_one(&self, name: &str) -> Result<(), Fault> {
        let answer = self.in_domain(name)?;
        let text = if self.as_json { in_json(&answer) } else { self.key.for_people(&answer) };
        print::line(text.trim_end())?;
        Ok(())
    }

    fn of_all(&self) -> Result<(), Fault> {
        let names = self.domains()?;
        let (mut answers, mut faults) = (Vec::new(), Vec::new());
        for name in &names {
            let mut answer = match self.in_domain(name) {
                Ok(answer) => {
                    self.show(name, &answer, answers.is_empty())?;
                    answer
                }
                Err(fault) => {
                    let answer = json!({ "error": fault.text() });
                    faults.push((name, fault));
                    answer
                }
            };
            answer["domain"] = json!(name);
            answers.push(answer);
            // An answer that comes late after all would be taken for that of the next domain.
            if faults.iter().any(|(_, fault)| fault.exit != Exit::Failed) {
                break;
            }
        }
        let untried = &names[answers.len()..];
        if self.as_json {
            print::line(&in_json(&json!({ "domains": answers })))?;
        }
        result(faults, untried)
    }

    /// Those to be asked about: all have a status, and keys to change those that are sealed.
    fn domains(&self) -> Result<Vec<String>, Fault> {
        let answer = self.ask(&json!({ "query": "domains" }))?;
        let is_meant = |domain: &&Value| !self.key.is_change() || !domain["seal"]["key"].is_null();
        let meant = list(&answer["domains"]).iter().filter(is_meant);
        let names: Vec<_> = meant.filter_map(|of| of["name"].as_str().map(str::to_owned)).collect();
        match names.is_empty() {
            true => Err(Fault::failed("no domain of this engine is sealed (seal.mode)")),
            false => Ok(names),
        }
    }

    fn in_domain(&self, name: &str) -> Result<Value, Fault> {
        let mut request = self.key.request();
        request["domain"] = json!(name);
        self.ask(&request).map_err(|fault| match self.key {
            Key::Retire { id, .. } if fault.exit == Exit::Failed => {
                self.nothing_to_retire(name, *id).unwrap_or(fault)
            }
            _ => fault,
        })
    }

    /// Retiring was refused: because there is no such key?
    fn nothing_to_retire(&self, name: &str, id: u8) -> Option<Fault> {
        let answer = self.ask(&json!({ "query": "keys", "domain": name })).ok()?;
        let ids: Vec<_> =
            list(&answer["keys"]["keys"]).iter().map(|key| text(&key["id"])).collect();
        let is_absent = !ids.is_empty() && !ids.contains(&id.to_string());
        is_absent.then(|| {
            let here = ids.join(", ");
            Fault::failed(format!("nothing to retire: key {id} is not here; keys here: {here}"))
        })
    }

    fn show(&self, name: &str, answer: &Value, is_first: bool) -> Result<(), Fault> {
        if !self.as_json {
            let gap = if is_first { "" } else { "\n" };
            let name = words::plain(name);
            print::line(&format!("{gap}domain {name}: {}", self.key.for_people(answer)))?;
        }
        Ok(())
    }

    fn ask(&self, request: &Value) -> Result<Value, Fault> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout: Duration = left.unwrap_or(ANSWER_MAX);
        let answer = self.place.session.query_blocking(&request.to_string(), timeout);
        let answer = answer.map_err(Fault::of_question)?;
        serde_json::from_str(&answer).map_err(Fault::of_answer)
    }
}

fn in_json(answer: &Value) -> String {
    words::plain_json(&answer.to_string())
}

/// A fault that names every domain in which it was not done.
fn result(faults: Vec<(&String, Fault)>, untried: &[String]) -> Result<(), Fault> {
    let Some(exit) = faults.last().map(|(_, fault)| fault.exit) else { return Ok(()) };
    let in_words = |(name, fault): &(&String, Fault)| {
        format!("not done in domain {}: {}", words::plain(name), fault.text())
    };
    let mut text: Vec<_> = faults.iter().map(in_words).collect();
    if !untried.is_empty() {
        text.push(format!("not tried in domain {}", words::plain(&untried.join(", "))));
    }
    Err(Fault::new(exit, text.join("; ")))
}
