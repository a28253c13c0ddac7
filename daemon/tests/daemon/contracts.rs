//! Contracts between daemons: one of three is stopped again and again for a while, or loses what it
//! is sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anasazi_client::{OwnedEvent, OwnedView};
use serde_json::{Value, json};

use super::cluster::{Cluster, Domain, Node, Program};
use super::place::{Running, WAIT_MAX, wait_until};

/// `ANZ_CAUSE_DEMOTED`
const DEMOTED: u32 = 6;
const NOBODY: [u64; 0] = [];
const ALLOWED: &str = "30 ms allowed";
const FAST: &str = "turn.thread = true\nring.token_loss_ms = 1500\ncontract.round_trip_us = 30000\n\
                    contract.patience_ms = 1600\ncontract.readmit_ms = 2000";
const SLOW: &str = "ring.token_loss_ms = 1500";
/// Most of the time, and never for as long as a token is waited for.
const STOPPED: Duration = Duration::from_millis(400);
const RUNS: Duration = Duration::from_millis(20);

fn cluster() -> Cluster {
    let domain = |name, keys| Domain::new(name, keys, &[1, 2, 3]);
    Cluster::new(vec![domain("fast", FAST), domain("slow", SLOW)])
}

/// Does something while a daemon is stopped most of the time.
fn while_it_hardly_runs<R>(daemon: &Running, work: impl FnOnce() -> R) -> R {
    /// Ends it, also when the test fails.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                daemon.signal("-STOP");
                std::thread::sleep(STOPPED);
                daemon.signal("-CONT");
                std::thread::sleep(RUNS);
            }
        });
        let _end = End(&is_over);
        work()
    })
}

/// The third of three nodes is made sick, and demoted in words that begin so, while all send to
/// each other; it keeps its other domain.
fn is_demoted(bounds: &'static str, sick: impl FnOnce(&Node, &mut dyn FnMut()), words: [&str; 2]) {
    const TIMES: &str = "ring.token_loss_ms = 1500\ncontract.patience_ms = 1600\n\
                         contract.readmit_ms = 60000\ntransport.allow_faults = true\n";
    let fast = Box::leak(format!("{TIMES}{bounds}").into_boxed_str());
    let domain = |name, keys| Domain::new(name, keys, &[1, 2, 3]);
    let cluster = Cluster::new(vec![domain("fast", fast), domain("slow", SLOW)]);
    let all = [1, 2, 3].map(|id| cluster.start(id, ""));
    for domain in ["fast", "slow"] {
        all.iter().for_each(|node| node.wait_for_members(domain, 3));
    }
    let slow = members(&all, "slow/room");
    let mut talking = Vec::new();
    for node in &all[..2] {
        let program = node.program();
        let group = program.join("fast/room");
        talking.push((program, group));
    }
    let is_out = |view: &OwnedView| view.cause == DEMOTED;
    let third = all[2].program();
    third.join("fast/room");
    let mut until_demoted = || {
        let end = Instant::now() + WAIT_MAX;
        let view = loop {
            assert!(Instant::now() < end, "nobody is demoted: {}", all[0].domain("fast"));
            talking.iter().for_each(|(program, group)| program.offer(*group, "talk"));
            let demotion = |(program, _): &(Program, _)| {
                let first = program.next(Duration::from_millis(2));
                let rest = std::iter::from_fn(|| program.next(Duration::ZERO));
                first.into_iter().chain(rest).find_map(|event| match event {
                    OwnedEvent::View { view, .. } if is_out(&view) => Some(view),
                    _ => None,
                })
            };
            let view = talking.iter().find_map(demotion);
            if let Some(view) = view {
                break view;
            }
        };
        assert_eq!(nodes(&view), [1, 2], "{}", view.reason);
        let begin = format!("node 3 is demoted, it breaks the domain's contract: {}", words[0]);
        assert!(
            view.reason.starts_with(&begin) && view.reason.contains(words[1]),
            "{}",
            view.reason
        );
    };
    sick(&all[2], &mut until_demoted);
    // In words of its own, if it hears those of the others.
    third.wait_for("a view of its own", |event| match event {
        OwnedEvent::View { view, .. } if nodes(&view) == [3] => Some(()),
        _ => None,
    });
    for program in &slow {
        assert_eq!(lost_within(program, Duration::ZERO), NOBODY);
    }
    all.iter().for_each(|node| node.wait_for_members("slow", 3));
}

