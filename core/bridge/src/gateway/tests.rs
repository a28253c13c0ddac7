//! Gateways by hand: the source's order goes into each, and what one sends comes to all in the
//! order of the target.

use super::*;
use crate::key::tests::{key, place};
use crate::receiver::{Receiver, Verdict};

const SECOND: u64 = 1_000_000_000;

fn options() -> Options {
    Options {
        bridge: 7,
        domains: (100, 200),
        prefix: Bytes::new(),
        safe_only: false,
        latest_key_len: 0,
        messages_per_s: 0,
        bytes_per_s: 0,
        queue_messages_max: 1_000,
        queue_len_max: 1 << 20,
        hops_max: 4,
    }
}

/// A node of the target, which may be a gateway.
struct Node {
    gateway: Gateway,
    receiver: Receiver,
    /// What its members get; a gap is `None`.
    got: Vec<Option<String>>,
}

impl Node {
    fn new(options: Options) -> Self {
        let gateway = Gateway::new(options);
        Self { gateway, receiver: Receiver::default(), got: Vec::new() }
    }

    fn active(options: Options) -> Self {
        let mut node = Self::new(options);
        node.gateway.set_active(true);
        node
    }

    fn source(&mut self, ordinal: u64, text: &str) {
        self.source_of(ordinal, text, &[], false);
    }

    fn source_of(&mut self, ordinal: u64, text: &str, visited: &[u64], gap: bool) {
        self.source_at(place(1, ordinal), text, visited, gap);
    }

    fn source_at(&mut self, place: Place, text: &str, visited: &[u64], gap: bool) {
        self.source_as(Service::Agreed, place, text, visited, gap);
    }

    fn source_as(
        &mut self,
        service: Service,
        place: Place,
        text: &str,
        visited: &[u64],
        gap: bool,
    ) {
        let pieces = [Bytes::copy_from_slice(text.as_bytes())];
        let message = Source { place, service, pieces: &pieces, visited, gap };
        self.gateway.source_message(&message);
    }

    fn take(&mut self, forward: &Forward, own: bool) {
        let mut payload = forward.payload.clone();
        let header = Header::split(&mut payload).expect("it has a header");
        if let Verdict::New { gap } = self.receiver.take(&header) {
            self.got.extend(gap.then_some(None));
            self.got.push(Some(String::from_utf8(payload.to_vec()).expect("text")));
        }
        self.gateway.reached(self.receiver.mark(), own);
    }

    fn got(&self) -> String {
        let show = |got: &Option<String>| got.clone().unwrap_or_else(|| "-".to_owned());
        self.got.iter().map(show).collect::<Vec<_>>().join(" ")
    }
}

/// The first one sends, until it has nothing to be sent now; all get it.
fn run(nodes: &mut [&mut Node], at: u64) -> usize {
    let mut count = 0;
    while let Some(forward) = nodes[0].gateway.next(Instant(at)) {
        count += 1;
        (nodes.iter_mut().enumerate()).for_each(|(index, node)| node.take(&forward, index == 0));
    }
    count
}

#[test]
fn what_is_sent_arrives_once_in_order_and_the_standby_lets_go_of_it() {
    let (mut one, mut two) = (Node::active(options()), Node::new(options()));
    for position in 1..=3 {
        one.source(position, &position.to_string());
        two.source(position, &position.to_string());
    }
    assert_eq!(run(&mut [&mut one, &mut two], SECOND), 3);
    // What was before the first one nobody knows.
    assert_eq!((one.got(), two.got()), ("- 1 2 3".to_owned(), "- 1 2 3".to_owned()));
    assert_eq!((one.gateway.waiting(), two.gateway.waiting()), ((0, 0), (0, 0)));
}

