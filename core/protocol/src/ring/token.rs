//! A visit of the token: answer requests, send, settle the lines, and hand it on.
//!
//! Why `min(previous, current)` of the aru that this member sent is a safe line: between two visits
//! every member saw the token and left with an aru at most its own, unless a later member raised
//! it; and who raises it had set it in the round before. So the minimum of the two values is at
//! most every member's own aru (Totem, 1995). A token that rested and is handed to another member
//! passes others over: but it rests only where all have left with aru and safe line at the last
//! ordinal, and who hands it on orders nothing then, so that what is sent next needs two further
//! visits of its sender, between which it visits all. That carries axioms SA1 and SA2: who passes
//! the token of a ring on that it has not installed yet does so before it takes in anything else.

use bytes::Bytes;

use super::pace::Pace;
use super::window::{Bounds, Flow, Rotation};
use super::{Contribution, Ring};
use crate::id::{MessageId, NodeId, content_hash};
use crate::limits;
use crate::node::Node;
use crate::planted::{self, planted};
use crate::trace::Trace;
use crate::wire::frame::Frame;
use crate::wire::{DATA_OVERHEAD_LEN, Reader, Request, Token};

/// Visits after which another holder is asked for what is still missing.
const VISITS_PER_HOLDER: u32 = 3;

/// Content for one packet.
pub(crate) struct Outgoing {
    pub(crate) content: Bytes,
    pub(crate) safe: bool,
    pub(crate) recovery: bool,
}

/// Where packets to send come from.
pub(crate) trait Source {
    fn next(&mut self, node: &mut Node) -> Option<Outgoing>;
    /// Packets waiting, about.
    fn backlog(&self, node: &Node) -> u32;
}

impl Ring {
    /// The first token of a ring, made by its representative.
    pub(crate) fn first_token(&mut self, node: &Node) -> Token {
        self.token_at = node.now;
        let window = Bounds::new(self.members.len(), node.window()).start();
        Token { ring: self.id, window, ..Token::default() }
    }

    /// Answers requests and sends what the window allows; the last of it stays to be sent behind
    /// the token (`send_behind`).
    pub(crate) fn send(&mut self, node: &mut Node, token: &mut Token, source: &mut dyn Source) {
        if !planted!("ordinal_from_own_count") {
            self.high = self.high.max(token.seq);
        }
        let pace = self.pace(node);
        let packet = node.ring_mtu as u64 * self.copies();
        self.outlet.rotation(pace, packet);
        let before = node.out.stats.packets_repeated;
        self.answer_requests(node, token);
        let repeated = (node.out.stats.packets_repeated - before) as u32;
        let mine = self.contribution;
        let flow = self.flow(node, token, source.backlog(node));
        let allowed = flow.allowed();
        // Repairing for others must not keep this member from sending anything at all.
        let allowed = allowed.saturating_sub(repeated).max(allowed.min(1));
        let sent = self.order_up_to(node, token.token_sequence + 1, allowed, source);
        let backlog = source.backlog(node);
        token.flow = flow.others.saturating_add(sent + repeated);
        token.backlog = token.backlog.saturating_sub(mine.backlog).saturating_add(backlog);
        token.repeats = token.repeats.saturating_sub(mine.repeated).saturating_add(repeated);
        self.contribution = Contribution { sent, repeated, backlog };
        if sent > 0 {
            let next = self.forecast.sent(self.me, self.high);
            token.keeper = Some(self.members[next].node);
        }
        if sent + repeated > 0 {
            token.idle_hops = 0;
        }
        if self.is_representative() {
            self.tune_window(node, token, pace);
        }
    }

    /// How long the rotation took that ends here.
    fn pace(&mut self, node: &Node) -> Pace {
        // A token that had something to do at every hop did not rest, and one that was not handed
        // to another member has been at all.
        let went_on = self.last_sent.as_ref().is_some_and(|t| t.idle_hops == 0 && !t.handed);
        let (took, loss) = (went_on.then_some(self.away), node.config.timers.token_loss);
        self.rotations.pace(node.now, took, loss)
    }

    fn tune_window(&mut self, node: &Node, token: &mut Token, pace: Pace) {
        let of = Rotation {
            sent: token.flow.saturating_sub(token.repeats),
            repeated: token.repeats,
            backlog: token.backlog,
            pace,
        };
        let bounds = Bounds::new(self.members.len(), node.window());
        token.window = self.tuner.rotation(bounds, of);
    }

    /// Packets that all members together may order in a rotation, as the last token said.
    pub(crate) fn window(&self, node: &Node) -> u32 {
        self.last_sent.as_ref().map_or_else(|| node.window(), |token| window_of(node, token))
    }

