//! anasazid, the Anasazi daemon: an engine in a process of its own, at which programs of this host
//! open sessions.
//!
//! | file | what |
//! |---|---|
//! | `options` | the command line |
//! | `configuration` | defaults, file, environment and command line, put together |
//! | `privileges` | gives up what the daemon need not be able to do |
//! | `check` | `--check`: says whether the configuration is valid |
//! | `run` | the only file that turns an engine |
//! | `signals` | SIGTERM and SIGINT to a clean leave |
//! | `supervisor` | readiness and watchdog, told to systemd |
//! | `log` | lines to stderr that never hold up the engine |
//! | `exit` | the exit codes |
#![forbid(unsafe_code)]

mod check;
mod configuration;
mod exit;
mod log;
mod options;
mod privileges;
mod run;
mod signals;
mod supervisor;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anasazi_engine::config::ValidConfig;
use clap::Parser;

use configuration::Loaded;
use exit::Exit;
use options::Options;
use privileges::Kept;

fn main() -> ExitCode {
    let options = Options::parse();
    let loaded = configuration::load(&options);
    if options.check {
        return check::report(&check::with_files(loaded, &options), options.json).into();
    }
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration.into();
        }
    };
    let kept = match privileges::give_up(&options, &loaded.config) {
        Ok(kept) => kept,
        Err((exit, text)) => {
            eprintln!("{text}");
            return exit.into();
        }
    };
    if options.reset_state { reset_state(&loaded.config) } else { serve(loaded, kept) }.into()
}

fn serve(loaded: Loaded, kept: Kept) -> Exit {
    let started = Instant::now();
    let log = log::start(&loaded.config.log.level);
    anasazi_engine::panics::keep_places(true);
    let source = match &loaded.file {
        Some(file) => file.display().to_string(),
        None => "none, defaults".to_owned(),
    };
    tracing::info!("anasazid {} starts; configuration file: {source}", env!("CARGO_PKG_VERSION"));
    tracing::info!("{}", kept.told);
    kept.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    for warning in loaded.config.warnings() {
        tracing::warn!("configuration: {warning}");
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| run::serve(loaded.config)));
    let exit = match outcome {
        Ok(Ok(())) => {
            tracing::info!("left cleanly, after {:.1} s", started.elapsed().as_secs_f64());
            Exit::Clean
        }
        Ok(Err((exit, text))) => {
            tracing::error!("{text}");
            exit
        }
        // The panic hook has printed what and where.
        Err(_) => {
            tracing::error!("stopped by a bug in Anasazi; please report the lines above");
            Exit::Engine
        }
    };
    log.finish();
    exit
}

fn reset_state(config: &ValidConfig) -> Exit {
    match run::reset_state(config) {
        Ok(done) => {
            eprintln!("{done}");
            Exit::Clean
        }
        Err((exit, text)) => {
            eprintln!("{text}");
            exit
        }
    }
}
