//! Bugs to be switched on by name, each breaking one rule of the protocol, or of an engine's
//! sessions: whoever trusts the simulator and the oracle wants to see them found. Without the
//! feature `planted`, which only the simulator asks for, all of this is the constant `false`.

/// Name, and the rule that it breaks. Where a name stands in the code, `planted!` has it.
pub const BUGS: &[(&str, &str)] = &[
    // Ordering.
    ("aru_off_by_one", "a member's aru is what it holds"),
    ("safe_line_one_visit", "the safe line is the smaller aru of two visits"),
    (
        "safe_line_of_repeats",
        "a repeated packet tells the safe line as it is, not as far as itself",
    ),
    ("safe_as_agreed", "a safe message waits for the safe line"),
    ("request_ignored", "who holds what is asked for sends it again"),
    ("token_accepted_twice", "a token is used once"),
    ("token_of_any_ring", "a token of another ring is not accepted"),
    ("ordinal_from_own_count", "ordinals go on from the token's"),
    ("store_dropped_early", "a packet is kept until every member holds it"),
    ("hole_skipped", "a regular configuration has no holes"),
    ("aru_never_raised", "the member that lowered the aru raises it again"),
    ("aru_raised_by_anybody", "only the member that lowered the aru raises it"),
    ("unordered_twice", "a message without order is delivered at most once"),
    ("priority_past_leaving", "a priority goes past messages only"),
    ("priority_unordered", "messages of one priority keep their order"),
    ("same_view_anywhere", "a same-view message is delivered in its view or to nobody"),
    // Recovery.
    ("obligation_never", "who has told that it holds everything delivers like the others"),
    ("obligation_at_plan", "the obligation begins when everything is held, not before"),
    ("install_in_one_visit", "a configuration is installed when all are known to hold everything"),
    ("install_before_all_sent", "recovery ends when everything was sent"),
    ("hole_rule", "behind a hole only packets of obligated members are delivered"),
    (
        "safe_regular_at_install",
        "an unconfirmed safe message belongs to the transitional configuration",
    ),
    ("safe_put_off", "a safe message known to be held by all is delivered before the change"),
    ("all_transitional", "what can be delivered in the regular configuration is"),
    (
        "answer_not_kept",
        "what is delivered follows from the answers, not from what came after them",
    ),
    ("held_shifted", "a member says exactly what it holds"),
    ("last_delivered_again", "recovery goes on behind the last delivery"),
    ("transitional_of_the_new_ring", "the transitional members are those of the old ring"),
    ("table_of_now", "a table travels as it will be after what is still to be delivered"),
    ("table_of_own_component", "a merge takes every component's groups"),
    ("together_is_me", "a view tells everybody who came together with its receiver"),
    ("ghost_members", "clients of nodes that do not come along leave their groups"),
    ("fragments_cleared_early", "fragments are dropped at the end of the old order, not before"),
    ("fragments_not_restarted", "an unfinished message starts again in the next ring"),
    // Membership.
    ("leave_at_once", "who leaves waits until all hold what it accepted"),
    ("ring_number_not_raised", "a new ring's number is above all that any member has seen"),
    ("promise_not_durable", "a ring number is promised only when it is durably reserved"),
    ("boot_not_durable", "what a start may promise is durable before it says anything"),
    ("plan_not_awaited", "a recovery begins when every member has the plan"),
    ("called_without_votes", "a ring is called when all its members have voted for it"),
    ("bad_links_ignored", "who cannot hear each other are not members of one ring"),
    // Contracts.
    ("one_accuser_is_enough", "who is put out is found to break the contract by most"),
    ("contract_over_most", "where most break the contract nobody is put out"),
    ("hold_needs_no_evidence", "nobody is put out for a hold that nobody can keep"),
    ("readmitted_at_once", "who was put out stays out for a while, longer each time"),
    // Buffers.
    ("store_never_forgets", "what every member holds is dropped"),
    // Sessions: in the engine.
    (
        "backlog_halved",
        "a session is cut off when what it has not read is more than its engine keeps",
    ),
    ("gap_told_short", "a session is told of every message that it missed"),
    ("reading_unnoticed", "who reads does not stand still"),
    // Domains: in the engine.
    ("one_full_all_wait", "a domain that takes nothing holds up no other one"),
    // Bridges.
    ("bridge_repeats", "nobody gets a message over a bridge twice"),
    ("bridge_gap_hidden", "whoever misses messages of a bridge is told at their place"),
    ("bridge_overflow_hidden", "what a gateway has no room for is missing"),
    ("bridge_no_takeover", "when the active gateway is gone, another one goes on"),
    ("bridge_loops", "what has come from a domain does not go back there"),
];

/// Where the name stands in `BUGS`; a name that does not fails the build.
#[must_use]
pub const fn index(name: &str) -> usize {
    let mut i = 0;
    while i < BUGS.len() {
        if same(BUGS[i].0.as_bytes(), name.as_bytes()) {
            return i;
        }
        i += 1;
    }
    panic!("no planted bug has this name")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

#[cfg(feature = "planted")]
thread_local! {
    static ACTIVE: core::cell::Cell<Option<usize>> = const { core::cell::Cell::new(None) };
}

/// Plants this bug, or none, in every core that the calling thread drives.
///
/// # Errors
/// No bug has this name; the message lists those that there are.
#[cfg(feature = "planted")]
pub fn set(name: Option<&str>) -> Result<(), String> {
    let find = |name| BUGS.iter().position(|(known, _)| *known == name);
    let index = match name {
        None => None,
        Some(name) => Some(find(name).ok_or_else(|| {
            let names: Vec<_> = BUGS.iter().map(|(name, _)| *name).collect();
            format!("{name}: no planted bug has this name; there are {}", names.join(", "))
        })?),
    };
    ACTIVE.set(index);
    Ok(())
}

/// The bug with this index is planted now.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(index: usize) -> bool {
    ACTIVE.get() == Some(index)
}

/// The bug with this index is planted now: never, without the feature `planted`.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_: usize) -> bool {
    false
}

/// Some bug is planted now: the core leaves it to the oracle to find it.
#[cfg(feature = "planted")]
pub(crate) fn any() -> bool {
    ACTIVE.get().is_some()
}

#[cfg(not(feature = "planted"))]
pub(crate) const fn any() -> bool {
    false
}

/// This bug is planted now: for what is not part of a core.
#[cfg(feature = "planted")]
#[must_use]
pub fn has(name: &str) -> bool {
    ACTIVE.get().is_some_and(|index| BUGS[index].0 == name)
}

/// Is this bug planted?
#[macro_export]
#[doc(hidden)]
macro_rules! planted {
    ($name:literal) => {
        $crate::planted::is(const { $crate::planted::index($name) })
    };
}
#[doc(hidden)]
pub use planted;
