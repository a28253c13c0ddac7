//! The state machine as a table: what each state takes in, and every change of state that there is.
//! The code goes through it: a packet that the state does not take is counted and dropped before it
//! gets to it, and a change that has no row breaks an invariant (`Node::moved`). `transitions.txt`
//! shows all pairs of state and input; a test keeps it true (`UPDATE=1` rewrites it).

use crate::event::Cause;
use crate::wire::Packet;

/// Makes an enum whose values have names, and the list of all of them.
macro_rules! named {
    ($(#[$doc:meta])* $enum:ident: $($value:ident $name:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum $enum { $($value,)* }

        impl $enum {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$value,)*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)* }
            }
        }
    };
}

named! {
    /// Where a core is.
    At:
    Probation "probation",
    Operational "operational",
    Gather "gather",
    Commit "commit",
    Recovery "recovery",
    Stopped "stopped",
}

named! {
    /// What came in. Whatever else a core is given (probes, parts of packets) it deals with in the
    /// same way in every state, but that it does not answer probes before it is known whether its
    /// name is taken.
    In:
    Data "data",
    Token "token",
    TokenAck "token ack",
    Wake "wake",
    Unordered "unordered",
    Hold "hold",
    Join "join",
    Propose "propose",
    State "state",
    Plan "plan",
    PlanAck "plan ack",
    Beacon "beacon",
    Bye "bye",
    Duplicate "duplicate",
    Outdated "outdated",
    ProbeAnswer "probe answer",
    Decline "decline",
    Gauge "gauge",
    Gauged "gauged",
    NotAdmitted "not admitted",
    Unreachable "unreachable",
    Drained "drained",
    Timeout "timeout",
    Persisted "persisted",
    Command "command",
    Shutdown "shutdown",
    // Nothing new: it follows from the step before, in the same turn.
    AtOnce "at once",
    Other "other",
}

named! {
    /// Why the state changes: a cause without its particulars, or a step of forming a ring.
    Why:
    Boot "nobody else uses the id",
    TokenLoss "the token is lost",
    Gone "a member is gone",
    JoinFrom "a member gathers",
    FailedToReceive "a member cannot receive",
    Demoted "a member breaks the contract",
    Agreed "all vote for the same members",
    Called "the representative calls",
    CommitTimeout "the commit takes too long",
    Contradiction "what members say cannot be",
    Planned "everybody's answer is known",
    RecoveryTimeout "the recovery takes too long",
    Complete "everybody holds everything",
    Leaving "this node leaves, nothing is left to do",
    Overdue "this node leaves, and no ring is formed",
    Superseded "a newer process has this node's id",
    IdInUse "the node's id is in use",
    Outdated "an earlier start was newer",
}

impl In {
    pub(crate) fn of(packet: &Packet) -> Self {
        match packet {
            Packet::Data(_) => Self::Data,
            Packet::Token(_) => Self::Token,
            Packet::TokenAck { .. } => Self::TokenAck,
            Packet::Wake { .. } => Self::Wake,
            Packet::Unordered { .. } => Self::Unordered,
            Packet::Hold { .. } => Self::Hold,
            Packet::Join(_) => Self::Join,
            Packet::Propose(_) => Self::Propose,
            Packet::State(_) => Self::State,
            Packet::Plan(_) => Self::Plan,
            Packet::PlanAck(_) => Self::PlanAck,
            Packet::Beacon(_) => Self::Beacon,
            Packet::Bye { .. } => Self::Bye,
            Packet::Duplicate { .. } => Self::Duplicate,
            Packet::Outdated { .. } => Self::Outdated,
            Packet::ProbeAnswer(_) => Self::ProbeAnswer,
            Packet::Decline(_) => Self::Decline,
            Packet::Gauge { .. } => Self::Gauge,
            Packet::Gauged { .. } => Self::Gauged,
            Packet::NotAdmitted { .. } => Self::NotAdmitted,
            Packet::Probe(_)
            | Packet::SizeProbe(_)
            | Packet::SizeAnswer(_)
            | Packet::Part { .. } => Self::Other,
        }
    }
}

impl Why {
    /// Of leaving a state for this cause.
    pub(crate) fn of(cause: &Cause) -> Self {
        match cause {
            Cause::Boot => Self::Boot,
            Cause::TokenLoss { .. } => Self::TokenLoss,
            Cause::Unreachable { .. } | Cause::Left { .. } | Cause::Restarted { .. } => Self::Gone,
            Cause::JoinFrom { .. } => Self::JoinFrom,
            Cause::Merge { .. } => Self::Agreed,
            Cause::CommitTimeout => Self::CommitTimeout,
            Cause::RecoveryTimeout => Self::RecoveryTimeout,
            Cause::Contradiction => Self::Contradiction,
            Cause::FailedToReceive { .. } => Self::FailedToReceive,
            Cause::Demoted { .. } => Self::Demoted,
            Cause::Shutdown => Self::Leaving,
            Cause::Superseded => Self::Superseded,
            Cause::IdInUse => Self::IdInUse,
            Cause::Outdated => Self::Outdated,
        }
    }
}

