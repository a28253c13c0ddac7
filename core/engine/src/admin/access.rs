//! The rules of access: shown, explained, and asked before anything else is shown.

use anasazi_protocol::SessionId;
use anasazi_queue::status::Status;
use serde_json::{Value, json};

use super::{Refusal, invalid};
use crate::access::{Asked, Operation, Rule, Standing, Subject};
use crate::domains::DEFAULT_NAME;
use crate::session::Sessions;

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct By {
    pub(crate) session: SessionId,
    /// A user who may do more than ask.
    pub(crate) trusted: bool,
}

impl By {
    /// Comes from where nobody can tell who it is.
    pub(super) fn is_remote(self, sessions: &Sessions) -> bool {
        sessions.subject_of(self.session).is_some_and(|of| of.standing == Standing::Remote)
    }

    /// May ask this. `of_domain`: what it is about, if it is about a domain.
    pub(super) fn check(
        self,
        what: &str,
        of_domain: &str,
        sessions: &Sessions,
    ) -> Result<(), Refusal> {
        match what {
            "status" | "members" | "stats" => self.check_query(sessions, of_domain),
            // Who asks is told what is for it.
            "groups" | "access-check" => Ok(()),
            _ => self.check_query(sessions, "*"),
        }
    }

    /// May ask about this: a group, all of a domain (`prices/*`), or everything (`*`).
    fn check_query(self, sessions: &Sessions, name: &str) -> Result<(), Refusal> {
        // Of one that is gone nobody is shown the answer.
        let Some(subject) = sessions.subject_of(self.session) else { return Ok(()) };
        // Who was let in before there were rules may ask.
        if sessions.rules().is_none() {
            return Ok(());
        }
        let verdict = sessions.decide(&subject, Operation::Query, name);
        let asked = Asked { subject: &subject, operation: Operation::Query, name };
        match verdict.allowed {
            true => Ok(()),
            false => Err(Refusal(Status::EACCES, asked.explain(&verdict))),
        }
    }

    /// Those of a list of groups that it may ask about. `whole`: what they are all of.
    ///
    /// # Errors
    /// It may ask about none of them, nor about the whole.
    pub(crate) fn only_allowed(
        self,
        mut groups: Vec<Value>,
        whole: &str,
        sessions: &Sessions,
    ) -> Result<Vec<Value>, Refusal> {
        // Who may ask about the whole may still be denied some of it.
        groups.retain(|group| {
            let name = group["name"].as_str().unwrap_or_default();
            let is_default = group["domain"] == DEFAULT_NAME;
            let full = if is_default { format!("{DEFAULT_NAME}/{name}") } else { name.to_owned() };
            self.check_query(sessions, &full).is_ok()
        });
        if groups.is_empty() {
            self.check_query(sessions, whole)?;
        }
        Ok(groups)
    }
}

/// The rules in force.
pub(super) fn show(sessions: &Sessions) -> Value {
    let row = |rule: &Rule| json!({ "line": rule.line, "rule": rule.text });
    match sessions.rules() {
        Some(rules) => json!({
            "file": rules.path.display().to_string(),
            "rules": rules.list.iter().map(row).collect::<Vec<_>>(),
        }),
        None => json!({ "file": null, "rules": [] }),
    }
}

/// Whether somebody may do something, and why: who asks, or, with `uid` or `socket`, somebody else,
/// about whom only those may ask who may ask about everything.
pub(super) fn check(arguments: &Value, by: By, sessions: &Sessions) -> Result<Value, Refusal> {
    let operation = arguments.get("operation").and_then(Value::as_str);
    let operation = operation.and_then(Operation::named).ok_or_else(|| {
        let all = Operation::ALL.map(Operation::name).join(", ");
        invalid(&format!("`operation` must be one of {all}"))
    })?;
    let name = full_name(arguments, operation)?;
    let explain = |subject: &Subject<'_>| {
        let verdict = sessions.decide(subject, operation, &name);
        let asked = Asked { subject, operation, name: &name };
        json!({ "allowed": verdict.allowed, "why": asked.explain(&verdict) })
    };
    let socket = text(arguments, "socket")?;
    let uid = number(arguments.get("uid"), "uid")?;
    let gids = match arguments.get("gids") {
        None => Vec::new(),
        Some(Value::Array(gids)) => {
            let gids = gids.iter().map(|gid| number(Some(gid), "gids"));
            gids.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
        Some(_) => return Err(invalid("`gids` must be a list of numbers of groups")),
    };
    if uid.is_none() && socket.is_none() && gids.is_empty() {
        let own = sessions.subject_of(by.session);
        return own.map(|own| explain(&own)).ok_or_else(|| invalid("the session is gone"));
    }
    by.check_query(sessions, "*")?;
    let (uid, gid) = (uid.unwrap_or(u32::MAX), gids.first().copied().unwrap_or(u32::MAX));
    let socket = socket.unwrap_or_default();
    let standing = sessions.standing_at(socket, uid, gid, &gids);
    Ok(explain(&Subject { uid, gid, groups: &gids, socket, standing }))
}

/// The name that is asked about, with its domain.
fn full_name(arguments: &Value, operation: Operation) -> Result<String, Refusal> {
    let name = text(arguments, "name")?;
    match (operation, name) {
        (Operation::Connect, None) => Ok("*".to_owned()),
        (Operation::Connect, Some(_)) => Err(invalid("`name` is not for connect")),
        (_, None) => Err(invalid("`name` must be the name of a group, such as prices/x")),
        (_, Some(name)) if name.contains('/') || name == "*" => Ok(name.to_owned()),
        (_, Some(name)) => Ok(format!("{DEFAULT_NAME}/{name}")),
    }
}

fn text<'a>(arguments: &'a Value, key: &str) -> Result<Option<&'a str>, Refusal> {
    match arguments.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(&format!("`{key}` must be text"))),
    }
}

fn number(value: Option<&Value>, key: &str) -> Result<Option<u32>, Refusal> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    let wrong = || invalid(&format!("`{key}`: {value} is not the number of a user or group"));
    number.filter(|number| *number < u32::MAX).map(Some).ok_or_else(wrong)
}