    fn flow(&self, node: &Node, token: &Token, backlog: u32) -> Flow {
        let mine = self.contribution;
        let others = token.backlog.saturating_sub(mine.backlog);
        Flow {
            window: window_of(node, token),
            others: token.flow.saturating_sub(mine.sent + mine.repeated),
            backlog,
            backlog_total: others.saturating_add(backlog),
            gap: self.high - self.safe_line,
        }
    }

    /// Orders at most `allowed` packets, as many as this member's link may carry; returns how many.
    fn order_up_to(
        &mut self,
        node: &mut Node,
        token_sequence: u64,
        allowed: u32,
        source: &mut dyn Source,
    ) -> u32 {
        let expected = allowed.min(source.backlog(node));
        let mut packets = Vec::with_capacity(expected as usize);
        while packets.len() < allowed as usize
            && (packets.is_empty() || self.outlet.is_open())
            && let Some(outgoing) = source.next(node)
        {
            let len = DATA_OVERHEAD_LEN + outgoing.content.len();
            self.outlet.sent(len as u64 * self.copies());
            packets.push(outgoing);
        }
        let sent = packets.len() as u32;
        let behind = if self.accelerated { self.acceleration.of(sent) } else { 0 };
        let first_behind = self.high + 1 + u64::from(sent - behind);
        for outgoing in packets {
            let post = self.high + 1 >= first_behind;
            self.order_and_trace(node, token_sequence, outgoing, post);
        }
        self.acceleration.visited(first_behind..self.high + 1);
        sent
    }

    /// Orders one packet, on a ring of one: everything is held by everybody at once. False if there
    /// is nothing. What is ordered must be delivered before the next one.
    pub(crate) fn send_alone(&mut self, node: &mut Node, source: &mut dyn Source) -> bool {
        let Some(outgoing) = source.next(node) else { return false };
        let ordinal = self.order_and_trace(node, 0, outgoing, false);
        (self.aru, self.safe_line) = (ordinal, ordinal);
        true
    }

    fn order_and_trace(
        &mut self,
        node: &mut Node,
        token_sequence: u64,
        outgoing: Outgoing,
        post: bool,
    ) -> u64 {
        let ordinal = self.order(node, token_sequence, outgoing, post);
        if node.out.is_tracing() {
            self.trace_order(node, ordinal);
        }
        ordinal
    }

    fn trace_order(&self, node: &mut Node, ordinal: u64) {
        let Some(held) = self.store.get(ordinal).filter(|held| !held.recovery) else { return };
        let (ring, origin, safe) = (self.id, node.me, held.safe);
        let hash = content_hash(&held.content);
        node.out.trace(|| Trace::Slot { ring, ordinal, hash, safe });
        let (mut r, mut number) = (Reader::new(&held.content), 0);
        while let Ok(frame) = Frame::decode(&mut r) {
            number += 1;
            if frame.is_last() {
                let message = MessageId { origin, counter: frame.counter };
                node.out.trace(|| Trace::Ordered { message, ring, ordinal, frame: number });
            }
        }
    }

    /// Repeats what this member holds of what is asked for; what everybody holds is nobody's
    /// request any more.
    fn answer_requests(&mut self, node: &mut Node, token: &mut Token) {
        let requests = core::mem::take(&mut token.requests);
        let (mut budget, mut first) = ((window_of(node, token) / 4).max(1), true);
        for mut asked in requests {
            if asked.skip > 0 && self.store.get(asked.first).is_some() {
                asked.skip -= 1;
                if token.requests.len() < limits::REQUEST_RANGES_MAX {
                    token.requests.push(asked);
                }
                continue;
            }
            for ordinal in asked.first..asked.first.saturating_add(u64::from(asked.count)) {
                if ordinal <= self.safe_line || planted!("request_ignored") {
                    continue;
                }
                self.acceleration.requested(ordinal);
                // One at least: else nobody would ever be helped.
                let may = budget > 0 && (first || self.outlet.is_open());
                if may && self.store.get(ordinal).is_some() {
                    (budget, first) = (budget - 1, false);
                    self.repeat(node, token.token_sequence + 1, ordinal, asked.by);
                } else {
                    request(token, Request { first: ordinal, ..asked });
                }
            }
        }
    }