#[test]
fn a_standby_goes_on_where_the_active_one_ended() {
    let (mut one, mut two) = (Node::active(options()), Node::new(options()));
    for position in 1..=6 {
        one.source(position, &position.to_string());
        two.source(position, &position.to_string());
    }
    for _ in 0..3 {
        let forward = one.gateway.next(Instant(SECOND)).expect("it has more");
        one.take(&forward, true);
        two.take(&forward, false);
    }
    // The fourth is on its way when the first gateway ends; it comes after what the second sends.
    let late = one.gateway.next(Instant(SECOND)).expect("it has more");
    two.gateway.set_active(true);
    assert_eq!(run(&mut [&mut two], SECOND), 3);
    two.take(&late, false);
    assert_eq!(two.got(), "- 1 2 3 4 5 6");
}

#[test]
fn what_a_standby_has_not_seen_yet_and_was_forwarded_is_not_sent_again() {
    let (mut one, mut two) = (Node::active(options()), Node::new(options()));
    (1..=4).for_each(|position| one.source(position, &position.to_string()));
    run(&mut [&mut one, &mut two], SECOND);
    (1..=6).for_each(|position| two.source(position, &position.to_string()));
    assert_eq!(two.gateway.waiting().0, 2, "nor kept");
    two.gateway.set_active(true);
    run(&mut [&mut two], SECOND);
    assert_eq!(two.got(), "- 1 2 3 4 5 6");
}

#[test]
fn who_takes_over_without_having_seen_what_was_forwarded_marks_a_gap() {
    let (mut one, mut two) = (Node::active(options()), Node::new(options()));
    one.source(1, "1");
    run(&mut [&mut one, &mut two], SECOND);
    // Two parts of the source: each has an order of its own, until they merge.
    one.source_at(place(2, 1), "a", &[], false);
    two.source_at(place(3, 1), "b", &[], false);
    run(&mut [&mut one, &mut two], SECOND);
    two.source_at(place(4, 1), "c", &[], false);
    two.gateway.set_active(true);
    run(&mut [&mut two], SECOND);
    assert_eq!(two.got(), "- 1 a - b c", "b was never seen by who sent a; c connects with b");
}

#[test]
fn what_one_part_of_a_divided_source_got_and_the_other_did_not_is_no_repetition() {
    let (mut one, mut two) = (Node::active(options()), Node::new(options()));
    for node in [&mut one, &mut two] {
        node.source(1, "1");
    }
    // One got 2 while all were together, and the other got it, but not 3, when they were not.
    one.source(2, "2");
    one.source(3, "3");
    for (ordinal, text) in [(2, "2"), (4, "4"), (5, "5")] {
        two.source(ordinal, text);
    }
    run(&mut [&mut one, &mut two], SECOND);
    two.gateway.set_active(true);
    run(&mut [&mut two], SECOND);
    assert_eq!(two.got(), "- 1 2 3 - 4 5");
}

#[test]
fn members_apart_get_nothing_twice_and_see_what_they_missed() {
    let (mut one, mut two) = (Node::active(options()), Node::active(options()));
    for position in 1..=5 {
        one.source(position, &position.to_string());
        two.source(position, &position.to_string());
    }
    // The target is divided: each part has a gateway of its own.
    let first = one.gateway.next(Instant(SECOND)).expect("it has more");
    one.take(&first, true);
    run(&mut [&mut two], SECOND);
    // Whole again; the first one goes on.
    two.gateway.set_active(false);
    run(&mut [&mut one, &mut two], SECOND);
    two.source(6, "6");
    one.source(6, "6");
    run(&mut [&mut one, &mut two], SECOND);
    assert_eq!((one.got(), two.got()), ("- 1 2 3 4 5 6".to_owned(), "- 1 2 3 4 5 6".to_owned()));
}

