//! A program with engines in it: one thread, one `poll`.

use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anasazi_client::{
    Connector, EventKind, Failure, Hold, Session, SessionOptions, SlowPolicy, Status,
};
use anasazi_engine::config::Settings;
use anasazi_engine::{Engine, EngineError, HostLoop};
use serde_json::{Value, json};

use crate::sys::{poll_readable, until};

/// Far beyond anything that should happen: what is awaited for this long did not come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Settings of a node on loopback, in a cluster that no other test is in, without multicast.
pub fn settings() -> Settings {
    let mut settings = Settings::new();
    let number = fresh_number();
    settings.set("cluster", &format!("embedded-{}-{number}", std::process::id())).unwrap();
    settings.set("transport.multicast", "off").unwrap();
    settings.set("transport.bind", "127.0.0.1:0").unwrap();
    settings
}

/// Different at each call.
pub fn fresh_number() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A group that no other test on this machine is likely to use.
pub fn fresh_group() -> SocketAddr {
    let process = std::process::id();
    let [high, low] = fresh_number().to_be_bytes();
    let port = 20_000 + (process % 20_000) as u16;
    SocketAddr::from(([239, 254 - high, (process >> 8) as u8, low], port))
}

/// The engines of this program.
#[derive(Clone, Default)]
pub struct Host(Arc<Mutex<Vec<Driven>>>);

/// An engine, and the error that it ended with.
pub struct Driven {
    pub engine: Engine,
    pub error: Option<EngineError>,
    /// What it has watched for itself, if this program does that.
    watched: Option<Watched>,
}

/// Descriptors and a timer that an engine has asked this program to watch.
#[derive(Clone, Default)]
struct Watched(Arc<Mutex<(Vec<RawFd>, Option<u64>)>>);

impl HostLoop for Watched {
    fn watch(&self, fd: RawFd, _: u32, new: u32) -> Result<(), i32> {
        let (fds, _) = &mut *self.0.lock().unwrap();
        fds.retain(|watched| *watched != fd);
        fds.extend((new != 0).then_some(fd));
        Ok(())
    }

    fn timer(&self, deadline_ns: Option<u64>) {
        self.0.lock().unwrap().1 = deadline_ns;
    }
}

impl Driven {
    /// What it waits for, and until when at most.
    fn waits(&self) -> (Vec<RawFd>, Option<u64>) {
        match &self.watched {
            Some(watched) => watched.0.lock().unwrap().clone(),
            None => (vec![self.engine.fd()], None),
        }
    }

    fn work(&mut self, ready: &[RawFd], is_due: bool) {
        let is_hosted = self.watched.is_some();
        for fd in ready.iter().copied().map(Some).chain(is_due.then_some(None)) {
            let done = match is_hosted {
                true => self.engine.process_fd(fd),
                false => self.engine.process(0),
            };
            self.error = done.err().or_else(|| self.error.take());
        }
    }
}

impl Host {
    /// With one engine.
    pub fn with(settings: &Settings) -> Self {
        let host = Self::default();
        host.add(settings);
        host
    }

    /// Adds an engine; its index.
    pub fn add(&self, settings: &Settings) -> usize {
        let engine = Engine::new(settings.validate().unwrap()).unwrap();
        self.push(Driven { engine, error: None, watched: None })
    }

    /// Adds an engine that has its descriptors watched one by one; its index.
    pub fn add_hosted(&self, settings: &Settings) -> usize {
        let watched = Watched::default();
        let valid = settings.validate().unwrap();
        let engine = Engine::hosted(valid, Box::new(watched.clone())).unwrap();
        self.push(Driven { engine, error: None, watched: Some(watched) })
    }

    fn push(&self, driven: Driven) -> usize {
        let mut engines = self.engines();
        engines.push(driven);
        engines.len() - 1
    }

