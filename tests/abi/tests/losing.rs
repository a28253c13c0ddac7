//! Every message with a tag has one end, also when daemons are killed with some of them.

use std::process::Command;
use std::thread;
use std::time::Duration;

use anasazi_abi::compile;
use anasazi_abi::processes::{Cluster, Program};

#[test]
fn each_message_ends_once_whatever_becomes_of_the_daemon() {
    each_ends_once(Cluster::url, &[]);
}

#[test]
fn so_does_each_that_goes_over_a_unix_stream() {
    each_ends_once(|cluster, daemon| cluster.stream_urls(daemon)[0].clone(), &[]);
}

#[test]
fn so_does_each_that_goes_over_tcp() {
    each_ends_once(|cluster, daemon| cluster.stream_urls(daemon)[1].clone(), &[]);
}

/// It has copies of all that its parent had when it was made, also of both ends of the socket by
/// which a stream is carried.
#[test]
fn so_does_each_that_goes_over_a_stream_whose_process_has_a_child() {
    each_ends_once(|cluster, daemon| cluster.stream_urls(daemon)[0].clone(), &["fork"]);
}

#[test]
fn while_the_daemon_is_away_calls_say_so() {
    let cluster = Cluster::new();
    let mut daemon = cluster.start_streaming_daemon("a");
    let program = compile("tests/abi/c/suspended.c", cluster.directory());
    for url in [&[cluster.url("a")][..], &cluster.stream_urls("a")].concat() {
        let mut client = Program::start(Command::new(&program).arg(&url));
        client.expect("ready");
        daemon.kill();
        client.expect("refused");
        daemon = cluster.start_streaming_daemon("a");
        client.expect("ok");
        client.finish();
    }
}

fn each_ends_once(url: impl Fn(&Cluster, &str) -> String, further: &[&str]) {
    let cluster = Cluster::new();
    let mut daemon = cluster.start_streaming_daemon("a");
    let url = url(&cluster, "a");
    let program = compile("tests/abi/c/lost.c", cluster.directory());
    let mut sender = Program::start(Command::new(program).arg(&url).args(further));
    sender.expect("ready");
    for (round, way) in ["KILL", "KILL", "TERM", "KILL", "KILL"].iter().enumerate() {
        thread::sleep(Duration::from_millis(150 + 37 * round as u64));
        if *way == "KILL" {
            daemon.kill()
        } else {
            daemon.terminate()
        }
        sender.expect("suspended");
        daemon = cluster.start_streaming_daemon("a");
        sender.expect("resumed");
    }
    sender.end_input();
    let printed = sender.finish();
    let count = |what: &str| -> u64 {
        let line = printed.iter().find_map(|line| line.strip_prefix(what));
        line.and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("{printed:?}"))
    };
    let (delivered, lost) = (count("delivered"), count("lost"));
    assert!(delivered > 1_000, "{delivered} delivered");
    // Hundreds are under way at any moment.
    assert!(lost > 0, "none was lost, of {delivered}");
}
