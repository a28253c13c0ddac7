//! `trace check`: what nodes wrote to their `trace.file`, judged by the promises of
//! docs/PROTOCOL.md. Asks no engine.

use anasazi_oracle::offline::{Logs, NoVerdict};
use anasazi_oracle::{Options, Summary, Violation};
use serde_json::{Value, json};

use crate::fault::{Exit, Fault};
use crate::options::{Check, General};
use crate::print;

/// Reads the files, and prints the verdict.
pub(crate) fn check(general: &General, check: &Check) -> Result<(), Fault> {
    let options = Options { senders_are_members: check.senders_are_members, ..Options::default() };
    let verdict = Logs::read(&check.files).and_then(|logs| logs.judge(&options, check.quiesced));
    match verdict.map_err(|reason| no_verdict(&reason))? {
        Ok(summary) => {
            let missing = summary.undelivered.first().filter(|_| check.quiesced);
            if let Some(id) = missing {
                let sentence = format!("{}#{} was never delivered by all", id.origin, id.counter);
                let value = json!({ "verdict": "violated", "axiom": "L3", "sentence": sentence });
                let text = if general.json { value.to_string() } else { sentence };
                print::line(&text)?;
                return Err(Fault::failed("a promise was broken: L3".to_owned()));
            }
            let value = holds(&summary);
            let text = if general.json { value.to_string() } else { words(&summary) };
            print::line(&text)?;
            Ok(())
        }
        Err(violation) => {
            let value = violated(&violation);
            let text = if general.json { value.to_string() } else { violation.to_string() };
            print::line(text.trim_end())?;
            Err(Fault::failed(format!("a promise was broken: {}", violation.axiom)))
        }
    }
}

fn no_verdict(reason: &NoVerdict) -> Fault {
    Fault::new(Exit::Usage, format!("no verdict: {reason}"))
}

fn words(summary: &Summary) -> String {
    let Summary { processes, clients, configurations, messages, packets, deliveries, .. } = summary;
    let mut text = format!(
        "no promise that was checked is broken: {processes} processes, {configurations} \
         configurations installed, {messages} messages accepted, {packets} packets and \
         {deliveries} messages delivered"
    );
    if *clients > 0 {
        text += &format!(", {clients} clients compared");
    }
    for unchecked in &summary.unchecked {
        text += &format!("\nnot checked: {unchecked}");
    }
    text
}

fn holds(summary: &Summary) -> Value {
    json!({
        "verdict": "holds",
        "processes": summary.processes,
        "clients": summary.clients,
        "configurations": summary.configurations,
        "messages": summary.messages,
        "packets": summary.packets,
        "deliveries": summary.deliveries,
        "unchecked": summary.unchecked,
    })
}

fn violated(violation: &Violation) -> Value {
    let histories = violation.excerpts.iter().map(|excerpt| {
        let lines = excerpt.lines.iter().map(|(number, line)| {
            let marked = *number == excerpt.marked;
            json!({ "index": number, "text": line.trim_start(), "marked": marked })
        });
        json!({ "of": excerpt.whose, "records": lines.collect::<Vec<_>>() })
    });
    json!({
        "verdict": "violated",
        "axiom": violation.axiom.to_string(),
        "promise": violation.axiom.title(),
        "sentence": violation.sentence,
        "histories": histories.collect::<Vec<_>>(),
    })
}
