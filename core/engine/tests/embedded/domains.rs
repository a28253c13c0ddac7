//! Two engines in two domains each: what happens in one is not seen in the other.

use anasazi_client::{EventKind, GroupHandle, Hold, Session, Status};
use anasazi_engine::config::Settings;
use serde_json::{Value, json};

use super::*;
use crate::host::fresh_group;
use crate::ring::set_node;

/// What a session was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Message(GroupHandle, Vec<u8>),
    View(GroupHandle, usize),
    Left(GroupHandle, Status, String),
}

impl Told {
    fn group(&self) -> GroupHandle {
        let (Self::Message(group, _) | Self::View(group, _) | Self::Left(group, ..)) = self;
        *group
    }
}

fn receive(session: &Session, told: &mut Vec<Told>) {
    let shown = session.receive(64, &mut |event| {
        let group = event.group.unwrap_or(GroupHandle(0));
        match event.kind {
            EventKind::Message => told.push(Told::Message(group, event.data.to_vec())),
            EventKind::View => {
                let view = event.view.unwrap();
                told.push(Told::View(group, view.members().len()));
            }
            EventKind::Left => {
                told.push(Told::Left(group, event.status, event.text().to_owned()));
            }
            _ => {}
        }
        Hold::Release
    });
    shown.unwrap();
}

/// Settings of an engine that has `default`, `fast` and `slow`, where faults are allowed.
fn with_domains() -> Settings {
    let mut settings = settings();
    settings.set("transport.multicast", &fresh_group().to_string()).unwrap();
    settings.set("transport.allow_faults", "true").unwrap();
    for domain in ["fast", "slow"] {
        let group = fresh_group().to_string();
        settings.set(&format!("domain.{domain}.transport.multicast"), &group).unwrap();
    }
    settings
}

fn of_domain(host: &Host, index: usize, query: &str, domain: &str) -> Value {
    host.request(index, &json!({ "query": query, "domain": domain }))
}

pub(crate) fn ring_of(host: &Host, index: usize, domain: &str) -> (Value, Vec<u64>) {
    let status = of_domain(host, index, "status", domain);
    let members = of_domain(host, index, "members", domain);
    let members = members["members"].as_array().unwrap();
    let nodes = members.iter().map(|member| member["node"].as_u64().unwrap()).collect();
    (status["ring"]["id"].clone(), nodes)
}

fn expect_rings_of_both(host: &Host, domains: &[&str]) {
    for domain in domains {
        host.run_until("a ring of both", |host| {
            let rings = [0, 1].map(|index| ring_of(host, index, domain));
            rings[0] == rings[1] && rings[0].1 == [1, 2]
        });
    }
}

