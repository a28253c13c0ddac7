//! Floods of connections, of descriptors and of sessions: a session that was there before is served
//! as ever, and the daemon has no more afterwards than it had.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anasazi_client::{
    Connector, GroupHandle, OwnedEvent, Session, SessionOptions, SlowPolicy, SocketFile, Stream,
    StreamAddress,
};

use super::place::{Place, Running, WAIT_MAX, wait_until};

/// Of a daemon on a machine that does other things as well: longer than that is a hang.
const ROUND_MAX: Duration = Duration::from_secs(2);
/// How much longer a round may take at the median beside a flood than beside one that goes to
/// another daemon; in one of so many attempts, for the machine does other things as well.
const SLOWER_MAX: f64 = 3.0;
const ATTEMPTS: u32 = 3;

/// A daemon with at most so many descriptors, soft and hard.
fn start(place: &Place, limits: &str) -> Running {
    let mut command = Command::new("sh");
    let line = format!("{limits}; exec \"$0\" --debuggable --config \"$1\"");
    command.args(["-c", &line, env!("CARGO_BIN_EXE_anasazid"), &place.file()]);
    let daemon = place.start(&mut command);
    daemon.wait_for_log("alone");
    daemon
}

fn socket(place: &Place) -> SocketFile {
    SocketFile(place.path("anasazi.sock"))
}

/// Where the daemon of a place listens for streams.
fn stream(place: &Place) -> PathBuf {
    place.path("streams.sock")
}

fn place_with_streams() -> Place {
    let place = Place::new("message.len_max = 16384\n");
    let text = fs::read_to_string(place.file()).expect("its configuration");
    let line = format!("client.listen_streams = [\"unix:{}\"]\n", stream(&place).display());
    fs::write(place.file(), text + &line).expect("written");
    place
}

fn open(place: &Place) -> Session {
    open_by(Arc::new(socket(place)))
}

fn open_stream(place: &Place) -> Session {
    open_by(Arc::new(Stream::new(StreamAddress::Unix(stream(place)), WAIT_MAX)))
}

fn open_by(way: Arc<dyn Connector>) -> Session {
    open_with(way, 64 << 10)
}

fn open_with(way: Arc<dyn Connector>, ring_len: u32) -> Session {
    let options = SessionOptions {
        send_ring_len: ring_len,
        receive_ring_len: ring_len,
        connect_timeout: WAIT_MAX,
        connect_async: false,
        slow: SlowPolicy::Disconnect,
    };
    Session::open(way, options).expect("a session")
}

/// A session that sends to itself, and looks at how long that takes.
struct Witness {
    session: Session,
    group: GroupHandle,
    longest: Duration,
    /// Of all rounds since the last [`median`](Self::median).
    times: Vec<Duration>,
    rounds: u64,
}

impl Witness {
    fn new(place: &Place) -> Self {
        Self::of(open(place))
    }

    fn of(session: Session) -> Self {
        let group = session.join("witness", 0, 0).expect("a group");
        Self { session, group, longest: Duration::ZERO, times: Vec::new(), rounds: 0 }
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
        self.times.push(began.elapsed());
        self.longest = self.longest.max(began.elapsed());
    }

    fn median(&mut self) -> Duration {
        let mut times = std::mem::take(&mut self.times);
        times.sort();
        times[times.len() / 2]
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
    pages_of(daemon.child.id())
}

fn pages_of(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).expect("/proc");
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

/// For a second: whole sessions with all that belongs to them, and connections that say nothing.
fn flood(
    session: impl Fn() + Sync,
    silent: impl Fn() -> Option<OwnedFd> + Sync,
    mut during: impl FnMut(),
) {
    let (ends, sessions) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                session();
                sessions.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            let mut held = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                held.extend(silent());
                if held.len() > 200 {
                    held.clear();
                }
            }
        });
        let _end = End(&ends);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            during();
        }
    });
    // Those who want to be served are, each behind a queue of the others.
    let sessions = sessions.load(Ordering::Relaxed);
    assert!(sessions > 0, "nobody was let in");
}

/// How much longer rounds take beside a flood than beside the same flood of another daemon, which
/// takes as much of the machine: in one of some attempts, for it does other things as well.
fn is_no_slower(
    witness: &mut Witness,
    mut elsewhere: impl FnMut(&mut Witness),
    mut here: impl FnMut(&mut Witness),
) {
    let mut ratio = f64::INFINITY;
    for _ in 0..ATTEMPTS {
        witness.times.clear();
        elsewhere(witness);
        let alone = witness.median();
        here(witness);
        let flooded = witness.median();
        ratio = ratio.min(flooded.as_secs_f64() / alone.as_secs_f64());
        eprintln!("a round takes {flooded:?}, and {alone:?} beside a flood of another daemon");
        if ratio < SLOWER_MAX {
            break;
        }
    }
    assert!(ratio < SLOWER_MAX, "a session is {ratio:.1} times as slow");
    assert!(witness.longest < ROUND_MAX, "{:?}", witness.longest);
}

