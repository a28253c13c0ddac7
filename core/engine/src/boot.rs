//! Who this engine is: node id, incarnation, ring numbers, durable before anything is sent.

use std::time::{SystemTime, UNIX_EPOCH};

use anasazi_protocol::{Boot, Incarnation, NodeId, Process, limits};

use crate::config::ValidConfig;
use crate::error::EngineError;
use crate::state_file::{StateFile, StateFileError, Stored};

/// 2020-01-01 in milliseconds of the Unix epoch: incarnations count from here.
const EPOCH_MS: u64 = 1_577_836_800_000;
/// Ring numbers begin with the clock, in this unit, so that a ring in which nobody is left of
/// another one has a higher number: bridges take what is lower for a repetition. A clock that is
/// wrong by centuries is no leap that others refuse.
const RING_NUMBER_MS: u64 = 10;

/// Who this is, in each domain, and what the operator should know.
pub(crate) struct Booted {
    /// In the order of `ValidConfig::all_domains`.
    pub(crate) domains: Vec<Start>,
    pub(crate) warnings: Vec<String>,
}

/// Who this is in one domain.
pub(crate) struct Start {
    pub(crate) boot: Boot,
    /// If there is storage.
    pub(crate) file: Option<StateFile>,
    /// It has stored how far earlier starts have come.
    pub(crate) is_known: bool,
}

impl Start {
    fn without_storage(process: Process) -> Self {
        let (ring_sequence_floor, ring_sequence_reserved) = (ring_number_now(), u64::MAX);
        let boot = Boot { process, ring_sequence_floor, ring_sequence_reserved };
        Self { boot, file: None, is_known: false }
    }
}

/// One process in all domains: the same node in the same incarnation. What rings are called is
/// each domain's own. `known`: others know this incarnation of an earlier start, and it was newer.
pub(crate) fn boot(
    config: &ValidConfig,
    known: Option<Incarnation>,
) -> Result<Booted, EngineError> {
    let now = Incarnation(now_ms());
    let now = match known {
        None => now,
        Some(known) => now.max(Incarnation::above(known, random_u64()?)),
    };
    let Some(dir) = &config.state.dir else {
        let process =
            Process { node: config.node.id.map_or_else(draw_node, Ok)?, incarnation: now };
        let domains = (0..=config.domains.len()).map(|_| Start::without_storage(process)).collect();
        return Ok(Booted { domains, warnings: Vec::new() });
    };
    let mut files = vec![StateFile::open(dir).map_err(state)?];
    for domain in &config.domains {
        files.push(StateFile::open_of_domain(dir, &domain.name).map_err(state)?);
    }
    let mut node = config.node.id;
    for (file, stored) in &files {
        node = node_id(node, file, stored.as_ref())?;
    }
    let process = Process {
        node: node.map_or_else(draw_node, Ok)?,
        incarnation: (files.iter().filter_map(|(_, stored)| *stored))
            .fold(now, |newest, stored| newest.max(Incarnation(stored.incarnation + 1))),
    };
    let warnings = files.iter().filter_map(|(file, _)| file.warning()).map(str::to_owned).collect();
    let boot = |(file, stored)| reserve(process, file, stored);
    let domains = files.into_iter().map(boot).collect::<Result<_, _>>()?;
    Ok(Booted { domains, warnings })
}

/// Who the running node is in one more domain: a process that is newer than all that it has been
/// there, since others may know that it left; and what the operator should know.
pub(crate) fn boot_added(
    config: &ValidConfig,
    name: &str,
    (node, after): (NodeId, Incarnation),
) -> Result<(Start, Option<String>), EngineError> {
    let incarnation = Incarnation(now_ms()).max(Incarnation(after.0 + 1));
    let Some(dir) = &config.state.dir else {
        return Ok((Start::without_storage(Process { node, incarnation }), None));
    };
    let (file, stored) = StateFile::open_of_domain(dir, name).map_err(state)?;
    node_id(Some(node), &file, stored.as_ref())?;
    let above = stored.map(|stored| Incarnation(stored.incarnation + 1));
    let incarnation = above.map_or(incarnation, |above| above.max(incarnation));
    let warning = file.warning().map(str::to_owned);
    Ok((reserve(Process { node, incarnation }, file, stored)?, warning))
}

