//! Where an engine is: the URLs of the C header.

use std::path::{Path, PathBuf};

use anasazi_queue::status::Status;

use crate::failure::Failure;

/// The address of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// `shm:/path.sock`: shared memory to a local engine that listens on this socket.
    Shm(PathBuf),
    /// `unix:/path.sock`: everything through the socket.
    Unix(PathBuf),
    /// `tcp://host:port`
    Tcp(String),
    /// `inproc:NAME`: an engine of this process.
    InProcess(String),
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// `EINVAL` with a sentence that quotes the text and names the forms.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let parsed = if let Some(path) = text.strip_prefix("shm:") {
            absolute(path).map(Self::Shm)
        } else if let Some(path) = text.strip_prefix("unix:") {
            absolute(path).map(Self::Unix)
        } else if let Some(place) = text.strip_prefix("tcp://") {
            has_port(place).then(|| Self::Tcp(place.to_owned()))
        } else if let Some(name) = text.strip_prefix("inproc:") {
            let fits = !name.is_empty() && name.len() <= NAME_LEN_MAX;
            fits.then(|| Self::InProcess(name.to_owned()))
        } else {
            None
        };
        parsed.ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            let message = format!("\"{shown}\" is no engine's URL; {FORMS}");
            Failure::new(Status::EINVAL, message)
        })
    }

    /// Where an application that names no URL finds its engine: what `ANASAZI_URL` says, else the
    /// local daemon if its socket exists, else an engine of its own, but never silently where a
    /// daemon is configured.
    ///
    /// # Errors
    /// `EINVAL` from [`Self::parse`]; `ECONNREFUSED` where a daemon is configured and does not run.
    pub fn of_this_machine(environment: Option<&str>) -> Result<Self, Failure> {
        let socket = Path::new(DAEMON_SOCKET);
        let configuration = Path::new(DAEMON_CONFIGURATION);
        Self::choose(environment, socket.exists(), configuration.exists())
    }

    fn choose(environment: Option<&str>, listens: bool, configured: bool) -> Result<Self, Failure> {
        if let Some(text) = environment.filter(|text| !text.is_empty()) {
            return Self::parse(text).map_err(|failure| Failure {
                message: format!("ANASAZI_URL: {}", failure.message),
                ..failure
            });
        }
        if listens {
            return Ok(Self::Shm(DAEMON_SOCKET.into()));
        }
        if configured {
            let message = format!(
                "the daemon does not run: {DAEMON_CONFIGURATION} is there, but {DAEMON_SOCKET} is \
                 not; start anasazid, or name a URL such as inproc:default"
            );
            return Err(Failure::new(Status::ECONNREFUSED, message));
        }
        Ok(Self::InProcess("default".to_owned()))
    }
}

fn absolute(path: &str) -> Option<PathBuf> {
    path.starts_with('/').then(|| path.into())
}

fn has_port(place: &str) -> bool {
    place
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Where the local daemon listens unless told otherwise.
pub const DAEMON_SOCKET: &str = "/run/anasazi/anasazi.sock";
/// What makes a machine one on which a daemon is meant to run.
pub const DAEMON_CONFIGURATION: &str = "/etc/anasazi/anasazi.toml";
const NAME_LEN_MAX: usize = 64;
const FORMS: &str =
    "allowed are shm:/path.sock, unix:/path.sock, tcp://host:port and inproc:NAME (1 to 64 bytes)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms() {
        assert_eq!(Url::parse("shm:/run/a.sock").unwrap(), Url::Shm("/run/a.sock".into()));
        assert_eq!(Url::parse("unix:/a").unwrap(), Url::Unix("/a".into()));
        assert_eq!(Url::parse("tcp://[::1]:7745").unwrap(), Url::Tcp("[::1]:7745".into()));
        assert_eq!(Url::parse("inproc:default").unwrap(), Url::InProcess("default".into()));
    }

    #[test]
    fn anything_else_is_quoted_with_what_is_allowed() {
        let long = format!("inproc:{}", "n".repeat(65));
        for text in
            ["", "shm:", "shm:relative", "tcp://host", "tcp://:1", "inproc:", "http://x", &long]
        {
            let failure = Url::parse(text).unwrap_err();
            assert_eq!(failure.status, Status::EINVAL, "{text}");
            assert!(failure.message.contains("are shm:/path.sock, unix:/path.sock"), "{failure:?}");
            assert!(failure.message.len() < 240, "{}", failure.message);
        }
    }

    #[test]
    fn without_a_url_the_environment_comes_first_then_the_daemon_then_oneself() {
        let shm = Url::Shm(DAEMON_SOCKET.into());
        let own = Url::InProcess("default".into());
        assert_eq!(Url::choose(Some("inproc:x"), true, true).unwrap(), Url::InProcess("x".into()));
        assert_eq!(Url::choose(Some(""), true, true).unwrap(), shm);
        assert_eq!(Url::choose(None, true, false).unwrap(), shm);
        assert_eq!(Url::choose(None, false, false).unwrap(), own);
        let failure = Url::choose(None, false, true).unwrap_err();
        assert_eq!(failure.status, Status::ECONNREFUSED);
        assert!(failure.message.contains("start anasazid"), "{}", failure.message);
        assert!(
            Url::choose(Some("nonsense"), true, true).unwrap_err().message.contains("ANASAZI_URL")
        );
    }
}
