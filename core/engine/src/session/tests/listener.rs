//! The place where clients find the engine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A directory of the test's own.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("anasazi-listener-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("created");
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn connect(path: &Path) -> std::io::Result<OwnedFd> {
    let socket = socket::open(socket::Kind::Packets)?;
    socket::connect(&socket, path)?;
    Ok(socket)
}

#[test]
fn a_session_over_the_file_system() {
    let place = Place::new();
    let path = place.join("engine.sock");
    let mut engine = Engine::new();
    let mut listener = Listener::bind(&path, 0o640).expect("bound");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    assert!(listener.accept().is_ok_and(|none| none.is_none()));
    let client = RawClient::new(connect(&path).expect("connected"));
    client.greet();
    engine.epoll.add(listener.fd(), 1).expect("watched");
    assert_eq!(engine.epoll.wait(0), [1]);
    engine.sessions.accept(
        listener.accept().ok().flatten().expect("one"),
        &engine.epoll,
        engine.now,
    );
    assert_eq!(client.welcome().map(|w| w.status), Some(0));
    assert_eq!(
        engine.sessions.describe()[0].who.map(|(pid, _)| pid),
        Some(std::process::id() as i32)
    );
    drop(listener);
    assert!(!path.exists(), "its file goes with it");
}

#[test]
fn a_directory_that_alone_is_missing_is_made() {
    let place = Place::new();
    let path = place.join("run/engine.sock");
    let listener = Listener::bind(&path, 0o600).expect("bound");
    let directory = fs::metadata(place.join("run")).expect("made");
    assert_eq!(directory.permissions().mode() & 0o777, 0o755);
    connect(&path).expect("connected");
    drop(listener);
    Listener::bind(&path, 0o600).expect("bound where it is there already");
}

#[test]
fn a_stale_file_is_replaced_and_a_live_one_is_not() {
    let place = Place::new();
    let path = place.join("engine.sock");
    let first = Listener::bind(&path, 0o600).expect("bound");
    let error = Listener::bind(&path, 0o600).expect_err("lives");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains("running") && error.to_string().contains("engine.sock"));
    assert!(path.exists());
    drop(leave_file_behind(first, &path));
    assert!(path.exists(), "as after a crash");
    let second = Listener::bind(&path, 0o600).expect("replaced");
    connect(&path).expect("the new one");
    // Somebody took its place: his file stays.
    fs::remove_file(&path).expect("removed");
    let third = Listener::bind(&path, 0o600).expect("bound");
    drop(second);
    connect(&path).expect("the third one");
    drop(third);
}

/// The listener without its duty to clean up.
fn leave_file_behind(listener: Listener, path: &Path) -> OwnedFd {
    let copy = listener.as_fd().try_clone_to_owned().expect("copied");
    let kept = path.with_extension("kept");
    fs::rename(path, &kept).expect("renamed");
    drop(listener);
    fs::rename(&kept, path).expect("renamed");
    copy
}

#[test]
fn what_is_in_the_way_is_named() {
    let place = Place::new();
    let file = place.join("file");
    fs::write(&file, "something of value").expect("written");
    let error = Listener::bind(&file, 0o600).expect_err("a file");
    assert!(error.to_string().contains("not a socket"), "{error}");
    assert!(file.exists());
    let error = Listener::bind(&place.join("no/such/engine.sock"), 0o600).expect_err("missing");
    assert!(error.to_string().contains("create its directory"), "{error}");
    let error = Listener::bind(&place.join("file/engine.sock"), 0o600).expect_err("a file");
    assert!(error.to_string().contains("file/engine.sock"), "{error}");
    let error = Listener::bind(&place.join(&"x".repeat(120)), 0o600).expect_err("too long");
    assert!(error.to_string().contains("107 bytes"), "{error}");
    if socket::own_uid() != 0 {
        fs::set_permissions(&place.0, fs::Permissions::from_mode(0o500)).expect("set");
        let error = Listener::bind(&place.join("engine.sock"), 0o600).expect_err("refused");
        fs::set_permissions(&place.0, fs::Permissions::from_mode(0o700)).expect("set");
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("client.listen"), "{error}");
    }
}
