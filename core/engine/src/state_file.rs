//! What a node must never forget: who it is, how often it has started, and which ring numbers it
//! may have used.
//!
//! A node that came back with an incarnation or a ring number of its past could be taken for its
//! former self. So both are on disk before they are used. The file has two slots, a page apart,
//! each with all values, a generation and a checksum. Storing writes one slot, makes it durable,
//! and then the other: at every moment one slot is whole, and what was promised survives the loss
//! of either. The file has its full length from the start, so a full disk does not prevent storing;
//! and nothing but the data has to be made durable.
//!
//! Everything here blocks on the disk.

mod error;
mod lock;
mod slot;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use error::StateFileError;
use lock::Locked;
use slot::{SLOT_LEN, Slot};

/// What is stored. Incarnation and ring number only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The node; at least 1.
    pub node_id: u32,
    /// The latest start of the node.
    pub incarnation: u64,
    /// No ring number above this one has been used; the next start begins above it.
    pub ring_sequence_reserved: u64,
}

/// The state file of a running node, locked against others until it is dropped.
#[derive(Debug)]
pub struct StateFile {
    file: Locked,
    path: PathBuf,
    /// In `newest`, durable; none in a new file.
    stored: Option<Stored>,
    generation: u64,
    /// The slot that is relied on.
    newest: usize,
    warning: Option<String>,
}

impl StateFile {
    /// Opens the state file in a directory, or makes one. Also returns what was stored; `None` if
    /// nothing ever was.
    ///
    /// # Errors
    /// Another process has it; it is damaged (then [`reset`] helps, and nothing was changed); the
    /// directory is missing or cannot be written; the disk is full. The text names path, cause and
    /// remedy.
    pub fn open(directory: &Path) -> Result<(Self, Option<Stored>), StateFileError> {
        Self::open_named(directory, FILE_NAME)
    }

    /// The same for what a node must not forget in one of its domains.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_of_domain(
        directory: &Path,
        domain: &str,
    ) -> Result<(Self, Option<Stored>), StateFileError> {
        Self::open_named(directory, &format!("{DOMAIN_BEGIN}{domain}{END}"))
    }

    fn open_named(directory: &Path, name: &str) -> Result<(Self, Option<Stored>), StateFileError> {
        let names = open_directory(directory)?;
        let path = directory.join(name);
        let file = match Locked::open(&path, false)? {
            Some(file) => file,
            None => create((directory, name), &names, &path)?,
        };
        let len = file.metadata().map_err(StateFileError::io("read", &path))?.len();
        if len != FILE_LEN {
            let problem = format!("it has {len} bytes instead of {FILE_LEN}");
            return Err(StateFileError::Damaged { path, problem });
        }
        let slots = [read_slot(&file, 0, &path)?, read_slot(&file, 1, &path)?];
        let (newest, slot) = slot::choose(&slots)
            .map_err(|problem| StateFileError::Damaged { path: path.clone(), problem })?;
        let damaged = slots.iter().zip(["first", "second"]).find_map(|(slot, which)| {
            let problem = slot.as_ref().err()?;
            Some(format!(
                "the {which} copy in the state file {} was damaged ({problem}); the other one is \
                 whole and is used, and the next write repairs it: if this is not the first start \
                 after a power failure, check the disk",
                path.display(),
            ))
        });
        let (generation, stored) = (slot.generation, slot.stored);
        Ok((Self { file, path, stored, generation, newest, warning: damaged }, stored))
    }

    /// What the operator should know although the file was opened: one of its copies was damaged.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the values durable; they are when this returns without an error. After an error,
    /// either these values or those before are in the file, and storing may be tried again.
    ///
    /// # Errors
    /// A value is impossible or smaller than one stored before, or the disk failed.
    pub fn store(&mut self, values: &Stored) -> Result<(), StateFileError> {
        let problem = values.impossible().or_else(|| self.stored?.forbids(values));
        if let Some(problem) = problem {
            return Err(StateFileError::Refused { path: self.path.clone(), problem });
        }
        let generation = self.generation + 1;
        let slot = Slot { generation, stored: Some(*values) };
        let [first, second] = self.write_order();
        self.write_durably(first, &slot)?;
        (self.stored, self.generation, self.newest) = (Some(*values), generation, first);
        self.write_durably(second, &slot)
    }

    /// Never first the slot that is relied on: the other one may be old or damaged.
    fn write_order(&self) -> [usize; 2] {
        [1 - self.newest, self.newest]
    }

    fn write_durably(&self, index: usize, slot: &Slot) -> Result<(), StateFileError> {
        self.file
            .write_all_at(&slot.encode(), slot_offset(index))
            .and_then(|()| self.file.sync_data())
            .map_err(StateFileError::io("write", &self.path))
    }
}

