//! A visit of the token: answer requests, send, settle the lines, and hand it on.
//!
//! Why `min(previous, current)` of the aru that this member sent is a safe line: between two visits
//! every member saw the token and left with an aru at most its own, unless a later member raised
//! it; and who raises it had set it in the round before. So the minimum of the two values is at
//! most every member's own aru (Totem, 1995).

use bytes::Bytes;

use super::Ring;
use super::window::Flow;
use crate::id::NodeId;
use crate::limits;
use crate::node::Node;
use crate::trace::Trace;
use crate::wire::Token;

/// Content for one packet.
pub(crate) struct Outgoing {
    pub(crate) content: Bytes,
    pub(crate) safe: bool,
    pub(crate) recovery: bool,
    /// Messages that end in this packet: counter, frame.
    pub(crate) completed: Vec<(u64, u32)>,
}

/// Where packets to send come from.
pub(crate) trait Source {
    fn next(&mut self, node: &mut Node) -> Option<Outgoing>;
    /// Packets waiting, about.
    fn backlog(&self, node: &Node) -> u32;
}

impl Ring {
    /// The first token of a ring, made by its representative.
    pub(crate) fn first_token(&mut self, now: crate::Instant) -> Token {
        self.token_at = now;
        Token { ring: self.id, ..Token::default() }
    }

    /// Answers requests and sends what the window allows.
    pub(crate) fn send(&mut self, node: &mut Node, token: &mut Token, source: &mut dyn Source) {
        let before = (self.high.max(token.seq), node.out.stats.packets_repeated);
        self.high = before.0;
        self.answer_requests(node, token);
        let repeated = (node.out.stats.packets_repeated - before.1) as u32;
        let backlog = source.backlog(node);
        let flow = Flow {
            window: node.ring_window,
            others: token.flow.saturating_sub(self.contribution.0),
            backlog,
            backlog_total: token
                .backlog
                .saturating_sub(self.contribution.1)
                .saturating_add(backlog),
            gap: self.high - self.safe_line,
        };
        // Repairing for others must not keep this member from sending anything at all.
        let allowed = flow.allowed();
        let allowed = allowed.saturating_sub(repeated).max(allowed.min(1));
        let mut sent = 0;
        while sent < allowed
            && let Some(outgoing) = source.next(node)
        {
            self.order_and_trace(node, token.token_sequence + 1, &outgoing);
            sent += 1;
        }
        let backlog = source.backlog(node);
        token.flow = flow.others.saturating_add(sent + repeated);
        token.backlog = token.backlog.saturating_sub(self.contribution.1).saturating_add(backlog);
        self.contribution = (sent + repeated, backlog);
        if sent + repeated > 0 {
            token.idle_hops = 0;
        }
    }

    /// Orders one packet, on a ring of one: everything is held by everybody at once. False if there
    /// is nothing. What is ordered must be delivered before the next one.
    pub(crate) fn send_alone(&mut self, node: &mut Node, source: &mut dyn Source) -> bool {
        let Some(outgoing) = source.next(node) else { return false };
        let ordinal = self.order_and_trace(node, 0, &outgoing);
        (self.aru, self.safe_line) = (ordinal, ordinal);
        true
    }

    fn order_and_trace(
        &mut self,
        node: &mut Node,
        token_sequence: u64,
        outgoing: &Outgoing,
    ) -> u64 {
        let ordinal = self.order(node, token_sequence, outgoing);
        let (ring, origin) = (self.id, node.me);
        if !outgoing.recovery {
            node.out.trace(|| Trace::Slot {
                ring,
                ordinal,
                hash: crate::id::hash64(&outgoing.content),
                safe: outgoing.safe,
            });
        }
        for (counter, frame) in &outgoing.completed {
            node.out.trace(|| Trace::Ordered {
                message: crate::id::MessageId { origin, counter: *counter },
                ring,
                ordinal,
                frame: *frame,
            });
        }
        ordinal
    }

