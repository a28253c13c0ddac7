//! L8 of a core: everything that it keeps is bounded by `limits`, and by the size of the cluster.

use anasazi_protocol::{Stats, limits};

use crate::options::Options;

/// What a message says of those whom it is for, in bytes, at most.
const AUDIENCE_LEN_MAX: usize = 256;
/// Of a contract.
const BOUNDS: usize = 4;

/// What is more than may be. Sessions that are in a group are signed off whether there is room or
/// not: `farewells` when the core leaves, and before that those that end by themselves, each once.
/// An engine that seals has at most two notices of keys on their way: what it has, and what is to
/// be activated. With a contract, a member has said of each one what it finds of each bound, and
/// who is to go, in this ring and perhaps in the one before.
pub(super) fn are_bounded(
    stats: &Stats,
    options: &Options,
    farewells: usize,
) -> Result<(), String> {
    let (messages_max, len_max) = options.machine.queue;
    let (nodes, longest) = (options.nodes, options.message_len_max + AUDIENCE_LEN_MAX);
    let signed_off = farewells + options.traffic.sessions;
    let notices = if options.seal.mode.is_some() { 2 } else { 0 };
    let findings = if options.contract.is_binding() { 2 * (1 + BOUNDS * options.nodes) } else { 0 };
    let links_max = limits::MEMBERS_MAX + nodes * (1 + limits::MEMBERS_MAX);
    let bounds = [
        (
            "messages queued",
            stats.send_queue_messages,
            messages_max + signed_off + notices + findings,
        ),
        (
            "bytes queued",
            stats.send_queue_bytes,
            len_max + longest + notices * limits::NOTICE_LEN_MAX,
        ),
        ("packets stored", stats.store_packets, limits::GAP_MAX as usize),
        ("bytes of parts", stats.part_bytes, nodes * limits::CONTROL_LEN_MAX),
        ("bytes of fragments", stats.fragment_bytes, nodes * longest),
        ("candidates", stats.candidates, nodes.min(limits::CANDIDATES_MAX)),
        ("entries in its book", stats.book_entries, limits::BOOK_MAX + nodes),
        ("links in mind", stats.link_entries, links_max),
    ];
    match bounds.into_iter().find(|(_, is, may)| *is > *may as u64) {
        Some((what, is, may)) => Err(format!("{is} {what}, {may} are allowed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_outgrows_its_bound_is_named() {
        let options = Options::quiet(3);
        let grown = |grow: fn(&mut Stats)| {
            let mut stats = Stats::default();
            grow(&mut stats);
            are_bounded(&stats, &options, 0).unwrap_err()
        };
        assert_eq!(are_bounded(&Stats::default(), &options, 0), Ok(()));
        assert_eq!(grown(|s| s.candidates = 4), "4 candidates, 3 are allowed");
        assert!(grown(|s| s.store_packets = limits::GAP_MAX + 1).contains("packets stored"));
        assert!(grown(|s| s.part_bytes = 1 << 20).contains("bytes of parts"));
        assert!(grown(|s| s.fragment_bytes = 4 << 20).contains("bytes of fragments"));
        assert!(grown(|s| s.book_entries = 516).contains("entries in its book"));
        assert!(grown(|s| s.link_entries = 516).contains("links in mind"));
    }
}
