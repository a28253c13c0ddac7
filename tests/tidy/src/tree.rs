//! The files under version control.

use std::path::Path;
use std::process::Command;

/// A text file of the project.
pub(crate) struct File {
    /// From the top of the project.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Written by a tool, which has its own idea of layout.
    pub(crate) fn is_generated(&self) -> bool {
        matches!(
            self.path.as_str(),
            "Cargo.lock"
                | "bindings/Cargo.lock"
                | "bindings/sys/src/generated.rs"
                | "include/anasazi.h"
        )
    }
}

/// Everything that is committed, and what will be if it is added; binary files left out.
pub(crate) fn files() -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&top)
        .output()
        .expect("git lists the files of the project");
    assert!(listing.status.success(), "{}", String::from_utf8_lossy(&listing.stderr));
    let names = String::from_utf8(listing.stdout).expect("file names are UTF-8");
    // A name whose file is gone is on its way out of the index; bytes that are no text are data.
    let file = |name: &str| Some(File::new(name, &std::fs::read_to_string(top.join(name)).ok()?));
    let files: Vec<File> = names.split_terminator('\0').filter_map(file).collect();
    assert!(files.iter().any(|file| file.path == "Cargo.toml"), "this is not the project");
    files
}
