//! anasazi, the console.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    anasazi_console::main()
}
