//! After its end an engine leaves its host and its clients in peace.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use anasazi_client::{EventKind, Hold, Session, SocketFile, Status};
use anasazi_engine::EngineError;

use super::*;
use crate::sys::poll_readable;

/// Drives the host until the session has an event of that kind; its status.
fn await_event(host: &Host, session: &Session, kind: EventKind) -> Status {
    let mut status = None;
    host.run_until("an event", |_| {
        let result = session.receive(1, &mut |event| {
            if event.kind == kind {
                status = Some(event.status);
            }
            Hold::Release
        });
        result.unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Nothing that comes later makes the descriptor readable.
fn expect_silence(host: &Host) {
    let fd = host.engines()[0].engine.fd();
    let long_enough_for_timers = Duration::from_millis(300);
    assert_eq!(poll_readable(&[fd], long_enough_for_timers), [false]);
    assert_eq!(host.engines()[0].engine.process(0), Ok(false));
}

#[test]
fn the_descriptor_of_an_ended_engine_is_never_readable() {
    let host = Host::with(&settings());
    host.run_until("its own ring", |host| host.engines()[0].engine.is_operational());
    let address = host.address(0);
    let session = host.session(0);
    session.join("room", 0, 0).unwrap();
    await_event(&host, &session, EventKind::View);
    let handle = host.engines()[0].engine.handle();
    handle.stop();
    host.run_until("the end", |host| host.has_ended(0));
    assert!(handle.has_ended());
    expect_silence(&host);
    // Others do not know yet.
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"still there?", address).unwrap();
    handle.stop();
    let refused = handle.connect_socket().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    expect_silence(&host);
    assert_eq!(await_event(&host, &session, EventKind::Closed), Status::ECLOSED);
}

/// A bug in the protocol, or in what is around it: the engine is of no more use, says so for ever,
/// and tells its sessions; what it was given last is in a file.
#[test]
fn a_broken_invariant_ends_the_engine_for_good() {
    for place in ["core", "engine"] {
        end_by_a_bug_in(place);
    }
}

fn end_by_a_bug_in(place: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.set("transport.allow_faults", "true").unwrap();
    settings.set("recorder.dir", directory.path().to_str().unwrap()).unwrap();
    let host = Host::with(&settings);
    host.run_until("its own ring", |host| host.engines()[0].engine.is_operational());
    let handle = host.engines()[0].engine.handle();
    let (session, other) = (host.session(0), host.session(0));
    let request = serde_json::json!({ "do": "break", "in": place }).to_string();
    session.query(request.as_bytes(), 1).unwrap();
    host.run_until("the end", |host| host.has_ended(0));
    let error = host.engines()[0].engine.process(0).expect_err("it is broken");
    let EngineError::Broken(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("an administrator asked for it"), "{text}");
    assert_eq!(handle.broken(), Some(&error));
    assert_eq!(host.engines()[0].engine.process(0), Err(error));
    for session in [session, other] {
        assert_eq!(await_event(&host, &session, EventKind::Closed), Status::EINTERNAL);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn clients_of_a_daemon_that_stopped_are_let_go_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anasazi.sock");
    let mut settings = settings();
    settings.set("client.listen", path.to_str().unwrap()).unwrap();
    let host = Host::with(&settings);
    host.run_until("its own ring", |host| host.engines()[0].engine.is_operational());
    let session = host.session_by(Arc::new(DrivenFile(SocketFile(path), host.clone())));
    host.engines()[0].engine.handle().stop();
    host.run_until("the end", |host| host.has_ended(0));
    // The engine is still in memory: what tells the client is the end of its connection.
    await_event(&host, &session, EventKind::Suspended);
    assert!(session.is_open(), "it looks for the daemon again");
    expect_silence(&host);
}

/// A socket file behind which this program's own engine is.
struct DrivenFile(SocketFile, Host);

impl anasazi_client::Connector for DrivenFile {
    fn open(&self) -> Result<std::os::fd::OwnedFd, anasazi_client::Failure> {
        self.0.open()
    }

    fn turn(&self) {
        self.1.turn(Duration::ZERO);
    }
}