/// One change of state. Its name stays, whatever else is changed about it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    from: &'static [At],
    /// What may bring it about.
    on: &'static [In],
    why: Why,
    to: At,
}

/// What a state takes in; all else is counted and dropped.
const TAKEN: &[(At, &[In])] = {
    use In::*;
    &[
        (At::Probation, &[Duplicate, Outdated, Timeout, Persisted, Shutdown]),
        (
            At::Operational,
            &[
                Data,
                Unordered,
                Hold,
                Token,
                TokenAck,
                Wake,
                Join,
                Beacon,
                Bye,
                Duplicate,
                Outdated,
                Propose,
                ProbeAnswer,
                Decline,
                Gauge,
                Gauged,
                NotAdmitted,
                Unreachable,
                Drained,
                Timeout,
                Persisted,
                Command,
                Shutdown,
            ],
        ),
        (
            At::Gather,
            &[
                Data,
                Join,
                Beacon,
                Propose,
                Bye,
                Duplicate,
                Outdated,
                Decline,
                Unreachable,
                Timeout,
                Persisted,
                Command,
                Shutdown,
            ],
        ),
        (
            At::Commit,
            &[
                Join,
                Beacon,
                Propose,
                State,
                Plan,
                PlanAck,
                Bye,
                Duplicate,
                Outdated,
                Unreachable,
                Timeout,
                Command,
                Shutdown,
            ],
        ),
        (
            At::Recovery,
            &[
                Data,
                Token,
                TokenAck,
                Join,
                Beacon,
                Plan,
                Bye,
                Duplicate,
                Outdated,
                Unreachable,
                Timeout,
                Command,
                Shutdown,
            ],
        ),
        (At::Stopped, &[]),
    ]
};

/// What makes a node see that all agree: in a ring that turns, and in a gather, which may have
/// begun in the same step.
const NEWS_IN_A_RING: &[In] = {
    use In::*;
    &[Join, Beacon, Decline, Bye, Unreachable, Timeout, Persisted]
};
const NEWS: &[In] = {
    use In::*;
    &[Join, Beacon, Decline, Bye, Unreachable, Timeout, Persisted, AtOnce]
};
/// What says that a process is gone; a newer one of the same node does.
const GONE: &[In] = {
    use In::*;
    &[Bye, Unreachable, Join, Beacon]
};
/// What can be the last that a leaving node waited for.
const LAST: &[In] = {
    use In::*;
    &[Data, Token, Wake, Drained, Timeout, Command, Shutdown, AtOnce]
};

/// Every change of state.
pub(crate) const ROWS: &[Row] = {
    use At::*;
    use In::{AtOnce, Data, Drained, Duplicate, Join, Plan, PlanAck, Propose, State, Token};
    use In::{Persisted, Shutdown, Timeout};
    use Why::*;
    &[
        row("boot", &[Probation], &[Timeout, Persisted], Boot, Operational),
        row("id-in-use", &[Probation], &[Duplicate], IdInUse, Stopped),
        row("outdated", &[Probation], &[In::Outdated], Outdated, Stopped),
        row("quit", &[Probation], &[Shutdown], Leaving, Stopped),
        row("token-lost", &[Operational], &[Timeout], TokenLoss, Gather),
        row("member-gone", &[Operational], GONE, Gone, Gather),
        row("member-gathers", &[Operational], &[Join], JoinFrom, Gather),
        row("merge-agreed", &[Operational], NEWS_IN_A_RING, Agreed, Commit),
        row("merge-called", &[Operational], &[Propose], Called, Commit),
        row(
            "deaf",
            &[Operational],
            &[Data, Token, Join, Drained, Timeout],
            FailedToReceive,
            Gather,
        ),
        row("demoted", &[Operational], &[Timeout], Demoted, Gather),
        row("left", &[Operational], LAST, Leaving, Stopped),
        row("agreed", &[Gather], NEWS, Agreed, Commit),
        row("called", &[Gather], &[Propose], Called, Commit),
        row("gather-superseded", &[Gather], &[Join, AtOnce], Superseded, Stopped),
        row("commit-timeout", &[Commit], &[Timeout], CommitTimeout, Gather),
        row("commit-contradiction", &[Commit], &[State, Plan, PlanAck], Contradiction, Gather),
        row("commit-member-gone", &[Commit], GONE, Gone, Gather),
        row("commit-member-gathers", &[Commit], &[Join], JoinFrom, Gather),
        row("planned", &[Commit], &[Plan, PlanAck, AtOnce], Planned, Recovery),
        row("recovery-token-lost", &[Recovery], &[Timeout], TokenLoss, Gather),
        row("recovery-timeout", &[Recovery], &[Timeout], RecoveryTimeout, Gather),
        row("recovery-contradiction", &[Recovery], &[Token], Contradiction, Gather),
        row("recovery-member-gone", &[Recovery], GONE, Gone, Gather),
        row("recovery-member-gathers", &[Recovery], &[Join], JoinFrom, Gather),
        row("recovery-deaf", &[Recovery], &[Join], FailedToReceive, Gather),
        row("installed", &[Recovery], &[Token, AtOnce], Complete, Operational),
        row("overdue", &[Gather, Commit], &[Timeout, AtOnce], Overdue, Stopped),
        row("overdue-in-recovery", &[Recovery], &[Timeout], Overdue, Stopped),
        row(
            "superseded",
            &[Operational, Gather, Commit, Recovery],
            &[Duplicate, In::Outdated],
            Superseded,
            Stopped,
        ),
    ]
};

