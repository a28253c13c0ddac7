//! The daemon's use of the engine; no other file names it.

use std::path::PathBuf;

use anasazi_engine::config::ValidConfig;
use anasazi_engine::{Engine, EngineError, state_file};

use crate::exit::Exit;
use crate::signals;
use crate::supervisor::Supervisor;

/// Runs an engine until it has left the cluster. Err: how to exit, and why.
pub(crate) fn serve(config: ValidConfig) -> Result<(), (Exit, String)> {
    let caught = signals::catch()
        .map_err(|error| (Exit::Engine, format!("signals cannot be caught: {error}")))?;
    take_descriptors(&config);
    let places = places(&config);
    let mut engine = Engine::new(config).map_err(failed)?;
    if let Some((node, address)) = engine.identity() {
        tracing::info!("node {node} at {address}; {places}");
    }
    let mut supervisor = Supervisor::start();
    let handle = engine.handle();
    caught
        .on_stop(move || {
            Supervisor::stopping();
            handle.stop();
        })
        .map_err(|error| (Exit::Engine, format!("no thread for signals: {error}")))?;
    let tick = supervisor.tick();
    let mut turned =
        |engine: &Engine| supervisor.turned(engine.is_operational(), || engine.latest_domain());
    engine.run_with(tick, &mut turned).map_err(failed)
}

/// As many descriptors as this process may have: sessions take four for each domain that they use,
/// over streams nine.
fn take_descriptors(config: &ValidConfig) {
    let each = if config.client.listen_streams.is_empty() { 4 } else { 9 };
    let domains = config.domains.len() * DESCRIPTORS_OF_DOMAIN;
    let lanes = config.client.sessions_max * (1 + config.domains.len());
    let needed = (lanes * each + domains + OTHER_DESCRIPTORS) as u64;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit < needed => tracing::warn!(
            "at most {limit} file descriptors: too few for client.sessions_max = {} with a lane \
             for each domain, which takes {needed}; raise LimitNOFILE (ulimit -Hn)",
            config.client.sessions_max
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("the limit of file descriptors stays as it is: {error}"),
    }
}

/// Sockets, files, pipes, and connections that have not said hello.
const OTHER_DESCRIPTORS: usize = 128;
/// Of each domain beside `default`: sockets, a file, and a connection to each of some nodes.
const DESCRIPTORS_OF_DOMAIN: usize = 40;

/// What an operator looks for first, with the names of the keys.
fn places(config: &ValidConfig) -> String {
    let shown = |path: &Option<PathBuf>| match path {
        Some(path) => path.display().to_string(),
        None => "none".to_owned(),
    };
    let (listen, dir) = (shown(&config.client.listen), shown(&config.state.dir));
    let (cluster, trace) = (&config.cluster, shown(&config.trace.file));
    format!("cluster {cluster:?}, client.listen {listen}, state.dir {dir}, trace.file {trace}")
}

/// Puts the state file aside. Ok: what was done, in a sentence.
pub(crate) fn reset_state(config: &ValidConfig) -> Result<String, (Exit, String)> {
    let Some(directory) = &config.state.dir else {
        let text = "state.dir is not set, so there is no state file to reset";
        return Err((Exit::Configuration, text.to_owned()));
    };
    match state_file::reset(directory) {
        Ok(kept) if kept.is_empty() => {
            Ok(format!("{} has no state file: nothing to reset", directory.display()))
        }
        Ok(kept) => {
            let kept: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
            let is = if kept.len() > 1 { "state files are" } else { "state file is" };
            Ok(format!("the {is} now {}; the next start begins anew", kept.join(", ")))
        }
        Err(error) => Err((Exit::State, error.to_string())),
    }
}

fn failed(error: EngineError) -> (Exit, String) {
    let exit = match error {
        EngineError::Config { .. } => Exit::Configuration,
        EngineError::State { .. } => Exit::State,
        EngineError::Network { .. } => Exit::Network,
        EngineError::Socket { .. } => Exit::Socket,
        EngineError::Broken { .. } => Exit::Broken,
        _ => Exit::Engine,
    };
    (exit, error.to_string())
}
