//! What the `anasazi` command does: asks an engine about itself, and takes part in groups from a
//! terminal.
//!
//! | file | what |
//! |---|---|
//! | `options` | the command line |
//! | `place` | where the engine is; one of this process if there is no other |
//! | `ask` | questions and actions: one request, one answer |
//! | `table` | answers laid out for people |
//! | `keys` | makes keys, and has them changed |
//! | `key_domains` | in which domains, and what came of it in each |
//! | `live` | a session's stream of events beside signals, input and a deadline |
//! | `outbox` | messages on their way to their own delivery |
//! | `monitor`, `chat`, `send` | the commands that take part in a group |
//! | `trace` | trace files, judged by the promises of the protocol |
//! | `words` | members, views and messages in words, and as JSON |
//! | `print` | standard output that may be closed at any time |
//! | `fault` | what went wrong, and the exit codes |
#![forbid(unsafe_code)]

mod ask;
mod chat;
mod domains;
mod fault;
mod key_domains;
mod keys;
mod live;
mod monitor;
mod options;
mod outbox;
mod place;
mod print;
mod send;
mod table;
mod trace;
mod words;

use std::process::ExitCode;

use clap::Parser;

use fault::Fault;
use keys::Key;
use options::{Command, Options, Trace};

/// Does what the command line of this process says.
pub fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            fault.report(options.general.json);
            fault.exit.into()
        }
    }
}

fn run(options: &Options) -> Result<(), Fault> {
    let general = &options.general;
    match &options.command {
        Command::Chat(chat) => chat::run(general, chat),
        Command::Monitor(monitor) => monitor::run(general, monitor),
        Command::Send(send) => send::run(general, send),
        Command::Trace(Trace::Check(check)) => trace::check(general, check),
        Command::Key(Key::Generate { file }) => keys::generate(general, file),
        Command::Key(key) => key_domains::run(general, key),
        question => ask::run(general, question),
    }
}

/// Doors for the fuzz targets.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz {
    use clap::Parser;

    use crate::ask;
    use crate::options::Options;

    /// Lays an answer out for the command of these words, as it is printed. `None`: there is no
    /// such command, or no answer of that kind.
    pub fn lay_out(words: &[&str], answer: &str) -> Option<String> {
        let options = Options::try_parse_from(words).ok()?;
        ask::for_people(&options.command, answer).ok()
    }
}
