//! `name=value`: what the machines, the network and the protocol are like.

use std::time::Duration;

use anasazi_protocol::CoreConfig;

use crate::network::Lasting;
use crate::options::{Multicast, Options};

use super::words::{number, time};

const NAMES: &str = "\
    seed, multicast=on|off|silent|partial, sparse, loopback, unreachable, cuts-lose, delay, \
    jitter, late, late-by, loss, residual-loss, duplicate, reorder, corrupt, replay, rate, \
    persist, persist-failure, boots-cut, reserve, floor, timer-late, drift, turn, slow-nodes, \
    backlog, diskless, mailbox, timers, mtu, mtu-max, mixed-mtu, window, message, bad-links";

/// A setting of the cluster, checked.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    name: String,
    value: String,
}

impl Setting {
    /// Takes `name=value` or `name` apart .
    pub(crate) fn parse(word: &str) -> Self {
        let (name, value) = word.split_once('=').unwrap_or((word, "yes"));
        Self { name: name.to_owned(), value: value.to_owned() }
    }

    pub(crate) fn apply(&self, options: &mut Options) -> Result<(), String> {
        let value = &self.value;
        let count = || number(value).ok_or_else(|| format!("`{value}` is no number"));
        let us = || time(value).map(|ns| ns / 1_000);
        let (network, machine) = (&mut options.network, &mut options.machine);
        match &self.name[..] {
            "seed" => options.seed = count()?,
            "multicast" => {
                network.multicast = match &value[..] {
                    "on" => Multicast::On,
                    "off" => Multicast::Off,
                    "silent" => Multicast::Silent,
                    "partial" => Multicast::Partial,
                    _ => return Err(format!("`{value}`: on, off, silent or partial")),
                }
            }
            "sparse" => network.sparse_peers = true,
            "loopback" => network.loopback = true,
            "unreachable" => network.unreachable = true,
            "cuts-lose" => network.cuts_lose = true,
            "delay" => network.delay_us = us()?,
            "jitter" => network.jitter_us = us()?,
            "late" => network.late.0 = count()? as u32,
            "late-by" => network.late.1 = us()?,
            "loss" => network.loss = count()? as u32,
            "residual-loss" => network.residual_loss = count()? as u32,
            "duplicate" => network.duplicate = count()? as u32,
            "reorder" => network.reorder = count()? as u32,
            "corrupt" => network.corrupt = count()? as u32,
            "replay" => network.replay = count()? as u32,
            "rate" => network.bytes_per_ms = count()?,
            "persist" => machine.persist_us = us()?,
            "persist-failure" => machine.persist_failure = count()? as u32,
            "boots-cut" => machine.boots_cut = count()? as u32,
            "reserve" => machine.reserve = count()?,
            "floor" => machine.ring_floor = count()?,
            "timer-late" => machine.timer_late_us = us()?,
            "drift" => machine.drift_ppm = count()?,
            "turn" => machine.turn_us = us()?,
            "slow-nodes" => machine.slow_nodes = count()? as u32,
            "backlog" => machine.backlog_len_max = count()? as usize,
            "bad-links" => options.lasting = Lasting::Links,
            "diskless" => machine.diskless = true,
            "mailbox" => machine.mailbox_len_max = count()? as usize,
            "timers" => options.timer_scale = count()?.max(1) as u32,
            "mtu" => options.mtu = count()? as usize,
            "mtu-max" => options.mtu_max = count()? as usize,
            "mixed-mtu" => options.mixed_mtu = true,
            "window" => options.window = count()? as u32,
            "message" => options.message_len_max = count()? as usize,
            name => return Err(format!("`{name}` is no setting; they are {NAMES}")),
        }
        Ok(())
    }

    /// For one node alone.
    pub(crate) fn configure(&self, config: &mut CoreConfig) -> Result<(), String> {
        let value = &self.value;
        let count = || number(value).ok_or_else(|| format!("`{value}` is no number"));
        let duration = || time(value).map(Duration::from_nanos);
        match &self.name[..] {
            "cluster" => config.cluster = count()?,
            "wire" => config.wire = versions(value)?,
            "features" => config.features = count()? as u32,
            "mtu" => config.mtu = count()? as usize,
            "mtu-max" => config.mtu_max = count()? as usize,
            "window" => config.window = count()? as u32,
            "token-loss" => config.timers.token_loss = duration()?,
            "consensus" => config.timers.consensus = duration()?,
            name => {
                return Err(format!(
                    "`{name}` is no setting of one node; they are cluster, wire, features, \
                     mtu, mtu-max, window, token-loss, consensus"
                ));
            }
        }
        Ok(())
    }
}

/// `1..3`, or one version.
fn versions(value: &str) -> Result<(u8, u8), String> {
    let (min, max) = value.split_once("..").unwrap_or((value, value));
    match (min.parse(), max.parse()) {
        (Ok(min), Ok(max)) if min <= max => Ok((min, max)),
        _ => Err(format!("`{value}` are no wire versions; they are 1..3, or 2")),
    }
}
