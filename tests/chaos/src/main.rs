//! `anasazi-chaos`: five real daemons with their clients in network namespaces; everything goes
//! wrong that can, and the oracle judges what daemons and clients say they saw.
//!
//! | file | what |
//! |---|---|
//! | `campaign` | rounds: steady, faults, healing, one ring, rest, verdict |
//! | `keys` | keys change under load, and while a node is stopped or cut off |
//! | `quiet` | no faults but no time either: nothing may change |
//! | `faults`, `nemesis` | what goes wrong, and how |
//! | `cluster`, `daemon`, `clients` | the processes, from outside |
//! | `client` | the client program |
//! | `network`, `place` | what is made in the system, and removed again |
//! | `verdict`, `gaps` | what the logs say, before the oracle and of the token |
#![deny(unsafe_code)]

mod campaign;
mod client;
mod clients;
mod cluster;
mod command;
mod daemon;
mod faults;
mod gaps;
mod keys;
mod machine;
mod nemesis;
mod network;
mod pace;
mod place;
mod quiet;
mod random;
#[allow(unsafe_code, reason = "the fence around it")]
mod sys;
mod trouble;
mod verdict;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use serde_json::json;

use campaign::{Campaign, Sums};
use pace::Pace;
use trouble::Trouble;

/// Faults on real daemons in network namespaces, judged by the oracle. Needs root.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Rounds of faults. Ends with one line of sums; fails if any round did.
    Run {
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        rounds: u64,
        /// The first seed; without it, one of the clock's.
        #[arg(long)]
        seed: Option<u64>,
        #[command(flatten)]
        shared: Shared,
    },
    /// No faults, but two busy loops for each core: fails if any configuration changes. Begins
    /// again, twice at most, if a core itself stood still then (a virtual one that got no time).
    Quiet {
        /// For how long.
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
        #[command(flatten)]
        shared: Shared,
    },
    /// Changes of keys under load, a tenth as many more with a stopped node, and with one that is
    /// cut off: fails if any configuration changes but for that, or anything is lost. Begins again
    /// as `quiet` does.
    Keys {
        /// How many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        rotations: u64,
        #[command(flatten)]
        shared: Shared,
    },
    /// The oracle over a directory that was kept.
    Judge {
        /// Which.
        directory: PathBuf,
    },
    /// A client; used by `run`.
    #[command(hide = true)]
    Client(client::Options),
    /// A busy loop; used by `run`.
    #[command(hide = true)]
    Spin,
}

#[derive(clap::Args)]
struct Shared {
    /// The daemon [default: anasazid beside this program]
    #[arg(long)]
    daemon: Option<PathBuf>,
    /// Keep all logs.
    #[arg(long)]
    keep: bool,
    /// Print the sums as one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().action {
        Action::Run { rounds, seed, shared } => run(rounds, seed, shared),
        Action::Quiet { minutes, shared } => be_quiet(minutes, shared),
        Action::Keys { rotations, shared } => change_keys(rotations, shared),
        Action::Judge { directory } => verdict::judge_again(&directory).map(|verdict| {
            print(&verdict.to_string());
            true
        }),
        Action::Client(options) => client::run(options).map(|()| true).map_err(Trouble::Setup),
        Action::Spin => {
            nemesis::spin();
            Ok(true)
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Trouble::Interrupted) => ExitCode::from(130),
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run(rounds: u64, seed: Option<u64>, shared: Shared) -> Result<bool, Trouble> {
    if let Some(reason) = obstacle() {
        print(&format!("skipped: {reason}"));
        return Ok(true);
    }
    let pace = begin()?;
    let seed = seed.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
    });
    let campaign = Campaign { program: daemon(shared.daemon)?, seed, rounds, keep: shared.keep };
    let (sums, result) = campaign.run(&pace);
    if let Err(trouble) = &result {
        eprintln!("{trouble}");
    }
    report(&sums, shared.json);
    match result {
        Err(Trouble::Interrupted) => Err(Trouble::Interrupted),
        result => Ok(result.is_ok()),
    }
}

