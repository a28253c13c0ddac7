//! Bridges between daemons: two gateways that are in both domains, and a third daemon, with the
//! programs that receive, that is in the target's domain only.

use std::time::Duration;

use anasazi_client::OwnedEvent;
use serde_json::{Value, json};

use super::cluster::{Cluster, Domain, Node, Program};
use super::place::{Place, wait_until};

const BRIDGE: &str = "[bridge.up]\nfrom = \"fast/prices\"\nto = \"slow/prices\"\n";
/// The same, with the way back.
const BOTH_WAYS: &str = "[bridge.up]\nfrom = \"fast/prices\"\nto = \"slow/prices\"\n\
                         [bridge.down]\nfrom = \"slow/prices\"\nto = \"fast/prices\"\n";

fn cluster() -> Cluster {
    Cluster::new(vec![
        Domain::new("fast", "preset = \"lan\"", &[1, 2]),
        Domain::new("slow", "preset = \"lan\"\nturn.thread = true", &[1, 2, 3]),
    ])
}

/// Both gateways, once they know each other: the active one, and the one that stands by.
fn gateways(cluster: &Cluster) -> [Node; 2] {
    let mut nodes = [1, 2].map(|id| cluster.start(id, BRIDGE));
    wait_until("one of two gateways to be the active one", || {
        let bridges = nodes.each_ref().map(Node::bridge);
        let are_two = |of: &Value| of["gateways"].as_array().map(Vec::len) == Some(2);
        let mut states = bridges.each_ref().map(|of| of["state"].as_str().unwrap_or_default());
        states.sort_unstable();
        bridges.iter().all(are_two) && states == ["active", "standby"]
    });
    nodes.sort_by_key(|node| node.bridge()["state"] != "active");
    nodes
}

fn wait_for_state(node: &Node, state: &str) {
    wait_until(&format!("node {} to be {state}", node.id), || node.bridge()["state"] == state);
}

/// What comes over the bridge: a number, or that something is missing.
#[derive(Debug, PartialEq)]
enum Got {
    Number(u32),
    Gap,
}

fn next(program: &Program) -> Got {
    program.wait_for("what is sent", |event| match event {
        OwnedEvent::Message { data, .. } => {
            let text = String::from_utf8(data).expect("text");
            Some(Got::Number(text.parse().expect("a number")))
        }
        OwnedEvent::Gap { count, .. } => {
            assert_eq!(count, 0, "nobody knows how many");
            Some(Got::Gap)
        }
        _ => None,
    })
}

/// Receives up to a number: each at most once and in order, and nothing missing between two unless
/// that is said. What came last before, and how many gaps there were.
fn receive(program: &Program, mut last: u32, end: u32) -> u32 {
    let (mut gaps, mut may_skip) = (0, false);
    while last < end {
        match next(program) {
            Got::Gap => (gaps, may_skip) = (gaps + 1, true),
            Got::Number(number) => {
                assert!(number > last, "{number} after {last}");
                assert!(may_skip || number == last + 1, "unmarked: from {last} to {number}");
                (last, may_skip) = (number, false);
            }
        }
    }
    gaps
}

#[test]
fn a_standby_goes_on_when_the_gateway_is_killed_and_nothing_is_repeated_or_unmarked() {
    let cluster = cluster();
    let third = cluster.start(3, "");
    let [mut first, second] = gateways(&cluster);
    third.wait_for_members("slow", 3);

    let (source, target) = (second.program(), third.program());
    let prices = source.join("fast/prices");
    target.join("slow/prices");
    let send = |numbers: std::ops::RangeInclusive<u32>| {
        numbers.for_each(|number| source.send(prices, &number.to_string()));
    };
    send(1..=100);
    assert_eq!(next(&target), Got::Gap, "nobody knows what was before");
    assert_eq!(receive(&target, 0, 100), 0);

    // Some are on their way, some wait at both gateways, and some are sent while nobody forwards.
    send(101..=2_000);
    first.daemon.child.kill().expect("killed");
    send(2_001..=4_000);
    receive(&target, 100, 4_000);
    wait_for_state(&second, "active");
    send(4_001..=4_100);
    assert_eq!(receive(&target, 4_000, 4_100), 0, "all is well again");

    // The last gateway is gone, too: what the next one forwards comes behind a gap.
    let id = second.id;
    drop(second);
    let fresh = cluster.start(id, BRIDGE);
    third.wait_for_members("slow", 2);
    wait_for_state(&fresh, "active");
    let source = fresh.program();
    let prices = source.join("fast/prices");
    source.send(prices, "4101");
    assert_eq!((next(&target), next(&target)), (Got::Gap, Got::Number(4_101)));
}

