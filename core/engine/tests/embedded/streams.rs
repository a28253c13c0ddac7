//! Sessions over sockets: what they see is what sessions over shared memory see.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anasazi_client::{
    Connector, Event, EventKind, Failure, GroupHandle, Hold, Session, SessionOptions, SlowPolicy,
    Status, Stream, StreamAddress,
};
use anasazi_engine::config::{Settings, StreamAddress as Place};

use super::*;

const RING_LEN: u32 = 64 << 10;

/// The way over a stream to an engine that this thread drives.
struct Over(Host, Stream);

impl Connector for Over {
    fn open(&self) -> Result<OwnedFd, Failure> {
        self.1.open()
    }

    fn failure(&self) -> Option<Failure> {
        self.1.failure()
    }

    fn no_answer(&self, within: Duration) -> String {
        self.1.no_answer(within)
    }

    fn turn(&self) {
        self.0.turn(Duration::from_millis(1));
    }
}

/// An engine that listens on both kinds of streams, and where.
fn engine(directory: &Path) -> (Host, [StreamAddress; 2]) {
    let host = Host::with(&listening(directory));
    let addresses = addresses(&host);
    (host, addresses)
}

pub(super) fn listening(directory: &Path) -> Settings {
    let mut settings = settings();
    let unix = directory.join("stream.sock");
    settings.set("message.len_max", "16384").unwrap();
    let places = format!("unix:{},tcp://127.0.0.1:0", unix.display());
    settings.set("client.listen_streams", &places).unwrap();
    settings
}

pub(super) fn addresses(host: &Host) -> [StreamAddress; 2] {
    let engines = host.engines();
    match engines[0].engine.stream_addresses() {
        [Place::Unix(path), Place::Tcp(address)] => {
            [StreamAddress::Unix(path.clone()), StreamAddress::Tcp(address.to_string())]
        }
        other => panic!("{other:?}"),
    }
}

fn try_open(host: &Host, address: &StreamAddress, slow: SlowPolicy) -> Result<Session, Failure> {
    let options = SessionOptions {
        send_ring_len: RING_LEN,
        receive_ring_len: RING_LEN,
        connect_timeout: PATIENCE,
        connect_async: false,
        slow,
    };
    Session::open(Arc::new(Over(host.clone(), Stream::new(address.clone(), PATIENCE))), options)
}

pub(super) fn open(host: &Host, address: &StreamAddress) -> Session {
    let opened = try_open(host, address, SlowPolicy::Disconnect);
    opened.unwrap_or_else(|failure| panic!("{failure:?}"))
}

