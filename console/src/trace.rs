//! `trace check`: what nodes wrote to their `trace.file`, judged by the promises of
//! docs/PROTOCOL.md. Asks no engine.

use std::path::PathBuf;

use anasazi_oracle::offline::{Logs, NoVerdict, Unended};
use anasazi_oracle::{Options, Summary, Violation};
use serde_json::{Value, json};

use crate::fault::{Exit, Fault};
use crate::options::{Check, General};
use crate::print;

/// Reads the files, and prints the verdict.
pub(crate) fn check(general: &General, check: &Check) -> Result<(), Fault> {
    let options = Options { senders_are_members: check.senders_are_members, ..Options::default() };
    let no_verdict = |reason| no_verdict(&check.files, &reason);
    let logs = Logs::read(&check.files).map_err(no_verdict)?;
    let doubts = Doubts { unended: logs.unended(), quiesced: check.quiesced };
    if let Some(Unended { path, text }) = doubts.unended.first().filter(|_| check.complete) {
        let text = format!("no verdict: {}: {text}, as --complete forbids", path.display());
        return Err(Fault::new(Exit::Usage, text));
    }
    let verdict = logs.judge(&options, check.quiesced).map_err(no_verdict)?;
    let mut value = match &verdict {
        Ok(summary) => holds(summary),
        Err(violation) => violated(violation),
    };
    value["unended"] = doubts.in_json();
    let broken = value["axiom"].as_str().map(str::to_owned);
    let text = match &verdict {
        _ if general.json => value.to_string(),
        // What follows may be the fault of the files.
        Err(violation) => format!("{}{violation}", doubts.in_words()),
        Ok(summary) => format!("{}{}", doubts.in_words(), words(summary)),
    };
    print::line(text.trim_end())?;
    match broken {
        Some(axiom) => Err(Fault::failed(format!("a promise was broken: {axiom}"))),
        None => Ok(()),
    }
}

/// Files that may not be whole.
struct Doubts {
    unended: Vec<Unended>,
    quiesced: bool,
}

impl Doubts {
    /// A line for each.
    fn in_words(&self) -> String {
        let taken_as = match self.quiesced {
            true => "taken as of a node that still runs (--quiesced)",
            false => "taken as of a node that was killed, or still runs, or as cut off",
        };
        let line =
            |Unended { path, text }: &Unended| format!("{}: {text}; {taken_as}\n", path.display());
        self.unended.iter().map(line).collect()
    }

    fn in_json(&self) -> Value {
        let object = |u: &Unended| json!({ "file": u.path.to_string_lossy(), "text": u.text });
        self.unended.iter().map(object).collect()
    }
}

fn no_verdict(files: &[PathBuf], reason: &NoVerdict) -> Fault {
    let from = match (reason, files) {
        (NoVerdict::Unreadable { .. }, _) => String::new(),
        (NoVerdict::Incomplete(_), [file]) => format!(" from {}", file.display()),
        (NoVerdict::Incomplete(_), _) => format!(" from these {} files", files.len()),
    };
    Fault::new(Exit::Usage, format!("no verdict{from}: {reason}"))
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