/// Sets the state files of a directory aside, those of domains too, under their names with `.bad`
/// appended, so that the next start begins without any; returns the new paths, none if there was no
/// state file. Files of those names are replaced.
///
/// # Errors
/// A running process has one, or the directory cannot be written.
pub fn reset(directory: &Path) -> Result<Vec<PathBuf>, StateFileError> {
    let names = open_directory(directory)?;
    let list = || -> std::io::Result<Vec<_>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
    };
    let mut found = list().map_err(StateFileError::io("read", directory))?;
    found.sort();
    let is_state =
        |name: &&str| *name == FILE_NAME || name.starts_with(DOMAIN_BEGIN) && name.ends_with(END);
    let mut aside = Vec::new();
    for name in found.iter().filter_map(|name| name.to_str()).filter(is_state) {
        let path = directory.join(name);
        let Some(_locked) = Locked::open(&path, false)? else { continue };
        let new = directory.join(format!("{name}.bad"));
        fs::rename(&path, &new).map_err(StateFileError::io("rename", &path))?;
        aside.push(new);
    }
    names.sync_all().map_err(StateFileError::io("write", directory))?;
    Ok(aside)
}

impl Stored {
    /// Why no node can have these values.
    fn impossible(&self) -> Option<String> {
        let Self { node_id, incarnation, ring_sequence_reserved } = *self;
        let possible = node_id > 0 && incarnation.max(ring_sequence_reserved) <= VALUE_MAX;
        let values = format!(
            "node {node_id}, incarnation {incarnation} and ring number {ring_sequence_reserved} \
             are impossible together"
        );
        (!possible).then_some(values)
    }

    /// Why `next` must not be stored over `self`.
    fn forbids(&self, next: &Self) -> Option<String> {
        let pairs = [
            ("incarnation", self.incarnation, next.incarnation),
            ("ring number", self.ring_sequence_reserved, next.ring_sequence_reserved),
        ];
        let (what, old, new) = pairs.into_iter().find(|(_, old, new)| new < old)?;
        Some(format!("the {what} would go back from {old} to {new}"))
    }
}

fn open_directory(directory: &Path) -> Result<File, StateFileError> {
    File::open(directory).map_err(StateFileError::io("open", directory))
}

/// Makes a new file with nothing stored. It gets its name only when it is whole, so that a crash
/// leaves no half of one.
fn create(
    (directory, name): (&Path, &str),
    names: &File,
    path: &Path,
) -> Result<Locked, StateFileError> {
    let draft = directory.join(format!("{name}.new"));
    let Some(file) = Locked::open(&draft, true)? else {
        return Err(StateFileError::InUse { path: draft });
    };
    // Whoever held the draft before us may have given it its name, and be gone or running.
    if let Some(other) = Locked::open(path, false)? {
        remove(&draft);
        return Ok(other);
    }
    let empty = Slot { generation: 0, stored: None }.encode();
    let mut content = vec![0; FILE_LEN as usize];
    for index in 0..2 {
        content[slot_offset(index) as usize..][..SLOT_LEN].copy_from_slice(&empty);
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.write_all_at(&content, 0))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, path));
    if let Err(error) = written {
        remove(&draft);
        return Err(StateFileError::io("create", path)(error));
    }
    // A new file is found after a power failure only when its directory is durable too.
    names.sync_all().map_err(StateFileError::io("write", directory))?;
    Ok(file)
}

/// Best effort: a draft that stays is used by the next start.
fn remove(draft: &Path) {
    let _ = fs::remove_file(draft);
}

fn read_slot(
    file: &File,
    index: usize,
    path: &Path,
) -> Result<Result<Slot, String>, StateFileError> {
    let mut bytes = [0; SLOT_LEN];
    match file.read_exact_at(&mut bytes, slot_offset(index)) {
        Ok(()) => Ok(Slot::decode(&bytes)),
        // A sector that cannot be read is as lost as one with the wrong content; the other slot may
        // be whole.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(Err(error.to_string())),
        Err(error) => Err(StateFileError::io("read", path)(error)),
    }
}

fn slot_offset(index: usize) -> u64 {
    index as u64 * SLOT_STRIDE
}

/// Reads the two copies that a state file has; whether one can be believed.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_copies(bytes: &[u8; 2 * SLOT_LEN]) -> bool {
    let (first, second) = bytes.split_at(SLOT_LEN);
    let read = |half: &[u8]| half.try_into().map_err(|_| String::new()).and_then(Slot::decode);
    let slots = [read(first), read(second)];
    for slot in slots.iter().flatten() {
        assert_eq!(Slot::decode(&slot.encode()).as_ref(), Ok(slot), "not read as it was written");
    }
    slot::choose(&slots).is_ok()
}

const FILE_NAME: &str = "anasazi-node.state";
/// How the names of those of domains begin and end.
const DOMAIN_BEGIN: &str = "anasazi-domain-";
const END: &str = ".state";
/// The slots share no page and no sector, so one write cannot damage both.
const SLOT_STRIDE: u64 = 4_096;
const FILE_LEN: u64 = 2 * SLOT_STRIDE;
/// Far above what counting can reach, and far below where adding could overflow.
const VALUE_MAX: u64 = 1 << 60;

const _: () = assert!(SLOT_LEN as u64 <= SLOT_STRIDE);

#[cfg(test)]
mod tests;
