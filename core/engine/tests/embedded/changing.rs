//! Domains that come and go while their engine runs.

use std::collections::BTreeMap;
use std::time::Instant;

use anasazi_client::{EventKind, GroupHandle, Hold, Session, Status};
use anasazi_engine::config::Settings;
use serde_json::{Value, json};

use super::*;
use crate::host::fresh_group;
use crate::ring::set_node;

/// Rounds of the test that is always run, and of the one that is asked for.
const ROUNDS: usize = 200;
const ROUNDS_LONG: usize = 1_000;

/// What a session was told.
#[derive(Default)]
struct Told {
    messages: Vec<(GroupHandle, Vec<u8>)>,
    members: BTreeMap<u64, usize>,
    left: Vec<(GroupHandle, Status, String)>,
    /// How own messages with tags ended: delivered here, or by a receipt.
    ends: Vec<(u64, Status)>,
}

fn receive(session: &Session, told: &mut Told) {
    let shown = session.receive(256, &mut |event| {
        let group = event.group.unwrap_or(GroupHandle(0));
        match event.kind {
            EventKind::Message => {
                told.messages.push((group, event.data.to_vec()));
                told.ends.extend((event.tag != 0).then_some((event.tag, Status::OK)));
            }
            EventKind::View => {
                told.members.insert(group.0, event.view.unwrap().members().len());
            }
            EventKind::Left => told.left.push((group, event.status, event.text().to_owned())),
            EventKind::Receipt => told.ends.push((event.tag, event.status)),
            _ => {}
        }
        Hold::Release
    });
    shown.unwrap();
}

fn add(host: &Host, index: usize, name: &str, settings: &Value) -> Value {
    host.request(index, &json!({ "do": "add-domain", "name": name, "settings": settings }))
}

fn remove(host: &Host, index: usize, name: &str) -> Value {
    host.request(index, &json!({ "do": "remove-domain", "name": name }))
}

fn expect_done(answer: &Value) {
    assert_eq!(answer["done"], json!(true), "{answer}");
}

fn ring_of(host: &Host, index: usize, domain: &str) -> (Value, Vec<u64>) {
    let ask = |query| host.request(index, &json!({ "query": query, "domain": domain }));
    let (status, members) = (ask("status"), ask("members"));
    let members = members["members"].as_array().into_iter().flatten();
    let nodes = members.map(|member| member["node"].as_u64().unwrap()).collect();
    (status["ring"]["id"].clone(), nodes)
}

fn expect_ring_of(host: &Host, domain: &str) {
    host.run_until("a ring of both", |host| {
        let rings = [0, 1].map(|index| ring_of(host, index, domain));
        rings[0] == rings[1] && rings[0].1 == [1, 2]
    });
}

/// Two engines that have found each other, and settings of a domain that they may have.
fn two() -> (Host, Value) {
    let mut settings = settings();
    settings.set("transport.multicast", &fresh_group().to_string()).unwrap();
    let host = Host::default();
    (1..=2).for_each(|id| _ = host.add(&set_node(&settings, id)));
    expect_ring_of(&host, "default");
    (host, json!({ "transport.multicast": fresh_group().to_string() }))
}

