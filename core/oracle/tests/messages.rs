//! Each rule about single messages and the order has a log that breaks it, and only it.

mod log;

use anasazi_oracle::{Axiom, Entry};
use anasazi_protocol::Service;
use anasazi_protocol::trace::Trace;
use log::*;

/// Two processes exchange agreed and safe messages; one crashes, the other goes on alone.
fn correct() -> Log {
    let mut log = Log::together(2);
    let (a, b, c, d) = (agreed(1, 1, 5), safe(2, 1, 6), agreed(1, 2, 7), agreed(2, 2, 8));
    log.send(a).send(b).send(c).accept(d).slot(d);
    log.deliver(1, a).deliver(2, a).deliver(2, b).deliver(1, b).deliver(1, c);
    log.add(process(2), Entry::Crash);
    log.moves(1, (2, 3), &[1]);
    let e = At { ring: 3, ..agreed(1, 3, 9) };
    log.send(e).deliver(1, e);
    log
}

#[test]
fn a_correct_log_passes() {
    let summary = correct().assert_holds(true);
    assert_eq!((summary.processes, summary.messages, summary.deliveries), (2, 5, 6));
    assert_eq!(summary.undelivered, vec![]);
}

#[test]
fn undelivered_messages_of_the_living_are_counted() {
    let mut log = correct();
    log.accept(agreed(1, 4, 0));
    assert_eq!(log.assert_holds(true).undelivered, vec![message(1, 4)]);
}

/// L3 is about all members, not only about the one who sent.
#[test]
fn at_rest_every_member_has_delivered_what_was_ordered() {
    let mut log = Log::together(2);
    let at = agreed(1, 1, 5);
    log.send(at).deliver(1, at);
    assert_eq!(log.assert_holds(false).undelivered, vec![]);
    assert_eq!(log.assert_holds(true).undelivered, vec![message(1, 1)]);
}

#[test]
fn what_is_not_delivered_at_rest_is_shown_where_it_began_and_where_it_lacks() {
    let mut log = Log::together(2);
    let at = agreed(1, 1, 5);
    log.send(at).deliver(1, at);
    let violation = log.undelivered().expect("node 2 has not delivered it");
    assert_eq!(violation.axiom, Axiom::L3);
    let whose: Vec<&str> = violation.excerpts.iter().map(|e| &e.whose[..]).collect();
    assert!(whose[0].starts_with("1.") && whose[1].starts_with("2."), "{whose:?}");
    assert!(violation.sentence.contains("#1 was accepted"), "{violation}");
    log.deliver(2, at);
    assert!(log.undelivered().is_none());
}

/// Who hears that all is well hears of what.
#[test]
fn what_was_not_checked_is_said() {
    let about = |log: &Log, quiesced: bool| log.assert_holds(quiesced).unchecked.join("\n");
    let mut log = correct();
    let text = about(&log, false);
    assert!(text.contains("G6") && text.contains("at rest"), "{text}");
    log.options.senders_are_members = true;
    let text = about(&log, true);
    assert!(!text.contains("G6") && !text.contains("at rest"), "{text}");
    assert!(text.contains("L1"), "{text}");
    log.options.lost_tails.insert(process(2));
    assert!(about(&log, true).contains("without an end in their log, 1 in all"));
}

#[test]
fn log_begins_with_boot_and_runs_forward() {
    let mut log = Log::default();
    log.regular(1, 2, &[1]);
    log.assert_violates(Axiom::Log);
    let mut log = correct();
    log.boot(process(1));
    log.assert_violates(Axiom::Log);
}

#[test]
fn id_old_incarnation_acts_after_the_new_one_booted() {
    let mut log = Log::together(2);
    log.boot(incarnation(2, 9));
    log.accept(agreed(2, 1, 5));
    log.assert_violates(Axiom::Id);
    log.options.twins.insert(process(2).node);
    log.assert_holds(false);
}

/// Where nothing is stored, the clock may have been set back: the last start counts.
#[test]
fn id_the_last_start_counts_whichever_its_number() {
    let mut log = Log::together(2);
    log.boot(incarnation(2, 9)).boot(incarnation(2, 4));
    log.assert_holds(false);
    log.add(incarnation(2, 9), Entry::Trace(Trace::Stopped { waited_ms: None }));
    log.assert_violates(Axiom::Id);
}

#[test]
fn id_a_start_with_stored_state_is_newer() {
    let mut log = Log::together(2);
    log.boot(incarnation(2, 9)).add(incarnation(2, 4), Entry::Boot { stored: true });
    log.assert_violates(Axiom::Id);
}

#[test]
fn id_two_incarnations_in_one_configuration() {
    let mut log = Log::together(2);
    log.transitional(1, (2, 3), &[1], &[1]);
    let mixed = vec![process(1), process(2), incarnation(2, 9)];
    log.trace(1, Trace::Regular { ring: ring(3), members: mixed });
    log.assert_violates(Axiom::Id);
}