#[test]
fn a_full_queue_drops_the_oldest_and_says_so() {
    let mut one = Node::new(Options { queue_messages_max: 2, ..options() });
    one.source(1, "1");
    one.gateway.set_active(true);
    run(&mut [&mut one], SECOND);
    one.gateway.set_active(false);
    (2..=6).for_each(|position| one.source(position, &position.to_string()));
    one.gateway.set_active(true);
    run(&mut [&mut one], SECOND);
    assert_eq!(one.got(), "- 1 - 5 6");
    assert_eq!(one.gateway.counters().dropped, 3);
    // Whom another gateway has sent what was dropped here misses nothing.
    let mut one = Node::active(options());
    let mut two = Node::new(Options { queue_messages_max: 1, ..options() });
    for ordinal in 1..=3 {
        one.source(ordinal, &ordinal.to_string());
        two.source(ordinal, &ordinal.to_string());
    }
    let first = [(); 2].map(|()| one.gateway.next(Instant(SECOND)).expect("it has more"));
    first.iter().for_each(|forward| one.take(forward, true));
    one.gateway.set_active(false);
    two.gateway.set_active(true);
    run(&mut [&mut two, &mut one], SECOND);
    assert_eq!((one.got(), two.got()), ("- 1 2 3".to_owned(), "3".to_owned()));
    let mut short = Node::active(Options { queue_len_max: 4, ..options() });
    for (ordinal, text) in (1..).zip(["1", "too long", "3"]) {
        short.source(ordinal, text);
        run(&mut [&mut short], SECOND);
    }
    assert_eq!(short.got(), "- 1 - 3");
    // What is on its way is not lost by that.
    let mut one = Node::active(Options { queue_messages_max: 1, ..options() });
    one.source(1, "1");
    assert!(one.gateway.next(Instant(SECOND)).is_some());
    one.source(2, "2");
    assert_eq!(one.gateway.counters().dropped, 0);
}

#[test]
fn the_latest_of_each_subject_is_enough() {
    let mut one = Node::active(Options { latest_key_len: 1, messages_per_s: 10, ..options() });
    for (position, text) in (1..).zip(["a1", "b1", "a2", "c1", "a3", "b2"]) {
        one.source(position, text);
        run(&mut [&mut one], SECOND);
    }
    assert!(one.gateway.deadline() > Some(Instant(SECOND)), "it waits for its rate");
    (1..=10).for_each(|tenths| _ = run(&mut [&mut one], SECOND + tenths * SECOND / 10));
    assert_eq!(one.got(), "- a1 c1 a3 b2", "and nothing is marked as missing");
    assert_eq!(one.gateway.counters().replaced, 2);
}

#[test]
fn what_does_not_begin_as_it_should_is_left_out() {
    let mut one = Node::active(Options { prefix: Bytes::from_static(b"EUR"), ..options() });
    for (position, text) in (1..).zip(["EUR1", "USD1", "EU", "EUR2"]) {
        one.source(position, text);
    }
    run(&mut [&mut one], SECOND);
    assert_eq!(one.got(), "- EUR1 EUR2");
    assert_eq!(one.gateway.counters().filtered, 2);
    let pieces = [Bytes::from_static(b"E"), Bytes::new(), Bytes::from_static(b"URx")];
    assert!(begins_with(&pieces, b"EUR") && !begins_with(&pieces, b"EURxx"));
}

#[test]
fn where_only_safe_messages_are_forwarded_others_are_left_out_and_not_marked() {
    let mut one = Node::active(Options { safe_only: true, ..options() });
    for (ordinal, text) in (1..).zip(["safe1", "agreed", "safe2"]) {
        let is_safe = text.starts_with("safe");
        let service = if is_safe { Service::Safe } else { Service::Agreed };
        one.source_as(service, place(1, ordinal), text, &[], false);
    }
    run(&mut [&mut one], SECOND);
    assert_eq!(one.got(), "- safe1 safe2");
    assert_eq!(one.gateway.counters().filtered, 1);
}

#[test]
fn what_came_from_the_target_or_too_far_does_not_go_on() {
    let mut one = Node::active(options());
    one.source_of(1, "back", &[200], false);
    one.source_of(2, "far", &[1, 2, 3, 4], false);
    one.source_of(3, "on", &[1, 2, 3], false);
    run(&mut [&mut one], SECOND);
    assert_eq!(one.got(), "- on");
    assert_eq!(one.gateway.counters().looped, 2);
}

#[test]
fn a_gap_in_the_source_goes_on() {
    let mut one = Node::active(options());
    one.source_of(1, "1", &[], false);
    one.source_of(2, "2", &[5], true);
    one.source_of(3, "back", &[200, 5], true);
    one.source_of(4, "4", &[], false);
    // All that came from the target is left out, so it is not missing.
    one.source_of(5, "back", &[200], true);
    one.source_of(6, "6", &[], false);
    run(&mut [&mut one], SECOND);
    assert_eq!(one.got(), "- 1 - 2 - 4 6");
}

