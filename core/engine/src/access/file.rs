//! The file of rules. Reading it waits for the disk, and for whoever knows the names of users.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Rules;
use super::parse::{Names, parse};
use crate::sys::names;

/// Bytes of the file.
const FILE_LEN_MAX: u64 = 4 << 20;

/// The rules in the file at `path`. Not for the engine's thread.
///
/// # Errors
/// The file cannot be read, or a rule is wrong: a line each, with the place and what is allowed.
pub(crate) fn read(path: &Path) -> Result<Rules, String> {
    let name = path.display().to_string();
    let text = text(path).map_err(|text| format!("{name}: {text}"))?;
    let list = parse(&text, &name, &OfSystem)?;
    Ok(Rules { path: path.into(), list })
}

/// Whether the rules in the file at `path` are in order. May block.
///
/// # Errors
/// As a configuration is refused: a line for each thing that is wrong.
pub fn check(path: &Path) -> Result<(), String> {
    read(path).map(drop)
}

fn text(path: &Path) -> Result<String, String> {
    // Of a pipe without a writer nothing would come, ever.
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err("not a file: write the rules into one".to_owned());
    }
    let mut bytes = Vec::new();
    let read = file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes);
    let len = read.map_err(|error| unreadable(&error))?;
    if len as u64 > FILE_LEN_MAX {
        return Err(format!("longer than {FILE_LEN_MAX} bytes: is this a file of rules?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("not UTF-8 in line {line}: save the file as UTF-8")
    })
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "no such file: write one, or set access.file to \"\" for no rules".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied: make it readable by the user of the engine".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    }
}

/// The system's users and groups.
struct OfSystem;

impl Names for OfSystem {
    fn uid(&self, name: &str) -> io::Result<Option<u32>> {
        names::user(name).map(|user| user.map(|user| user.uid))
    }

    fn gid(&self, name: &str) -> io::Result<Option<u32>> {
        names::group(name)
    }
}
