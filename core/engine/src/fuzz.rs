//! Doors for the fuzz targets in `tests/fuzz`: parsers that are private otherwise. Not for anybody
//! else.

/// Reads a request of the administration door, and says whether it may be carried out.
pub fn admin_request(json: &[u8], trusted: bool) -> bool {
    crate::admin::may_carry_out(json, trusted)
}

/// Reads the two copies that a state file has; whether one can be believed.
pub fn state_copies(bytes: &[u8; 128]) -> bool {
    crate::state_file::read_copies(bytes)
}