#[test]
fn who_receives_is_told_who_is_at_the_far_end() {
    let cluster = cluster();
    let third = cluster.start(3, "");
    let [mut first, second] = gateways(&cluster);
    let target = third.program();
    target.join("slow/prices");
    let far = |node: &Node| {
        let bridge = node.bridge();
        let members = bridge["source_members"].as_array().cloned().unwrap_or_default();
        let members = members.iter().map(|member| member["session"].as_u64().expect("a number"));
        (bridge["state"].clone(), members.collect::<Vec<_>>())
    };
    let expect = |node: &Node, state: &str, members: &[u64]| {
        wait_until(&format!("{state}, {members:?} at node {}", node.id), || {
            far(node) == (json!(state), members.to_vec())
        });
    };
    expect(&third, "receiver", &[]);
    let source = first.program();
    source.join("fast/prices");
    expect(&third, "receiver", &[source.number()]);
    let bridge = target.ask("{\"query\":\"bridges\"}")["bridges"][0].clone();
    assert_eq!(
        (&bridge["name"], &bridge["from"], &bridge["to"], &bridge["source_count"]),
        (&json!("up"), &json!("fast/prices"), &json!("slow/prices"), &json!(1))
    );
    assert_eq!(
        (&bridge["gateways"], &bridge["source_members"][0]["node"]),
        (&json!([first.id]), &json!(first.id))
    );
    assert_eq!(bridge["source_view"], first.bridge()["source_view"]);
    let shown = third.domain("slow")["bridges"].clone();
    let expected = json!({
        "name": "up", "from": "fast/prices", "to": "slow/prices", "state": "receiver",
    });
    assert_eq!(shown, json!([expected]));

    // It is told again by the next one, and of one that nobody speaks of nothing is known.
    let other = second.program();
    other.join("fast/prices");
    expect(&third, "receiver", &[source.number(), other.number()]);
    first.daemon.child.kill().expect("killed");
    expect(&third, "receiver", &[other.number()]);
    assert_eq!(third.bridge()["gateways"], json!([second.id]));
    // Who comes later is told, too.
    drop(third);
    let third = cluster.start(3, "");
    expect(&third, "receiver", &[other.number()]);
    drop(second);
    wait_until("a bridge that is not known any more", || third.bridge() == Value::Null);
}

#[test]
fn what_comes_back_to_its_domain_goes_no_further() {
    let cluster = cluster();
    let (first, second) = (cluster.start(1, BOTH_WAYS), cluster.start(2, BOTH_WAYS));
    let bridges = |node: &Node| node.ask("bridges")["bridges"].as_array().expect("both").clone();
    wait_until("two gateways of both", || {
        bridges(&first).iter().all(|of| of["gateways"].as_array().map(Vec::len) == Some(2))
    });
    let sums = || -> u64 {
        let all = [bridges(&first), bridges(&second)].concat();
        all.iter().filter_map(|bridge| bridge["looped"].as_u64()).sum()
    };
    let (here, there) = (first.program(), second.program());
    let fast = here.join("fast/prices");
    there.join("slow/prices");
    here.send(fast, "1");
    here.send(fast, "2");
    assert_eq!([next(&here), next(&here)], [1, 2].map(Got::Number));
    let over: [Got; 3] = std::array::from_fn(|_| next(&there));
    assert_eq!(over, [Got::Gap, Got::Number(1), Got::Number(2)]);
    wait_until("both gateways to have stopped both", || sums() == 4);
    assert!(here.next(Duration::from_millis(300)).is_none_or(|event| {
        !matches!(event, OwnedEvent::Message { .. } | OwnedEvent::Gap { .. })
    }));
}

#[test]
fn where_only_safe_messages_are_forwarded_no_others_arrive() {
    let cluster = cluster();
    let gateway = cluster.start(1, &format!("{BRIDGE}safe = true\n"));
    wait_for_state(&gateway, "active");
    let (source, target) = (gateway.program(), gateway.program());
    let prices = source.join("fast/prices");
    target.join("slow/prices");
    for number in 1..=6_u32 {
        let send = if number % 2 == 0 { Program::send_safe } else { Program::send };
        send(&source, prices, &number.to_string());
    }
    let got: [Got; 4] = std::array::from_fn(|_| next(&target));
    assert_eq!(got, [Got::Gap, Got::Number(2), Got::Number(4), Got::Number(6)]);
    assert_eq!(gateway.bridge()["filtered"], 3);
}

#[test]
fn a_circle_in_one_configuration_is_refused_in_words() {
    let place = Place::new(
        "[domain.a]\n[domain.b]\n[domain.c]\n\
         [bridge.one]\nfrom = \"a/g\"\nto = \"b/g\"\n\
         [bridge.two]\nfrom = \"b/g\"\nto = \"c/g\"\n\
         [bridge.three]\nfrom = \"c/g\"\nto = \"a/g\"\n",
    );
    let ended = place.run(&[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("allowed: bridges without a circle"), "{ended:?}");
    let names = ["one", "two", "three"];
    assert!(names.iter().all(|name| ended.stderr.contains(name)), "{ended:?}");
}