    pub fn engines(&self) -> MutexGuard<'_, Vec<Driven>> {
        self.0.lock().unwrap()
    }

    /// Waits for work, at most that long, and has it done.
    pub fn turn(&self, wait: Duration) {
        let mut engines = self.engines();
        let waits: Vec<_> = engines.iter().map(Driven::waits).collect();
        let fds: Vec<_> = waits.iter().flat_map(|(fds, _)| fds).copied().collect();
        let due = waits.iter().filter_map(|(_, due)| *due).min();
        let wait = due.map_or(wait, |due| wait.min(until(due)));
        let mut ready = fds.iter().zip(poll_readable(&fds, wait));
        for (driven, (own, due)) in engines.iter_mut().zip(&waits) {
            let own: Vec<_> = ready.by_ref().take(own.len()).collect();
            let own: Vec<_> = own.iter().filter(|(_, is)| *is).map(|(fd, _)| **fd).collect();
            driven.work(&own, due.is_some_and(|due| until(due).is_zero()));
        }
    }

    /// Turns until it is so; fails when that does not come about.
    pub fn run_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "in vain: {what}");
            self.turn(Duration::from_millis(20));
        }
    }

    /// A session with an engine of this program.
    pub fn session(&self, index: usize) -> Session {
        self.session_by(Arc::new(Embedded { host: self.clone(), index }))
    }

    /// A session with small rings and a wish for the case that it does not read.
    pub fn slow_session(&self, index: usize, slow: SlowPolicy) -> Session {
        let connector = Arc::new(Embedded { host: self.clone(), index });
        self.open(connector, 64 << 10, slow)
    }

    /// A session by another way.
    pub fn session_by(&self, connector: Arc<dyn Connector>) -> Session {
        self.open(connector, 4 << 20, SlowPolicy::Disconnect)
    }

    fn open(&self, connector: Arc<dyn Connector>, ring_len: u32, slow: SlowPolicy) -> Session {
        let options = SessionOptions {
            send_ring_len: ring_len,
            receive_ring_len: ring_len,
            connect_timeout: PATIENCE,
            connect_async: false,
            slow,
        };
        Session::open(connector, options).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    /// Asks an engine something.
    pub fn ask(&self, index: usize, query: &str) -> Value {
        self.request(index, &json!({ "query": query }))
    }

    /// Asks an engine something, in its own words.
    pub fn request(&self, index: usize, request: &Value) -> Value {
        let session = self.session(index);
        let request = request.to_string();
        session.query(request.as_bytes(), 1).unwrap();
        let (mut answer, mut is_whole) = (String::new(), false);
        self.run_until(&request, |_| {
            let result = session.receive(16, &mut |event| {
                assert_eq!(event.kind, EventKind::Reply);
                answer.push_str(event.text());
                is_whole = !event.more;
                Hold::Release
            });
            result.unwrap();
            is_whole
        });
        serde_json::from_str(&answer).unwrap()
    }

    /// The unicast address of an engine.
    pub fn address(&self, index: usize) -> SocketAddr {
        self.ask(index, "status")["address"].as_str().unwrap().parse().unwrap()
    }

    /// The nodes in an engine's ring.
    pub fn nodes(&self, index: usize) -> Vec<u64> {
        let answer = self.ask(index, "members");
        let members = answer["members"].as_array().unwrap();
        members.iter().map(|member| member["node"].as_u64().unwrap()).collect()
    }

    /// The engine has ended, cleanly or not.
    pub fn has_ended(&self, index: usize) -> bool {
        self.engines()[index].engine.has_ended()
    }
}

/// The way to an engine that the caller drives.
struct Embedded {
    host: Host,
    index: usize,
}

impl Connector for Embedded {
    fn open(&self) -> Result<OwnedFd, Failure> {
        let handle = self.host.engines()[self.index].engine.handle();
        // An engine that is driven here and has ended does not come back.
        handle.connect_socket().map_err(|error| Failure::new(Status::ECLOSED, error.to_string()))
    }

    fn turn(&self) {
        self.host.turn(Duration::ZERO);
    }
}