#[test]
fn b1_delivered_but_never_sent() {
    let mut log = Log::together(2);
    let at = agreed(1, 1, 5);
    log.slot(at).deliver(2, at);
    log.assert_violates(Axiom::B1);
}

#[test]
fn b1_delivered_with_another_content() {
    let mut log = Log::together(2);
    let at = agreed(1, 1, 5);
    log.send(at).packet(2, at, regular(2));
    let (message, configuration) = (at.message, regular(2));
    log.trace(
        2,
        Trace::Deliver {
            message,
            configuration,
            ordinal: 5,
            frame: 1,
            service: Service::Agreed,
            refused: false,
            hash: 99,
        },
    );
    log.assert_violates(Axiom::B1);
}

#[test]
fn b1_delivered_elsewhere_than_ordered() {
    let mut log = Log::together(2);
    let (a, b) = (agreed(1, 1, 5), agreed(1, 2, 6));
    log.send(a).send(b).deliver(2, a).packet(2, b, regular(2));
    let (message, configuration) = (b.message, regular(2));
    log.trace(
        2,
        Trace::Deliver {
            message,
            configuration,
            ordinal: 6,
            frame: 2,
            service: Service::Agreed,
            refused: false,
            hash: 2,
        },
    );
    log.assert_violates(Axiom::B1);
}

#[test]
fn b1_ordered_twice() {
    let mut log = Log::together(2);
    log.send(agreed(1, 1, 5)).order(agreed(1, 1, 6));
    log.assert_violates(Axiom::B1);
}

#[test]
fn b2_delivered_twice() {
    let mut log = Log::together(2);
    let at = agreed(1, 1, 5);
    log.send(at).deliver(2, at);
    let (message, configuration) = (at.message, regular(2));
    log.trace(
        2,
        Trace::Deliver {
            message,
            configuration,
            ordinal: 5,
            frame: 1,
            service: Service::Agreed,
            refused: false,
            hash: 1,
        },
    );
    log.assert_violates(Axiom::B2);
}

#[test]
fn b3_delivered_in_a_configuration_that_is_over() {
    let mut log = Log::together(2);
    let at = agreed(1, 1, 5);
    log.send(at).transitional(2, (2, 3), &[2], &[2]).deliver(2, at);
    log.assert_violates(Axiom::B3);
}

#[test]
fn b3_acts_after_its_end() {
    for end in [Entry::Crash, Entry::Trace(Trace::Stopped { waited_ms: None })] {
        let mut log = Log::together(2);
        log.add(process(2), end).accept(agreed(2, 1, 5));
        log.assert_violates(Axiom::B3);
    }
}

#[test]
fn b4_one_ordinal_for_two_packets() {
    let mut log = Log::together(2);
    log.send(agreed(1, 1, 5)).send(agreed(2, 1, 5));
    log.assert_violates(Axiom::B4);
}

#[test]
fn b4_another_packet_arrives_than_was_ordered() {
    let mut log = Log::together(2);
    log.send(agreed(1, 1, 5)).packet(2, agreed(1, 2, 5), regular(2));
    log.assert_violates(Axiom::B4);
}

#[test]
fn b4_a_packet_arrives_that_nobody_ordered() {
    let mut log = Log::together(2);
    log.accept(agreed(1, 1, 5)).packet(2, agreed(1, 1, 5), regular(2));
    log.assert_violates(Axiom::B4);
}

#[test]
fn to1_ordinals_run_backwards() {
    let mut log = Log::together(2);
    let (a, b) = (agreed(1, 1, 5), agreed(2, 1, 6));
    log.send(a).send(b).deliver(1, b).deliver(1, a);
    log.assert_violates(Axiom::To1);
}

#[test]
fn to1_transitional_delivers_below_regular() {
    let mut log = Log::together(2);
    let (a, b) = (agreed(1, 1, 5), agreed(2, 1, 6));
    log.send(a).send(b).deliver(1, b).transitional(1, (2, 3), &[1], &[1]);
    log.deliver_in(1, a, transitional(2, 3));
    log.assert_violates(Axiom::To1);
}

#[test]
fn ca_session_order_is_broken() {
    let mut log = Log::together(2);
    let (a, b) = (agreed(1, 1, 6), agreed(1, 2, 5));
    log.accept(a).accept(b).order(b).order(a);
    log.assert_violates(Axiom::Ca);
}

#[test]
fn ca_delivered_without_what_its_sender_knew() {
    let mut log = Log::together(3);
    // 3 delivers 1's message and answers; 2 loses 1's message but gets the answer.
    let (cause, answer) = (agreed(1, 1, 5), agreed(3, 1, 6));
    log.send(cause).deliver(3, cause).send(answer);
    log.add(process(1), Entry::Crash).add(process(3), Entry::Crash);
    log.transitional(2, (2, 3), &[2], &[2, 3]).deliver_in(2, answer, transitional(2, 3));
    log.assert_violates(Axiom::Ca);
}
