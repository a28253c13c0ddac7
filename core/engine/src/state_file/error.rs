//! What can go wrong with a state file, in words for the operator.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the state file could not be opened, written or reset. The text says what, where, and what to
/// do.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateFileError {
    /// Another process has it.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// In which way.
        problem: String,
    },
    /// Impossible values, or smaller ones than before, were to be stored: a mistake of the program.
    Refused {
        /// The file.
        path: PathBuf,
        /// Which value.
        problem: String,
    },
    /// The system refused something.
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StateFileError {
    /// For `map_err`: what was tried, and where.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

impl fmt::Display for StateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path } => write!(
                f,
                "the state file {path} is in use by another daemon or engine: stop it (`fuser \
                 {path}` names its process), or give this node a state directory of its own \
                 (state.dir)",
                path = path.display(),
            ),
            Self::Damaged { path, problem } => write!(
                f,
                "the state file {} cannot be used ({problem}): restore it, or run `anasazid \
                 --reset-state` to set it aside and start without it; this node must be stopped, \
                 and nothing else is lost",
                path.display(),
            ),
            Self::Refused { path, problem } => write!(
                f,
                "refused to write the state file {}: {problem}; please report this",
                path.display(),
            ),
            Self::Io { doing, path, source } => {
                write!(f, "cannot {doing} {}: {source}; {}", path.display(), remedy(source, path),)
            }
        }
    }
}

fn remedy(source: &io::Error, path: &Path) -> String {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let directory = directory.display();
    match source.kind() {
        io::ErrorKind::NotFound => {
            "create the state directory for the user of this process, or set state.dir to another \
             one (to \"\" for none, if this node may forget who it was)"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("give {directory} and the files in it to the user of this process")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("mount the file system of {directory} for writing, or set state.dir to another")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("free some space in {directory}: 8 KiB are enough")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            "state.dir must name a directory, and the state file in it must be a file".to_owned()
        }
        _ => "check the disk and the kernel's log".to_owned(),
    }
}

impl std::error::Error for StateFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