    /// Repeats what this member holds of what is asked for; what everybody holds is nobody's
    /// request any more.
    fn answer_requests(&mut self, node: &mut Node, token: &mut Token) {
        let requests = core::mem::take(&mut token.requests);
        let mut budget = (node.ring_window / 4).max(1);
        for (first, count) in requests {
            for ordinal in first..first.saturating_add(u64::from(count)) {
                if ordinal <= self.safe_line {
                    continue;
                }
                match self.store.get(ordinal) {
                    Some(held) if budget > 0 => {
                        budget -= 1;
                        self.repeat(node, token.token_sequence + 1, ordinal, held);
                    }
                    _ => request(token, ordinal),
                }
            }
        }
    }

    /// Sets the token's lines, adds this member's requests, and moves the safe line.
    pub(crate) fn settle(&mut self, node: &mut Node, token: &mut Token) {
        self.advance_aru();
        let received_seq = token.seq;
        for ordinal in self.aru + 1..=received_seq {
            if !self.store.has(ordinal) {
                node.out.stats.repeats_requested += 1;
                request(token, ordinal);
            }
        }
        token.seq = self.high;
        let me: NodeId = node.me.node;
        if token.aru > self.aru || token.aru_by == Some(me) || token.aru == received_seq {
            token.aru = self.aru;
            token.aru_by = Some(me);
        }
        if let Some(previous) = &self.last_sent {
            let line = previous.aru.min(token.aru);
            debug_assert!(line <= self.aru, "a safe line above what this member holds");
            self.safe_line = self.safe_line.max(line);
        }
        self.watch_for_stall(node, token);
        let at_rest = token.aru == token.seq
            && self.safe_line == token.seq
            && self.delivered == token.seq
            && token.requests.is_empty()
            && token.backlog == 0;
        token.idle_hops = if at_rest { token.idle_hops.saturating_add(1) } else { 0 };
    }
}

/// A member that does not receive what everybody else holds.
impl Ring {
    fn watch_for_stall(&mut self, node: &Node, token: &Token) {
        let stalled = token.aru_by.filter(|_| token.aru < token.seq);
        self.stall = match (stalled, self.stall) {
            (Some(_), Some(stall)) if stall.0 == token.aru => Some(stall),
            (Some(by), _) => Some((token.aru, by, node.now)),
            (None, _) => None,
        };
    }

    /// Who holds everybody back, if anybody.
    pub(crate) fn held_back_by(&self) -> Option<NodeId> {
        self.stall.map(|(_, by, _)| by)
    }

    /// Who has held everybody back for too long: requests and repeats do not reach each other.
    pub(crate) fn failed_to_receive(&self, node: &Node) -> Option<NodeId> {
        let (_, by, since) = self.stall?;
        (node.now.since(since) >= node.config.timers.recovery).then_some(by)
    }
}

/// Adds an ordinal to the token's requests, if it is not there and there is room.
fn request(token: &mut Token, ordinal: u64) {
    let listed = |(first, count): &(u64, u16)| {
        (*first..first.saturating_add(u64::from(*count))).contains(&ordinal)
    };
    if token.requests.iter().any(listed) {
        return;
    }
    let room = token.requests.len() < limits::REQUEST_RANGES_MAX;
    match token.requests.last_mut() {
        Some((first, count)) if *first + u64::from(*count) == ordinal && *count < u16::MAX => {
            *count += 1;
        }
        _ if room => token.requests.push((ordinal, 1)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_merge_into_ranges_and_stay_bounded() {
        let mut token = Token::default();
        for ordinal in [5, 6, 7, 6, 9] {
            request(&mut token, ordinal);
        }
        assert_eq!(token.requests, vec![(5, 3), (9, 1)]);
        (0..1_000).for_each(|i| request(&mut token, 100 + 2 * i));
        assert_eq!(token.requests.len(), limits::REQUEST_RANGES_MAX);
    }
}
