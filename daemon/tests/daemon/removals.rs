//! A domain is removed at one of three daemons, and another daemon just stops: what programs at
//! those that stay are told of each.

use anasazi_client::{OwnedEvent, OwnedView};

use super::cluster::{Cluster, Domain, Program};

/// `ANZ_CAUSE_DISCONNECT` and `ANZ_CAUSE_REMOVED`
const DISCONNECT: u32 = 3;
const REMOVED: u32 = 7;

fn view_without(program: &Program, node: u32) -> OwnedView {
    program.wait_for("a view without it", |event| match event {
        OwnedEvent::View { view, .. }
            if view.left.iter().any(|left| left.node == u64::from(node)) =>
        {
            Some(view)
        }
        _ => None,
    })
}

#[test]
fn those_who_stay_are_told_that_the_domain_was_removed() {
    let cluster = Cluster::new(vec![Domain::new("slow", "preset = \"lan\"", &[1, 2, 3])]);
    let [first, second, third] = [1, 2, 3].map(|id| cluster.start(id, ""));
    first.wait_for_members("slow", 3);
    let programs = [&first, &second, &third].map(|node| {
        let program = node.program();
        program.join("slow/room");
        program
    });
    let answer = third.program().ask("{\"do\":\"remove-domain\",\"name\":\"slow\"}");
    assert_eq!(answer["removed"], "slow");
    assert_eq!(answer["memberships_ended"], 1);
    for program in &programs[..2] {
        let view = view_without(program, 3);
        assert_eq!(view.cause, REMOVED, "{}", view.reason);
        assert!(view.reason.starts_with("node 3: domain slow was removed by "), "{}", view.reason);
    }
    programs[2].wait_for("the end of the group there", |event| match event {
        OwnedEvent::Left { reason, .. } => {
            assert!(reason.starts_with("domain slow was removed by "), "{reason}");
            Some(())
        }
        _ => None,
    });
    // A daemon that stops removes nothing.
    second.daemon.signal("-TERM");
    let view = view_without(&programs[0], 2);
    assert_eq!(view.cause, DISCONNECT, "{}", view.reason);
}

/// What is wrong with a domain is nobody's business who asks for another one, nor is it any more
/// when the domain is gone.
#[test]
fn warnings_of_a_domain_are_shown_with_it_and_go_with_it() {
    let keys = "preset = \"lan\"\ntransport.allow_faults = true";
    let cluster = Cluster::new(vec![Domain::new("slow", keys, &[1])]);
    let node = cluster.start(1, "");
    let program = node.program();
    let warns = |of: &str| {
        let status = program.ask(&format!("{{\"query\":\"status\"{of}}}"));
        status["warnings"].to_string().contains("domain.slow.transport.allow_faults")
    };
    let of_default = ",\"domain\":\"default\"";
    assert!(warns("") && warns(",\"domain\":\"slow\"") && !warns(of_default));
    program.ask("{\"do\":\"remove-domain\",\"name\":\"slow\"}");
    assert!(!warns(""));
    let settings = "{\"transport.allow_faults\":true}";
    program.ask(&format!("{{\"do\":\"add-domain\",\"name\":\"slow\",\"settings\":{settings}}}"));
    assert!(warns("") && !warns(of_default));
}
