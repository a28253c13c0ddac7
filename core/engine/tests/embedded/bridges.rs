//! Two engines that are gateways of one bridge, and programs at both ends of it.

use anasazi_client::{EventKind, GroupHandle, Hold, Session};
use anasazi_engine::config::Settings;
use serde_json::{Value, json};

use super::*;
use crate::host::fresh_group;
use crate::ring::set_node;

/// Text that a program got; `None`: something is missing.
type Got = Vec<Option<String>>;

fn receive(session: &Session, got: &mut Got) {
    let shown = session.receive(64, &mut |event| {
        match event.kind {
            EventKind::Message => got.push(Some(event.text().to_owned())),
            EventKind::Gap => {
                assert_eq!(event.data, 0_u64.to_ne_bytes(), "nobody knows how many");
                got.push(None);
            }
            _ => {}
        }
        Hold::Release
    });
    shown.unwrap();
}

fn with_bridge() -> Settings {
    let mut settings = settings();
    settings.set("transport.multicast", &fresh_group().to_string()).unwrap();
    for domain in ["fast", "slow"] {
        let group = fresh_group().to_string();
        settings.set(&format!("domain.{domain}.transport.multicast"), &group).unwrap();
    }
    settings.set("bridge.up.from", "fast/prices").unwrap();
    settings.set("bridge.up.to", "slow/prices").unwrap();
    settings.set("bridge.up.prefix", "EUR").unwrap();
    settings
}

fn bridge(host: &Host, index: usize) -> Value {
    host.ask(index, "bridges")["bridges"][0].clone()
}

fn send(session: &Session, group: GroupHandle, text: &str) {
    session.send(group, 4, &[text.as_bytes()], 0).unwrap();
}

fn expect_gateways(host: &Host) -> [Value; 2] {
    host.run_until("two gateways", |host| {
        (0..2).all(|index| bridge(host, index)["gateways"].as_array().unwrap().len() == 2)
    });
    [0, 1].map(|index| bridge(host, index))
}

#[test]
fn what_is_sent_in_one_domain_arrives_in_the_other_whichever_gateway_is_there() {
    let (settings, host) = (with_bridge(), Host::default());
    (1..=2).for_each(|id| _ = host.add(&set_node(&settings, id)));
    let sessions = [0, 1].map(|index| host.session(index));
    let source = sessions[0].join("fast/prices", 0, 0).unwrap();
    sessions[1].join("slow/prices", 0, 0).unwrap();
    let before = expect_gateways(&host);
    let active = before.iter().position(|bridge| bridge["state"] == "active").unwrap();
    assert_eq!(before[1 - active]["state"], "standby");
    let mut got = Got::new();
    host.run_until("the far member", |host| {
        // Whoever does not receive has no lane to the domain.
        sessions.iter().for_each(|session| receive(session, &mut got));
        let far = bridge(host, 1)["source_members"].clone();
        far.as_array().is_some_and(|far| far.len() == 1 && far[0]["node"] == 1)
    });

    assert!(got.is_empty());
    ["EUR 1", "USD 1", "EUR 2"].iter().for_each(|text| send(&sessions[0], source, text));
    let expect = |got: &mut Got, expected: &[Option<&str>]| {
        host.run_until("what was sent", |_| {
            receive(&sessions[1], got);
            got.len() >= expected.len()
        });
        assert_eq!(got.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        got.clear();
    };
    expect(&mut got, &[None, Some("EUR 1"), Some("EUR 2")]);
    assert_eq!(bridge(&host, active)["filtered"], 1);
    let domains = host.ask(0, "domains");
    assert_eq!(domains["domains"][1]["bridges"][0]["to"], "slow/prices");

    // The domain of an end goes from the active gateway, and comes back; the other one goes on.
    let name = if active == 0 { "slow" } else { "fast" };
    let key = format!("domain.{name}.transport.multicast");
    let multicast = settings.effective().into_iter().find(|row| row.key == key).unwrap().value;
    let removed = host.request(active, &json!({ "do": "remove-domain", "name": name }));
    assert_eq!(removed["done"], true, "{removed}");
    host.run_until("the bridge to stop there", |host| bridge(host, active)["state"] == "stopped");
    let reason = bridge(&host, active)["reason"].clone();
    assert!(reason.as_str().unwrap().contains(&format!("no domain {name:?}")), "{reason}");
    host.run_until("the other one to take over", |host| {
        bridge(host, 1 - active)["state"] == "active"
    });
    send(&sessions[0], source, "EUR 3");
    expect(&mut got, &[Some("EUR 3")]);
    let again = json!({ "transport.multicast": multicast });
    let request = json!({ "do": "add-domain", "name": name, "settings": again });
    let added = host.request(active, &request);
    assert_eq!(added["done"], true, "{added}");
    expect_gateways(&host);
    send(&sessions[0], source, "EUR 4");
    expect(&mut got, &[Some("EUR 4")]);
    assert_eq!(bridge(&host, 1 - active)["state"], "active", "who comes back stands by");
}
