//! A program with engines in it: one thread, one `poll`.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anasazi_client::{
    Connector, EventKind, Failure, Hold, Session, SessionOptions, SlowPolicy, Status,
};
use anasazi_engine::config::Settings;
use anasazi_engine::{Engine, EngineError};
use serde_json::{Value, json};

use crate::sys::poll_readable;

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
        let mut engines = self.engines();
        engines.push(Driven { engine, error: None });
        engines.len() - 1
    }

    pub fn engines(&self) -> MutexGuard<'_, Vec<Driven>> {
        self.0.lock().unwrap()
    }

    /// Waits for work, at most that long, and has it done.
    pub fn turn(&self, wait: Duration) {
        let mut engines = self.engines();
        let fds: Vec<_> = engines.iter().map(|driven| driven.engine.fd()).collect();
        for (driven, is_ready) in engines.iter_mut().zip(poll_readable(&fds, wait)) {
            if is_ready && let Err(error) = driven.engine.process(0) {
                driven.error = Some(error);
            }
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
