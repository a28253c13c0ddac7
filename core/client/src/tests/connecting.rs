//! The first connection: it stands, it is refused with a reason, it is given up in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::sys::fake_engine::refusal;
use crate::{SocketFile, Url};
use anasazi_queue::hello::Welcome;
use anasazi_queue::record::SESSION_VERSION;

#[test]
fn the_welcome_brings_the_identity() {
    let (session, _engine, _) = open();
    let member = session.identity();
    assert_eq!((member.node, member.session), (1, 5));
    assert_quiet(&session);
}

#[test]
fn a_refusal_comes_with_the_engines_reason() {
    let answer = refusal(Status::EACCES, "uid 1000 is not in client.allow_uids");
    let failure = Session::open(listener(answer), options()).err().unwrap();
    assert_eq!(failure.status, Status::EACCES);
    assert_eq!(failure.message, "uid 1000 is not in client.allow_uids");
    assert!(!failure.retryable);
}

#[test]
fn an_engine_of_another_version_is_refused_by_number() {
    let answer = Welcome { version: 9, ..welcome(5) };
    let failure = Session::open(listener(answer), options()).err().unwrap();
    assert_eq!(failure.status, Status::EVERSION);
    assert!(
        failure.message.contains('9') && failure.message.contains(&SESSION_VERSION.to_string()),
        "{failure}"
    );
    let answer = Welcome { magic: 0x1234, ..welcome(5) };
    let failure = Session::open(listener(answer), options()).err().unwrap();
    assert_eq!(failure.status, Status::EVERSION);
}

#[test]
fn a_silent_engine_is_given_up_in_time() {
    let options = SessionOptions { connect_timeout: Duration::from_millis(50), ..options() };
    let began = Instant::now();
    let failure = Session::open(Arc::new(Listener::default()), options).err().unwrap();
    assert_eq!(failure.status, Status::ETIMEDOUT);
    assert!(failure.retryable && failure.message.contains("50 ms"), "{failure}");
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn ring_sizes_that_are_none_are_refused() {
    for len in [0, 1, 65_535, 65_537, 1 << 29] {
        let options = SessionOptions { send_ring_len: len, ..options() };
        let failure = Session::open(listener(welcome(1)), options).err().unwrap();
        assert_eq!(failure.status, Status::EINVAL, "{len}");
    }
}

#[test]
fn a_socket_file_that_is_not_there_says_what_to_do() {
    let path = std::env::temp_dir().join("no-anasazi-here.sock");
    let Url::Shm(path) = Url::parse(&format!("shm:{}", path.display())).unwrap() else { panic!() };
    let failure = Session::open(Arc::new(SocketFile(path)), options()).err().unwrap();
    assert_eq!(failure.status, Status::ECONNREFUSED);
    assert_eq!(failure.os_errno, libc::ENOENT);
    assert!(failure.message.contains("no-anasazi-here.sock"), "{failure}");
    assert!(failure.message.contains("is anasazid running"), "{failure}");
    let long = SocketFile(format!("/{}", "x".repeat(200)).into());
    assert_eq!(Session::open(Arc::new(long), options()).err().unwrap().status, Status::EINVAL);
}

#[test]
fn an_async_connection_returns_at_once_and_resumes_later() {
    let listener = Arc::new(Listener::default());
    let options = SessionOptions { connect_async: true, ..options() };
    let session = Session::open(listener.clone(), options).unwrap();
    assert_eq!(session.identity().session, 0);
    let group = session.join("room", 0, 0).expect("joined as soon as there is an engine");
    assert_eq!(session.send(group, 4, &[b"x"], 1), Err(Status::EAGAIN));
    assert_eq!(receive(&session, Hold::Release), []);
    let engine = listener.accept(&welcome(9)).unwrap();
    assert_eq!(kinds(&receive_some(&session)), [EventKind::Resumed, EventKind::Writable]);
    assert_eq!(session.identity().session, 9);
    take_join(&engine, "room");
}

#[test]
fn an_async_connection_that_is_refused_closes() {
    let listener = Arc::new(Listener::default());
    let options = SessionOptions { connect_async: true, ..options() };
    let session = Session::open(listener.clone(), options).unwrap();
    let group = session.join("room", 0, 0).unwrap();
    listener.accept(&refusal(Status::EACCES, "not you"));
    let seen = receive_some(&session);
    assert_eq!(kinds(&seen), [EventKind::Left, EventKind::Closed]);
    assert_eq!((seen[0].group, seen[0].status), (Some(group), Status::EACCES));
    assert_eq!((seen[1].status, &seen[1].data[..]), (Status::EACCES, &b"not you"[..]));
}
