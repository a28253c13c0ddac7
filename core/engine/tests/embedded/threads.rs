//! Domains with a thread of their own.

use std::time::{Duration, Instant};

use anasazi_client::{EventKind, GroupHandle, Hold, JOIN_SEND_ONLY, Session, Status};
use anasazi_engine::config::Settings;
use serde_json::{Value, json};

use super::*;
use crate::domains::ring_of;
use crate::host::fresh_group;
use crate::ring::set_node;

/// So long a program does not drive its engine.
const PAUSE: Duration = Duration::from_secs(3);
/// So often somebody else sends meanwhile: in all, far less than may wait for that program.
const PACE: Duration = Duration::from_millis(2);
/// After which a member that says nothing is thrown out of `steady`.
const PATIENCE_OF_STEADY_MS: &str = "1500";

/// Settings of an engine that has `default`, and `steady` with a thread of its own.
fn with_steady() -> Settings {
    let mut settings = settings();
    settings.set("transport.multicast", &fresh_group().to_string()).unwrap();
    settings.set("transport.allow_faults", "true").unwrap();
    let group = fresh_group().to_string();
    settings.set("domain.steady.transport.multicast", &group).unwrap();
    settings.set("domain.steady.turn.thread", "true").unwrap();
    settings.set("domain.steady.ring.token_loss_ms", PATIENCE_OF_STEADY_MS).unwrap();
    settings
}

/// Two programs with an engine each, which is driven by itself.
fn two_hosts(settings: &Settings) -> [Host; 2] {
    let hosts = [1, 2].map(|id| Host::with(&set_node(settings, id)));
    for domain in ["default", "steady"] {
        run_until(&hosts, "a ring of both", |hosts| {
            let rings = hosts.each_ref().map(|host| ring_of(host, 0, domain));
            rings[0] == rings[1] && rings[0].1 == [1, 2]
        });
    }
    hosts
}

fn run_until(hosts: &[Host; 2], what: &str, mut is_so: impl FnMut(&[Host; 2]) -> bool) {
    hosts[0].run_until(what, |_| {
        hosts[1].turn(Duration::ZERO);
        is_so(hosts)
    });
}

/// What a session was told of messages, and how many members its groups have.
#[derive(Default)]
struct Told {
    messages: Vec<Vec<u8>>,
    members: Option<usize>,
    ends: Vec<(u64, Status)>,
}

fn receive(session: &Session, told: &mut Told) {
    let shown = session.receive(4_096, &mut |event| {
        match event.kind {
            EventKind::Message => {
                told.messages.push(event.data.to_vec());
                told.ends.extend((event.tag != 0).then_some((event.tag, Status::OK)));
            }
            EventKind::View => told.members = Some(event.view.unwrap().members().len()),
            EventKind::Receipt => told.ends.push((event.tag, event.status)),
            _ => {}
        }
        Hold::Release
    });
    shown.unwrap();
}

/// Sessions of both, in a group of `steady`.
fn join_both(hosts: &[Host; 2]) -> ([Session; 2], [GroupHandle; 2], [Told; 2]) {
    let sessions = hosts.each_ref().map(|host| host.session(0));
    let groups = sessions.each_ref().map(|session| session.join("steady/orders", 0, 0).unwrap());
    let mut told = [Told::default(), Told::default()];
    run_until(hosts, "views of both", |_| {
        sessions.iter().zip(&mut told).for_each(|(session, told)| receive(session, told));
        told.iter().all(|told| told.members == Some(2))
    });
    (sessions, groups, told)
}

/// The ring of `steady` goes on, its safe messages too, which all members must have said to have.
#[test]
fn a_program_that_does_not_drive_its_engine_stays_where_there_is_a_thread() {
    let hosts = two_hosts(&with_steady());
    let (sessions, groups, mut told) = join_both(&hosts);
    let before = ring_of(&hosts[0], 0, "steady");
    let (begin, mut sent) = (Instant::now(), 0_u32);
    while begin.elapsed() < PAUSE {
        let is_due = begin.elapsed() > PACE * sent;
        if is_due && sessions[0].send(groups[0], 5, &[&sent.to_be_bytes()], 0).is_ok() {
            sent += 1;
        }
        hosts[0].turn(PACE);
        receive(&sessions[0], &mut told[0]);
    }
    assert_eq!(ring_of(&hosts[0], 0, "default").1, [1], "it has no thread there");
    assert_eq!(ring_of(&hosts[0], 0, "steady"), before, "it has one there");
    hosts[0].run_until("all safe messages", |_| {
        receive(&sessions[0], &mut told[0]);
        told[0].messages.len() == sent as usize
    });
    // Now its program hears of it.
    run_until(&hosts, "the same messages", |_| {
        receive(&sessions[1], &mut told[1]);
        told[1].messages.len() == sent as usize
    });
    assert!(sent > 10 && told[0].messages == told[1].messages, "{sent}");
    assert_eq!(told[1].members, Some(2));
    run_until(&hosts, "a ring of both", |hosts| ring_of(&hosts[1], 0, "default").1 == [1, 2]);
    assert_eq!(ring_of(&hosts[1], 0, "steady"), before);
}

