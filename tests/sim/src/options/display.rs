//! What a seed decided, for people.

use std::fmt;

use super::{MachineOptions, Options, Traffic};

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = &self.network;
        writeln!(
            f,
            "seed {}: {} nodes, {:?} multicast, sparse peers {}, loopback {}",
            self.seed, self.nodes, n.multicast, n.sparse_peers, n.loopback
        )?;
        writeln!(
            f,
            "  network: {} us + {} us, {}/1000 late by {} us, loss {} (then {}), duplicate {}, \
             reorder {}, corrupt {}, replay {} per 1000, {} bytes/ms, unreachable told {}, \
             liveness {}",
            n.delay_us,
            n.jitter_us,
            n.late.0,
            n.late.1,
            n.loss,
            n.residual_loss,
            n.duplicate,
            n.reorder,
            n.corrupt,
            n.replay,
            n.bytes_per_ms,
            n.unreachable,
            n.liveness
        )?;
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "{}", self.traffic)?;
        writeln!(
            f,
            "  protocol: mtu {} to {} (mixed {}, narrow {:?}), window {}, \
             messages up to {}, timers x{}",
            self.mtu,
            self.mtu_max,
            self.mixed_mtu,
            self.narrow,
            self.window,
            self.message_len_max,
            self.timer_scale
        )?;
        if self.contract.is_binding() {
            writeln!(f, "  {:?}", self.contract)?;
        }
        if let Some(mode) = self.seal.mode {
            writeln!(f, "  sealed: {}, keys every {} ms", mode.name(), self.seal.step_ms)?;
        }
        if !self.software.is_empty() {
            let versions = self.software.iter();
            let words: Vec<String> = versions
                .map(|s| format!("{}..{} features {:x}", s.wire.0, s.wire.1, s.features))
                .collect();
            writeln!(f, "  versions of daemons: {}", words.join(", "))?;
        }
        writeln!(
            f,
            "  faults: {:?} about every {} ms (restless {}), for {} ms; starts within {} ms",
            self.faults,
            self.fault_interval_ms,
            self.restless,
            self.fault_time_ms,
            self.start_within_ms
        )
    }
}

impl fmt::Display for MachineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  machines: write {} us, {} per 1000 fail, {} starts cut short, reserve {}, \
             first ring above {}, timers late by {} us, drift {} ppm, diskless {}, mailbox {}, \
             queue {:?}, backlog {} and {} in all, hold {} ms",
            self.persist_us,
            self.persist_failure,
            self.boots_cut,
            self.reserve,
            self.ring_floor,
            self.timer_late_us,
            self.drift_ppm,
            self.diskless,
            self.mailbox_len_max,
            self.queue,
            self.backlog_len_max,
            self.backlog_total_max,
            self.hold_max_ms
        )
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  traffic: {} sessions ({} per 1000 sleep, {} are outsiders, {} would miss \
             messages, {} let senders wait), {} groups, \
             every {} us up to {}, safe {}, unreliable {}, unicast {}, multi {}, same view {}, \
             priorities {}, \
             long {}, huge {}, churn {}, disconnect {} per 1000",
            self.sessions,
            self.sleepers,
            self.outsiders,
            self.gappers,
            self.throttlers,
            self.groups,
            self.interval_us,
            self.burst,
            self.safe,
            self.unreliable,
            self.unicast,
            self.multi,
            self.same_view,
            self.priorities,
            self.long,
            self.huge,
            self.churn,
            self.disconnect
        )
    }
}
