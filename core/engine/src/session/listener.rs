//! The place in the file system where clients find the engine.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::sys::socket::{self, Kind};

/// Connections that are closed unheard in one go.
const REFUSALS_MAX: usize = 64;

/// A listening socket. Its file goes with it, unless somebody else has put one there meanwhile.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// The file's device and inode.
    file: Option<(u64, u64)>,
    /// A descriptor to give up when there are no others, so that a connection can be taken and
    /// turned away.
    reserve: Option<File>,
    /// Connections that were closed unheard, since that was last told.
    turned_away: u64,
}

impl Listener {
    /// Listens at `path`, whose file gets the permissions `mode`. A file left by an engine that is
    /// gone is replaced; the directory is made if only that is missing, as systemd makes it for the
    /// unit.
    ///
    /// # Errors
    /// Says what is in the way at which path, and what to do: an engine that is running, a file of
    /// another kind, missing permission, a directory that cannot be made, a path that is too long.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        Self::bind_to(&Place { path, key: "client.listen", kind: Kind::Packets }, mode)
    }

    /// The same for streams, as one of `client.listen_streams`.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub fn bind_streams(path: &Path, mode: u32) -> io::Result<Self> {
        Self::bind_to(&Place { path, key: "client.listen_streams", kind: Kind::Stream }, mode)
    }

    fn bind_to(place: &Place<'_>, mode: u32) -> io::Result<Self> {
        let path = place.path;
        let socket = socket::open(place.kind).map_err(|error| place.explain(&error))?;
        place.make_directory()?;
        match socket::bind(&socket, path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                place.remove_stale()?;
                socket::bind(&socket, path)
            }
            result => result,
        }
        .map_err(|error| place.explain(&error))?;
        // Before listening: nobody gets in under other permissions.
        fs::set_permissions(path, Permissions::from_mode(mode))
            .and_then(|()| socket::listen(&socket, BACKLOG))
            .map_err(|error| place.explain(&error))?;
        let (file, reserve) = (identify(path), File::open("/dev/null").ok());
        Ok(Self { socket, path: path.to_owned(), file, reserve, turned_away: 0 })
    }

    /// Readable when a connection waits.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The next connection, if any. Those that cannot be taken for want of descriptors are closed:
    /// their clients see that, instead of waiting, and the listener does not stay readable for
    /// ever.
    ///
    /// # Errors
    /// Connections can be neither taken nor closed now; the listener stays readable if any wait.
    pub fn accept(&mut self) -> io::Result<Option<OwnedFd>> {
        if self.reserve.is_none() {
            self.reserve = File::open("/dev/null").ok();
        }
        // More than these are for the next time: others have to be served meanwhile.
        for _ in 0..REFUSALS_MAX {
            match socket::accept(&self.socket) {
                Ok(connection) => return Ok(Some(connection)),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR | libc::ECONNABORTED) => {}
                    Some(libc::EAGAIN) => return Ok(None),
                    // Said before it is known whether anybody waits.
                    Some(libc::EMFILE | libc::ENFILE) if self.reserve.is_some() => {
                        if !self.turn_one_away()? {
                            return Ok(None);
                        }
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(None)
    }

    /// Closes the connection that waits, by means of the descriptor that is kept for that. False:
    /// none waits.
    fn turn_one_away(&mut self) -> io::Result<bool> {
        self.reserve = None;
        let taken = socket::accept(&self.socket).map(drop);
        self.reserve = File::open("/dev/null").ok();
        match taken {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            taken => taken.map(|()| {
                self.turned_away += 1;
                true
            }),
        }
    }

    /// How many connections were closed unheard for want of descriptors since this was last asked.
    pub fn take_turned_away(&mut self) -> u64 {
        std::mem::take(&mut self.turned_away)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.file.is_some() && identify(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where to listen, for what, and what the configuration calls that.
struct Place<'a> {
    path: &'a Path,
    key: &'static str,
    kind: Kind,
}

impl Place<'_> {
    /// Makes the directory of the file, open to everybody: who may connect is for the socket to
    /// say. Those above it have to be there.
    fn make_directory(&self) -> io::Result<()> {
        let Some(directory) = self.path.parent().filter(|directory| directory.has_root()) else {
            return Ok(());
        };
        match fs::create_dir(directory) {
            // Whatever the mask of this process is.
            Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o755)),
            // What else is wrong shows when the socket gets its place.
            Err(_) if directory.exists() => return Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| {
            let text = format!(
                "cannot listen at {}: {} cannot be made: {error}; create its directory, or set \
                 {} to a path in one that exists",
                self.path.display(),
                directory.display(),
                self.key
            );
            io::Error::new(error.kind(), text)
        })?;
        tracing::info!(target: "anasazi::engine", "made {} for {}", directory.display(), self.key);
        Ok(())
    }

    /// Removes a socket file behind which nobody listens.
    fn remove_stale(&self) -> io::Result<()> {
        let (place, key) = (self.path.display(), self.key);
        let is_socket =
            fs::symlink_metadata(self.path).is_ok_and(|file| file.file_type().is_socket());
        if !is_socket {
            let text = format!(
                "{place} exists and is not a socket: remove it, or set {key} to another path"
            );
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let probe = socket::open(self.kind).map_err(|error| self.explain(&error))?;
        match socket::connect(&probe, self.path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // WouldBlock: its queue is full, so it lives. A socket of another type is somebody's,
            // too.
            Ok(()) | Err(_) => {
                let text = format!(
                    "a running process listens at {place}: stop it, or set {key} to another path"
                );
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
        }
        fs::remove_file(self.path).map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        let (place, key) = (self.path.display(), self.key);
        let (before, after) = match error.kind() {
            io::ErrorKind::PermissionDenied => (
                "run as a user who may create files there, or ",
                "a path in a directory of your own",
            ),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                ("create its directory, or ", "a path in one that exists")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                ("", "a path on a file system that can be written")
            }
            _ => ("", "another path"),
        };
        let text = format!("cannot listen at {place}: {error}; {before}set {key} to {after}");
        io::Error::new(error.kind(), text)
    }
}

fn identify(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1_024;