/// Makes durable who this is, and the first ring numbers.
fn reserve(
    process: Process,
    mut file: StateFile,
    stored: Option<Stored>,
) -> Result<Start, EngineError> {
    let before = stored.map_or(0, |stored| stored.ring_sequence_reserved);
    let ring_sequence_floor = before.max(ring_number_now());
    let ring_sequence_reserved = ring_sequence_floor + limits::RING_SEQUENCE_RESERVE;
    let (node_id, incarnation) = (process.node.0, process.incarnation.0);
    file.store(&Stored { node_id, incarnation, ring_sequence_reserved }).map_err(state)?;
    let boot = Boot { process, ring_sequence_floor, ring_sequence_reserved };
    Ok(Start { boot, file: Some(file), is_known: before > 0 })
}

fn state(error: StateFileError) -> EngineError {
    EngineError::State(error.to_string())
}

/// The id that is known so far, or the stored one; the two must agree.
fn node_id(
    known: Option<NodeId>,
    file: &StateFile,
    stored: Option<&Stored>,
) -> Result<Option<NodeId>, EngineError> {
    match (known, stored.map(|s| NodeId(s.node_id))) {
        (Some(known), Some(stored)) if known != stored => Err(EngineError::State(format!(
            "node.id is {known}, but the state in {} belongs to node {stored}: correct node.id, or \
             give this node its own state.dir, or reset the state with `anasazid --reset-state`",
            file.path().display()
        ))),
        (known, stored) => Ok(known.or(stored)),
    }
}

fn draw_node() -> Result<NodeId, EngineError> {
    random_u64().map(|r| NodeId((r as u32).max(1)))
}

pub(crate) fn random_u64() -> Result<u64, EngineError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| EngineError::System(format!("no randomness from the kernel: {error}")))?;
    Ok(u64::from_ne_bytes(bytes))
}

fn now_ms() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (unix.as_millis() as u64).saturating_sub(EPOCH_MS).max(1)
}

fn ring_number_now() -> u64 {
    now_ms() / RING_NUMBER_MS
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;

    fn config(directory: &Path, node: Option<&str>) -> ValidConfig {
        let mut settings = Settings::new();
        settings.set("state.dir", directory.to_str().expect("UTF-8")).expect("a directory");
        settings.set("domain.fast.preset", "lan").expect("a domain");
        node.into_iter().for_each(|node| settings.set("node.id", node).expect("a node"));
        settings.validate().expect("valid")
    }

    /// A domain that was added, or another one's state that was lost, makes no second node of it.
    #[test]
    fn it_is_one_process_in_all_domains_and_each_has_ring_numbers_of_its_own() {
        let directory = tempfile::tempdir().expect("a directory");
        let of_fast = Stored { node_id: 9, incarnation: 1 << 50, ring_sequence_reserved: 1 << 39 };
        let (mut file, _) = StateFile::open_of_domain(directory.path(), "fast").expect("a file");
        file.store(&of_fast).expect("stored");
        drop(file);
        let booted = boot(&config(directory.path(), None), None).expect("it boots");
        let [default, fast] = &booted.domains[..] else { panic!("two domains") };
        assert_eq!((default.is_known, fast.is_known), (false, true));
        let [default, fast] = [default.boot, fast.boot];
        assert_eq!(default.process, fast.process);
        let process = Process { node: NodeId(9), incarnation: Incarnation((1 << 50) + 1) };
        assert_eq!(default.process, process);
        assert_eq!(fast.ring_sequence_floor, 1 << 39);
        // By the clock, and no leap for those whose clock is wrong.
        let by_clock = default.ring_sequence_floor;
        assert!((1 << 34..limits::RING_SEQUENCE_LEAP_MAX / 4).contains(&by_clock), "{by_clock}");
        drop(booted);
        let again = boot(&config(directory.path(), None), None).expect("it boots");
        assert_eq!(again.domains[0].boot.process.incarnation, Incarnation((1 << 50) + 2));
        drop(again);
        let refused = boot(&config(directory.path(), Some("8")), None).err().expect("two nodes");
        let text = refused.to_string();
        assert!(text.contains("node.id is 8") && text.contains("belongs to node 9"), "{text}");
    }
}