const fn row(name: &'static str, from: &'static [At], on: &'static [In], why: Why, to: At) -> Row {
    Row { name, from, on, why, to }
}

/// The state has a use for it.
pub(crate) fn takes(at: At, input: In) -> bool {
    TAKEN.iter().any(|(state, taken)| *state == at && taken.contains(&input))
}

/// The row of a change, if there may be such a change.
pub(crate) fn find(from: At, input: In, why: Why, to: At) -> Option<&'static Row> {
    ROWS.iter()
        .find(|r| r.from.contains(&from) && r.why == why && r.to == to && r.on.contains(&input))
}

/// All changes of state, each with a state that it may begin in and an input that may bring it
/// about: names, as in [`Event::State`](crate::Event::State).
pub fn cells() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    ROWS.iter().flat_map(|row| {
        let from = row.from.iter();
        from.flat_map(|from| row.on.iter().map(|on| (row.name, from.name(), on.name())))
    })
}

/// The names of all changes of state, in the table's order.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    const HEADER: &str = "\
Every state and everything that can come in. Made from transitions.rs by
UPDATE=1 cargo test -p anasazi-protocol transitions

  .   counted and dropped; a command waits in the queue
  =   taken; the state stays
  =X  taken; the state stays or becomes one of X: the letters are the states' first ones
Any other change of state breaks an invariant: the core panics, and the engine stops.

";

    fn cell(at: At, input: In) -> String {
        let rows = ROWS.iter().filter(|r| r.from.contains(&at) && r.on.contains(&input));
        let letters: String = At::ALL
            .iter()
            .filter(|to| rows.clone().any(|r| r.to == **to))
            .map(|to| to.name()[..1].to_uppercase())
            .collect();
        match (takes(at, input), &letters[..]) {
            (false, "") => ".".to_owned(),
            _ => format!("={letters}"),
        }
    }

    fn matrix() -> String {
        let mut text = HEADER.to_owned();
        let mut line = |first: &str, cells: &[String]| {
            let cells: String = cells.iter().map(|c| format!("{c:<12}")).collect();
            writeln!(text, "{}", format!("{first:<13}{cells}").trim_end()).expect("a string");
        };
        let states: Vec<String> = At::ALL.iter().map(|at| at.name().to_owned()).collect();
        line("", &states);
        for input in In::ALL.iter().filter(|i| **i != In::Other) {
            let cells: Vec<String> = At::ALL.iter().map(|at| cell(*at, *input)).collect();
            line(input.name(), &cells);
        }
        text.push('\n');
        for row in ROWS {
            let on: Vec<&str> = row.on.iter().map(|i| i.name()).collect();
            let from: Vec<&str> = row.from.iter().map(|at| at.name()).collect();
            let (from, to, why) = (from.join(", "), row.to.name(), row.why.name());
            let on = on.join(", ");
            writeln!(text, "{}\n    {from} -> {to}: {why}\n    on {on}", row.name)
                .expect("a string");
        }
        text
    }

    #[test]
    fn the_file_shows_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/state/transitions.txt");
        let shown = matrix();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &shown).expect("the file can be written");
        }
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(file, shown, "UPDATE=1 cargo test -p anasazi-protocol transitions rewrites it");
    }

    #[test]
    fn no_two_rows_say_the_same_and_each_input_of_a_row_is_taken() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|r| r.name != row.name), "{} twice", row.name);
            for (from, input) in row.from.iter().flat_map(|f| row.on.iter().map(move |i| (f, i))) {
                let found = find(*from, *input, row.why, row.to).map(|r| r.name);
                assert_eq!(found, Some(row.name), "{input:?}");
                let taken = *input == In::AtOnce || takes(*from, *input);
                assert!(taken, "{} has {input:?}, which is not taken", row.name);
            }
        }
    }

    #[test]
    fn every_reason_has_a_row_and_every_state_but_the_last_is_left() {
        for why in Why::ALL {
            assert!(ROWS.iter().any(|r| r.why == *why), "{why:?}");
        }
        for at in At::ALL {
            let left = ROWS.iter().any(|r| r.from.contains(at));
            let reached = ROWS.iter().any(|r| r.to == *at);
            assert_eq!(left, *at != At::Stopped, "{at:?}");
            assert!(reached || *at == At::Probation, "{at:?}");
        }
    }
}
