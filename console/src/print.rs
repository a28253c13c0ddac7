//! Standard output. Whoever reads it may go away at any time; that ends the printing, and nothing
//! else goes wrong.

use std::io::{ErrorKind, Write, stdout};

use crate::fault::Fault;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Printed {
    /// It is out.
    Yes,
    /// Nobody reads any more.
    NobodyReads,
}

/// Prints a line, at once.
pub(crate) fn line(text: &str) -> Result<Printed, Fault> {
    let mut out = stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(Printed::Yes),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Printed::NobodyReads),
        Err(error) => Err(Fault::failed(format!("standard output: {error}"))),
    }
}

/// Prints lines, if there are any.
pub(crate) fn lines(lines: &[String]) -> Result<Printed, Fault> {
    if lines.is_empty() { Ok(Printed::Yes) } else { line(&lines.join("\n")) }
}