#[test]
fn floods_of_connections_leave_nothing_behind_and_hold_nobody_up() {
    let [place, elsewhere] = [(); 2].map(|()| Place::new("message.len_max = 16384\n"));
    let daemon = start(&place, "ulimit -n 1024");
    let _other = start(&elsewhere, "ulimit -n 1024");
    let mut witness = Witness::new(&place);
    (0..200).for_each(|_| witness.round());
    let (files_before, pages_before) = (files(&daemon), pages(&daemon));
    let flood_of = |place: &Place, during: &mut dyn FnMut()| {
        flood(|| drop(open(place)), || socket(place).open().ok(), during);
    };
    is_no_slower(
        &mut witness,
        |witness| flood_of(&elsewhere, &mut || witness.round()),
        |witness| {
            flood_of(&place, &mut || {
                witness.round();
                let now = files(&daemon);
                // Those who have said nothing yet, and sessions whose end was not seen yet.
                let bound = files_before + 64 + 3 * 64;
                assert!(now <= bound, "{now} descriptors, {files_before} before");
            });
        },
    );
    leaves_nothing_behind(&daemon, files_before, pages_before);
    witness.round();
}

fn leaves_nothing_behind(daemon: &Running, files_before: usize, pages_before: u64) {
    wait_until("the descriptors", || files(daemon) <= files_before);
    let pages = pages(daemon).saturating_sub(pages_before);
    assert!(pages < (8 << 20) / 4096, "{pages} pages more than before");
}

/// Each of them is answered, but has no line of its own.
#[test]
fn of_refusals_by_the_hundred_the_log_has_some_and_a_number() {
    const REFUSALS: usize = 300;
    let place = place_with_streams();
    let mut daemon = start(&place, "ulimit -n 1024");
    let nonsense = |mut to: File| {
        to.write_all(&[7; 100]).expect("somebody who listens");
        // Until it is closed.
        while to.read(&mut [0; 1000]).is_ok_and(|len| len > 0) {}
    };
    for _ in 0..REFUSALS {
        nonsense(File::from(socket(&place).open().expect("a connection")));
        nonsense(File::from(OwnedFd::from(UnixStream::connect(stream(&place)).expect("one"))));
    }
    let lines = |what: &str| daemon.log().lines().filter(|line| line.contains(what)).count();
    let (refused, streams) = (lines("connection refused"), lines("a stream from"));
    assert!((20..60).contains(&refused), "{refused} lines of {REFUSALS} refusals");
    assert!((20..60).contains(&streams), "{streams} lines of {REFUSALS} refusals");
    std::thread::sleep(Duration::from_millis(1500));
    nonsense(File::from(socket(&place).open().expect("a connection")));
    nonsense(File::from(OwnedFd::from(UnixStream::connect(stream(&place)).expect("one"))));
    daemon.wait_for_log("more were not logged");
    let told = || -> usize {
        let log = daemon.log();
        let numbers =
            log.lines().filter_map(|line| line.split("withheld=").nth(1)?.split(' ').next());
        numbers.map(|number| number.parse::<usize>().expect("a number")).sum()
    };
    let all = REFUSALS + 1;
    wait_until("the rest", || lines("connection refused") + told() == all);
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn nor_do_floods_of_streams() {
    let [place, elsewhere] = [(); 2].map(|()| place_with_streams());
    let daemon = start(&place, "ulimit -n 1024");
    let _other = start(&elsewhere, "ulimit -n 1024");
    // One of the same way in, which the same thread serves.
    let mut witness = Witness::of(open_stream(&place));
    (0..200).for_each(|_| witness.round());
    let (files_before, pages_before) = (files(&daemon), pages(&daemon));
    let flood_of = |place: &Place, during: &mut dyn FnMut()| {
        let silent = || UnixStream::connect(stream(place)).ok().map(OwnedFd::from);
        flood(|| drop(open_stream(place)), silent, during);
    };
    is_no_slower(
        &mut witness,
        |witness| flood_of(&elsewhere, &mut || witness.round()),
        |witness| flood_of(&place, &mut || witness.round()),
    );
    // Nor do they keep out who comes by another way.
    let mut longest = Duration::ZERO;
    flood_of(&place, &mut || {
        let began = Instant::now();
        drop(open(&place));
        longest = longest.max(began.elapsed());
    });
    assert!(longest < ROUND_MAX, "{longest:?}");
    leaves_nothing_behind(&daemon, files_before, pages_before);
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

/// With rings as large as they are by default: what is not used is not there.
#[test]
fn a_fresh_session_takes_little_memory() {
    const SESSIONS: u64 = 200;
    let place = Place::new("");
    let daemon = start(&place, "ulimit -n 4096");
    let pages_of_both = || pages(&daemon) + pages_of(std::process::id());
    let first: Vec<_> = (0..10).map(|_| open_with(Arc::new(socket(&place)), 4 << 20)).collect();
    let before = pages_of_both();
    let sessions: Vec<_> =
        (0..SESSIONS).map(|_| open_with(Arc::new(socket(&place)), 4 << 20)).collect();
    let each = pages_of_both().saturating_sub(before) * 4096 / SESSIONS;
    eprintln!("{} KiB a session", each >> 10);
    assert!(each < 3 << 19, "{each} bytes a session");
    drop((first, sessions));
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