/// Takes what is there.
fn take(session: &Session, sink: &mut dyn FnMut(&Event<'_>)) {
    let result = session.receive(64, &mut |event| {
        sink(event);
        Hold::Release
    });
    result.unwrap();
}

/// Joins, and waits for a view with so many members.
fn join(host: &Host, session: &Session, members: usize) -> GroupHandle {
    let group = session.join("room", 0, 0).unwrap();
    await_members(host, session, members);
    group
}

fn await_members(host: &Host, session: &Session, members: usize) {
    let mut count = 0;
    host.run_until("a view", |_| {
        take(session, &mut |event| {
            if event.kind == EventKind::View {
                count = event.view.unwrap().members().len();
            }
        });
        count == members
    });
}

/// A message that begins with a number.
fn numbered(n: u64) -> Vec<u8> {
    n.to_ne_bytes().repeat(20)
}

fn text_of(n: usize) -> Vec<u8> {
    let len = [0, 1, 7, 8, 9, 1_000, 4_093, 16_384][n % 8];
    (0..len).map(|at| (n * 31 + at * 7) as u8).collect()
}

/// What a member sees, message by message: who sent it, its tag if it is its own, its bytes.
type Seen = Vec<(u64, u64, Vec<u8>)>;

fn note(seen: &mut Seen, event: &Event<'_>) {
    if event.kind == EventKind::Message {
        seen.push((event.sender.session, event.sequence, event.data.to_vec()));
    }
}

#[test]
fn messages_of_all_lengths_go_both_ways_in_one_order() {
    const EACH: usize = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let (host, [unix, tcp]) = engine(directory.path());
    let sessions = [host.session(0), open(&host, &unix), open(&host, &tcp)];
    let groups: Vec<_> = (1..).zip(&sessions).map(|(n, s)| join(&host, s, n)).collect();
    let mut sent = [0; 3];
    let mut seen = [Seen::new(), Seen::new(), Seen::new()];
    host.run_until("all messages everywhere", |_| {
        for (n, session) in sessions.iter().enumerate() {
            while sent[n] < EACH {
                // Claims that are given up leave holes in the ring.
                if sent[n] % 5 == 2
                    && let Ok(claim) = groups[n].claim(sent[n] % 700)
                {
                    groups[n].abort(&claim).unwrap();
                }
                match session.send(groups[n], 4, &[&text_of(sent[n])], 0) {
                    Ok(()) => sent[n] += 1,
                    Err(Status::EAGAIN) => break,
                    Err(status) => panic!("{}", status.name()),
                }
            }
            take(session, &mut |event| note(&mut seen[n], event));
        }
        seen.iter().all(|seen| seen.len() == 3 * EACH)
    });
    let [first, second, third] = &seen;
    assert!(first == second && second == third, "one order");
    for session in &sessions {
        let own: Vec<_> = first.iter().filter(|(s, ..)| *s == session.identity().session).collect();
        assert!(own.iter().enumerate().all(|(n, (_, _, data))| *data == text_of(n)), "as sent");
        assert_eq!(own.len(), EACH);
    }
}

#[test]
fn who_closes_has_said_everything_before() {
    let directory = tempfile::tempdir().unwrap();
    let (host, addresses) = engine(directory.path());
    let witness = host.session(0);
    join(&host, &witness, 1);
    for address in &addresses {
        let session = open(&host, address);
        let group = join(&host, &session, 2);
        let sent = (0..).take_while(|n| session.send(group, 4, &[&numbered(*n)], 0).is_ok());
        let sent = sent.count();
        session.close();
        let (mut got, mut members) = (0, 2);
        host.run_until("its messages, and its leave", |_| {
            take(&witness, &mut |event| match event.kind {
                EventKind::Message => got += 1,
                EventKind::View => members = event.view.unwrap().members().len(),
                _ => {}
            });
            members == 1
        });
        assert!(sent > 10 && got == sent, "{got} of {sent}");
    }
}

#[test]
fn who_does_not_read_is_treated_as_it_chose() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = listening(directory.path());
    settings.set("client.backlog_len", "1 MiB").unwrap();
    let host = Host::with(&settings);
    for address in &addresses(&host) {
        for (policy, ends) in [(SlowPolicy::Disconnect, true), (SlowPolicy::Gap, false)] {
            let sender = host.session(0);
            let to = join(&host, &sender, 1);
            let reader = try_open(&host, address, policy).unwrap();
            join(&host, &reader, 2);
            let (mut sent, mut own) = (0, 0);
            host.run_until("far too much", |_| {
                while sent < 1_000 && sender.send(to, 4, &[&[7; 4_000]], 0).is_ok() {
                    sent += 1;
                }
                take(&sender, &mut |event| own += u32::from(event.kind == EventKind::Message));
                own == 1_000
            });
            let (mut got, mut missed, mut status) = (0, 0, None);
            host.run_until("all, or the end", |_| {
                let result = reader.receive(64, &mut |event| {
                    match event.kind {
                        EventKind::Message => got += 1,
                        EventKind::Gap => {
                            missed += u64::from_ne_bytes(event.data[..8].try_into().unwrap());
                        }
                        EventKind::Closed => status = Some(event.status),
                        _ => {}
                    }
                    Hold::Release
                });
                result.is_err() || status.is_some() || got + missed == 1_000
            });
            assert_eq!((status == Some(Status::ESLOW), missed > 0), (ends, !ends), "{policy:?}");
            assert!(got > 0 && (ends || got + missed == 1_000), "{got} and {missed}");
            drop((reader, sender));
            host.run_until("nobody", |host| {
                host.ask(0, "groups")["groups"].as_array().is_some_and(Vec::is_empty)
            });
        }
    }
}