#[test]
fn what_happens_in_one_domain_is_not_seen_in_another() {
    let settings = with_domains();
    let host = Host::default();
    (1..=2).for_each(|id| _ = host.add(&set_node(&settings, id)));
    expect_rings_of_both(&host, &["default", "fast", "slow"]);
    let sessions = [0, 1].map(|index| host.session(index));
    let names = ["orders", "fast/orders", "slow/orders"];
    let groups = sessions.each_ref().map(|s| names.map(|name| s.join(name, 0, 0).unwrap()));
    let mut told = [Vec::new(), Vec::new()];
    host.run_until("views of both", |_| {
        sessions.iter().zip(&mut told).for_each(|(session, told)| receive(session, told));
        let has_both = |(told, groups): (&Vec<Told>, &[GroupHandle; 3])| {
            groups.iter().all(|group| told.contains(&Told::View(*group, 2)))
        };
        told.iter().zip(&groups).all(has_both)
    });
    told.iter_mut().for_each(Vec::clear);

    // A message is delivered in its domain's group, once, and in no other.
    for (group, text) in groups[0].iter().zip(names) {
        sessions[0].send(*group, 4, &[text.as_bytes()], 0).unwrap();
    }
    host.run_until("all messages", |_| {
        sessions.iter().zip(&mut told).for_each(|(session, told)| receive(session, told));
        told.iter().all(|told| told.len() >= names.len())
    });
    for (told, groups) in told.iter_mut().zip(&groups) {
        let message = |at: usize| Told::Message(groups[at], names[at].as_bytes().to_vec());
        told.sort_by_key(|told| groups.iter().position(|group| *group == told.group()));
        assert_eq!(*told, [message(0), message(1), message(2)]);
        told.clear();
    }

    // One ring breaks in two; the others do not even notice.
    let before = ["default", "fast"].map(|domain| ring_of(&host, 0, domain));
    let isolate = |index, node| {
        let request = json!({ "do": "isolate", "nodes": [node], "domain": "slow" });
        assert_eq!(host.request(index, &request), json!({ "done": true }));
    };
    isolate(0, 1);
    isolate(1, 2);
    host.run_until("two rings", |host| {
        ring_of(host, 0, "slow").1 == [1] && ring_of(host, 1, "slow").1 == [2]
    });
    host.run_until("views of one", |_| {
        sessions.iter().zip(&mut told).for_each(|(session, told)| receive(session, told));
        let is_alone = |(told, groups): (&Vec<Told>, &[GroupHandle; 3])| {
            told.contains(&Told::View(groups[2], 1))
        };
        told.iter().zip(&groups).all(is_alone)
    });
    for (told, groups) in told.iter().zip(&groups) {
        assert!(told.iter().all(|told| told.group() == groups[2]), "{told:?}");
    }
    told.iter_mut().for_each(Vec::clear);
    sessions[0].send(groups[0][1], 5, &[b"on and on"], 0).unwrap();
    host.run_until("a message", |_| {
        sessions.iter().zip(&mut told).for_each(|(session, told)| receive(session, told));
        told.iter().all(|told| !told.is_empty())
    });
    assert_eq!(told[1], [Told::Message(groups[1][1], b"on and on".to_vec())]);
    assert_eq!(["default", "fast"].map(|domain| ring_of(&host, 0, domain)), before);
    let heal = json!({ "do": "heal", "domain": "slow" });
    (0..2).for_each(|index| _ = host.request(index, &heal));
    expect_rings_of_both(&host, &["slow"]);
    assert_eq!(["default", "fast"].map(|domain| ring_of(&host, 0, domain)), before);
}

#[test]
fn a_node_without_the_domain_notices_nothing_and_its_sessions_are_told_so() {
    let settings = with_domains();
    let host = Host::with(&set_node(&settings, 1));
    let mut without = Settings::new();
    for key in ["cluster", "transport.multicast", "transport.bind"] {
        let effective = settings.effective();
        let value = &effective.iter().find(|row| row.key == key).unwrap().value;
        without.set(key, value).unwrap();
    }
    host.add(&set_node(&without, 2));
    expect_rings_of_both(&host, &["default"]);
    assert_eq!(ring_of(&host, 0, "fast").1, [1]);
    let session = host.session(1);
    let group = session.join("fast/orders", 0, 0).unwrap();
    let mut told = Vec::new();
    host.run_until("a refusal", |_| {
        receive(&session, &mut told);
        !told.is_empty()
    });
    let [Told::Left(left, Status::EINVAL, why)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*left, group);
    assert!(why.contains("no domain \"fast\"; it has: default"), "{why}");
}

