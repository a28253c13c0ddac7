//! placeholder, replaced by the transport builder's
use std::path::{Path, PathBuf};
#[derive(Debug)]
pub struct StateFile;
#[derive(Debug, Clone)]
pub struct Stored {
    pub node_id: u32,
    pub incarnation: u64,
    pub ring_sequence_reserved: u64,
}
#[derive(Debug)]
pub struct StateFileError;
impl std::fmt::Display for StateFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
impl StateFile {
    pub fn open(_d: &Path) -> Result<(Self, Option<Stored>), StateFileError> {
        Err(StateFileError)
    }
    pub fn store(&mut self, _s: &Stored) -> Result<(), StateFileError> {
        Err(StateFileError)
    }
    pub fn warning(&self) -> Option<&str> {
        None
    }
}
pub fn reset(_d: &Path) -> Result<Option<PathBuf>, StateFileError> {
    Err(StateFileError)
}