/// The next view in which others than before are there.
fn next_view(program: &Program) -> OwnedView {
    program.wait_for("a view", |event| match event {
        OwnedEvent::View { view, .. } => Some(view),
        _ => None,
    })
}

fn nodes(view: &OwnedView) -> Vec<u64> {
    let mut nodes: Vec<_> = view.members.iter().map(|member| member.node).collect();
    nodes.sort_unstable();
    nodes
}

/// A member of a group in a domain at each node, which all have seen.
fn members(nodes_of: &[Node], group: &str) -> Vec<Program> {
    let join = |node: &Node| {
        let program = node.program();
        program.join(group);
        program
    };
    let programs: Vec<_> = nodes_of.iter().map(join).collect();
    // Who came last has seen all in its first view.
    for program in &programs[..programs.len() - 1] {
        while nodes(&next_view(program)).len() < programs.len() {}
    }
    programs
}

/// The nodes that were lost to a program within a time, by its views.
fn lost_within(program: &Program, time: Duration) -> Vec<u64> {
    let (end, mut lost) = (Instant::now() + time, Vec::new());
    while let Some(event) = program.next(end.saturating_duration_since(Instant::now())) {
        if let OwnedEvent::View { view, .. } = event {
            lost.extend(view.left.iter().map(|member| member.node));
        }
    }
    lost
}

#[test]
fn who_breaks_the_contract_is_demoted_keeps_its_other_domain_and_comes_back_to_stay() {
    let cluster = cluster();
    let all = [1, 2, 3].map(|id| cluster.start(id, ""));
    for domain in ["fast", "slow"] {
        all.iter().for_each(|node| node.wait_for_members(domain, 3));
    }
    let (fast, slow) = (members(&all, "fast/room"), members(&all, "slow/room"));
    while_it_hardly_runs(&all[2].daemon, || {
        for program in &fast[..2] {
            let view = next_view(program);
            assert_eq!((view.cause, nodes(&view)), (DEMOTED, vec![1, 2]), "{}", view.reason);
            let words = ["node 3 is demoted, it breaks the domain's contract: round trip", ALLOWED];
            assert!(words.iter().all(|word| view.reason.contains(word)), "{}", view.reason);
        }
    });
    let own = next_view(&fast[2]);
    assert_eq!((own.cause, nodes(&own)), (DEMOTED, vec![3]), "{}", own.reason);
    let words = ["node 3 is demoted", "round trip", ALLOWED];
    assert!(words.iter().all(|word| own.reason.contains(word)), "{}", own.reason);
    let contract = all[0].domain("fast")["contract"].clone();
    assert_eq!(contract["demoted"][0]["node"], 3, "{contract}");
    assert_eq!(all[2].domain("fast")["contract"]["state"], "demoted");

    for program in &fast {
        assert_eq!(nodes(&next_view(program)), [1, 2, 3], "it is well, and is taken back");
    }
    // Longer than it takes to demote somebody.
    assert_eq!(lost_within(&fast[0], Duration::from_secs(4)), NOBODY);
    for program in slow.iter().chain(&fast) {
        assert_eq!(lost_within(program, Duration::ZERO), NOBODY);
    }
    all.iter().for_each(|node| node.wait_for_members("slow", 3));
}