#[test]
fn what_is_asked_about_domains_is_told() {
    let settings = with_domains();
    let host = Host::with(&set_node(&settings, 1));
    let session = host.session(0);
    session.join("fast/orders", 0, 0).unwrap();
    session.join("orders", 0, 0).unwrap();
    let names = |answer: &Value| -> Vec<String> {
        let groups = answer["groups"].as_array().unwrap().iter();
        groups.map(|group| group["name"].as_str().unwrap().to_owned()).collect()
    };
    host.run_until("groups", |host| {
        receive(&session, &mut Vec::new());
        names(&host.ask(0, "groups")) == ["orders", "fast/orders"]
            && names(&of_domain(host, 0, "groups", "fast")) == ["fast/orders"]
            && names(&of_domain(host, 0, "groups", "slow")).is_empty()
    });
    let answer = host.ask(0, "domains");
    let domains = answer["domains"].as_array().unwrap();
    let named: Vec<_> = domains.iter().map(|domain| domain["name"].as_str().unwrap()).collect();
    assert_eq!(named, ["default", "fast", "slow"]);
    let addresses: Vec<_> = domains.iter().map(|domain| &domain["address"]).collect();
    assert!(addresses[0] != addresses[1] && addresses[1] != addresses[2], "{addresses:?}");
    assert_eq!((&domains[1]["groups"], &domains[2]["groups"]), (&json!(1), &json!(0)));
    let refused = of_domain(&host, 0, "members", "fst");
    let words = refused["error"].as_str().unwrap();
    assert!(words.contains("no domain \"fst\"; it has: default, fast, slow"), "{words}");
    let refused = of_domain(&host, 0, "sessions", "fast");
    assert!(refused["error"].as_str().unwrap().contains("of the whole engine"), "{refused}");
}

/// A clean stop is over when every domain has been left: the others are told in all of them.
#[test]
fn who_stops_leaves_every_domain() {
    let settings = with_domains();
    let host = Host::default();
    (1..=2).for_each(|id| _ = host.add(&set_node(&settings, id)));
    expect_rings_of_both(&host, &["default", "fast", "slow"]);
    let session = host.session(1);
    let group = session.join("slow/orders", 0, 0).unwrap();
    let mut told = Vec::new();
    host.run_until("a view", |_| {
        receive(&session, &mut told);
        told.contains(&Told::View(group, 1))
    });
    // That it is gone has to be ordered, which takes longer there.
    host.request(1, &json!({ "do": "loss", "permille": 1000, "domain": "slow" }));
    host.engines()[1].engine.handle().stop();
    for domain in ["default", "fast"] {
        host.run_until("a ring of one", |host| ring_of(host, 0, domain).1 == [1]);
    }
    assert!(!host.has_ended(1), "it has not left all of them");
    host.run_until("the end", |host| host.has_ended(1));
    assert_eq!(host.engines()[1].error, None);
    for domain in ["default", "fast", "slow"] {
        host.run_until("a ring of one", |host| ring_of(host, 0, domain).1 == [1]);
    }
}

#[test]
fn an_invariant_that_breaks_in_one_domain_ends_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = set_node(&with_domains(), 1);
    settings.set("recorder.dir", directory.path().to_str().unwrap()).unwrap();
    let host = Host::with(&settings);
    let session = host.session(0);
    let broken = json!({ "do": "break", "domain": "fast" });
    session.query(broken.to_string().as_bytes(), 1).unwrap();
    host.run_until("the end", |host| host.has_ended(0));
    let error = host.engines()[0].error.clone().unwrap().to_string();
    assert!(error.starts_with("domain fast: an invariant is broken"), "{error}");
}

/// Whatever addresses they were given: they are told apart by what every datagram says.
#[test]
fn domains_of_other_names_at_one_address_are_no_ring() {
    let group = fresh_group().to_string();
    let host = Host::default();
    let cluster = settings();
    for (id, domain) in [(1, "fast"), (2, "slow"), (3, "fast")] {
        let mut settings = set_node(&cluster, id);
        settings.set(&format!("domain.{domain}.transport.multicast"), &group).unwrap();
        host.add(&settings);
    }
    host.run_until("a ring of fast", |host| {
        [0, 2].iter().all(|index| ring_of(host, *index, "fast").1 == [1, 3])
    });
    let others = |host: &Host| {
        let stats = of_domain(host, 1, "stats", "slow");
        stats["protocol"]["dropped_other_cluster"].as_u64().unwrap()
    };
    host.run_until("datagrams of others", |host| others(host) > 20);
    assert_eq!(ring_of(&host, 1, "slow").1, [2]);
}
