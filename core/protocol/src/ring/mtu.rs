//! The size of the ring's datagrams. It may be larger than what needs no proof: the token gathers,
//! in each round, the least that any member can send, and the representative publishes it for the
//! next. A size is a member's own decision for each packet, so there is no moment at which all have
//! to change.
//!
//! What is proven can stop being true, and no probe says so in time. Then large packets of one
//! member come only when they are sent again, since that is done in parts of the base size. Whoever
//! sees this says so, and the ring falls back.

use core::time::Duration;
use std::collections::BTreeMap;

use super::Ring;
use crate::id::NodeId;
use crate::node::Node;
use crate::time::Instant;
use crate::wire::{DATA_OVERHEAD_LEN, Token};

/// So many large packets of a member in a row, none of which came when it was first sent, are no
/// accident any more ...
const LOST_MAX: u32 = 16;
/// ... if it went on for so long: a full buffer loses many at once.
const LOST_FOR: Duration = Duration::from_millis(200);

/// What a member knows of the ring's size.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Size {
    /// The representative: the number of the token with which it began to gather.
    gathering_since: u64,
    /// Of each member: the large packets that did not come when they were first sent, since the
    /// last one that did and was no smaller.
    lost: BTreeMap<NodeId, Lost>,
}

#[derive(Clone, Debug, Hash)]
struct Lost {
    count: u32,
    since: Instant,
    /// Bytes of content of the smallest.
    len_min: usize,
}

/// A packet with so much content is larger than what needs no proof.
pub(super) fn is_large(node: &Node, content_len: usize) -> bool {
    content_len + DATA_OVERHEAD_LEN > node.config.mtu
}

impl Ring {
    /// Adds to what the token gathers, and takes the size that it says.
    pub(super) fn settle_mtu(&mut self, node: &mut Node, token: &mut Token) {
        let others = self.members.iter().filter(|p| **p != node.me);
        let mine = node.paths.size(others, &node.config, node.now);
        if self.is_representative() {
            // A token that was kept and used again has not been round.
            let hops = token.token_sequence.saturating_sub(self.size.gathering_since);
            if hops > 0 && token.mtu_gathering != 0 {
                token.mtu = token.mtu_gathering;
            }
            self.size.gathering_since = token.token_sequence;
            token.mtu_gathering = mine as u16;
        } else {
            token.mtu_gathering = token.mtu_gathering.min(mine as u16);
        }
        let present = usize::from(token.mtu).min(mine);
        if token.mtu == 0 || present == node.ring_mtu {
            return;
        }
        if present < node.ring_mtu {
            node.paths.verify(node.now);
        }
        node.ring_mtu = present;
    }

    /// Looks at a packet: do large ones still come? `fresh`: it was not here before.
    pub(super) fn watch_size(
        &mut self,
        node: &mut Node,
        (origin, content_len, repeated): (NodeId, usize, bool),
        fresh: bool,
    ) {
        if origin == node.me.node || !is_large(node, content_len) {
            return;
        }
        if !repeated {
            if self.size.lost.get(&origin).is_some_and(|lost| content_len >= lost.len_min) {
                self.size.lost.remove(&origin);
            }
        } else if fresh {
            let none = Lost { count: 0, since: node.now, len_min: content_len };
            let lost = self.size.lost.entry(origin).or_insert(none);
            (lost.count, lost.len_min) = (lost.count + 1, lost.len_min.min(content_len));
            if lost.count >= LOST_MAX && node.now.since(lost.since) >= LOST_FOR {
                self.size.lost.clear();
                node.paths.distrust(&node.config, node.now);
                node.out.stats.sizes_distrusted += 1;
            }
        }
    }
}
