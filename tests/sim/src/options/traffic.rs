//! What the sessions do.

use std::time::Duration;

use anasazi_client::SlowPolicy;

use super::Options;
use crate::random::Random;

/// What sessions do.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Sessions of each node.
    pub sessions: usize,
    /// Groups in all.
    pub groups: usize,
    /// Mean time between two actions of a session, in microseconds; 0 is never.
    pub interval_us: u64,
    /// At most so many messages at once.
    pub burst: u64,
    /// Of a thousand messages, safe ones.
    pub safe: u32,
    /// Of a thousand messages, ones without order.
    pub unreliable: u32,
    /// Of a thousand messages, to one session.
    pub unicast: u32,
    /// Of a thousand messages, to all groups of the session at once.
    pub multi: u32,
    /// Of a thousand ordered messages to groups, to be delivered in the sender's view only.
    pub same_view: u32,
    /// Of a thousand messages, ones that go before or behind others of their session.
    pub priorities: u32,
    /// Of a thousand sessions, those that look at their rings only when they are woken.
    pub sleepers: u32,
    /// Of a thousand sessions, those that are in no group and only send to some.
    pub outsiders: u32,
    /// Of a thousand sessions, those that would rather miss messages than be cut off,
    pub gappers: u32,
    /// and those that let senders wait.
    pub throttlers: u32,
    /// Of a thousand messages, longer than a packet.
    pub long: u32,
    /// Of a thousand messages, as long as is allowed.
    pub huge: u32,
    /// Of a thousand actions, a join or a leave.
    pub churn: u32,
    /// Of a thousand actions, the end of the session.
    pub disconnect: u32,
    /// After the last message the cluster is at rest within this time, and that which what waits
    /// then takes: it may be more than the ring can carry.
    pub drain_limit: Duration,
}

impl Traffic {
    /// Mostly less than the ring can carry; sometimes more, so that sessions are held back.
    pub(super) fn new(random: &mut Random, options: &Options) -> Self {
        let zero_or = |random: &mut Random, high: u64| {
            if random.coin() { 0 } else { random.between(1, high) as u32 }
        };
        let (long, huge) = (zero_or(random, 200), zero_or(random, 3));
        let sessions = random.between(1, 3);
        let burst: u64 = random.pick(&[1, 4, 20]);
        let rate = random.pick(&[30, 300, 1_500]) / u64::from(options.timer_scale) + 5;
        let overload = random.permille(50);
        let mtu = options.mtu as u64;
        let mean_len = 100
            + u64::from(long) * 5 * mtu / 2_000
            + u64::from(huge) * options.message_len_max as u64 / 1_000;
        let most = if overload { u64::MAX } else { options.bytes_per_second() / 2 / mean_len };
        let messages_per_second = rate.min(most).max(1);
        let interval_us =
            1_000_000 * sessions * options.nodes as u64 * burst.div_ceil(2) / messages_per_second;
        let drain = 20 * u64::from(options.timer_scale.min(6));
        Self {
            sessions: sessions as usize,
            groups: random.between(1, 4) as usize,
            interval_us,
            burst,
            safe: random.pick(&[0, 100, 500, 1_000]),
            long,
            huge,
            churn: zero_or(random, 100),
            disconnect: zero_or(random, 20),
            drain_limit: Duration::from_secs(drain),
            priorities: 0,
            sleepers: 0,
            outsiders: 0,
            gappers: 0,
            throttlers: 0,
            unreliable: zero_or(random, 300),
            unicast: zero_or(random, 200),
            multi: zero_or(random, 300),
            same_view: zero_or(random, 300),
        }
    }

    /// What a session wants to happen when it does not read.
    pub(crate) fn draw_policy(&self, random: &mut Random) -> SlowPolicy {
        // Nothing is drawn where nobody wants anything: older seeds stay what they were.
        if self.gappers > 0 && random.permille(self.gappers) {
            return SlowPolicy::Gap;
        }
        if self.throttlers > 0 && random.permille(self.throttlers) {
            return SlowPolicy::Throttle;
        }
        SlowPolicy::Disconnect
    }

    /// Nobody speaks by itself; tests do.
    pub fn none() -> Self {
        Self {
            sessions: 0,
            groups: 1,
            interval_us: 0,
            burst: 1,
            safe: 0,
            priorities: 0,
            sleepers: 0,
            outsiders: 0,
            gappers: 0,
            throttlers: 0,
            unreliable: 0,
            unicast: 0,
            multi: 0,
            same_view: 0,
            long: 0,
            huge: 0,
            churn: 0,
            disconnect: 0,
            drain_limit: Duration::from_secs(10),
        }
    }
}
