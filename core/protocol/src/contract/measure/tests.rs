//! What periods bring, and what is known after them.

use super::*;
use crate::id::Incarnation;

fn process(node: u32) -> Process {
    Process { node: NodeId(node), incarnation: Incarnation(7) }
}

fn ms(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

fn contract() -> Contract {
    Contract {
        round_trip: Some(Duration::from_millis(5)),
        hold: Some(Duration::from_millis(1)),
        loss_ppm: Some(10_000),
        lag: Some(Duration::from_millis(50)),
        patience: Duration::from_millis(1_600),
        ..Contract::default()
    }
}

/// Periods of 100 ms, in each of which node 2 answers after so many.
fn answers(took: impl IntoIterator<Item = Option<u64>>) -> Vec<bool> {
    let (mut gauges, contract, mut number) = (Gauges::new(), contract(), 0);
    gauges.installed(&[process(2)], false, (ms(0), ms(100)));
    let mut at = 0;
    let period = |took: Option<u64>| {
        for (to, number) in gauges.probes(&mut number, ms(at)) {
            if let Some(took) = took {
                gauges.answered(to, number, &contract, ms(at + took));
            }
        }
        at += 100;
        gauges.end(&contract, 0, (ms(at), ms(at + 100)));
        !gauges.broken(Bound::RoundTrip, &contract).is_empty()
    };
    took.into_iter().map(period).collect()
}

#[test]
fn twelve_periods_of_sixteen_are_a_breach_and_four_are_none_any_more() {
    let slow = answers([Some(12); 12]);
    assert!(slow[11] && !slow[10]);
    let silent = answers([None; 12]);
    assert!(silent[11] && !silent[10]);
    let now_and_then = answers((0..200).map(|n| if n % 3 == 0 { Some(1) } else { None }));
    assert!(!now_and_then.contains(&true), "11 of 16 at most");
    let well_again = answers((0..40).map(|n| if n < 16 { Some(50) } else { Some(1) }));
    assert_eq!(well_again.iter().rposition(|broken| *broken), Some(26));
}

#[test]
fn a_bound_is_kept_by_who_was_below_it_for_long_until_it_is_above_it_often() {
    let keeps = |values: &[u64], was: bool| {
        let mut record = Record::default();
        values.iter().for_each(|value| record.note(*value, Some(100)));
        record.is_kept(was)
    };
    assert!(!keeps(&[1; 15], false) && keeps(&[1; 16], false));
    let once = [[900; 1].as_slice(), &[1; 15]].concat();
    assert!(!keeps(&once, false) && keeps(&once, true), "once of sixteen");
    assert!(keeps(&[1, 900, 900, 900, 900], true) && !keeps(&[900; 5], true));
    let again = [[900; 16], [1; 16]].concat();
    assert!(keeps(&again, false) && !keeps(&again[..31], false));
    assert!(!keeps(&[900; 16], true));
}

#[test]
fn a_hold_is_what_is_left_of_the_way_through_a_member() {
    let (mut gauges, contract, mut number) = (Gauges::new(), contract(), 0);
    gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
    for (to, number) in gauges.probes(&mut number, ms(0)) {
        gauges.answered(to, number, &contract, ms(2));
    }
    let asked = gauges.passed((process(2), process(3)), 8, ms(10)).expect("a question");
    assert_eq!((asked.to, asked.token_sequence), (process(3), 8));
    assert_eq!(gauges.passed((process(2), process(3)), 11, ms(20)), None, "once in a period");
    gauges.told(NodeId(3), (asked.number, false), &contract, ms(12));
    gauges.told(NodeId(3), (asked.number, true), &contract, ms(17));
    gauges.end(&contract, 0, (ms(100), ms(200)));
    let shown: Vec<_> = gauges.shown().map(|m| m.hold).collect();
    assert_eq!(shown, [Some(Duration::from_millis(5)), None]);
}

/// Those that answer at once.
fn near(others: &[Process]) -> Gauges {
    let (mut gauges, mut number) = (Gauges::new(), 0);
    gauges.installed(others, false, (ms(0), ms(100)));
    for (to, number) in gauges.probes(&mut number, ms(0)) {
        gauges.answered(to, number, &contract(), ms(0));
    }
    gauges
}

/// Its way is not known.
#[test]
fn of_who_goes_on_to_one_that_has_answered_no_probe_no_hold_is_known() {
    let (mut gauges, contract) = (Gauges::new(), contract());
    gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
    let asked = gauges.passed((process(2), process(3)), 8, ms(10)).expect("a question");
    gauges.told(NodeId(3), (asked.number, true), &contract, ms(90));
    gauges.end(&contract, 0, (ms(100), ms(200)));
    assert_eq!(gauges.shown().map(|m| m.hold).collect::<Vec<_>>(), [None, None]);
}

/// What is known of the holds of nodes 2 and 3 after periods in which a token was away for longer
/// than the 30 ms that are allowed. `answers`: of node 3, when, and whether it has come.
fn held(is_asked: bool, answers: &[(u64, bool)]) -> Vec<Option<Duration>> {
    let hold = Some(Duration::from_millis(30));
    let contract = Contract { hold, ..contract() };
    let mut gauges = near(&[process(2), process(3)]);
    if !is_asked {
        let asked = gauges.passed((process(2), process(3)), 4, ms(1)).expect("a question");
        gauges.told(NodeId(3), (asked.number, true), &contract, ms(1));
    }
    let mut asked: Vec<_> =
        gauges.passed((process(2), process(3)), 8, ms(10)).into_iter().collect();
    assert_eq!(asked.len(), usize::from(is_asked));
    for end in 1..=5 {
        for (at, has_come) in answers.iter().filter(|(at, _)| at / 100 == end - 1) {
            let number = if *has_come { asked.first() } else { asked.last() };
            let number = number.expect("a question").number;
            gauges.told(NodeId(3), (number, *has_come), &contract, ms(*at));
        }
        let question = gauges.end(&contract, 0, (ms(end * 100), ms(end * 100 + 100)));
        let is_over = answers.iter().any(|(at, has_come)| *has_come && *at < end * 100);
        let what = question.map(|asked| (asked.to, asked.token_sequence));
        assert_eq!(what, (!is_over).then_some((process(3), 8)), "again in each period");
        asked.extend(question);
    }
    gauges.shown().map(|m| m.hold).collect()
}

const AWAITED: [(u64, bool); 3] = [(101, false), (201, false), (301, false)];

#[test]
fn who_has_a_token_that_is_awaited_elsewhere_is_seen_in_each_period() {
    for is_asked in [false, true] {
        let first = if is_asked { vec![(11, false)] } else { Vec::new() };
        let after = |last| [first.clone(), AWAITED.into(), vec![last]].concat();
        let seen = held(is_asked, &after((401, false)));
        assert_eq!(seen, [Some(Duration::from_millis(390)), None]);
        let seen = held(is_asked, &after((390, true)));
        let known = if is_asked { 380 } else { 290 };
        assert_eq!(seen, [Some(Duration::from_millis(known)), None], "it came then");
    }
}

#[test]
fn whoever_does_not_answer_says_nothing_of_another_one() {
    let nothing = if_asked_before();
    assert_eq!(held(false, &[]), nothing, "it is silent");
    assert_eq!(held(false, &[(450, true)]), nothing, "it sleeps, and has had it");
    assert_eq!(held(true, &[(450, true)]), [None, None]);
}

/// Of the hop before, which took no time.
fn if_asked_before() -> [Option<Duration>; 2] {
    [Some(Duration::ZERO), None]
}

#[test]
fn an_answer_is_awaited_for_as_long_as_it_may_take() {
    let (mut gauges, mut number) = (Gauges::new(), 0);
    let contract = Contract { round_trip: Some(Duration::from_millis(250)), ..contract() };
    gauges.installed(&[process(2)], false, (ms(0), ms(100)));
    let probes = gauges.probes(&mut number, ms(0));
    for at in [100, 200] {
        gauges.end(&contract, 0, (ms(at), ms(at + 100)));
        assert!(gauges.probes(&mut number, ms(at)).is_empty(), "one is on its way");
    }
    gauges.answered(probes[0].0, probes[0].1, &contract, ms(220));
    let shown = gauges.shown().next().expect("node 2").round_trip;
    assert_eq!(shown, Some(Duration::from_millis(220)));
}

#[test]
fn a_lag_lasts_as_long_as_one_member_lacks_what_is_two_rounds_old() {
    let (mut gauges, contract) = (Gauges::new(), contract());
    gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
    let (two, three) = (Some(NodeId(2)), Some(NodeId(3)));
    let visits = [(10, 5, two), (20, 15, two), (30, 19, two), (40, 19, three)];
    for (at, (seq, aru, by)) in visits.into_iter().enumerate() {
        gauges.visited((aru, by), 60, seq, ms(10 * at as u64));
    }
    let mut lags = || {
        gauges.end(&contract, 50, (ms(100), ms(200)));
        gauges.shown().map(|m| m.lag.expect("measured").as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(lags(), [0, 0], "the packets of two rounds ago are there but for one moment");
    for at in 0..6 {
        gauges.visited((19, two), 60, 60, ms(100 + 10 * at));
    }
    gauges.end(&contract, 60, (ms(200), ms(300)));
    let lags: Vec<_> = gauges.shown().map(|m| m.lag.expect("measured").as_millis()).collect();
    assert_eq!(lags, [50, 0]);
}

/// What a sender's own link loses nobody has, and the first one that lacks it lowers the aru.
#[test]
fn who_lacks_the_same_itself_says_of_nobody_that_it_lags() {
    let contract = contract();
    let lag_of_two = |own_aru: u64| {
        let mut gauges = Gauges::new();
        gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
        for at in 0..6 {
            gauges.visited((19, Some(NodeId(2))), own_aru, 60, ms(10 * at));
        }
        gauges.end(&contract, 60, (ms(100), ms(200)));
        gauges.shown().next().expect("node 2").lag
    };
    assert_eq!(lag_of_two(60), Some(Duration::from_millis(30)));
    assert_eq!(lag_of_two(59), Some(Duration::ZERO));
}

/// Who slept answers old questions when it wakes.
#[test]
fn a_late_answer_says_nothing_of_the_time_after_the_question() {
    let (mut gauges, contract) = (near(&[process(2), process(3)]), contract());
    let first = gauges.passed((process(2), process(3)), 8, ms(10)).expect("a question");
    let later = [100, 200, 300].map(|at| gauges.end(&contract, 0, (ms(at), ms(at + 100))));
    let later = later.map(|question| question.expect("in each period").number);
    gauges.told(NodeId(3), (first.number, false), &contract, ms(310));
    assert_eq!(gauges.hop.as_ref().expect("a token is away").certain(), None);
    gauges.told(NodeId(3), (later[1], false), &contract, ms(311));
    gauges.told(NodeId(3), (later[0], false), &contract, ms(312));
    gauges.end(&contract, 0, (ms(400), ms(500)));
    let shown = |gauges: &Gauges| gauges.shown().next().expect("node 2").hold;
    assert_eq!(shown(&gauges), Some(Duration::from_millis(190)));
    for at in [500, 600, 700] {
        gauges.end(&contract, 0, (ms(at), ms(at + 100)));
        let record = &gauges.gauges[&process(2)].records[Bound::Hold as usize];
        assert_eq!(record.known, 1, "it is noted once");
    }
    gauges.told(NodeId(3), (first.number, true), &contract, ms(710));
    gauges.end(&contract, 0, (ms(800), ms(900)));
    assert_eq!(shown(&gauges), Some(Duration::from_millis(190)), "it may have slept since 200");
}

/// What is measured where the way to node 3 and back takes 75 ms, 10 are allowed, and node 2 holds
/// a token for `held` that is passed on so long after the beginning of a period of 100 ms.
fn measured(held: u64, begins: u64) -> u64 {
    const WAY: u64 = 75;
    let (mut gauges, contract) = far(WAY, Some(Duration::from_millis(90)));
    let contract = Contract { hold: Some(Duration::from_millis(10)), ..contract };
    gauges.end(&contract, 0, (ms(100), ms(200)));
    let (at, mut value) = (100 + begins, None);
    let answer = |question: Question, now| (now + WAY, question.number, now >= at + held);
    let first = gauges.passed((process(2), process(3)), 8, ms(at)).expect("a question");
    let comes = (at + held + WAY, first.number, true);
    let mut answers = vec![answer(first, at), comes];
    for now in at + 1..at + 700 {
        for (_, number, has_come) in answers.iter().filter(|(when, ..)| *when == now) {
            gauges.told(NodeId(3), (*number, *has_come), &contract, ms(now));
        }
        if now % 100 == 0 {
            let question = gauges.end(&contract, 0, (ms(now), ms(now + 100)));
            answers.extend(question.map(|question| answer(question, now)));
            value = value.max(gauges.shown().next().expect("node 2").hold);
        }
    }
    value.expect("known").as_millis() as u64
}

#[test]
fn a_hold_is_known_whatever_the_way_and_whenever_it_begins() {
    for (held, begins) in (0..40).flat_map(|h| (0..20).map(move |b| (h * 10, b * 5))) {
        assert_eq!(measured(held, begins), held, "held for {held} ms from {begins}");
    }
}

/// Where a way is long, the last answers about one token come while the next one is away; and a
/// network may bring the same answer twice.
#[test]
fn an_answer_to_an_older_question_says_nothing() {
    let contract = Contract { hold: Some(Duration::from_millis(30)), ..contract() };
    let hop = (process(2), process(3));
    let mut gauges = near(&[process(2), process(3)]);
    let first = gauges.passed(hop, 8, ms(80)).expect("a question");
    gauges.end(&contract, 0, (ms(100), ms(200)));
    let second = gauges.passed(hop, 11, ms(160)).expect("a question");
    gauges.told(NodeId(3), (first.number, false), &contract, ms(165));
    let third = gauges.end(&contract, 0, (ms(200), ms(300))).expect("a question");
    gauges.told(NodeId(3), (first.number, true), &contract, ms(206));
    assert!(gauges.hop.is_some(), "that was the token before");
    gauges.told(NodeId(3), (second.number, false), &contract, ms(207));
    gauges.told(NodeId(3), (second.number, false), &contract, ms(208));
    gauges.told(NodeId(3), (third.number, true), &contract, ms(209));
    gauges.end(&contract, 0, (ms(300), ms(400)));
    assert_eq!(gauges.shown().next().expect("node 2").hold, None, "it may be there for long");
}

/// Periods of 100 ms.
fn far(way: u64, round_trip: Option<Duration>) -> (Gauges, Contract) {
    let contract = Contract { round_trip, ..contract() };
    let (mut gauges, mut number) = (Gauges::new(), 0);
    gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
    let first = gauges.probes(&mut number, ms(0));
    let mut now = 0;
    while now + 100 <= way {
        now += 100;
        gauges.end(&contract, 0, (ms(now), ms(now + 100)));
        gauges.probes(&mut number, ms(now));
    }
    for (to, number) in first {
        gauges.answered(to, number, &contract, ms(way));
    }
    (gauges, contract)
}

#[test]
fn however_long_it_takes_the_first_question_is_remembered() {
    let (mut gauges, contract) = (near(&[process(2), process(3)]), contract());
    let first = gauges.passed((process(2), process(3)), 8, ms(10)).expect("a question");
    let periods = QUESTIONS_MAX as u64 + 8;
    for at in (1..=periods).map(|period| period * 100) {
        let asked = gauges.end(&contract, 0, (ms(at), ms(at + 100))).expect("a question");
        gauges.told(NodeId(3), (asked.number, false), &contract, ms(at + 1));
    }
    let came = periods * 100 + 50;
    gauges.told(NodeId(3), (first.number, true), &contract, ms(came));
    gauges.end(&contract, 0, (ms(came + 50), ms(came + 150)));
    let hold = gauges.shown().next().expect("node 2").hold;
    assert_eq!(hold, Some(Duration::from_millis(came - 10)));
}

#[test]
fn a_way_that_takes_longer_than_a_period_is_measured_where_it_may() {
    let way_of_three = |bound| {
        let (gauges, _) = far(250, bound);
        gauges.gauges.get(&process(3)).and_then(|gauge| gauge.way)
    };
    assert_eq!(way_of_three(None), Some(Duration::from_millis(250)));
    assert_eq!(way_of_three(Some(Duration::from_millis(5))), None, "each is above the bound");
}

#[test]
fn a_hold_is_of_one_and_of_the_one_after_it() {
    let (mut gauges, contract) = (near(&[process(3), process(4)]), contract());
    let shown = |gauges: &Gauges| {
        let of_three = gauges.shown().find(|m| m.node == NodeId(3)).expect("node 3");
        of_three.hold
    };
    let asked = gauges.passed((process(3), process(4)), 8, ms(10)).expect("a question");
    gauges.told(NodeId(4), (asked.number, true), &contract, ms(60));
    gauges.end(&contract, 0, (ms(100), ms(200)));
    gauges.installed(&[process(3), process(4), process(5)], false, (ms(200), ms(300)));
    assert_eq!(shown(&gauges), Some(Duration::from_millis(50)), "it still is");
    gauges.installed(&[process(3), process(5)], false, (ms(300), ms(400)));
    assert_eq!(shown(&gauges), None, "another one says when it goes on");
}

#[test]
fn loss_is_a_share_of_what_was_ordered() {
    let (mut gauges, contract) = (Gauges::new(), contract());
    gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
    (0..3).for_each(|_| gauges.lost(NodeId(3)));
    gauges.end(&contract, 200, (ms(100), ms(200)));
    let shown: Vec<_> = gauges.shown().map(|m| m.loss_ppm).collect();
    assert_eq!(shown, [Some(0), Some(15_000)]);
    gauges.end(&contract, 200, (ms(200), ms(300)));
    assert_eq!(gauges.shown().last().expect("node 3").loss_ppm, Some(15_000), "nothing new");
    for (at, expected) in [(0, 7_500), (1, 5_000), (2, 0), (3, 0)] {
        gauges.end(&contract, 400 + at * 200, (ms(300 + at * 100), ms(400 + at * 100)));
        assert_eq!(gauges.shown().last().expect("node 3").loss_ppm, Some(expected));
    }
}
