//! Traps: what a node orders reaches nobody, the node dies, and when the others' repair has come to
//! a certain step, the next blow falls. Recovery has rules that only matter then: what is done with
//! what was ordered behind a hole, if one of the others has installed and the rest has not; or with
//! a lost packet, if it arrives after all when everybody has already said what he holds.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::cluster::{Cluster, Happening, Passing, kind_name};
use crate::faults::Undo;

const MS: u64 = 1_000_000;
/// Datagrams that are held back, at most; those after them are lost.
const HELD_MAX: usize = 1_000;

/// Set by a fault; waits for the repair.
#[derive(Debug)]
pub(crate) struct Trap {
    /// What this node orders reaches nobody until it dies.
    victim: usize,
    died: bool,
    /// What was held back of it: receiver, multicast, datagram.
    held: Vec<(usize, bool, Bytes)>,
    /// The trap springs when so many others have come into that state.
    state: &'static str,
    others: u64,
    blow: Blow,
}

#[derive(Clone, Copy, Debug)]
enum Blow {
    /// The one that sprang the trap is cut off.
    CutOff,
    /// It crashes.
    Crash,
    /// All fall apart.
    Partition,
    /// What was held back arrives, at some.
    Late,
}

impl Cluster {
    /// Holds back what a node orders, until it is killed; and sets the trap.
    pub(crate) fn set_trap(&mut self, time: u64) {
        let Some(victim) = self.random_live() else { return };
        let (blow, state) = self.random.pick(&[
            (Blow::CutOff, "operational"),
            (Blow::CutOff, "operational"),
            (Blow::CutOff, "recovery"),
            (Blow::Crash, "operational"),
            (Blow::Partition, "operational"),
            (Blow::Partition, "recovery"),
            (Blow::Late, "commit"),
            (Blow::Late, "commit"),
            (Blow::Late, "recovery"),
        ]);
        let others = self.random.pick(&[1, 1, 2, 3]);
        let lone = self.random.between(5, 60) * MS * u64::from(self.options.timer_scale);
        let (ms, back) = (lone / MS, time / MS);
        let what = format!("orders what nobody gets for {ms} ms, then dies for {back} ms");
        self.tell(Some(victim), &format!("{what}; TRAP: {blow:?} when {others} in {state}"));
        let held = Vec::new();
        self.trap = Some(Trap { victim, died: false, held, state, others, blow });
        let epoch = self.epoch;
        self.plan_in(lone, Happening::Trapped { epoch, victim, time });
    }

    /// The victim dies.
    pub(crate) fn end_victim(&mut self, victim: usize, time: u64) {
        if let Some(trap) = self.trap.as_mut().filter(|t| t.victim == victim) {
            trap.died = true;
            self.crash(victim);
            self.plan_undo(time.max(2 * MS), Undo::Boot(victim));
        }
    }

    /// The trap keeps it.
    pub(crate) fn is_held_back(&mut self, passing: &Passing<'_>) -> bool {
        let Some(trap) = &mut self.trap else { return false };
        let holds = trap.victim == passing.from && !trap.died && passing.to != passing.from;
        if !holds || kind_name(passing.bytes) != "data" {
            return false;
        }
        if trap.held.len() < HELD_MAX {
            trap.held.push((passing.to, passing.multicast, passing.bytes.clone()));
        }
        true
    }

    /// A node has come into a state: it may be the moment.
    pub(crate) fn step_on_trap(&mut self, node: usize, state: &str) {
        let Some(trap) = &mut self.trap else { return };
        if !trap.died || trap.victim == node || trap.state != state {
            return;
        }
        // It is sprung once; others may come into the state until then.
        let Some(others) = trap.others.checked_sub(1) else { return };
        trap.others = others;
        if others > 0 {
            return;
        }
        let reach = self.options.network.delay_us * 1_000 * self.random.pick(&[0, 0, 1, 4]);
        let (time, epoch) = (self.random.below(reach + 1), self.epoch);
        self.plan_in(time, Happening::Sprung { epoch, node });
    }

    /// The blow.
    pub(crate) fn spring(&mut self, node: usize) {
        let Some(trap) = self.trap.take() else { return };
        let last = self.options.timers().token_loss.as_nanos() as u64;
        let most = self.random.pick(&[last / 4, last * 2, last * 6]);
        let time = self.random.between(MS, most);
        self.counts.faults += 1;
        self.tell(Some(node), &format!("SPRINGS THE TRAP: {:?}", trap.blow));
        match trap.blow {
            Blow::CutOff => self.cut_off(node, time),
            Blow::Crash => {
                self.crash(node);
                self.plan_undo(time, Undo::Boot(node));
            }
            Blow::Partition => self.random_partition(time),
            Blow::Late => self.let_go(&trap),
        }
    }

    /// Some get what was held back.
    fn let_go(&mut self, trap: &Trap) {
        let from: SocketAddr = self.nodes[trap.victim].address;
        let gets: Vec<bool> = (0..self.nodes.len()).map(|_| self.random.coin()).collect();
        let most = 2 * self.options.network.delay_us * 1_000;
        for (to, multicast, bytes) in trap.held.iter().filter(|(to, ..)| gets[*to]) {
            let (to, multicast, bytes) = (*to, *multicast, bytes.clone());
            let time = self.random.below(most);
            self.plan_in(time, Happening::Arrive { to, from, multicast, bytes });
        }
    }
}
