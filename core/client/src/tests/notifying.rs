//! Calls that tell that there is something to receive.

use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::*;

const SOON: Duration = Duration::from_secs(10);
const A_WHILE: Duration = Duration::from_millis(50);

/// Asks for calls that end up in a channel.
fn notified(session: &Session) -> Receiver<()> {
    let (called, calls) = mpsc::channel();
    let call = move || called.send(()).expect("somebody counts");
    session.set_notify(Some(Box::new(call))).unwrap();
    calls
}

#[test]
fn a_call_tells_each_time_that_there_is_something_again() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    assert_quiet(&session);
    let calls = notified(&session);
    assert!(calls.recv_timeout(A_WHILE).is_err(), "there is nothing");
    for sequence in 1..=3 {
        engine.message(number, sequence, b"x");
        calls.recv_timeout(SOON).expect("a call");
        assert_eq!(kinds(&receive(&session, Hold::Release)), [EventKind::Message]);
        assert_quiet(&session);
    }
    assert!(calls.recv_timeout(A_WHILE).is_err(), "all was received");
    engine.closed(Status::ESLOW, "too slow");
    calls.recv_timeout(SOON).expect("a call for the end");
    assert_eq!(kinds(&receive(&session, Hold::Release)), [EventKind::Left, EventKind::Closed]);
    session.set_notify(None).unwrap();
}

#[test]
fn what_is_there_when_it_is_asked_for_is_told_once() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    engine.message(number, 1, b"x");
    let calls = notified(&session);
    calls.recv_timeout(SOON).expect("a call");
    assert!(calls.recv_timeout(A_WHILE).is_err(), "the same is told once");
}

#[test]
fn after_the_end_no_call_is_made_and_none_is_under_way() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    let (called, calls) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let call = move || {
        called.send("begun").expect("somebody counts");
        wait.recv().expect("a word to go on");
        called.send("done").expect("somebody counts");
    };
    session.set_notify(Some(Box::new(call))).unwrap();
    engine.message(number, 1, b"x");
    assert_eq!(calls.recv_timeout(SOON), Ok("begun"));
    thread::scope(|scope| {
        let ends = scope.spawn(|| {
            session.set_notify(None).unwrap();
            "ended"
        });
        thread::sleep(A_WHILE);
        assert!(!ends.is_finished(), "a call is under way");
        go_on.send(()).unwrap();
        assert_eq!(ends.join().unwrap(), "ended");
    });
    assert_eq!(calls.try_recv(), Ok("done"));
    engine.message(number, 2, b"y");
    assert!(calls.recv_timeout(A_WHILE).is_err(), "what was called is gone");
}

#[test]
fn a_close_waits_for_no_call_and_none_begins_after_it() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    let (called, calls) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let call = move || {
        called.send(()).expect("somebody counts");
        wait.recv().expect("a word to go on");
    };
    session.set_notify(Some(Box::new(call))).unwrap();
    engine.message(number, 1, b"x");
    calls.recv_timeout(SOON).expect("a call");
    session.close();
    assert_eq!(session.set_notify(None), Err(Status::ECLOSED));
    go_on.send(()).unwrap();
    assert!(calls.recv_timeout(A_WHILE).is_err(), "it was closed");
}

#[test]
fn a_call_cannot_change_itself() {
    let (session, engine, _) = open();
    let (_, number) = join(&session, &engine, "room");
    let session = Arc::new(session);
    let (told, tells) = mpsc::channel();
    let itself = Arc::clone(&session);
    let call = move || told.send(itself.set_notify(None)).expect("somebody listens");
    session.set_notify(Some(Box::new(call))).unwrap();
    engine.message(number, 1, b"x");
    assert_eq!(tells.recv_timeout(SOON), Ok(Err(Status::EBUSY)));
    session.set_notify(None).unwrap();
    assert!(tells.recv_timeout(A_WHILE).is_err(), "it was dropped with what it held");
}
