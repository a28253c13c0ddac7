//! Floods of connections, of descriptors and of sessions: a session that was there before is served
//! as ever, and the daemon has no more afterwards than it had.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anasazi_client::{
    Connector, GroupHandle, OwnedEvent, Session, SessionOptions, SlowPolicy, SocketFile,
};

use super::place::{Place, Running, WAIT_MAX, wait_until};

/// Of a daemon on a machine that does other things as well: longer than that is a hang.
const ROUND_MAX: Duration = Duration::from_secs(2);

/// A daemon with at most so many descriptors, soft and hard.
fn start(place: &Place, limits: &str) -> Running {
    let mut command = Command::new("sh");
    let line = format!("{limits}; exec \"$0\" --config \"$1\"");
    command.args(["-c", &line, env!("CARGO_BIN_EXE_anasazid"), &place.file()]);
    let daemon = place.start(&mut command);
    daemon.wait_for_log("alone");
    daemon
}

fn socket(place: &Place) -> SocketFile {
    SocketFile(place.path("anasazi.sock"))
}

fn open(place: &Place) -> Session {
    let options = SessionOptions {
        send_ring_len: 64 << 10,
        receive_ring_len: 64 << 10,
        connect_timeout: WAIT_MAX,
        connect_async: false,
        slow: SlowPolicy::Disconnect,
    };
    Session::open(Arc::new(socket(place)), options).expect("a session")
}

/// A session that sends to itself, and looks at how long that takes.
struct Witness {
    session: Session,
    group: GroupHandle,
    longest: Duration,
    rounds: u64,
}

impl Witness {
    fn new(place: &Place) -> Self {
        let session = open(place);
        let group = session.join("witness", 0, 0).expect("a group");
        Self { session, group, longest: Duration::ZERO, rounds: 0 }
    }

    fn round(&mut self) {
        self.rounds += 1;
        let began = Instant::now();
        self.session.send(self.group, 4, &[b"here"], self.rounds).expect("sent");
        loop {
            let event = self.session.next_event(Some(ROUND_MAX)).expect("it goes on");
            match event.expect("an answer in time") {
                OwnedEvent::Message { tag, .. } if tag == self.rounds => break,
                OwnedEvent::Closed { reason, .. } => panic!("closed: {reason}"),
                _ => {}
            }
        }
        self.longest = self.longest.max(began.elapsed());
    }
}

/// Ends a flood, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn files(daemon: &Running) -> usize {
    fs::read_dir(PathBuf::from(format!("/proc/{}/fd", daemon.child.id()))).expect("/proc").count()
}

/// Pages of memory that it has.
fn pages(daemon: &Running) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/statm", daemon.child.id())).expect("/proc");
    text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

/// Clock ticks, hundredths of a second, for which it ran.
fn ticks(daemon: &Running) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", daemon.child.id())).expect("/proc");
    let (_, rest) = text.rsplit_once(") ").expect("a name");
    let fields: Vec<_> = rest.split(' ').collect();
    [11, 12].map(|at| fields[at].parse::<u64>().expect("a number")).iter().sum()
}

/// They used to make the daemon run in circles for ever.
#[test]
fn a_daemon_without_descriptors_serves_who_is_there_and_recovers() {
    let place = Place::new("message.len_max = 16384\n");
    let mut daemon = start(&place, "ulimit -n 70");
    let mut witness = Witness::new(&place);
    witness.round();
    let before = files(&daemon);
    let silent: Vec<Option<OwnedFd>> = (0..100).map(|_| socket(&place).open().ok()).collect();
    let (began, used) = (Instant::now(), ticks(&daemon));
    while began.elapsed() < Duration::from_millis(1_500) {
        witness.round();
        std::thread::sleep(Duration::from_millis(5));
    }
    let used = ticks(&daemon) - used;
    assert!(used < 75, "it ran for {used} hundredths of the 150 that passed");
    // Nor while they go on coming.
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                drop(socket(&place).open());
            }
        });
        let _end = End(&ends);
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(500) {
            witness.round();
        }
    });
    let told = daemon.log().matches("out of file descriptors").count();
    assert!((1..=5).contains(&told), "told {told} times");
    drop(silent);
    wait_until("the descriptors", || files(&daemon) <= before);
    Witness::new(&place).round();
    witness.round();
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn floods_of_connections_leave_nothing_behind_and_hold_nobody_up() {
    let place = Place::new("message.len_max = 16384\n");
    let daemon = start(&place, "ulimit -n 1024");
    let mut witness = Witness::new(&place);
    (0..200).for_each(|_| witness.round());
    let (files_before, pages_before) = (files(&daemon), pages(&daemon));
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for talks in [false, true] {
            let (place, ends) = (&place, &ends);
            scope.spawn(move || {
                let mut held = Vec::new();
                while !ends.load(Ordering::Relaxed) {
                    if talks {
                        // A whole session, with all that belongs to it.
                        drop(open(place));
                    } else {
                        held.extend(socket(place).open().ok());
                        if held.len() > 200 {
                            held.clear();
                        }
                    }
                }
            });
        }
        let _end = End(&ends);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            witness.round();
            let now = files(&daemon);
            // Those who have said nothing yet, and sessions whose end was not seen yet.
            let bound = files_before + 64 + 3 * 64;
            assert!(now <= bound, "{now} descriptors, {files_before} before");
        }
    });
    wait_until("the descriptors", || files(&daemon) <= files_before);
    let pages = pages(&daemon).saturating_sub(pages_before);
    assert!(pages < (8 << 20) / 4096, "{pages} pages more than before");
    assert!(witness.longest < ROUND_MAX, "{:?}", witness.longest);
    witness.round();
}

#[test]
fn a_thousand_sessions_by_hand() {
    let room = rlimit::increase_nofile_limit(u64::MAX).expect("a limit");
    assert!(room > 8_000, "this test needs 8,000 file descriptors; ulimit -Hn says {room}");
    let place = Place::new("message.len_max = 16384\n");
    let mut daemon = start(&place, "ulimit -Sn 1024");
    let sessions: Vec<_> = (0..1_000).map(|_| open(&place)).collect();
    for session in &sessions {
        let answer = session.query_blocking("{\"query\":\"status\"}", WAIT_MAX);
        assert!(answer.expect("an answer").contains("\"state\""));
    }
    let mut witness = Witness::new(&place);
    witness.round();
    drop(sessions);
    wait_until("their end", || files(&daemon) < 40);
    witness.round();
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
}

/// Fewer than it is to serve: the last ones are told why, and the log says so at the start.
#[test]
fn too_few_descriptors_are_said_in_words() {
    let place = Place::new("message.len_max = 16384\n");
    let daemon = start(&place, "ulimit -n 64");
    assert!(daemon.log().contains("too few for client.sessions_max"), "{}", daemon.log());
    let mut sessions = Vec::new();
    let failure = loop {
        assert!(sessions.len() < 64, "no end");
        let options = SessionOptions {
            send_ring_len: 64 << 10,
            receive_ring_len: 64 << 10,
            connect_timeout: Duration::from_secs(2),
            connect_async: false,
            slow: SlowPolicy::Disconnect,
        };
        match Session::open(Arc::new(socket(&place)), options) {
            Ok(session) => sessions.push(session),
            Err(failure) => break failure,
        }
    };
    assert!(sessions.len() > 10, "{}", sessions.len());
    assert!(failure.message.contains("LimitNOFILE"), "{failure:?}");
}
