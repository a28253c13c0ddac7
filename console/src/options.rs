//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::keys::Key;

/// Asks an Anasazi engine about itself, and takes part in groups from a terminal.
///
/// The engine is the one that --url names; else the one that ANASAZI_URL names; else the local
/// daemon. Where no daemon is configured, chat, monitor and send start an engine of their own,
/// which finds other such engines on this host.
#[derive(Debug, Parser)]
#[command(name = "anasazi", version, after_help = EXIT_CODES)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) general: General,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct General {
    /// The engine: shm:/path.sock, unix:/path.sock or tcp://host:port; for chat, monitor and send
    /// also inproc:NAME, one of this process
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// Answer in JSON; monitor and chat print one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Give up after this time, with exit code 124 [default: 5 for questions, else none]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Set a key of the session, or of an engine of this process, as in --set cluster=test
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Who the engine is, its state, its ring
    Status(OfDomain),
    /// The nodes of the ring
    Members(OfDomain),
    /// The groups, and who is in them; those of all domains, unless one is named
    Groups(OfDomain),
    /// The domains, and how it goes with each; add and remove some
    Domains {
        #[command(subcommand)]
        change: Option<Change>,
    },
    /// Make keys, and change them while the engine runs
    #[command(subcommand)]
    Key(Key),
    /// The rules that say who may do what: show them, read their file again, ask what they say
    #[command(subcommand)]
    Access(Access),
    /// The bridges between domains that this engine is a gateway of, or receives from
    Bridges,
    /// The programs that have a session with the engine
    Sessions,
    /// Counters of protocol and transport
    Stats(OfDomain),
    /// What happened lately, newest last
    Events,
    /// Every configuration key in force, and where its value came from
    Config,
    /// Join a group, and show its views and messages as they come
    Monitor(Monitor),
    /// Send to a group without joining it
    Send(Send),
    /// Join a group and talk: lines of standard input are messages
    Chat(Chat),
    /// What nodes wrote to their trace.file
    #[command(subcommand)]
    Trace(Trace),
    /// Ask the engine something in its own words, a JSON object
    Query {
        /// For example '{"query":"status"}'
        #[arg(value_parser = object)]
        request: String,
    },
    /// For tests: hear only these nodes (where transport.allow_faults is true)
    Isolate {
        /// Numbers of the nodes that stay reachable
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<u32>,
        #[command(flatten)]
        of: OfDomain,
    },
    /// For tests: hear everybody again, lose nothing
    Heal(OfDomain),
    /// For tests: lose this share of all datagrams
    Loss {
        /// Of a thousand
        #[arg(value_parser = clap::value_parser!(u16).range(0..=1000))]
        permille: u16,
        #[command(flatten)]
        of: OfDomain,
    },
    /// Let the engine leave the cluster and end
    Shutdown,
}

#[derive(Debug, Args)]
pub(crate) struct OfDomain {
    /// One of the engine's domains [default: default]
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Option<String>,
}

/// Of the running engine: its configuration file stays as it is.
#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Add a domain to the running engine, and print its section for the configuration file
    Add {
        /// 1 to 32 of a to z, 0 to 9 and -
        name: String,
        /// Keys as in its section of the configuration file, such as preset=wan ring.window=64;
        /// lists with commas
        #[arg(value_name = "KEY=VALUE", value_parser = pair)]
        settings: Vec<(String, String)>,
    },
    /// Let the running engine leave a domain; sessions lose their groups there
    Remove {
        /// One of the engine's domains, but default
        name: String,
    },
}

/// What rules there are, the file says that access.file names.
#[derive(Debug, Subcommand)]
pub(crate) enum Access {
    /// The rules in force
    Show,
    /// Read the file of rules again, for whatever is asked for from now on; if a rule is wrong, all
    /// stay as they were
    Reload,
    /// Whether somebody may do something, and which rule says so: exit code 0 if so, 1 if not;
    /// without options: this program
    Check {
        /// Number of a user
        #[arg(long, value_name = "N")]
        uid: Option<u32>,
        /// Number of a group that it is in, again for each: the engine does not look them up
        #[arg(long, value_name = "N")]
        gid: Vec<u32>,
        /// The socket that it comes by, as in a rule: shm:/path, unix:/path, tcp://ip:port, inproc
        #[arg(long, value_name = "URL", value_parser = socket)]
        socket: Option<String>,
        /// connect, join, send or query
        operation: String,
        /// A group, such as prices/x; prices/* for all of a domain, * for all there is
        name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trace {
    /// Judge the files of all nodes together by the promises of PROTOCOL.md
    Check(Check),
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Of every node that took part, and of clients that wrote down what they saw
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// All was healed and at rest when the files were taken: nothing may be outstanding. A file
    /// without an end is then of a node that still runs, not of one that was killed
    #[arg(long)]
    pub(crate) quiesced: bool,

    /// No verdict (exit code 2) if a file does not end with the end of its node: all had left
    /// cleanly before the files were taken
    #[arg(long)]
    pub(crate) complete: bool,

    /// Clients sent to a group only while they were in it: lets G6 be checked
    #[arg(long)]
    pub(crate) senders_are_members: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Monitor {
    /// The group
    pub(crate) group: String,

    /// End after this many messages
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The group
    pub(crate) group: String,

    /// The message; - sends every line of standard input
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,

    /// Deliver only what all members' nodes hold (safe instead of agreed)
    #[arg(long)]
    pub(crate) safe: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// The group
    pub(crate) group: String,

    /// Put before every line, for the others to read
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// Send nothing before the group has this many members
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) wait_for: usize,
}

/// What keys and values there are the engine knows.
fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("not KEY=VALUE, such as preset=wan")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Written as the engine names the sockets of its sessions.
fn socket(text: &str) -> Result<String, String> {
    let is_path = |scheme| text.strip_prefix(scheme).is_some_and(|path| path.starts_with('/'));
    if text == "inproc" || is_path("shm:") || is_path("unix:") {
        return Ok(text.to_owned());
    }
    let address = text.strip_prefix("tcp://").and_then(|of| of.parse::<SocketAddr>().ok());
    let address = address.ok_or("allowed: shm:/path, unix:/path, tcp://ip:port or inproc")?;
    Ok(format!("tcp://{address}"))
}

/// Its words are the engine's business.
fn object(text: &str) -> Result<String, String> {
    let example = r#"allowed: a JSON object, such as '{"query":"status"}'"#;
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; {example}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(seconds > 0.0 && seconds <= SECONDS_MAX) {
        return Err(format!("allowed: more than 0, up to {SECONDS_MAX}"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

const SECONDS_MAX: f64 = 1e6;
const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 refused or failed, or a promise was broken (trace check), 2 command line or \
configuration, or files that allow no verdict, 3 no engine reachable, 124 the time of --timeout is \
over.";
