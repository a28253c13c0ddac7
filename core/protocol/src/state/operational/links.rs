//! Links of this node. What size they carry is probed; bad ones are, too, and the representative is
//! told of them, who decides about merges.

use core::time::Duration;

use super::Operational;
use crate::node::Node;
use crate::state::State;
use crate::wire::{Packet, ProbeAnswer};

/// The representative is not told of links more often than this.
const TELL_AFTER: Duration = Duration::from_millis(50);

impl Operational {
    pub(super) fn probe_links(&mut self, node: &mut Node) {
        let probes = node.links.probes(node.me, node.now);
        for (process, probe) in &probes {
            match node.book.address(*process) {
                Some(address) => node.send(address, &Packet::Probe(*probe)),
                // What cannot be probed any more must not stay bad for ever.
                None => node.links.gone(*process),
            }
        }
        if !probes.is_empty() {
            self.tell_again(node);
        }
    }

    /// What is not said again is soon not believed any more: of own links, and of those of others
    /// whom the representative may not hear (seed 975).
    pub(super) fn tell_again(&mut self, node: &mut Node) {
        let beacon = node.config.timers.beacon;
        if self.told_at.is_none_or(|at| node.now.since(at) >= beacon) {
            self.tell_representative(node);
        }
    }

    pub(super) fn on_probe_answer(
        mut self: Box<Self>,
        node: &mut Node,
        answer: &ProbeAnswer,
    ) -> State {
        let (process, number) = (answer.process, answer.probe.number);
        if self.on_contract_answer(node, answer) {
            return State::Operational(self);
        }
        if answer.probe.process == node.me && node.links.answered(process, number, node.now) {
            self.tell_representative(node);
            self.consider_merging(node);
        }
        State::Operational(self)
    }

    /// Others said something new about links.
    pub(super) fn links_changed(&mut self, node: &mut Node) {
        if self.told_at.is_none_or(|at| node.now.since(at) >= TELL_AFTER) {
            self.tell_representative(node);
        }
        self.consider_merging(node);
    }

    fn tell_representative(&mut self, node: &mut Node) {
        self.told_at = Some(node.now);
        if !self.ring.is_representative() {
            let beacon = self.beacon(node);
            node.send_to(self.ring.members[0], &beacon);
        }
    }
}

/// Sends the probes of size that are due.
pub(super) fn probe_paths(node: &mut Node) {
    for (process, probe) in node.paths.probes(node.me, &node.config, node.now) {
        node.probe_size(process, probe);
    }
}