/// Everything goes through it in small pieces, until it is cut.
struct Proxy {
    address: StreamAddress,
    lines: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn to(engine: &StreamAddress) -> Self {
        let StreamAddress::Tcp(engine) = engine.clone() else { panic!("a TCP address") };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = StreamAddress::Tcp(listener.local_addr().unwrap().to_string());
        let lines: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let proxy = Self { address, lines: Arc::clone(&lines) };
        thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(&engine).unwrap());
                lines.lock().unwrap().push(near.try_clone().unwrap());
                for (from, to) in
                    [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
                {
                    thread::spawn(move || pass(from, to));
                }
            }
        });
        proxy
    }

    fn cut(&self) {
        for line in self.lines.lock().unwrap().drain(..) {
            _ = line.shutdown(Shutdown::Both);
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let (mut bytes, mut passed) = ([0; 601], 0);
    while let Ok(len @ 1..) = from.read(&mut bytes) {
        // At another place each time, also inside heads.
        passed += len;
        let cut = passed % len;
        if to.write_all(&bytes[..cut]).is_err() || to.write_all(&bytes[cut..len]).is_err() {
            break;
        }
    }
    _ = to.shutdown(Shutdown::Both);
    _ = from.shutdown(Shutdown::Both);
}

#[test]
fn a_cut_stream_is_found_again_and_no_message_vanishes() {
    let directory = tempfile::tempdir().unwrap();
    let (host, [_, tcp]) = engine(directory.path());
    let proxy = Proxy::to(&tcp);
    let (witness, session) = (host.session(0), open(&host, &proxy.address));
    join(&host, &witness, 1);
    let group = join(&host, &session, 2);
    let (mut tag, mut suspended, mut resumed) = (0, 0, 0);
    // Of every tag, whether it came back, and whether it was said to be lost.
    let (mut came, mut lost, mut witnessed) = (Vec::new(), Vec::new(), Vec::new());
    let mut next_cut = Instant::now() + Duration::from_millis(50);
    let mut cuts = 0;
    host.run_until("five losses, and every message's fate", |_| {
        while resumed < 5 && session.send(group, 4, &[&numbered(tag + 1)], tag + 1).is_ok() {
            tag += 1;
        }
        if cuts < 5 && cuts == resumed && Instant::now() > next_cut {
            proxy.cut();
            cuts += 1;
            next_cut = Instant::now() + Duration::from_millis(50);
        }
        take(&witness, &mut |event| {
            if event.kind == EventKind::Message {
                witnessed.push(u64::from_ne_bytes(event.data[..8].try_into().unwrap()));
            }
        });
        take(&session, &mut |event| match event.kind {
            EventKind::Message => came.push(event.tag),
            EventKind::Receipt => lost.push(event.tag),
            EventKind::Suspended => suspended += 1,
            EventKind::Resumed => resumed += 1,
            _ => {}
        });
        resumed == 5 && (came.len() + lost.len()) as u64 == tag
    });
    assert_eq!((suspended, session.stats().unwrap().reconnects), (5, 5));
    let mut all: Vec<_> = came.iter().chain(&lost).copied().collect();
    all.sort_unstable();
    assert_eq!(all, (1..=tag).collect::<Vec<_>>(), "each has one fate");
    assert!(came.iter().all(|tag| witnessed.contains(tag)), "what came back came to all");
    assert!(witnessed.is_sorted(), "in the order in which they were sent");
}

#[test]
fn an_engine_that_returns_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let settings = listening(directory.path());
    let host = Host::with(&settings);
    let [unix, _] = addresses(&host);
    let session = open(&host, &unix);
    join(&host, &session, 1);
    host.engines()[0].engine.handle().stop();
    host.run_until("the end", |host| host.has_ended(0));
    host.engines().clear();
    let mut kinds = Vec::new();
    let note = |session: &Session, kinds: &mut Vec<EventKind>| {
        take(session, &mut |event| kinds.push(event.kind));
    };
    host.run_until("the loss", |_| {
        note(&session, &mut kinds);
        kinds.contains(&EventKind::Suspended)
    });
    host.add(&settings);
    host.run_until("a view again", |_| {
        note(&session, &mut kinds);
        kinds.contains(&EventKind::View)
    });
    assert_eq!(kinds, [EventKind::Suspended, EventKind::Resumed, EventKind::View]);
}