#[test]
fn a_domain_comes_goes_and_comes_again_and_the_others_notice_nothing() {
    let (host, slow) = two();
    let sessions = [0, 1].map(|index| host.session(index));
    let default = sessions.each_ref().map(|session| session.join("orders", 0, 0).unwrap());
    let mut told = [Told::default(), Told::default()];
    let see = |told: &mut [Told; 2]| {
        sessions.iter().zip(told).for_each(|(session, told)| receive(session, told));
    };
    host.run_until("views of default", |_| {
        see(&mut told);
        told.iter().zip(default).all(|(told, group)| told.members.get(&group.0) == Some(&2))
    });
    let before = ring_of(&host, 0, "default");
    for round in 0..3 {
        (0..2).filter(|index| round == 0 || *index == 0).for_each(|index| {
            let answer = add(&host, index, "slow", &slow);
            expect_done(&answer);
            let section = answer["section"].as_str().unwrap();
            assert!(section.starts_with("[domain.slow]\ntransport.multicast = \""), "{section}");
            assert_eq!(answer["domain"]["added"], json!(true));
        });
        expect_ring_of(&host, "slow");
        let group = sessions[0].join("slow/orders", 0, 0).unwrap();
        if round == 0 {
            // And stays, whatever becomes of the other one.
            sessions[1].join("slow/orders", 0, 0).unwrap();
        }
        host.run_until("a view of both", |_| {
            see(&mut told);
            told[0].members.get(&group.0) == Some(&2)
        });
        sessions[0].send(group, 4, &[b"slow"], 7).unwrap();
        host.run_until("its message", |_| {
            see(&mut told);
            told.iter().all(|told| told.messages.iter().any(|(_, text)| text == b"slow"))
        });
        expect_done(&remove(&host, 0, "slow"));
        host.run_until("the end of the group", |_| {
            see(&mut told);
            told[0].left.iter().any(|(left, ..)| *left == group)
        });
        let (_, status, why) = told[0].left.last().unwrap();
        assert_eq!(*status, Status::ECLOSED);
        assert!(why.starts_with("domain slow was removed by session "), "{why}");
        host.run_until("who stays is alone", |host| ring_of(host, 1, "slow").1 == [2]);
        let refused = sessions[0].join("slow/orders", 0, 0).unwrap();
        host.run_until("a refusal", |_| {
            see(&mut told);
            told[0].left.iter().any(|(group, ..)| *group == refused)
        });
        let (_, status, why) = told[0].left.last().unwrap();
        assert_eq!(*status, Status::EINVAL, "{why}");
        assert!(why.contains("no domain \"slow\"; it has: default"), "{why}");
        told.iter_mut().for_each(|told| told.messages.clear());
    }
    assert_eq!(ring_of(&host, 0, "default"), before, "default was disturbed");
    for (told, group) in told.iter().zip(default) {
        assert_eq!(told.members.get(&group.0), Some(&2));
        assert!(told.left.iter().all(|(left, ..)| *left != group), "default has ended");
    }
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let host = Host::with(&set_node(&settings(), 1));
    let refused = |answer: Value, words: &str| {
        let error = answer["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(words), "{answer}, and not: {words}");
    };
    refused(remove(&host, 0, "default"), "cannot be removed");
    refused(remove(&host, 0, "slow"), "no domain \"slow\"; it has: default");
    refused(host.request(0, &json!({ "do": "add-domain" })), "`name` must be");
    refused(host.request(0, &json!({ "do": "add-domain", "name": "a", "settings": 1 })), "object");
    refused(add(&host, 0, "default", &json!({})), "top level");
    refused(add(&host, 0, "Slow", &json!({})), "is no name for a domain");
    refused(add(&host, 0, "slow", &json!({ "ring.windw": 64 })), "domain.slow.ring.window?");
    refused(add(&host, 0, "slow", &json!({ "ring.window": {} })), "must be text, a number");
    refused(add(&host, 0, "slow", &json!({ "client.listen": "/x" })), "whole engine");
    refused(add(&host, 0, "slow", &json!({ "ring.token_loss_ms": 20 })), "ring.idle_rotate_ms");
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let bind = json!({ "transport.bind": taken.local_addr().unwrap().to_string() });
    refused(add(&host, 0, "slow", &bind), "domain slow: ");
    // Nothing is left of what could not be had.
    expect_done(&add(&host, 0, "slow", &json!({ "transport.liveness": false })));
    refused(add(&host, 0, "slow", &json!({})), "is there already");
    let bind = host.request(0, &json!({ "query": "status", "domain": "slow" }))["address"].clone();
    refused(add(&host, 0, "slower", &json!({ "transport.bind": bind })), "domain slower: ");
    let config = host.ask(0, "config").to_string();
    assert!(config.contains("domain.slow.") && !config.contains("domain.slower."), "{config}");
    expect_done(&remove(&host, 0, "slow"));
    assert!(!host.ask(0, "config").to_string().contains("domain.slow."));
}

/// However many ask for the same thing: it is done once, and each is told when it is.
#[test]
fn all_who_remove_a_domain_are_told_that_it_is_gone() {
    let host = Host::with(&set_node(&settings(), 1));
    expect_done(&add(&host, 0, "slow", &json!({ "transport.liveness": false })));
    let sessions = [0; 3].map(|index| host.session(index));
    for session in &sessions {
        session.query(br#"{"do":"remove-domain","name":"slow"}"#, 1).unwrap();
    }
    let mut done = [0; 3];
    host.run_until("an answer to each", |_| {
        for (session, done) in sessions.iter().zip(&mut done) {
            let shown = session.receive(16, &mut |event| {
                assert_eq!((event.kind, event.status), (EventKind::Reply, Status::OK));
                *done += 1;
                Hold::Release
            });
            shown.unwrap();
        }
        done == [1; 3]
    });
    assert!(remove(&host, 0, "slow")["error"].as_str().unwrap().contains("no domain \"slow\""));
}

/// The next process in a domain is newer than the last one there, and what that has made durable is
/// respected.
#[test]
fn with_a_state_directory_the_file_is_given_back_and_taken_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = set_node(&settings(), 1);
    settings.set("state.dir", directory.path().to_str().unwrap()).unwrap();
    let host = Host::with(&settings);
    let incarnation = |host: &Host| {
        let members = host.request(0, &json!({ "query": "members", "domain": "slow" }));
        members["members"][0]["incarnation"].as_u64()
    };
    let mut last = None;
    for _ in 0..5 {
        expect_done(&add(&host, 0, "slow", &json!({})));
        host.run_until("a ring", |host| incarnation(host).is_some());
        assert!(incarnation(&host) > last, "{last:?}");
        last = incarnation(&host);
        expect_done(&remove(&host, 0, "slow"));
    }
    assert!(directory.path().join("anasazi-domain-slow.state").exists());
    drop(host);
    let settings = set_node(&settings, 1);
    let with = |settings: &Settings| {
        let mut settings = settings.clone();
        settings.set("domain.slow.preset", "lan").unwrap();
        settings
    };
    let host = Host::with(&with(&settings));
    host.run_until("a ring", |host| incarnation(host).is_some());
    assert!(incarnation(&host) > last, "{last:?}");
}

/// Whatever was on its way when the domain was removed has one end, and none comes twice.
#[test]
fn every_message_with_a_tag_has_its_end() {
    let (host, mut slow) = two();
    slow["transport.allow_faults"] = json!(true);
    (0..2).for_each(|index| expect_done(&add(&host, index, "slow", &slow)));
    expect_ring_of(&host, "slow");
    let session = host.session(0);
    let member = session.join("slow/orders", 0, 0).unwrap();
    let sender = session.join("slow/others", anasazi_client::JOIN_SEND_ONLY, 0).unwrap();
    let mut told = Told::default();
    host.run_until("a view", |_| {
        receive(&session, &mut told);
        told.members.contains_key(&member.0)
    });
    // What is safe only when the other one has it takes its time from now on, as does leaving.
    expect_done(&host.request(0, &json!({ "do": "loss", "permille": 1000, "domain": "slow" })));
    let (mut tag, mut sent) = (0, 0);
    let send = |group, tag: &mut u64, sent: &mut u64| {
        *tag += 1;
        *sent += u64::from(session.send(group, 5, &[b"on its way"], *tag).is_ok());
    };
    (0..200).for_each(|_| send(member, &mut tag, &mut sent));
    let removal = json!({ "do": "remove-domain", "name": "slow" }).to_string();
    session.query(removal.as_bytes(), 1).unwrap();
    host.run_until("the removal to begin", |host| {
        let domains = host.ask(0, "domains");
        domains["domains"][1]["state"] == json!("leaving")
    });
    (0..200).for_each(|_| send(member, &mut tag, &mut sent));
    (0..200).for_each(|_| send(sender, &mut tag, &mut sent));
    host.run_until("the ends of all", |_| {
        receive(&session, &mut told);
        told.left.len() == 2 && told.ends.len() as u64 >= sent
    });
    assert_eq!(sent, 600);
    assert_eq!(host.ask(0, "domains")["domains"].as_array().unwrap().len(), 1);
    let mut tags: Vec<_> = told.ends.iter().map(|(tag, _)| *tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, (1..=sent).collect::<Vec<_>>());
    let after = |(tag, status): &&(u64, Status)| *tag > 200 && *status == Status::ENOTMEMBER;
    assert_eq!(told.ends.iter().filter(after).count(), 400);
    let delivered = |(tag, status): &&(u64, Status)| *tag <= 200 && *status == Status::OK;
    let lost = |(tag, status): &&(u64, Status)| *tag <= 200 && *status == Status::ELOST;
    let count = |of: &dyn Fn(&&(u64, Status)) -> bool| told.ends.iter().filter(of).count();
    assert_eq!(count(&delivered) + count(&lost), 200);
}

/// What this process has of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Had {
    descriptors: usize,
    threads: usize,
    maps: usize,
    resident_len: usize,
}

