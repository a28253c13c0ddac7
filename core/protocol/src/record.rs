//! What the oracle reads, and what trace files consist of: one record per thing that a process said
//! it did, and what was done to the process. With the feature `serde`, a record is a JSON object,
//! one a line.

use core::fmt;

use crate::id::Process;
use crate::service::{Audience, Priority};
use crate::trace::Trace;

/// One line of a process's history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Record {
    /// Whose history.
    pub process: Process,
    /// Position in that history; strictly increasing.
    pub index: u64,
    /// When, in nanoseconds of the writer's clock: of a simulation, its virtual time; of an engine,
    /// its monotonic clock put on Unix time once, at the start. Never decreasing within a process;
    /// clocks of two hosts differ, so nothing may be concluded from times of two processes.
    pub time: u64,
    /// What.
    pub entry: Entry,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Entry {
    /// The process was started. Always its first record.
    Boot {
        /// What an earlier incarnation had made durable was read back. Without it the node may use
        /// ring numbers again, in a ring id that differs by the representative's incarnation only.
        stored: bool,
    },
    /// The process was killed. Always its last record, and never written by itself.
    Crash,
    /// The writer could not keep up, or had no room: so many records are missing here.
    Lost {
        /// How many, at least.
        records: u64,
    },
    /// The process itself says it.
    Trace(Trace),
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.time / 1_000_000_000, self.time % 1_000_000_000);
        write!(f, "{:>7} {seconds:>4}.{rest:09} s  {}", self.index, self.entry)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot { stored: true } => {
                write!(f, "BOOT, with the state of its last incarnation")
            }
            Self::Boot { stored: false } => write!(f, "BOOT, without stored state"),
            Self::Crash => write!(f, "CRASH"),
            Self::Lost { records } => write!(f, "LOST {records} records"),
            Self::Trace(trace) => describe(trace, f),
        }
    }
}

fn describe(trace: &Trace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match trace {
        Trace::Send { message, session, to, service, priority, hash } => write!(
            f,
            "accepts #{} of session {:x} to {}, {}{} [{hash:x}]",
            message.counter,
            session.0,
            audience(to),
            service.name(),
            match priority {
                Some(Priority::High) => ", before others",
                Some(Priority::Bulk) => ", behind others",
                Some(Priority::Normal) | None => "",
            }
        ),
        Trace::Slot { ring, ordinal, hash, safe } => {
            write!(f, "binds packet {ordinal} of ring {ring}{} [{hash:x}]", safe_word(*safe))
        }
        Trace::Ordered { message, ring, ordinal, frame } => {
            write!(f, "binds #{} to {ordinal}.{frame} of ring {ring}", message.counter)
        }
        Trace::Packet { configuration, ordinal, origin, hash, safe } => write!(
            f,
            "takes packet {ordinal} of node {origin} in {configuration}{} [{hash:x}]",
            safe_word(*safe)
        ),
        Trace::Deliver { message, configuration, ordinal, frame, service, hash, refused } => {
            write!(
                f,
                "{} {}#{} at {ordinal}.{frame} in {configuration}, {} [{hash:x}]",
                if *refused { "refuses" } else { "delivers" },
                message.origin,
                message.counter,
                service.name()
            )
        }
        Trace::Unordered { message, ring, hash, .. } => write!(
            f,
            "takes {}#{} without order in ring {ring} [{hash:x}]",
            message.origin, message.counter
        ),
        Trace::Unicast { session, .. } => write!(f, "session {:x} gets it", session.0),
        Trace::TokenVisit { ring, token_sequence } => {
            write!(f, "token {token_sequence} of ring {ring}")
        }
        Trace::Stopped { waited_ms: Some(ms) } => write!(f, "STOPPED cleanly after {ms} ms"),
        Trace::Stopped { waited_ms: None } => write!(f, "STOPPED"),
        _ => describe_change(trace, f),
    }
}

fn describe_change(trace: &Trace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match trace {
        Trace::Regular { ring, members } => {
            write!(f, "INSTALLS regular {ring} of {}", list(members))
        }
        Trace::Transitional { old, new, members, obligation, safe_line } => write!(
            f,
            "INSTALLS transitional {old} -> {new} of {}, obligated to {}, safe up to {safe_line}",
            list(members),
            list(obligation)
        ),
        Trace::GroupView { group, id, transitional, members, together, local_left, .. } => write!(
            f,
            "{} of group {:x}, id {}:{}.{}, members {}, together {}{}",
            if *transitional { "transitional signal" } else { "view" },
            group.0,
            id.ring,
            id.ordinal,
            id.sub,
            list(members),
            list(together),
            if local_left.is_empty() { "" } else { ", some of this node left" }
        ),
        Trace::GroupMessage { group, sender, sequence, hash } => {
            write!(f, "group {:x} gets {sequence} of {sender} [{hash:x}]", group.0)
        }
        other => write!(f, "{other:?}"),
    }
}

fn audience(to: &Audience) -> String {
    if let Audience::Member(member) = to {
        return format!("session {member}");
    }
    let groups: Vec<String> = (to.groups())
        .map(|(group, view)| {
            let view = view.map(|v| format!(" in {}:{}.{}", v.ring, v.ordinal, v.sub));
            format!("group {:x}{}", group.0, view.unwrap_or_default())
        })
        .collect();
    groups.join(", ")
}

fn safe_word(safe: bool) -> &'static str {
    if safe { ", safe" } else { "" }
}

/// `{a, b, c}`, for sentences about records.
pub fn list<T: fmt::Display>(items: &[T]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("{{{}}}", words.join(", "))
}