#[test]
fn why_there_is_no_session_is_said_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = listening(directory.path());
    let packets = directory.path().join("shm.sock");
    settings.set("client.listen", packets.to_str().unwrap()).unwrap();
    settings.set("client.stream_ring_len_max", "64 KiB").unwrap();
    let host = Host::with(&settings);
    let [unix, _] = addresses(&host);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nothing = directory.path().join("nothing.sock");
    for (address, status, words) in [
        (StreamAddress::Unix(packets), Status::ECONNREFUSED, "use shm:"),
        (StreamAddress::Unix(nothing), Status::ECONNREFUSED, "does the engine run"),
        (StreamAddress::Tcp(free.to_string()), Status::ECONNREFUSED, "does the engine run"),
        (StreamAddress::Tcp("no-such-host.invalid:1".into()), Status::ECONNREFUSED, "looked up"),
    ] {
        let failure = try_open(&host, &address, SlowPolicy::Disconnect).err().expect("refused");
        assert_eq!(failure.status, status, "{failure:?}");
        let said = &failure.message;
        assert!(said.contains(words) && said.contains(&address.to_string()), "{said}");
    }
    let options = SessionOptions {
        send_ring_len: 2 * RING_LEN,
        receive_ring_len: RING_LEN,
        connect_timeout: PATIENCE,
        connect_async: false,
        slow: SlowPolicy::Disconnect,
    };
    let connector = Arc::new(Over(host.clone(), Stream::new(unix, PATIENCE)));
    let failure = Session::open(connector, options).err().expect("refused");
    assert_eq!(failure.status, Status::EINVAL);
    assert!(failure.message.contains("client.stream_ring_len_max"), "{}", failure.message);
}

#[test]
fn nonsense_over_a_stream_hurts_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let (host, [unix, _]) = engine(directory.path());
    let StreamAddress::Unix(path) = &unix else { panic!("a path") };
    let good = open(&host, &unix);
    let group = join(&host, &good, 1);
    let hello = |len: u32| [&len.to_le_bytes()[..], &[0xA5; 300]].concat();
    for bytes in [Vec::new(), vec![0; 4], hello(0), hello(24), hello(300), hello(u32::MAX)] {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut answer = Vec::new();
        host.run_until("its end", |_| match stream.read_to_end(&mut answer) {
            Ok(_) => true,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        });
    }
    good.send(group, 4, &[b"still here"], 9).unwrap();
    let mut came = false;
    host.run_until("the message", |_| {
        take(&good, &mut |event| came |= event.tag == 9);
        came
    });
}

#[test]
fn those_who_say_nothing_shut_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    let (host, [unix, tcp]) = engine(directory.path());
    let (StreamAddress::Unix(path), StreamAddress::Tcp(place)) = (&unix, &tcp) else { panic!() };
    let silent: Vec<_> = (0..150).map(|_| TcpStream::connect(place).unwrap()).collect();
    let more: Vec<_> = (0..90).map(|_| UnixStream::connect(path).unwrap()).collect();
    let began = Instant::now();
    let sessions = [open(&host, &unix), open(&host, &tcp)];
    assert!(began.elapsed() < Duration::from_secs(3), "not only when they were given up");
    sessions.iter().zip(1..).for_each(|(session, members)| {
        join(&host, session, members);
    });
    drop((silent, more));
}