fn had() -> Had {
    // Not what the allocator keeps of memory that was given back to it.
    sys::trim();
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    Had { descriptors: count("fd"), threads: count("task"), maps, resident_len: pages * 4096 }
}

/// Adds and removes a domain again and again, with a session in it, and with a thread of its own or
/// without; what was had before and after.
fn come_and_go(rounds: usize, has_thread: bool) -> (Had, Had) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = set_node(&settings(), 1);
    settings.set("state.dir", directory.path().to_str().unwrap()).unwrap();
    let host = Host::with(&settings);
    let session = host.session(0);
    let mut told = Told::default();
    let (threads, mut before) = (had().threads, None);
    // What allocators and threads keep for good they have after some rounds.
    let warm = rounds / 4;
    let request = |what: &str, told: &mut Told| {
        let mut request = json!({ "do": what, "name": "slow" });
        if what == "add-domain" {
            request["settings"] = json!({ "turn.thread": has_thread });
        }
        let request = request.to_string();
        session.query(request.as_bytes(), 1).unwrap();
        let mut is_done = false;
        host.run_until(what, |_| {
            let shown = session.receive(64, &mut |event| {
                match event.kind {
                    EventKind::Reply => {
                        assert!(event.text().contains("\"done\":true"), "{}", event.text());
                        is_done = true;
                    }
                    EventKind::Left => {
                        told.left.push((GroupHandle(0), event.status, String::new()))
                    }
                    _ => {}
                }
                Hold::Release
            });
            shown.unwrap();
            is_done
        });
    };
    for round in 0..rounds {
        if round == warm {
            // The thread of the last domain ends before: on a busy machine it takes its time.
            let end = Instant::now() + PATIENCE;
            while had().threads > threads && Instant::now() < end {
                host.turn(std::time::Duration::from_millis(20));
            }
            before = Some(had());
            assert_eq!(before.as_ref().map(|had| had.threads), Some(threads), "it ends");
        }
        request("add-domain", &mut told);
        session.join("slow/orders", 0, 0).unwrap();
        request("remove-domain", &mut told);
        assert_eq!(told.left.len(), round + 1, "each handle has its end");
    }
    // The last threads are about to end.
    let (before, end) = (before.unwrap(), Instant::now() + PATIENCE);
    let same = |had: Had| (had.descriptors, had.threads) == (before.descriptors, before.threads);
    while !same(had()) && Instant::now() < end {
        host.turn(std::time::Duration::from_millis(20));
    }
    let after = had();
    assert_eq!(host.ask(0, "domains")["domains"].as_array().unwrap().len(), 1);
    (before, after)
}