/// What waits for an engine that is not driven is bounded: then its thread takes in no more, and is
/// a member like any other that does not.
#[test]
fn what_waits_for_a_program_that_is_away_is_bounded() {
    const SENT: u32 = 60_000;
    let hosts = two_hosts(&with_steady());
    let (sessions, groups, mut told) = join_both(&hosts);
    let text = |number: u32| [&number.to_be_bytes()[..], &[0; 60]].concat();
    let mut sent = 0;
    hosts[0].run_until("all to be sent and here", |_| {
        while sent < SENT && sessions[0].send(groups[0], 4, &[&text(sent)], 0).is_ok() {
            sent += 1;
        }
        receive(&sessions[0], &mut told[0]);
        told[0].messages.len() == SENT as usize
    });
    run_until(&hosts, "both again", |_| {
        sessions.iter().zip(&mut told).for_each(|(session, told)| receive(session, told));
        sessions[0].send(groups[0], 4, &[b"the end"], 0).ok();
        told[1].messages.last().is_some_and(|last| last == b"the end")
    });
    let numbered = told[1].messages.iter().filter(|message| *message != b"the end");
    let numbered: Vec<_> = numbered.cloned().collect();
    assert!(numbered.len() < SENT as usize, "all of it has waited");
    let expected: Vec<_> = (0..numbered.len() as u32).map(text).collect();
    assert!(!numbered.is_empty() && numbered == expected, "{}", numbered.len());
}

/// Two engines in one loop, with a thread for each domain: one order, and one end for each message.
#[test]
fn order_and_receipts_are_those_of_domains_without_threads() {
    const EACH: u64 = 2_000;
    let mut settings = with_steady();
    settings.set("turn.thread", "true").unwrap();
    let host = Host::default();
    (1..=2).for_each(|id| _ = host.add(&set_node(&settings, id)));
    for domain in ["default", "steady"] {
        host.run_until("a ring of both", |host| {
            (0..2).all(|index| ring_of(host, index, domain).1 == [1, 2])
        });
    }
    for name in ["orders", "steady/orders"] {
        let sessions = [0, 1].map(|index| host.session(index));
        let groups = sessions.each_ref().map(|session| session.join(name, 0, 0).unwrap());
        let mut told = [Told::default(), Told::default()];
        host.run_until("views of both", |_| {
            sessions.iter().zip(&mut told).for_each(|(session, told)| receive(session, told));
            told.iter().all(|told| told.members == Some(2))
        });
        let mut tags = [0, 0];
        host.run_until("all messages", |_| {
            for at in 0..2 {
                let text = |tag: u64| format!("{at} says {tag}");
                let (session, group) = (&sessions[at], groups[at]);
                let send = |tag| {
                    let service = if tag % 2 == 0 { 4 } else { 5 };
                    session.send(group, service, &[text(tag).as_bytes()], tag).is_ok()
                };
                while tags[at] < EACH && send(tags[at] + 1) {
                    tags[at] += 1;
                }
                receive(session, &mut told[at]);
            }
            told.iter().all(|told| told.messages.len() as u64 == 2 * EACH)
        });
        assert!(told[0].messages == told[1].messages, "two orders in {name}");
        for (at, told) in told.iter().enumerate() {
            let ends: Vec<_> = (1..=EACH).map(|tag| (tag, Status::OK)).collect();
            assert!(told.ends == ends, "messages of {at} have other ends in {name}");
        }
    }
}

/// Three engines: one has its descriptors watched one by one, of which those of the domain with a
/// thread are none; the second has threads for all; the third has none.
#[test]
fn with_and_without_threads_and_a_loop_of_the_hosts_it_is_one_order() {
    const EACH: usize = 500;
    let with = with_steady();
    let (mut all, mut none) = (with.clone(), with.clone());
    all.set("turn.thread", "true").unwrap();
    none.set("domain.steady.turn.thread", "false").unwrap();
    let host = Host::default();
    host.add_hosted(&set_node(&with, 1));
    host.add(&set_node(&all, 2));
    host.add(&set_node(&none, 3));
    for domain in ["default", "steady"] {
        host.run_until("a ring of three", |host| {
            (0..3).all(|index| ring_of(host, index, domain).1 == [1, 2, 3])
        });
    }
    for name in ["orders", "steady/orders"] {
        let sessions = [0, 1, 2].map(|index| host.session(index));
        let groups = sessions.each_ref().map(|session| session.join(name, 0, 0).unwrap());
        let mut told = [(); 3].map(|()| Told::default());
        host.run_until("views of three", |_| {
            sessions.iter().zip(&mut told).for_each(|(session, told)| receive(session, told));
            told.iter().all(|told| told.members == Some(3))
        });
        let mut sent = [0; 3];
        host.run_until("all messages", |_| {
            for at in 0..3 {
                while sent[at] < EACH
                    && sessions[at].send(groups[at], 5, &[&[at as u8, sent[at] as u8]], 0).is_ok()
                {
                    sent[at] += 1;
                }
                receive(&sessions[at], &mut told[at]);
            }
            told.iter().all(|told| told.messages.len() == 3 * EACH)
        });
        assert!(told[0].messages == told[1].messages, "two orders in {name}");
        assert!(told[0].messages == told[2].messages, "two orders in {name}");
    }
}

