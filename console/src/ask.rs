//! Questions and actions: one request through the administration door, one answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::options::{Access, Change, Command, General};
use crate::place::{Need, Place};
use crate::{domains, print, table, words};

/// Asks, and prints the answer as JSON or laid out.
pub(crate) fn run(general: &General, command: &Command) -> Result<(), Fault> {
    let place = Place::open(general, Need::Existing)?;
    let changes =
        matches!(command, Command::Domains { change: Some(_) } | Command::Access(Access::Reload));
    let most = if changes { CHANGE_MAX } else { ANSWER_MAX };
    let timeout = general.timeout.unwrap_or(most);
    let request = request(command);
    let asked = place.session.query_blocking(&request, timeout);
    let answer = asked.map_err(Fault::of_question);
    place.close();
    let answer = answer?;
    let text =
        if general.json { words::plain_json(&answer) } else { for_people(command, &answer)? };
    print::line(text.trim_end())?;
    check_verdict(command, &answer)
}

/// A question that was answered with a no is none that was done.
fn check_verdict(command: &Command, answer: &str) -> Result<(), Fault> {
    if !matches!(command, Command::Access(Access::Check { .. })) {
        return Ok(());
    }
    let answer: Value = serde_json::from_str(answer).map_err(Fault::of_answer)?;
    match answer["allowed"].as_bool() {
        Some(true) => Ok(()),
        _ => Err(Fault::failed("it may not")),
    }
}

fn request(command: &Command) -> String {
    let mut value = match command {
        Command::Query { request } => return request.clone(),
        Command::Members(_) => json!({ "query": "members" }),
        Command::Groups(_) => json!({ "query": "groups" }),
        Command::Domains { change } => of_domains(change.as_ref()),
        Command::Access(access) => of_access(access),
        Command::Bridges => json!({ "query": "bridges" }),
        Command::Sessions => json!({ "query": "sessions" }),
        Command::Stats(_) => json!({ "query": "stats" }),
        Command::Events => json!({ "query": "events" }),
        Command::Config => json!({ "query": "config" }),
        Command::Isolate { nodes, .. } => json!({ "do": "isolate", "nodes": nodes }),
        Command::Heal(_) => json!({ "do": "heal" }),
        Command::Loss { permille, .. } => json!({ "do": "loss", "permille": permille }),
        Command::Shutdown => json!({ "do": "shutdown" }),
        // The commands that take part in a group, and those that read files, ask nothing; those
        // about keys ask for themselves.
        Command::Status(_)
        | Command::Monitor(_)
        | Command::Send(_)
        | Command::Chat(_)
        | Command::Key(_)
        | Command::Trace(_) => json!({ "query": "status" }),
    };
    if let Command::Status(of)
    | Command::Members(of)
    | Command::Groups(of)
    | Command::Stats(of)
    | Command::Heal(of)
    | Command::Isolate { of, .. }
    | Command::Loss { of, .. } = command
        && let Some(name) = &of.domain
    {
        value["domain"] = json!(name);
    }
    value.to_string()
}

pub(crate) fn for_people(command: &Command, answer: &str) -> Result<String, Fault> {
    let value: Value = serde_json::from_str(answer).map_err(Fault::of_answer)?;
    Ok(match command {
        Command::Members(_) => table::members(&value),
        Command::Groups(_) => table::groups(&value),
        Command::Domains { change: None } => domains::overview(&value),
        Command::Domains { change: Some(Change::Add { name, .. }) } => domains::added(name, &value),
        Command::Domains { change: Some(Change::Remove { name }) } => {
            domains::removed(name, &value)
        }
        Command::Key(key) => key.for_people(&value),
        Command::Access(Access::Show) => table::rules(&value),
        Command::Access(Access::Reload) => table::reloaded(&value),
        Command::Access(Access::Check { .. }) => table::checked(&value),
        Command::Bridges => table::bridges(&value),
        Command::Sessions => table::sessions(&value),
        Command::Stats(_) => table::stats(&value),
        Command::Events => table::events(&value),
        Command::Config => table::config(&value),
        Command::Query { .. } => {
            words::plain_json(&serde_json::to_string_pretty(&value).unwrap_or_default())
        }
        Command::Isolate { nodes, .. } => {
            let nodes: Vec<String> = nodes.iter().map(u32::to_string).collect();
            format!("this engine hears only nodes {} now", nodes.join(", "))
        }
        Command::Heal(_) => "this engine hears everybody again, and loses nothing".to_owned(),
        Command::Loss { permille, .. } => {
            format!("this engine loses {permille} of 1000 datagrams now")
        }
        Command::Shutdown => "the engine leaves the cluster".to_owned(),
        _ => table::status(&value),
    })
}

fn of_domains(change: Option<&Change>) -> Value {
    match change {
        None => json!({ "query": "domains" }),
        Some(Change::Add { name, settings }) => {
            let settings: serde_json::Map<_, _> =
                settings.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            json!({ "do": "add-domain", "name": name, "settings": settings })
        }
        Some(Change::Remove { name }) => json!({ "do": "remove-domain", "name": name }),
    }
}

fn of_access(access: &Access) -> Value {
    match access {
        Access::Show => json!({ "query": "access" }),
        Access::Reload => json!({ "do": "access-reload" }),
        Access::Check { uid, gid, socket, operation, name } => json!({
            "query": "access-check",
            "uid": uid,
            "gids": gid,
            "socket": socket,
            "operation": operation,
            "name": name,
        }),
    }
}

pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// An orderly leave takes some seconds where others do not answer.
const CHANGE_MAX: Duration = Duration::from_secs(20);