#[test]
fn who_would_break_the_contract_is_refused_in_numbers_until_it_is_well() {
    let cluster = cluster();
    let third = cluster.start(3, "");
    let others = while_it_hardly_runs(&third.daemon, || {
        let others = [1, 2].map(|id| cluster.start(id, ""));
        others[0].wait_for_members("fast", 2);
        let words = ["node 3 is not let in", "round trip", "measured", ALLOWED];
        wait_until("words at a member", || others.iter().any(|node| node.has_event(&words)));
        let words = ["refused by this domain", "round trip", "measured", ALLOWED];
        wait_until("words at the third", || third.has_event(&words));
        let contract = third.domain("fast")["contract"].clone();
        assert_eq!(contract["state"], "refused");
        let reason = contract["refused_by"]["reason"].as_str().expect("numbers");
        assert!(reason.contains(ALLOWED), "{reason}");
        // What it is not let into is one domain.
        third.wait_for_members("slow", 3);
        assert_eq!(others[0].domain("fast")["ring"]["members"], 2);
        others
    });
    third.wait_for_members("fast", 3);
    others[0].wait_for_members("fast", 3);
}

#[test]
fn of_two_members_none_is_demoted_and_an_operator_sees_why() {
    let cluster = cluster();
    let both = [1, 2].map(|id| cluster.start(id, ""));
    both[0].wait_for_members("fast", 2);
    while_it_hardly_runs(&both[1].daemon, || {
        wait_until("the reason", || {
            let members = both[0].domain("fast")["contract"]["members"].clone();
            let stays = |member: &Value| member["stays"] == "of two members none is demoted";
            members.as_array().is_some_and(|members| members.iter().any(stays))
        });
        let words = ["breaks the domain's contract and is not demoted", "of two members none"];
        wait_until("words in the log", || both[0].has_event(&words));
    });
    let fast = both[0].domain("fast");
    assert_eq!(fast["ring"]["members"], 2, "{fast}");
    assert_eq!(fast["contract"]["demoted"], json!([]), "{fast}");
}

#[test]
fn who_keeps_the_token_for_too_long_is_demoted() {
    let hardly_runs = |node: &Node, work: &mut dyn FnMut()| {
        while_it_hardly_runs(&node.daemon, work);
    };
    let words = ["token hold", "30 ms allowed"];
    is_demoted("contract.hold_us = 30000", hardly_runs, words);
}

/// A node that loses so many of a thousand datagrams.
fn losing(permille: u32) -> impl FnOnce(&Node, &mut dyn FnMut()) {
    move |node, work| {
        let ask = |request: String| node.program().ask(&request);
        ask(format!(r#"{{"do":"loss","domain":"fast","permille":{permille}}}"#));
        work();
        ask(r#"{"do":"heal","domain":"fast"}"#.to_owned());
    }
}

#[test]
fn who_gets_everything_too_late_is_demoted() {
    is_demoted("contract.lag_ms = 10", losing(700), ["receive lag", "10 ms allowed"]);
}

#[test]
fn who_loses_too_much_is_demoted() {
    is_demoted("contract.loss_ppm = 50000", losing(150), ["loss", "5 % allowed"]);
}

/// The first one hears a tenth of what is sent to it: neither gets answers from the other.
#[test]
fn where_no_member_can_meet_the_contract_each_stays_alone_and_is_told() {
    const FAST: &str = "contract.loss_ppm = 1000\ntransport.allow_faults = true";
    let domain = |name, keys| Domain::new(name, keys, &[1, 2]);
    let cluster = Cluster::new(vec![domain("fast", FAST), domain("slow", SLOW)]);
    let first = cluster.start(1, "");
    losing(900)(&first, &mut || {
        let second = cluster.start(2, "");
        let words = ["node 2 is not let in", "loss", "0.1 % allowed"];
        wait_until("words at the first", || first.has_event(&words));
        let words = ["refused by this domain", "loss", "none can meet the contract"];
        wait_until("words at the second", || second.has_event(&words));
        for node in [&first, &second] {
            node.wait_for_members("slow", 2);
            assert_eq!(node.domain("fast")["ring"]["members"], 1);
        }
    });
}
