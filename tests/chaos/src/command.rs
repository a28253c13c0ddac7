//! Other programs, run to their end.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::trouble::Trouble;

/// Runs a program with these words; what it prints.
pub(crate) fn run(program: &str, words: &[&str]) -> Result<String, Trouble> {
    feed(program, words, "")
}

/// Runs a program with this as its input.
pub(crate) fn feed(program: &str, words: &[&str], input: &str) -> Result<String, Trouble> {
    let shown = || format!("{program} {}", words.join(" "));
    let failed = |error: std::io::Error| Trouble::Setup(format!("{}: {error}", shown()));
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        // One that does not read says why below.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let what = if input.is_empty() { String::new() } else { format!(" with\n{input}") };
    Err(Trouble::Setup(format!("{}{what}: {}: {}", shown(), output.status, complaint.trim())))
}

/// Whether there is such a program.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