#[test]
fn who_has_a_thread_is_told() {
    let host = Host::with(&set_node(&with_steady(), 1));
    let answer = host.ask(0, "domains");
    assert_eq!(answer["domains"][0]["thread"], Value::Null);
    let thread = &answer["domains"][1]["thread"];
    assert!(thread["waited_us"].is_u64() && thread["engine_waited_us"].is_u64(), "{answer}");
    let names = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert!(names.into_iter().any(|name| name.trim() == "anasazi:steady"));
}

/// A bug in the core ends the engine from whichever thread it shows in, and its sockets are free.
#[test]
fn an_invariant_that_breaks_in_its_own_thread_ends_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = set_node(&with_steady(), 1);
    settings.set("recorder.dir", directory.path().to_str().unwrap()).unwrap();
    for place in ["core", "engine"] {
        let host = Host::with(&settings);
        let session = host.session(0);
        let broken = json!({ "do": "break", "domain": "steady", "in": place });
        session.query(broken.to_string().as_bytes(), 1).unwrap();
        host.run_until("the end", |host| host.has_ended(0));
        let error = host.engines()[0].error.clone().unwrap().to_string();
        assert!(error.contains("an invariant is broken"), "{error}");
        assert_eq!(error.starts_with("domain steady: "), place == "core", "{error}");
    }
}

/// What is given back is free at once, so that the next one can have it.
#[test]
fn an_engine_that_is_stopped_or_dropped_gives_its_sockets_back() {
    let mut settings = set_node(&with_steady(), 1);
    let free = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for key in ["transport.bind", "domain.steady.transport.bind"] {
        settings.set(key, &free().to_string()).unwrap();
    }
    settings.set("turn.thread", "true").unwrap();
    for round in 0..20 {
        let host = Host::with(&settings);
        if round % 2 == 0 {
            host.run_until("its own ring", |host| host.engines()[0].engine.is_operational());
            host.engines()[0].engine.handle().stop();
            host.run_until("the end", |host| host.has_ended(0));
            assert_eq!(host.engines()[0].error, None);
        }
    }
}

/// Beside a domain in which messages go round, one with a thread comes and goes.
#[test]
fn domains_with_threads_come_and_go_beside_others_that_talk() {
    let hosts = two_hosts(&with_steady());
    let (sessions, groups, mut told) = join_both(&hosts);
    let before = ring_of(&hosts[0], 0, "steady");
    let mut sent = 0_u32;
    let mut talk = |told: &mut [Told; 2]| {
        for _ in 0..50 {
            sent += u32::from(sessions[0].send(groups[0], 4, &[&sent.to_be_bytes()], 0).is_ok());
        }
        sessions.iter().zip(told).for_each(|(session, told)| receive(session, told));
        sent as usize
    };
    let admin = hosts[0].session(0);
    let other = hosts[0].session(0);
    for round in 0..30 {
        for what in ["add-domain", "remove-domain"] {
            let mut request = json!({ "do": what, "name": "guest" });
            if what == "add-domain" {
                request["settings"] = json!({ "turn.thread": true });
            }
            admin.query(request.to_string().as_bytes(), 1).unwrap();
            let mut is_done = false;
            run_until(&hosts, what, |_| {
                talk(&mut told);
                let shown = admin.receive(16, &mut |event| {
                    assert!(event.text().contains("\"done\":true"), "{}", event.text());
                    is_done = true;
                    Hold::Release
                });
                shown.unwrap();
                is_done
            });
            if what == "add-domain" && round % 2 == 0 {
                other.join("guest/orders", JOIN_SEND_ONLY * (round % 4 / 2), 0).unwrap();
            }
            receive(&other, &mut Told::default());
        }
    }
    let mut all = 0;
    run_until(&hosts, "all messages", |_| {
        if all == 0 {
            all = talk(&mut told);
        }
        sessions.iter().zip(&mut told).for_each(|(session, told)| receive(session, told));
        told.iter().all(|told| told.messages.len() == all)
    });
    assert!(told[0].messages == told[1].messages, "two orders");
    assert_eq!(ring_of(&hosts[0], 0, "steady"), before, "steady was disturbed");
}