#[test]
fn only_so_much_is_on_its_way() {
    let mut one = Node::active(options());
    (1..=200).for_each(|position| one.source(position, "x"));
    let sent: Vec<_> = std::iter::from_fn(|| one.gateway.next(Instant(SECOND))).collect();
    assert_eq!(sent.len(), IN_FLIGHT_MAX);
    one.take(&sent[0], true);
    assert!(one.gateway.next(Instant(SECOND)).is_some());
    assert!(one.gateway.next(Instant(SECOND)).is_none());
}

#[test]
fn who_is_new_to_the_source_begins_there() {
    let mut one = Node::active(options());
    one.source(1, "1");
    run(&mut [&mut one], SECOND);
    one.source(2, "2");
    one.gateway.source_end();
    one.source(9, "again");
    run(&mut [&mut one], SECOND);
    assert_eq!(one.got(), "- 1 - again");
    assert_eq!(one.receiver.mark(), Some(key(1, 9)));
}

/// Others may have sent meanwhile, and what this one had on its way may be lost.
#[test]
fn who_is_active_again_sends_what_nobody_has_seen_come() {
    let mut one = Node::active(options());
    (1..=3).for_each(|ordinal| one.source(ordinal, &ordinal.to_string()));
    while one.gateway.next(Instant(SECOND)).is_some() {}
    one.gateway.set_active(false);
    one.gateway.set_active(true);
    run(&mut [&mut one], SECOND);
    assert_eq!(one.got(), "- 1 2 3");
}

#[test]
fn only_what_it_sent_itself_gives_a_gateway_room() {
    let mut one = Node::active(options());
    (1..=200).for_each(|ordinal| one.source(ordinal, "x"));
    while one.gateway.next(Instant(SECOND)).is_some() {}
    one.gateway.reached(Some(key(1, 1)), false);
    assert!(one.gateway.next(Instant(SECOND)).is_none());
    one.gateway.reached(Some(key(1, 1)), true);
    assert!(one.gateway.next(Instant(SECOND)).is_some());
}

#[test]
fn so_many_bytes_are_on_their_way_and_no_more() {
    let mut one = Node::active(Options { queue_len_max: usize::MAX, ..options() });
    let half = "x".repeat(IN_FLIGHT_LEN_MAX / 2);
    (1..=3).for_each(|ordinal| one.source(ordinal, &half));
    let sent: Vec<_> = std::iter::from_fn(|| one.gateway.next(Instant(SECOND))).collect();
    assert_eq!(sent.len(), 2);
    one.take(&sent[0], true);
    assert!(one.gateway.next(Instant(SECOND)).is_some());
}

#[test]
fn bytes_are_paid_for_as_messages_are() {
    let mut one = Node::active(Options { bytes_per_s: 1_000, ..options() });
    (1..=2).for_each(|ordinal| one.source(ordinal, &"x".repeat(1_000)));
    assert_eq!(run(&mut [&mut one], SECOND), 1);
    let next_at = one.gateway.deadline().expect("one waits");
    assert!(next_at > Instant(SECOND + SECOND / 2), "{next_at:?}");
    assert_eq!(run(&mut [&mut one], next_at.0), 1);
}

/// Who comes back to the target is new there: it knows neither what its members have got nor what
/// became of what it sent.
#[test]
fn nothing_of_the_target_is_left_of_a_gateway_that_leaves_it() {
    let mut one = Node::active(options());
    one.source(1, "1");
    run(&mut [&mut one], SECOND);
    (2..=200).for_each(|ordinal| one.source(ordinal, "x"));
    while one.gateway.next(Instant(SECOND)).is_some() {}
    assert!(!one.gateway.is_new());
    one.gateway.target_end();
    assert!(one.gateway.is_new() && !one.gateway.is_active());
    one.gateway.set_active(true);
    assert!(one.gateway.next(Instant(SECOND)).is_some(), "nothing of it is on its way");
}
