//! Where a run keeps its files: configurations, sockets, logs; and a small disk for each node's
//! state, that can be filled. All of it goes with the value, unless it is to be looked at.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::command::run;
use crate::trouble::Trouble;

/// Of a node's disk. It holds the state file with room to spare.
const DISK_LEN: &str = "256k";
const PREFIX: &str = "anasazi-chaos-";
/// A file that says that somebody wants to look at the rest.
const KEPT: &str = "KEPT";
const BALLAST: &str = "ballast";
/// A file with a line for each time that a node's state was taken: the node's number.
pub(crate) const WIPED: &str = "WIPED";

/// A directory of its own.
pub(crate) struct Place {
    path: PathBuf,
    disks: Vec<PathBuf>,
    kept: bool,
}

impl Place {
    /// Makes it, with a disk for each node.
    pub(crate) fn create(name: &str, nodes: usize) -> Result<Self, Trouble> {
        let name = format!("{PREFIX}{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A process of that number has left it behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).map_err(Trouble::io(&format!("cannot make {}", path.display())))?;
        let mut place = Self { path, disks: Vec::new(), kept: false };
        for node in 0..nodes {
            let disk = place.path.join(format!("state{}", node + 1));
            fs::create_dir(&disk).map_err(Trouble::io("cannot make a state directory"))?;
            let (size, to) = (format!("size={DISK_LEN},mode=0700"), disk.display().to_string());
            run("mount", &["-t", "tmpfs", "-o", &size, "anzchaos", &to])?;
            place.disks.push(disk);
            place.write_keys(node, &[1])?;
        }
        Ok(place)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Puts these keys into a node's file; each number has one key.
    pub(crate) fn write_keys(&self, node: usize, ids: &[u8]) -> Result<(), Trouble> {
        let line = |id: &u8| format!("{id} {}\n", format!("{id:02x}").repeat(32));
        let text: String = ids.iter().map(line).collect();
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600);
        let written = file.open(self.key_file(node)).and_then(|mut f| f.write_all(text.as_bytes()));
        written.map_err(Trouble::io("cannot write a key file"))
    }

    /// The node's keys.
    pub(crate) fn key_file(&self, node: usize) -> PathBuf {
        self.file(&format!("node{}.keys", node + 1))
    }

    pub(crate) fn disk(&self, node: usize) -> &Path {
        &self.disks[node]
    }

    /// Leaves no free byte on the node's disk.
    pub(crate) fn fill_disk(&self, node: usize) -> Result<(), Trouble> {
        let path = self.disks[node].join(BALLAST);
        let mut file = File::create(path).map_err(Trouble::io("cannot fill a disk"))?;
        // Ends with the error that is wanted: there is no space left.
        while file.write_all(&[0xAA; 4_096]).is_ok() {}
        Ok(())
    }

    pub(crate) fn free_disk(&self, node: usize) {
        // It may have been freed already.
        let _ = fs::remove_file(self.disks[node].join(BALLAST));
    }

    /// Forgets what the node, which does not run, had stored.
    pub(crate) fn wipe_disk(&self, node: usize) -> Result<(), Trouble> {
        let list = self.path.join(WIPED);
        let list = File::options().create(true).append(true).open(list);
        list.and_then(|mut file| writeln!(file, "{}", node + 1))
            .map_err(Trouble::io("cannot note that a disk is wiped"))?;
        for entry in fs::read_dir(&self.disks[node]).into_iter().flatten().flatten() {
            if entry.file_name() != BALLAST
                && let Err(error) = fs::remove_file(entry.path())
            {
                eprintln!("{} stays: {error}", entry.path().display());
            }
        }
        Ok(())
    }

    /// The directory stays; where it is.
    pub(crate) fn keep(&mut self) -> &Path {
        self.kept = true;
        if let Err(error) = File::create(self.path.join(KEPT)) {
            eprintln!("the next run will remove {}: {error}", self.path.display());
        }
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for disk in &self.disks {
            if self.kept {
                keep_state(disk);
            }
            unmount(disk);
        }
        if !self.kept
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            eprintln!("{} is left behind: {error}", self.path.display());
        }
    }
}

/// What was on the disk, beside it.
fn keep_state(disk: &Path) {
    let beside = disk.with_extension("kept");
    let files = fs::read_dir(disk).into_iter().flatten().flatten();
    for file in files.filter(|file| file.file_name() != BALLAST) {
        let name = file.file_name();
        let copied = fs::create_dir_all(&beside)
            .and_then(|()| fs::copy(file.path(), beside.join(&name)).map(drop));
        if let Err(error) = copied {
            eprintln!("{} is not kept: {error}", file.path().display());
        }
    }
}

fn unmount(disk: &Path) {
    let path = disk.display().to_string();
    // Lazily: a process that is just being killed may still use it.
    if let Err(error) = run("umount", &["-l", &path]) {
        eprintln!("a disk is left behind: {error}");
    }
}

/// Removes what runs that were killed have left.
pub(crate) fn sweep(is_over: impl Fn(u32) -> bool) {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(rest) = name.as_deref().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let pid = rest.split_once('-').and_then(|(pid, _)| pid.parse().ok());
        if !pid.is_some_and(&is_over) {
            continue;
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for mounted in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
            if Path::new(mounted).starts_with(&path) {
                unmount(Path::new(mounted));
            }
        }
        if !path.join(KEPT).exists() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}