fn report(sums: &Sums, as_json: bool) {
    let Sums { rounds, faults, kills, deliveries, violations, stuck, settled_ms } = sums;
    let mut settled = settled_ms.clone();
    settled.sort_unstable();
    if let Some(worst) = settled.last() {
        let median = settled[settled.len() / 2];
        eprintln!("one ring after healing: median {median} ms, worst {worst} ms");
    }
    if as_json {
        let sums = json!({ "rounds": rounds, "faults": faults, "kills": kills,
            "deliveries": deliveries, "violations": violations, "stuck": stuck });
        print(&sums.to_string());
    } else {
        print(&format!(
            "rounds={rounds} faults={faults} kills={kills} deliveries={deliveries} \
             violations={violations} stuck={stuck}"
        ));
    }
}

fn be_quiet(minutes: f64, shared: Shared) -> Result<bool, Trouble> {
    if let Some(reason) = obstacle() {
        print(&format!("skipped: {reason}"));
        return Ok(true);
    }
    let pace = begin()?;
    let time = Duration::try_from_secs_f64(minutes * 60.0)
        .map_err(|error| Trouble::Setup(format!("--minutes {minutes}: {error}")))?;
    let program = daemon(shared.daemon)?;
    let quiet = machine::where_cores_turn(|| quiet::run(&program, time, shared.keep, &pace))?;
    let (gap_ms, withheld_ms) = (quiet.gap_worst.as_millis(), quiet.withheld.as_millis());
    if shared.json {
        let sums = json!({ "seconds": quiet.seconds, "loops": quiet.loops,
            "changes": quiet.changes, "gap_max_ms": gap_ms, "withheld_ms": withheld_ms,
            "deliveries": quiet.deliveries });
        print(&sums.to_string());
    } else {
        print(&format!(
            "seconds={:.0} loops={} deliveries={} gap_max_ms={gap_ms} withheld_ms={withheld_ms} \
             changes={}",
            quiet.seconds, quiet.loops, quiet.deliveries, quiet.changes
        ));
    }
    Ok(quiet.changes == 0)
}

fn change_keys(rotations: u64, shared: Shared) -> Result<bool, Trouble> {
    if let Some(reason) = obstacle() {
        print(&format!("skipped: {reason}"));
        return Ok(true);
    }
    let pace = begin()?;
    let program = daemon(shared.daemon)?;
    let keys = machine::where_cores_turn(|| keys::run(&program, rotations, shared.keep, &pace))?;
    let withheld_ms = keys.withheld.as_millis();
    if shared.json {
        let sums = json!({ "seconds": keys.seconds, "rotations": keys.rotations,
            "changes": keys.changes, "with_stopped": keys.with_stopped,
            "with_cut": keys.with_cut,
            "withheld_ms": withheld_ms, "deliveries": keys.deliveries });
        print(&sums.to_string());
    } else {
        print(&format!(
            "seconds={:.0} rotations={} with_stopped={} with_cut={} deliveries={} \
             withheld_ms={withheld_ms} changes={}",
            keys.seconds,
            keys.rotations,
            keys.with_stopped,
            keys.with_cut,
            keys.deliveries,
            keys.changes
        ));
    }
    Ok(keys.changes == 0)
}

/// Why there is nothing to be done here.
fn obstacle() -> Option<String> {
    if !sys::is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let tools = [("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")];
    let missing = tools.iter().find(|(tool, _)| !command::exists(tool))?;
    Some(format!("there is no {}: package {} has it", missing.0, missing.1))
}

/// Removes what runs that were killed have left, and catches signals.
fn begin() -> Result<Pace, Trouble> {
    let is_over = |pid: u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() != "anasazi-chaos"
    };
    network::sweep(is_over);
    place::sweep(is_over);
    Pace::start()
}

fn daemon(given: Option<PathBuf>) -> Result<PathBuf, Trouble> {
    let own = std::env::current_exe().map_err(Trouble::io("which program is this"))?;
    let path = given.unwrap_or_else(|| own.with_file_name("anasazid"));
    let path = path.canonicalize().map_err(Trouble::io(&path.display().to_string()))?;
    Ok(path)
}

fn print(text: &str) {
    // A closed pipe ends the reader's interest, not the run.
    let _ = writeln!(std::io::stdout(), "{text}");
}
