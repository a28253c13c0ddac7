//! An engine that cannot start says what, where, and what to do.

use std::net::UdpSocket;

use anasazi_engine::config::Settings;
use anasazi_engine::{Engine, EngineError};

use super::*;

fn refusal(settings: &Settings) -> EngineError {
    match Engine::new(settings.validate().unwrap()) {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

fn expect_words(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is not in: {text}"));
}

#[test]
fn a_port_in_use() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let mut settings = settings();
    settings.set("transport.bind", &address.to_string()).unwrap();
    let EngineError::Network(text) = refusal(&settings) else { panic!() };
    expect_words(&text, &["127.0.0.1", &address.port().to_string(), "in use", "transport.bind"]);
}

#[test]
fn an_interface_that_is_not_there() {
    let mut settings = settings();
    settings.set("transport.multicast", "239.192.77.1:7745").unwrap();
    settings.set("transport.interface", "nonesuch0").unwrap();
    let EngineError::Network(text) = refusal(&settings) else { panic!() };
    expect_words(&text, &["nonesuch0", "transport.interface", "lo"]);
}

#[test]
fn a_state_directory_that_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let mut settings = settings();
    settings.set("state.dir", file.to_str().unwrap()).unwrap();
    let EngineError::State(text) = refusal(&settings) else { panic!() };
    expect_words(&text, &[file.to_str().unwrap(), "state.dir"]);
}

#[test]
fn a_state_directory_of_another_engine() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.set("state.dir", directory.path().to_str().unwrap()).unwrap();
    let _host = Host::with(&settings);
    let EngineError::State(text) = refusal(&settings) else { panic!() };
    expect_words(&text, &[directory.path().to_str().unwrap(), "in use", "state.dir"]);
}

#[test]
fn a_socket_path_that_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anasazi.sock");
    let mut settings = settings();
    settings.set("client.listen", path.to_str().unwrap()).unwrap();
    let _host = Host::with(&settings);
    let EngineError::Socket(text) = refusal(&settings) else { panic!() };
    expect_words(&text, &[path.to_str().unwrap(), "client.listen"]);
}
