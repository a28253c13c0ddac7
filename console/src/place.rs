//! Where the engine is: a daemon of this host, or an engine of this process.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anasazi_client::{
    Connector, Failure, Session, SessionOptions, SlowPolicy, SocketFile, Status, Stream,
    StreamAddress as Address, Url,
};
use anasazi_engine::config::{ConfigError, Origin, Settings, ValidConfig};
use anasazi_engine::{EngineHandle, inproc};

use crate::fault::{Exit, Fault};
use crate::options::General;

/// A session, and the engine behind it if it is one of this process.
pub(crate) struct Place {
    pub(crate) session: Arc<Session>,
    own: Option<EngineHandle>,
}

/// What a command makes do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// An engine that is there already: one of this process would only be asked about itself.
    Existing,
    /// Any; if there is none, one of this process.
    Any,
}

impl Place {
    /// Opens a session. With [`Need::Any`] it is said once, on standard error, at which engine.
    pub(crate) fn open(general: &General, need: Need) -> Result<Self, Fault> {
        let config = settings(general)?.validate()?;
        let url = match &general.url {
            Some(text) => Url::parse(text),
            None => Url::of_this_machine(std::env::var(URL).ok().as_deref()),
        };
        let url = url.map_err(Fault::of_opening)?;
        let place = match &url {
            Url::Shm(path) => {
                Self { session: session(general, &config, SocketFile(path.clone()))?, own: None }
            }
            Url::InProcess(name) => {
                if need == Need::Existing {
                    let is_named = general.url.is_some()
                        || std::env::var_os(URL).is_some_and(|url| !url.is_empty());
                    return Err(match is_named {
                        true => Fault::new(Exit::Usage, format!("inproc:{name}{NOT_YET_BORN}")),
                        false => Fault::new(Exit::Unreachable, NO_DAEMON),
                    });
                }
                Self::embed(general, &config, name)?
            }
            Url::Unix(path) => Self::over_stream(general, &config, Address::Unix(path.clone()))?,
            Url::Tcp(place) => Self::over_stream(general, &config, Address::Tcp(place.clone()))?,
        };
        if need == Need::Any {
            place.introduce(&url, &config);
        }
        Ok(place)
    }

    /// Whether the engine ends with this process.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Ends the session; an engine of this process leaves its ring first, so that nobody has to
    /// find out by a timeout.
    pub(crate) fn close(self) {
        if let Some(engine) = &self.own {
            engine.stop();
            let until = Instant::now() + LEAVE_MAX;
            // Its last event comes after its farewell.
            while Instant::now() < until && self.session.next_event(Some(LEAVE_STEP)).is_ok() {}
            while Instant::now() < until && !engine.has_ended() {
                std::thread::sleep(LEAVE_STEP / 50);
            }
        }
        self.session.close();
    }

    fn over_stream(
        general: &General,
        config: &ValidConfig,
        address: Address,
    ) -> Result<Self, Fault> {
        let limit =
            general.timeout.map_or(config.connect.timeout, |t| t.min(config.connect.timeout));
        Ok(Self { session: session(general, config, Stream::new(address, limit))?, own: None })
    }

    fn embed(general: &General, config: &ValidConfig, name: &str) -> Result<Self, Fault> {
        let engine = inproc::engine(name, || Ok(config.clone()))?;
        let session = session(general, config, Embedded(engine.clone()))?;
        Ok(Self { session, own: Some(engine) })
    }

    fn introduce(&self, url: &Url, config: &ValidConfig) {
        let node = self.session.identity().node;
        match url {
            Url::Shm(path) | Url::Unix(path) => {
                eprintln!("anasazi: through node {node}, {}", path.display());
            }
            Url::Tcp(place) => eprintln!("anasazi: through node {node}, {place}"),
            Url::InProcess(_) => {
                let (cluster, bind) = (&config.cluster, config.transport.bind.ip());
                let reach = if bind.is_loopback() { ", this host only" } else { "" };
                eprintln!(
                    "anasazi: no daemon: an engine of this process, node {node}, cluster \
                     \"{cluster}\"{reach}"
                );
            }
        }
    }
}

/// Gets sockets from an engine of this process.
struct Embedded(EngineHandle);

impl Connector for Embedded {
    fn open(&self) -> Result<OwnedFd, Failure> {
        if self.0.has_ended() {
            return Err(Failure::new(Status::ECLOSED, "the engine of this process has ended"));
        }
        self.0.connect_socket().map_err(|error| {
            let advice = "raise the limit of open files";
            Failure::system("connecting to the engine of this process", &error, advice)
        })
    }
}

fn session(
    general: &General,
    config: &ValidConfig,
    connector: impl Connector + 'static,
) -> Result<Arc<Session>, Fault> {
    let limit = general.timeout.unwrap_or(Duration::MAX);
    let options = SessionOptions {
        send_ring_len: config.session.send_ring_len,
        receive_ring_len: config.session.receive_ring_len,
        connect_timeout: config.connect.timeout.min(limit),
        connect_async: false,
        slow: SlowPolicy::named(&config.session.slow_policy),
    };
    let opened = Session::open(Arc::new(connector), options);
    opened.map(Arc::new).map_err(|failure| match failure.status {
        Status::ETIMEDOUT
            if general.timeout.is_some_and(|limit| limit <= config.connect.timeout) =>
        {
            Fault::timed_out(&failure.message)
        }
        _ => Fault::of_opening(failure),
    })
}

fn settings(general: &General) -> Result<Settings, Fault> {
    let mut settings = Settings::new();
    for assignment in &general.set {
        let Some((key, value)) = assignment.split_once('=') else {
            let text = format!("--set {assignment}: has no value; write KEY=VALUE");
            return Err(Fault::new(Exit::Usage, text));
        };
        let set: Result<(), ConfigError> =
            settings.set_from(key.trim(), value, Origin::CommandLine("--set"));
        set?;
    }
    Ok(settings)
}

/// For an engine of this process to leave its ring.
const LEAVE_MAX: Duration = Duration::from_secs(3);
const LEAVE_STEP: Duration = Duration::from_millis(250);
const URL: &str = "ANASAZI_URL";
const NOT_YET_BORN: &str = " would be an engine of this command, born for the question; name that \
                            of a daemon, as in --url shm:/path.sock";
const NO_DAEMON: &str = "no engine to ask: no daemon runs here; start anasazid, or name one with \
                         --url shm:/path.sock";
