//! How a domain's contract is kept, as JSON.

use std::time::Duration;

use anasazi_protocol::{Breach, ContractStatus, Measured, NodeId};
use serde_json::{Value, json};

/// All of it; `null` where there is no contract.
pub(super) fn contract(status: Option<&ContractStatus>, own: NodeId) -> Value {
    let Some(status) = status else { return Value::Null };
    let (bounds, demoted) = (&status.contract, &status.demoted);
    let refused = status.refused_by.map(|(node, breach)| said(node, &breach));
    json!({
        "state": state(status, own),
        "bounds": {
            "round_trip_us": bounds.round_trip.map(micros),
            "hold_us": bounds.hold.map(micros),
            "loss_ppm": bounds.loss_ppm,
            "lag_us": bounds.lag.map(micros),
        },
        "members": status.members.iter().map(measured).collect::<Vec<_>>(),
        "demoted": demoted.iter().map(|(node, left, times)| json!({
            "node": node.0,
            "back_in_ms": left.as_millis() as u64,
            "times": times,
        })).collect::<Vec<_>>(),
        "refused_by": refused,
    })
}

/// In a word: `demoted` and `refused` are of this node, `broken` of some members, `void` of most.
fn state(status: &ContractStatus, own: NodeId) -> &'static str {
    match () {
        () if status.demoted.iter().any(|(node, ..)| *node == own) => "demoted",
        () if status.refused_by.is_some() => "refused",
        () if status.void => "void",
        () if status.members.iter().any(|m| m.found.is_some()) => "broken",
        () => "kept",
    }
}

/// What is known of one member, to be added to what else is said of it.
pub(super) fn measured(of: &Measured) -> Value {
    json!({
        "node": of.node.0,
        "round_trip_us": of.round_trip.map(micros),
        "hold_us": of.hold.map(micros),
        "loss_ppm": of.loss_ppm,
        "lag_us": of.lag.map(micros),
        "breaks": of.found.map(|breach| breach.to_string()),
        "stays": of.stays.map(|stays| stays.to_string()),
    })
}

fn said(node: NodeId, breach: &Breach) -> Value {
    json!({ "node": node.0, "reason": breach.to_string() })
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use anasazi_protocol::{Bound, Contract, Stays};

    use super::*;

    #[test]
    fn the_worst_that_is_known_is_its_state() {
        let breach = Breach { bound: Bound::RoundTrip, measured: 12_000_000, allowed: 500_000 };
        let round_trip = Some(Duration::from_micros(500));
        let mut status = ContractStatus {
            contract: Contract { round_trip, ..Contract::default() },
            void: false,
            members: vec![Measured { node: NodeId(2), ..Measured::default() }],
            demoted: Vec::new(),
            refused_by: None,
        };
        let state = |status: &ContractStatus| contract(Some(status), NodeId(1))["state"].clone();
        assert_eq!((state(&status), contract(None, NodeId(1))), (json!("kept"), Value::Null));
        status.members[0].found = Some(breach);
        status.members[0].stays = Some(Stays::AfterWorse(NodeId(4)));
        let members = contract(Some(&status), NodeId(1))["members"].clone();
        assert_eq!(members[0]["breaks"], "round trip 12 ms measured, 0.5 ms allowed");
        assert_eq!(members[0]["stays"], "node 4 breaks it worse and goes first");
        assert_eq!(state(&status), "broken");
        status.void = true;
        assert_eq!(state(&status), "void");
        status.refused_by = Some((NodeId(3), breach));
        assert_eq!(state(&status), "refused");
        status.demoted = vec![(NodeId(1), Duration::from_secs(3), 2)];
        let all = contract(Some(&status), NodeId(1));
        assert_eq!(all["state"], "demoted");
        assert_eq!(all["refused_by"]["reason"], "round trip 12 ms measured, 0.5 ms allowed");
        assert_eq!(
            (&all["bounds"]["round_trip_us"], &all["bounds"]["lag_us"]),
            (&json!(500), &Value::Null)
        );
        assert_eq!(all["demoted"][0]["back_in_ms"], 3_000);
    }
}