#[allow(clippy::print_stdout, reason = "figures to be recorded")]
fn expect_nothing_leaked(rounds: usize, has_thread: bool) {
    let begin = Instant::now();
    let (before, after) = come_and_go(rounds, has_thread);
    let grown = after.resident_len as isize - before.resident_len as isize;
    println!("{rounds} rounds in {:?}: {before:?}, {after:?}, {grown} bytes", begin.elapsed());
    // Other tests of this program come and go, too, unless it is run alone.
    if std::env::args().any(|argument| argument == "--exact") {
        assert_eq!((before.descriptors, before.threads), (after.descriptors, after.threads));
        assert!(after.maps <= before.maps + 8, "{before:?}, {after:?}");
        assert!(grown < 4 << 20, "{grown} bytes more");
    }
}

#[test]
fn adding_and_removing_leaks_nothing() {
    // By itself in a process of its own: what others have would be counted, too.
    let name = "changing::adding_and_removing_many_times_alone";
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("ROUNDS", ROUNDS.to_string());
    for has_thread in ["false", "true"] {
        let output = command.env("THREAD", has_thread).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(&format!("{ROUNDS} rounds in ")), "{text}");
    }
}

#[test]
#[ignore = "alone in its process: run with --exact --ignored; takes ten seconds"]
fn adding_and_removing_many_times_alone() {
    let rounds = std::env::var("ROUNDS").ok().map_or(ROUNDS_LONG, |text| text.parse().unwrap());
    expect_nothing_leaked(rounds, std::env::var("THREAD").is_ok_and(|text| text == "true"));
}