    /// Sets the token's lines, adds this member's requests, and moves the safe line.
    pub(crate) fn settle(&mut self, node: &mut Node, token: &mut Token) {
        self.advance_aru();
        let received_seq = token.seq;
        // What was given out in the present round may still be on its way: its way is another than
        // the token's, and it may have been sent behind it.
        let round_ago = self.last_sent.as_ref().map_or(0, |t| t.seq);
        self.request_missing(node, token, round_ago);
        token.seq = self.high;
        let me: NodeId = node.me.node;
        let mine = token.aru_by == Some(me) && !planted!("aru_never_raised");
        let level = token.aru == received_seq || planted!("aru_raised_by_anybody");
        if token.aru > self.aru || mine || level {
            let too_much = planted!("aru_off_by_one") && self.aru < token.seq;
            token.aru = self.aru + u64::from(too_much);
            token.aru_by = Some(me);
        }
        if let Some(previous) = &self.last_sent {
            let previous = if planted!("safe_line_one_visit") { token.aru } else { previous.aru };
            let line = previous.min(token.aru);
            let holds_it = line <= self.aru || planted::any();
            assert!(holds_it, "a safe line above what this member holds");
            self.safe_line = self.safe_line.max(line);
        }
        self.watch_for_stall(node, token);
        self.settle_mtu(node, token);
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
    /// Asks for what is missing. If what was sent again did not arrive either, perhaps nothing
    /// arrives from its sender: then the next holder is asked.
    fn request_missing(&mut self, node: &mut Node, token: &mut Token, up_to: u64) {
        let lacks = self.aru < up_to;
        let same = lacks && self.lacking.0 == self.aru;
        self.lacking = (self.aru, if same { self.lacking.1.saturating_add(1) } else { 0 });
        let others = (self.members.len() as u32).max(2) - 1;
        let skip = (self.lacking.1 / VISITS_PER_HOLDER % others) as u8;
        for ordinal in self.aru + 1..=up_to {
            if !self.store.has(ordinal) {
                node.out.stats.repeats_requested += 1;
                let by = Some(node.me.node);
                request(token, Request { first: ordinal, count: 1, by, skip });
            }
        }
    }

    fn watch_for_stall(&mut self, node: &Node, token: &Token) {
        let stalled = token.aru_by.filter(|_| token.aru < token.seq);
        self.stall = match (stalled, self.stall) {
            // Who set it first may have caught up since; whoever sets it now has not.
            (Some(by), Some((aru, _, since))) if aru == token.aru => Some((aru, by, since)),
            (Some(by), _) => Some((token.aru, by, node.now)),
            (None, _) => None,
        };
    }

    /// Who holds everybody back, if anybody.
    pub(crate) fn held_back_by(&self) -> Option<NodeId> {
        self.stall.map(|(_, by, _)| by)
    }

    /// Who is about to be given up for that: if some member gathers now, it is because of this one.
    pub(crate) fn is_failing(&self, node: &Node) -> Option<NodeId> {
        let (_, by, since) = self.stall?;
        (node.now.since(since) >= node.config.timers.recovery * 3 / 4).then_some(by)
    }

    /// Who has held everybody back for too long: requests and repeats do not reach each other.
    pub(crate) fn failed_to_receive(&self, node: &Node) -> Option<NodeId> {
        let (_, by, since) = self.stall?;
        (node.now.since(since) >= node.config.timers.recovery).then_some(by)
    }
}

/// What a rotation may carry now. A representative that does not say leaves it at the bound.
fn window_of(node: &Node, token: &Token) -> u32 {
    if token.window == 0 { node.window() } else { token.window }
}

/// Adds an ordinal to the token's requests, if there is room. An ordinal that several members lack
/// is sent again to all.
fn request(token: &mut Token, wanted: Request) {
    let end = |r: &Request| r.first.saturating_add(u64::from(r.count));
    let listed = token.requests.iter_mut().find(|r| (r.first..end(r)).contains(&wanted.first));
    if let Some(listed) = listed {
        listed.by = listed.by.filter(|_| listed.by == wanted.by);
        listed.skip = listed.skip.min(wanted.skip);
        return;
    }
    let room = token.requests.len() < limits::REQUEST_RANGES_MAX;
    let alike = |r: &Request| (end(r), r.by, r.skip) == (wanted.first, wanted.by, wanted.skip);
    match token.requests.last_mut() {
        Some(last) if alike(last) && last.count < u16::MAX => last.count += 1,
        _ if room => token.requests.push(Request { count: 1, ..wanted }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_merge_into_ranges_and_stay_bounded() {
        let (mut token, by) = (Token::default(), Some(NodeId(3)));
        let one = |first, by| Request { first, count: 1, by, skip: 0 };
        for ordinal in [5, 6, 7, 6, 9] {
            request(&mut token, one(ordinal, by));
        }
        let range = |first, count, by| Request { first, count, by, skip: 0 };
        assert_eq!(token.requests, vec![range(5, 3, by), range(9, 1, by)]);
        request(&mut token, one(6, Some(NodeId(4))));
        request(&mut token, one(10, Some(NodeId(4))));
        let expected = [range(5, 3, None), range(9, 1, by), range(10, 1, Some(NodeId(4)))];
        assert_eq!(token.requests, expected);
        (0..1_000).for_each(|i| request(&mut token, one(100 + 2 * i, by)));
        assert_eq!(token.requests.len(), limits::REQUEST_RANGES_MAX);
    }
}
