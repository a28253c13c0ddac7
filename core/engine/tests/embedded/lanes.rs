//! One session in two domains: whatever way it comes, each domain has a lane of its own.

use std::collections::BTreeMap;

use anasazi_client::{EventKind, GroupHandle, Hold, Session, SlowPolicy, Status};
use serde_json::json;

use super::*;
use crate::streams::{addresses, listening, open};

/// What a session was told.
#[derive(Default)]
struct Told {
    /// By domain, how many messages in order.
    messages: BTreeMap<String, u64>,
    views: BTreeMap<String, usize>,
    left: Vec<(GroupHandle, Status, String)>,
    writable: Vec<GroupHandle>,
    /// Events of `slow` that were kept.
    kept: Vec<u64>,
}

impl Told {
    fn messages(&self, domain: &str) -> u64 {
        self.messages.get(domain).copied().unwrap_or(0)
    }
}

/// Takes what is there; messages of `slow` are kept if that is asked for.
fn take(session: &Session, told: &mut Told, keeps: bool) {
    let shown = session.receive(64, &mut |event| {
        let domain = event.domain_name().to_owned();
        match event.kind {
            EventKind::Message => {
                let next = told.messages.entry(domain.clone()).or_default();
                let number = event.data.first_chunk().copied().map_or(0, u64::from_le_bytes);
                assert_eq!(number, *next, "{domain}: in order, and none is missing");
                *next += 1;
                if keeps && domain == "slow" {
                    told.kept.push(event.token);
                    return Hold::Keep;
                }
            }
            EventKind::View => {
                told.views.insert(domain, event.view.unwrap().members().len());
            }
            EventKind::Left => {
                let group = event.group.unwrap();
                told.left.push((group, event.status, event.text().to_owned()));
            }
            EventKind::Writable => told.writable.extend(event.group),
            kind => panic!("{kind:?}"),
        }
        Hold::Release
    });
    shown.unwrap();
}

fn send(session: &Session, group: GroupHandle, number: u64) -> bool {
    let message = [&number.to_le_bytes()[..], &[7; 2_000]].concat();
    match session.send(group, 4, &[&message], 0) {
        Ok(()) => true,
        Err(Status::EAGAIN) => false,
        Err(status) => panic!("{status:?}"),
    }
}

/// Whose `slow` events are kept gets those of `default` all the same; when they are released the
/// rest comes, and nothing is missing.
fn one_lane_fills_and_the_other_flows(host: &Host, reader: &Session, sender: &Session) {
    let sessions = [reader, sender];
    let mut told = [Told::default(), Told::default()];
    let groups = sessions.map(|s| ["orders", "slow/orders"].map(|n| s.join(n, 0, 0).unwrap()));
    let see = |told: &mut [Told; 2]| {
        take(reader, &mut told[0], true);
        take(sender, &mut told[1], false);
    };
    host.run_until("views of both", |_| {
        see(&mut told);
        told.iter().all(|told| ["default", "slow"].iter().all(|d| told.views.get(*d) == Some(&2)))
    });
    // More than the ring of the lane holds.
    let (mut slow, mut fast) = (0, 0);
    host.run_until("a full lane", |_| {
        slow += u64::from(slow < 60 && send(sender, groups[1][1], slow));
        see(&mut told);
        told[1].messages("slow") == 60
    });
    let before = told[0].messages("slow");
    assert!(before < 40, "{before} of 60 do not fit into the lane");
    host.run_until("the other domain's messages, both ways", |_| {
        fast += u64::from(fast < 100 && send(sender, groups[1][0], fast));
        see(&mut told);
        told.iter().all(|told| told.messages("default") == 100)
    });
    fast += u64::from(send(reader, groups[0][0], fast));
    host.run_until("an answer", |_| {
        see(&mut told);
        told[1].messages("default") == fast
    });
    assert_eq!(told[0].messages("slow"), before);
    // What it sends into the domain is not held up either.
    assert!(send(reader, groups[0][1], slow));
    host.run_until("the rest", |_| {
        let kept = std::mem::take(&mut told[0].kept);
        sys::release(reader, &kept);
        see(&mut told);
        told[0].messages("slow") == slow + 1
    });
    sys::release(reader, &told[0].kept);

    // The domain goes, its lanes too, and nothing else.
    let lanes = |host: &Host| {
        let answer = host.ask(0, "sessions");
        let of_slow = |session: &&serde_json::Value| session["domain"] == "slow";
        answer["sessions"].as_array().unwrap().iter().filter(of_slow).count()
    };
    assert_eq!(lanes(host), 2);
    let answer = host.request(0, &json!({ "do": "remove-domain", "name": "slow" }));
    assert_eq!(answer["done"], json!(true), "{answer}");
    host.run_until("the ends", |_| {
        see(&mut told);
        told.iter().all(|told| !told.left.is_empty())
    });
    for (told, groups) in told.iter().zip(groups) {
        let [(group, status, why)] = &told.left[..] else { panic!("{:?}", told.left) };
        assert_eq!((*group, *status), (groups[1], Status::ECLOSED));
        assert!(why.starts_with("domain slow was removed by "), "{why}");
    }
    assert_eq!(lanes(host), 0);
    assert!(send(sender, groups[1][0], fast));
    host.run_until("one more", |_| {
        see(&mut told);
        told.iter().all(|told| told.messages("default") == fast + 1)
    });
}

#[test]
fn a_full_lane_delays_no_other_in_process() {
    let mut settings = settings();
    settings.set("message.len_max", "16384").unwrap();
    settings.set("domain.slow.transport.multicast", "off").unwrap();
    let host = Host::with(&settings);
    let sessions = [0, 1].map(|_| host.slow_session(0, SlowPolicy::Disconnect));
    one_lane_fills_and_the_other_flows(&host, &sessions[0], &sessions[1]);
}

#[test]
fn a_full_lane_delays_no_other_over_streams() {
    for place in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = listening(directory.path());
        settings.set("domain.slow.transport.multicast", "off").unwrap();
        let host = Host::with(&settings);
        let address = &addresses(&host)[place];
        let sessions = [0, 1].map(|_| open(&host, address));
        one_lane_fills_and_the_other_flows(&host, &sessions[0], &sessions[1]);
    }
}

/// The engine goes and another comes: all lanes are there again, and their groups.
#[test]
fn lanes_come_back_over_streams_with_the_next_engine() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = listening(directory.path());
    let path = directory.path().join("stream.sock");
    settings.set("client.listen_streams", &format!("unix:{}", path.display())).unwrap();
    settings.set("domain.fast.transport.multicast", "off").unwrap();
    let host = Host::with(&settings);
    let session = open(&host, &anasazi_client::StreamAddress::Unix(path));
    let group = session.join("fast/orders", 0, 0).unwrap();
    let mut seen = Vec::new();
    let take = |seen: &mut Vec<EventKind>| {
        let result = session.receive(64, &mut |event| {
            seen.push(event.kind);
            Hold::Release
        });
        result.unwrap();
    };
    host.run_until("a view", |_| {
        take(&mut seen);
        seen.contains(&EventKind::View)
    });
    seen.clear();
    host.engines().clear();
    host.add(&settings);
    host.run_until("a view again", |_| {
        take(&mut seen);
        seen.contains(&EventKind::View)
    });
    assert_eq!(seen[0], EventKind::Suspended);
    assert!(seen.contains(&EventKind::Resumed) && !seen.contains(&EventKind::Left), "{seen:?}");
    session.send(group, 4, &[b"again"], 0).unwrap();
    host.run_until("a message", |_| {
        take(&mut seen);
        seen.last() == Some(&EventKind::Message)
    });
}
