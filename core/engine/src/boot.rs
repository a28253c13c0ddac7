//! Who this engine is: node id, incarnation, ring numbers, durable before anything is sent.

use std::time::{SystemTime, UNIX_EPOCH};

use anasazi_protocol::{Boot, Incarnation, NodeId, Process, limits};

use crate::config::ValidConfig;
use crate::error::EngineError;
use crate::state_file::{StateFile, Stored};

/// 2020-01-01 in milliseconds of the Unix epoch: incarnations count from here.
const EPOCH_MS: u64 = 1_577_836_800_000;

/// The boot record, the open state file if there is storage, and what the operator should know.
pub(crate) struct Booted {
    pub(crate) boot: Boot,
    pub(crate) file: Option<StateFile>,
    pub(crate) warning: Option<String>,
}

/// `known`: others know this incarnation of an earlier start, and it was newer.
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
        let boot = Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX };
        return Ok(Booted { boot, file: None, warning: None });
    };
    let state = |error: crate::state_file::StateFileError| EngineError::State(error.to_string());
    let (mut file, stored) = StateFile::open(dir).map_err(state)?;
    let warning = file.warning().map(ToString::to_string);
    let node = node_id(config, stored.as_ref())?;
    let incarnation = stored.as_ref().map_or(now, |s| now.max(Incarnation(s.incarnation + 1)));
    let floor = stored.map_or(0, |s| s.ring_sequence_reserved);
    let reserved = floor + limits::RING_SEQUENCE_RESERVE;
    file.store(&Stored {
        node_id: node.0,
        incarnation: incarnation.0,
        ring_sequence_reserved: reserved,
    })
    .map_err(state)?;
    let process = Process { node, incarnation };
    let boot = Boot { process, ring_sequence_floor: floor, ring_sequence_reserved: reserved };
    Ok(Booted { boot, file: Some(file), warning })
}

/// The configured id, the stored one, or a new one; the first two must agree.
fn node_id(config: &ValidConfig, stored: Option<&Stored>) -> Result<NodeId, EngineError> {
    match (config.node.id, stored.map(|s| NodeId(s.node_id))) {
        (Some(configured), Some(stored)) if configured != stored => {
            Err(EngineError::State(format!(
                "node.id is {configured}, but the state in {} belongs to node {stored}: correct \
                 node.id, or give this node its own state.dir, or reset the state with \
                 `anasazid --reset-state`",
                config.state.dir.as_deref().unwrap_or_else(|| "".as_ref()).display()
            )))
        }
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => draw_node(),
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
