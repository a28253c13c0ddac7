//! The fuzz targets: for any bytes at all, nothing panics, nothing grows without bound, and what
//! the axioms say holds. A target is an ordinary function, so that the same code runs under
//! libFuzzer (`make fuzz`, see `libfuzzer/`) and in `tests/replay.rs` over the committed corpora.
//!
//! Checksums are made right by the targets, not skipped by the parsers; only `auth_open` leaves
//! them as they come.
//!
//! | file | targets |
//! |---|---|
//! | `wire` | datagrams, packets, frames, parts, group tables, heads, letters, recovery |
//! | `node` | whole nodes: hostile datagrams, and any order of honest ones |
//! | `seal` | sealed datagrams, and key files |
//! | `session` | the handshake and a client's records |
//! | `client` | an engine's welcome and records, as a client reads them |
//! | `stream` | what comes over a socket, on either side |
//! | `sys` | the rings' memory |
//! | `text` | configuration, URLs, administration, scenarios, the state file |
//! | `trace` | trace files, and the oracle's judgement of them |
#![deny(unsafe_code)]

mod client;
mod input;
mod node;
mod seal;
mod session;
mod stream;
mod sys;
mod text;
mod trace;
mod wire;

/// A target: takes any bytes, and says whether it accepted them; where nothing is refused as a
/// whole, whether they came as far as they should. Each corpus has an input that does.
pub type Target = fn(&[u8]) -> bool;

/// Every target by its name.
pub const TARGETS: [(&str, Target); 30] = [
    ("auth_open", wire::auth_open),
    ("wire_decode", wire::wire_decode),
    ("wire_roundtrip", wire::wire_roundtrip),
    ("fragments", wire::fragments),
    ("parts", wire::parts),
    ("snapshot", wire::snapshot),
    ("audience_head", wire::audience_head),
    ("letter", wire::letter),
    ("recovery_work", wire::recovery_work),
    ("node_ops", node::node_ops),
    ("two_nodes", node::two_nodes),
    ("sealed_line", seal::sealed_line),
    ("sealed_anything", seal::sealed_anything),
    ("key_file", seal::key_file),
    ("queue_ring", sys::ring::queue_ring),
    ("session_ops", session::session_ops),
    ("engine_records", client::engine_records),
    ("welcome", client::welcome),
    ("stream_frames", stream::stream_frames),
    ("stream_greeting", stream::stream_greeting),
    ("config_text", text::config_text),
    ("config_value", text::config_value),
    ("url_text", text::url_text),
    ("admin_json", text::admin_json),
    ("admin_request", text::admin_request),
    ("scenario_text", text::scenario_text),
    ("console_answer", text::console_answer),
    ("console_words", text::console_words),
    ("state_file", text::state_file),
    ("trace_text", trace::trace_text),
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
