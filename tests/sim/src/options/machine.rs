//! What the machines do.

use anasazi_protocol::limits;

use crate::random::Random;

const QUEUE_DEFAULT: (usize, usize) = (limits::SEND_QUEUE_MESSAGES_MAX, limits::SEND_QUEUE_LEN_MAX);

const BACKLOG_TOTAL_DEFAULT: usize = 1 << 30;

/// What a machine is like.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// Mean time of a durable write, in microseconds.
    pub persist_us: u64,
    /// Of a thousand writes, failing.
    pub persist_failure: u32,
    /// Of a thousand starts after a crash, cut short while they write who they are.
    pub boots_cut: u32,
    /// Ring numbers that a boot reserves.
    pub reserve: u64,
    /// Ring numbers begin above this one.
    pub ring_floor: u64,
    /// Timers are late by up to this, in microseconds.
    pub timer_late_us: u64,
    /// Clocks drift by up to this in either direction, in parts per million.
    pub drift_ppm: u64,
    /// Nodes have no disks at all.
    pub diskless: bool,
    /// Datagrams that wait for a paused process before the kernel drops more.
    pub mailbox_len_max: usize,
    /// Bytes that an engine keeps for a client that does not read.
    pub backlog_len_max: usize,
    /// Bytes that it keeps for all of them.
    pub backlog_total_max: usize,
    /// How long a client may let senders wait without reading, in milliseconds.
    pub hold_max_ms: u64,
    /// Mean time that a turn of a slow node's engine takes, in microseconds.
    pub turn_us: u64,
    /// Of a thousand starts, those of a slow node.
    pub slow_nodes: u32,
    /// Messages and bytes that wait for their place in the order, at most.
    pub queue: (usize, usize),
}

impl MachineOptions {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            persist_us: random.pick(&[50, 1_000, 20_000]),
            persist_failure: if random.permille(800) { 0 } else { 100 },
            boots_cut: 0,
            reserve: random.pick(&[0, 1, 3, limits::RING_SEQUENCE_RESERVE]),
            ring_floor: random.pick(&[0, 0, u64::from(u32::MAX) - 3]),
            timer_late_us: random.pick(&[0, 100, 2_000]),
            drift_ppm: random.pick(&[0, 0, 500]),
            diskless: random.permille(200),
            mailbox_len_max: random.pick(&[32, 500, 4_000]),
            backlog_len_max: 16 << 20,
            backlog_total_max: BACKLOG_TOTAL_DEFAULT,
            hold_max_ms: 30_000,
            turn_us: 0,
            slow_nodes: 0,
            queue: QUEUE_DEFAULT,
        }
    }

    /// Fast and exact.
    pub fn good() -> Self {
        Self {
            persist_us: 100,
            persist_failure: 0,
            boots_cut: 0,
            reserve: limits::RING_SEQUENCE_RESERVE,
            ring_floor: 0,
            timer_late_us: 0,
            drift_ppm: 0,
            diskless: false,
            mailbox_len_max: 4_000,
            backlog_len_max: 16 << 20,
            backlog_total_max: BACKLOG_TOTAL_DEFAULT,
            hold_max_ms: 30_000,
            turn_us: 0,
            slow_nodes: 0,
            queue: QUEUE_DEFAULT,
        }
    }
}
