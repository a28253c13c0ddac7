//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// The Anasazi daemon: group communication for the programs of this host.
///
/// Settings come from, each overriding the one before: defaults, the configuration file, the
/// variable ANASAZI_LOG, --set.
#[derive(Debug, Parser)]
#[command(name = "anasazid", version, after_help = EXIT_CODES)]
pub(crate) struct Options {
    /// Configuration file (TOML) [default: /etc/anasazi/anasazi.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Set a key, as in --set ring.token_loss_ms=500; lists are separated by commas
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Say whether the configuration and the files of keys and rules are in order, for the user
    /// that this runs as or that --user names, and exit with 0 or 2
    #[arg(long, conflicts_with = "reset_state")]
    pub(crate) check: bool,

    /// With --check: print every key with value and origin, or the problems, as JSON
    #[arg(long, requires = "check")]
    pub(crate) json: bool,

    /// As root: become this user before anything is opened, and keep only the capabilities that the
    /// configuration needs
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// Let debuggers attach, and leave core files to the settings of the system: what lies in the
    /// memory of the daemon, messages and keys, can be read then
    #[arg(long)]
    pub(crate) debuggable: bool,

    /// Put a state file that cannot be trusted aside, so that the next start begins a new one
    #[arg(long)]
    pub(crate) reset_state: bool,
}

const EXIT_CODES: &str = "\
Exit codes: 0 clean, 1 engine fault, 2 configuration, 3 state file, 4 network, 5 session socket, \
6 a broken invariant, 128+N ended by a second signal N.";
