//! Two engines find each other.

use std::time::Instant;

use anasazi_client::{EventKind, Hold, JOIN_SEND_ONLY, Status};
use anasazi_engine::EngineError;
use anasazi_engine::config::Settings;
use anasazi_engine::state_file::{StateFile, Stored};

use super::*;
use crate::host::fresh_group;

/// From nothing to a ring of both, on a machine that has other things to do.
const FORMED_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

pub(crate) fn set_node(settings: &Settings, id: u32) -> Settings {
    let mut settings = settings.clone();
    settings.set("node.id", &id.to_string()).unwrap();
    settings
}

pub(crate) fn expect_ring_of_both(host: &Host) {
    let start = Instant::now();
    host.run_until("a ring of both", |host| (0..2).all(|index| host.nodes(index) == [1, 2]));
    let took = start.elapsed();
    assert!(took < FORMED_WITHIN, "{took:?}");
    let id = |index| host.ask(index, "status")["ring"]["id"].clone();
    assert_eq!(id(0), id(1));
    assert!(host.engines().iter().all(|driven| driven.engine.is_operational()));
}

#[test]
fn two_engines_form_a_ring_by_multicast() {
    let mut settings = settings();
    settings.set("transport.multicast", &fresh_group().to_string()).unwrap();
    let host = Host::default();
    (1..=2).for_each(|id| _ = host.add(&set_node(&settings, id)));
    expect_ring_of_both(&host);
}

#[test]
fn two_engines_form_a_ring_by_unicast() {
    let mut settings = settings();
    let host = Host::with(&set_node(&settings, 1));
    let first = host.address(0);
    settings.set("transport.peers", &first.to_string()).unwrap();
    host.add(&set_node(&settings, 2));
    expect_ring_of_both(&host);
}

/// A node that has lost its state starts again, with a clock that is behind the last start.
#[test]
fn a_node_that_would_be_older_than_it_was_begins_again_above_that() {
    const AHEAD: u64 = 1 << 39;
    let directory = tempfile::tempdir().unwrap();
    let stored = Stored { node_id: 2, incarnation: AHEAD, ring_sequence_reserved: 10 };
    StateFile::open(directory.path()).unwrap().0.store(&stored).unwrap();
    let mut settings = settings();
    let host = Host::with(&set_node(&settings, 1));
    let first = host.address(0);
    settings.set("transport.peers", &first.to_string()).unwrap();
    let settings = set_node(&settings, 2);
    let mut with_state = settings.clone();
    with_state.set("state.dir", directory.path().to_str().unwrap()).unwrap();
    host.add(&with_state);
    expect_ring_of_both(&host);
    host.engines()[1].engine.handle().stop();
    host.run_until("the end", |host| host.has_ended(1));

    let again = host.add(&settings);
    let fd = host.engines()[again].engine.fd();
    host.run_until("a ring of both", |host| [0, again].iter().all(|i| host.nodes(*i) == [1, 2]));
    let incarnation = host.ask(again, "status")["incarnation"].as_u64().unwrap();
    assert!(incarnation > AHEAD + 1, "{incarnation}");
    assert_eq!(host.engines()[again].engine.fd(), fd);
    assert_eq!(host.engines()[again].error, None);
}

#[test]
fn two_nodes_with_one_id_are_told_apart_and_the_newcomer_gives_way() {
    let mut settings = set_node(&settings(), 7);
    let host = Host::with(&settings);
    host.run_until("the older one's ring", |host| host.engines()[0].engine.is_operational());
    let first = host.address(0);
    settings.set("transport.peers", &first.to_string()).unwrap();
    let newcomer = host.add(&settings);
    host.run_until("the newcomer's end", |host| host.has_ended(newcomer));
    let error = host.engines()[newcomer].error.clone();
    let Some(EngineError::Protocol(text)) = error else { panic!("{error:?}") };
    assert!(text.contains("id 7 is in use") && text.contains(&first.to_string()), "{text}");
    assert_eq!(host.engines()[newcomer].engine.process(0), Err(EngineError::Protocol(text)));

    assert!(host.engines()[0].engine.is_operational());
    let answer = host.ask(0, "events");
    let mut events = answer["events"].as_array().unwrap().iter();
    let event = events.find(|event| event["kind"] == "duplicate-node");
    let text = event.unwrap()["text"].as_str().unwrap();
    assert!(text.contains("id 7") && text.contains("127.0.0.1:"), "{text}");
}

/// Who is no member hears nothing of its message but that it has its place in the order.
#[test]
fn a_tag_from_outside_the_group_comes_back_as_a_receipt() {
    let host = Host::with(&settings());
    let session = host.session(0);
    let group = session.join("room", JOIN_SEND_ONLY, 0).unwrap();
    let mut receipts = Vec::new();
    host.run_until("a receipt", |_| {
        if receipts.is_empty() {
            // Until its join is through.
            _ = session.send(group, 4, &[b"from outside"], 41);
        }
        let result = session.receive(16, &mut |event| {
            if event.kind == EventKind::Receipt {
                receipts.push((event.status, event.tag));
            }
            Hold::Release
        });
        result.unwrap();
        !receipts.is_empty()
    });
    assert!(receipts.iter().all(|receipt| *receipt == (Status::OK, 41)), "{receipts:?}");
}