#[test]
fn many_may_come_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (host, addresses) = engine(directory.path());
    let options = SessionOptions {
        send_ring_len: RING_LEN,
        receive_ring_len: RING_LEN,
        connect_timeout: PATIENCE,
        connect_async: true,
        slow: SlowPolicy::Disconnect,
    };
    let opened = |n: usize| {
        let stream = Stream::new(addresses[n % 2].clone(), PATIENCE);
        Session::open(Arc::new(Over(host.clone(), stream)), options.clone())
    };
    let sessions: Vec<_> = (0..300).map(|n| opened(n).unwrap()).collect();
    let mut online = vec![false; sessions.len()];
    host.run_until("all of them", |_| {
        for (session, online) in sessions.iter().zip(&mut online) {
            take(session, &mut |event| match event.kind {
                EventKind::Resumed => *online = true,
                kind => panic!("{kind:?}: {}", event.text()),
            });
        }
        online.iter().all(|online| *online)
    });
}

/// Whoever comes over TCP may ask, and not act; the engine knows by which way everybody comes.
#[test]
fn over_tcp_nobody_may_end_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let (host, [unix, tcp]) = engine(directory.path());
    let mut answers = Vec::new();
    for session in [open(&host, &tcp), open(&host, &unix)] {
        for request in [&br#"{"query": "sessions"}"#[..], br#"{"do": "shutdown"}"#] {
            session.query(request, 1).unwrap();
            let mut answer = None;
            host.run_until("an answer", |_| {
                take(&session, &mut |event| {
                    if event.kind == EventKind::Reply {
                        answer = Some((event.status, event.text().to_owned()));
                    }
                });
                answer.is_some()
            });
            answers.push(answer.unwrap());
        }
        if answers.len() == 4 {
            host.run_until("the end", |host| host.has_ended(0));
        }
        assert_eq!(host.has_ended(0), answers.len() == 4, "{answers:?}");
    }
    let [asked, refused, _, done] = &answers[..] else { panic!("four answers") };
    assert!(asked.0 == Status::OK && asked.1.contains("tcp from 127.0.0.1"), "{asked:?}");
    assert_eq!((refused.0, done.0), (Status::EACCES, Status::OK), "{answers:?}");
}

/// One that reads little by little is not taken for one that stands still.
#[test]
fn who_lets_others_wait_and_reads_slowly_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = listening(directory.path());
    settings.set("client.backlog_len", "1 MiB").unwrap();
    settings.set("client.hold_max_ms", "1000").unwrap();
    let host = Host::with(&settings);
    let [_, tcp] = addresses(&host);
    let sender = host.session(0);
    let to = join(&host, &sender, 1);
    let options = SessionOptions {
        send_ring_len: RING_LEN,
        receive_ring_len: 4 << 20,
        connect_timeout: PATIENCE,
        connect_async: false,
        slow: SlowPolicy::Throttle,
    };
    let connector = Arc::new(Over(host.clone(), Stream::new(tcp, PATIENCE)));
    let reader = Session::open(connector, options).unwrap();
    join(&host, &reader, 2);
    let (end, mut next) = (Instant::now() + Duration::from_secs(4), Instant::now());
    let mut got = 0;
    while Instant::now() < end {
        // Less than it reads itself.
        for _ in 0..32 {
            _ = sender.send(to, 4, &[&[7; 4_000]], 0);
        }
        take(&sender, &mut |event| assert_ne!(event.kind, EventKind::Closed));
        if Instant::now() >= next {
            next += Duration::from_millis(150);
            let read = reader.receive(1, &mut |event| {
                assert_ne!(event.kind, EventKind::Closed, "{}", event.text());
                Hold::Release
            });
            got += read.unwrap();
        }
        host.turn(Duration::from_millis(5));
    }
    assert!(got > 15, "{got}");
    let holds = host.ask(0, "sessions");
    let is_held = |session: &serde_json::Value| session["holds_ms"].as_u64().is_some();
    assert!(holds["sessions"].as_array().unwrap().iter().any(is_held), "{holds}");
}
