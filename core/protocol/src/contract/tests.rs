//! One member's view of its domain's contract: what it says, when it asks for a demotion, and what
//! it takes from what others say.

use super::*;
use crate::id::Incarnation;

const PATIENCE_MS: u64 = 1_600;
/// Sixteen of them are the patience.
const PERIOD_MS: u64 = 100;

fn ms(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

fn process(node: u32) -> Process {
    Process { node: NodeId(node), incarnation: Incarnation(7) }
}

fn ring(sequence: u64) -> RingId {
    RingId { sequence, representative: process(1) }
}

fn install(keeper: &mut Keeper, sequence: u64, members: &[u32], at: u64) {
    let members: Vec<_> = members.iter().map(|node| process(*node)).collect();
    keeper.installed(ring(sequence), &members, ms(at));
}

/// That of a node in ring 1, of so many members, which has been with them for long.
fn keeper(me: u32, members: u32) -> Box<Keeper> {
    let contract = Contract {
        round_trip: Some(Duration::from_millis(5)),
        patience: Duration::from_millis(PATIENCE_MS),
        ..Contract::default()
    };
    let config = CoreConfig { contract, ..CoreConfig::default() };
    let mut keeper = Keeper::new(NodeId(me), &config).expect("a bound");
    install(&mut keeper, 1, &(1..=members).collect::<Vec<_>>(), 0);
    keeper.demands_from = ms(0);
    keeper
}

fn word(of: u32, says: Says) -> Statement {
    let breach = Breach { bound: Bound::RoundTrip, measured: 900, allowed: 100 };
    Statement { ring_sequence: 1, of: NodeId(of), says, breach }
}

/// These say of one that it breaks the contract.
fn accuse(keeper: &mut Keeper, by: &[u32], of: u32, at: u64) {
    for by in by {
        assert_eq!(keeper.heard(NodeId(*by), &word(of, Says::Breaks), ms(at)), None);
    }
}

/// Periods up to `to`, in which the `slow` ones break the round trip; what the member says, and at
/// which time.
fn periods(keeper: &mut Keeper, (from, to): (u64, u64), slow: &[u32]) -> Vec<(u64, u32, Says)> {
    let mut said = Vec::new();
    for at in (from..=to).step_by(PERIOD_MS as usize) {
        let period = keeper.period(Present { high: 0, now: ms(at) }).expect("a period has ended");
        for (process, number) in period.probes {
            let takes = if slow.contains(&process.node.0) { 12 } else { 1 };
            assert!(keeper.answered(process, number, ms(at + takes)));
        }
        said.extend(period.says.iter().map(|word| (at, word.of.0, word.says)));
        period.says.iter().for_each(|word| drop(keeper.heard(keeper.me, word, ms(at))));
    }
    said
}

fn accused(said: &[(u64, u32, Says)]) -> Vec<u32> {
    said.iter().filter(|(.., says)| *says == Says::Breaks).map(|(_, of, _)| *of).collect()
}

#[test]
fn up_to_half_of_the_others_are_accused_and_beyond_that_oneself() {
    let end = PERIOD_MS * 14;
    assert_eq!(accused(&periods(&mut keeper(1, 5), (PERIOD_MS, end), &[4, 5])), [4, 5]);
    assert_eq!(accused(&periods(&mut keeper(1, 5), (PERIOD_MS, end), &[3, 4, 5])), [1]);
}

/// What cannot be said now is not said several times over later (seed 520346).
#[test]
fn nothing_more_is_said_until_what_was_said_has_its_place() {
    let mut keeper = keeper(1, 5);
    let mut says = |at: u64, slow: &[u32]| {
        let period = keeper.period(Present { high: 0, now: ms(at) }).expect("a period has ended");
        for (process, number) in period.probes {
            let takes = if slow.contains(&process.node.0) { 12 } else { 1 };
            assert!(keeper.answered(process, number, ms(at + takes)));
        }
        period.says
    };
    let all: Vec<_> = (1..=40).flat_map(|n| says(n * PERIOD_MS, &[5])).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    let more: Vec<_> = (41..=80).flat_map(|n| says(n * PERIOD_MS, &[])).collect();
    assert!(more.is_empty(), "{more:?}");
    assert_eq!(keeper.heard(NodeId(1), &all[0], ms(8_000)), None);
    let period = keeper.period(Present { high: 0, now: ms(8_100) }).expect("a period has ended");
    let words: Vec<_> = period.says.iter().map(|word| (word.of.0, word.says)).collect();
    assert_eq!(words, [(5, Says::Keeps)]);
}

#[test]
fn who_alone_finds_something_for_long_accuses_itself() {
    let end = PERIOD_MS * 40;
    assert_eq!(accused(&periods(&mut keeper(1, 4), (PERIOD_MS, end), &[4])), [4, 1]);
    let mut agreed = keeper(1, 4);
    accuse(&mut agreed, &[2, 3], 4, 0);
    assert_eq!(accused(&periods(&mut agreed, (PERIOD_MS, end), &[4])), [4]);
}

#[test]
fn a_demotion_is_asked_for_by_one_after_the_other_and_not_at_once() {
    let asked_at = |me: u32| {
        let mut keeper = keeper(me, 4);
        let others: Vec<_> = (1..4).filter(|node| *node != me).collect();
        accuse(&mut keeper, &others, 4, 0);
        let said = periods(&mut keeper, (PERIOD_MS, PERIOD_MS * 20), &[]);
        said.iter().find(|(.., says)| *says == Says::Demote).map(|(at, of, _)| (*at, *of))
    };
    let part = PATIENCE_MS / u64::from(HEARING);
    assert_eq!(asked_at(1), Some((PERIOD_MS + part, 4)));
    assert_eq!(asked_at(2), Some((PERIOD_MS + 2 * part, 4)));
    assert_eq!(asked_at(3), Some((PERIOD_MS + 3 * part, 4)));
    assert_eq!(asked_at(4), None, "nobody asks to be demoted");
}

/// One after the other would be put out where nobody can keep the contract.
#[test]
fn who_was_alone_and_who_broke_it_with_most_others_asks_for_no_demotion_for_a_while() {
    let asked_after = |before: &[u32], accused: &[u32]| {
        let mut keeper = keeper(1, 4);
        install(&mut keeper, 1, before, 0);
        accused.iter().for_each(|of| accuse(&mut keeper, &[1, 2, 3, 4], *of, 0));
        install(&mut keeper, 1, &[1, 2, 3, 4], 0);
        accuse(&mut keeper, &[2, 3], 4, 0);
        let said = periods(&mut keeper, (PERIOD_MS, 2 * PATIENCE_MS), &[]);
        let asked = said.iter().find(|(.., says)| *says == Says::Demote);
        asked.expect("it is asked for at last").0
    };
    let soon = PERIOD_MS + PATIENCE_MS / u64::from(HEARING);
    assert_eq!(asked_after(&[1, 2, 3], &[]), soon);
    assert_eq!(asked_after(&[1, 2, 3], &[3]), soon);
    assert_eq!(asked_after(&[1, 2, 3], &[2, 3]), PATIENCE_MS, "most broke it");
    assert_eq!(asked_after(&[1], &[]), PATIENCE_MS, "it was alone");
}

#[test]
fn no_demotion_is_asked_for_while_most_may_be_about_to_be_found() {
    let is_asked = |slow_periods: u64| {
        let mut keeper = keeper(1, 5);
        let slow_to = PERIOD_MS * slow_periods;
        periods(&mut keeper, (PERIOD_MS, slow_to), &[3, 4]);
        periods(&mut keeper, (slow_to + PERIOD_MS, 900), &[]);
        accuse(&mut keeper, &[2, 3, 4], 5, 900);
        let said = periods(&mut keeper, (1_000, 1_500), &[]);
        said.contains(&(1_400, 5, Says::Demote))
    };
    assert!(is_asked(4));
    assert!(!is_asked(5));
}

/// With each of them in a ring of its own, half of the members can go, and no further one.
#[test]
fn those_that_are_out_count_among_those_that_break_it() {
    let is_asked = |out: &[u32]| {
        let mut keeper = keeper(1, 5);
        for node in out {
            keeper.bans.add(NodeId(*node), &Contract::default(), ms(0));
        }
        accuse(&mut keeper, &[2, 3, 4], 5, 0);
        let said = periods(&mut keeper, (PERIOD_MS, PATIENCE_MS), &[]);
        said.iter().any(|(.., says)| *says == Says::Demote)
    };
    assert!(is_asked(&[6]), "2 of 6");
    assert!(is_asked(&[6, 7, 8]), "4 of 8");
    assert!(!is_asked(&[6, 7, 8, 9]), "5 of 9");
    assert!(is_asked(&[3, 4, 6, 7]), "who is in is not out");
}

/// Each can measure one other alone.
#[test]
fn of_the_next_one_it_is_said_whether_it_keeps_the_hold_when_another_one_does_not() {
    let mut keeper = keeper(1, 6);
    (keeper.contract.round_trip, keeper.contract.hold) = (None, Some(Duration::from_millis(5)));
    let hold = |of, says| {
        let breach = Breach { bound: Bound::Hold, measured: 900, allowed: 5 };
        Statement { breach, ..word(of, says) }
    };
    // The token goes to 2, and comes to 3 after so long.
    let mut turn = |number: u64, takes: u64| {
        let at = number * PERIOD_MS;
        let asked = keeper.passed((process(2), process(3)), at, ms(at));
        keeper.told(NodeId(3), asked.expect("due").number, true, ms(at + takes));
        if number == 17 {
            assert_eq!(keeper.heard(NodeId(3), &hold(4, Says::Breaks), ms(at)), None);
        }
        let period = keeper.period(Present { high: 0, now: ms(at + PERIOD_MS) });
        let Period { says, probes, .. } = period.expect("a period has ended");
        for (process, number) in probes {
            assert!(keeper.answered(process, number, ms(at + PERIOD_MS + 1)));
        }
        says.iter().for_each(|word| drop(keeper.heard(NodeId(1), word, ms(at + PERIOD_MS))));
        let words = says.iter().map(|word| (number, word.of.0, word.says, word.breach.bound));
        words.collect::<Vec<_>>()
    };
    let well: Vec<_> = (1..22).flat_map(|number| turn(number, 2)).collect();
    assert_eq!(well, [(17, 2, Says::Keeps, Bound::Hold)]);
    let slow: Vec<_> = (22..42).flat_map(|number| turn(number, 20)).collect();
    let expected = [(26, Says::Doubts), (33, Says::Breaks)];
    assert_eq!(slow, expected.map(|(number, says)| (number, 2, says, Bound::Hold)));
    let well: Vec<_> = (42..70).flat_map(|number| turn(number, 2)).collect();
    let expected = [(53, Says::Doubts), (57, Says::Keeps)];
    assert_eq!(well, expected.map(|(number, says)| (number, 2, says, Bound::Hold)));
}

/// Hours of a ring in which each member is above the bound on the hold in so many of a thousand
/// periods: who was demoted, and in which second. Who is out comes back when its time is over.
fn demotions(members: u32, hours: u64, above: impl Fn(u32) -> u64) -> Vec<(u64, u32)> {
    let contract = Contract { hold: Some(Duration::from_millis(5)), ..Contract::default() };
    let config = CoreConfig { contract, ..CoreConfig::default() };
    let period_ms = contract.period().as_millis() as u64;
    let new = |node| Keeper::new(NodeId(node), &config).expect("a bound");
    let mut keepers: Vec<_> = (1..=members).map(new).collect();
    let (mut random, mut sequence) = (7_u64, 1);
    let (mut ring, mut demoted) = (Vec::new(), Vec::new());
    for now in (0..hours * 3_600_000).step_by(period_ms as usize) {
        let is_out = |node: &u32| keepers[0].is_out(NodeId(*node), ms(now));
        let is_out = |node: &u32| is_out(node) || keepers[1].is_out(NodeId(*node), ms(now));
        let present: Vec<u32> = (1..=members).filter(|node| !is_out(node)).collect();
        if present != ring {
            (ring, sequence) = (present, sequence + 1);
            for keeper in &mut keepers {
                let alone = [keeper.me.0];
                let is_in = ring.contains(&keeper.me.0);
                install(keeper, sequence, if is_in { &ring } else { &alone }, now);
            }
        }
        let mut words = Vec::new();
        for (place, node) in ring.iter().enumerate() {
            let hop = |hops: usize| process(ring[(place + hops) % ring.len()]);
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let takes = if random % 1_000 < above(hop(1).node.0) { 9 } else { 2 };
            let keeper = &mut keepers[*node as usize - 1];
            if let Some(asked) = keeper.passed((hop(1), hop(2)), now, ms(now)) {
                keeper.told(hop(2).node, asked.number, true, ms(now + takes));
            }
            let period = keeper.period(Present { high: 0, now: ms(now + period_ms) });
            let Some(Period { says, probes, .. }) = period else { continue };
            for (process, number) in probes {
                keeper.answered(process, number, ms(now + period_ms));
            }
            words.extend(says.into_iter().map(|word| (NodeId(*node), word)));
        }
        for (by, word) in words {
            let mut hear = |node: &u32| keepers[*node as usize - 1].heard(by, &word, ms(now));
            let heard: Vec<_> = ring.iter().map(&mut hear).collect();
            assert!(heard.iter().all(|event| *event == heard[0]), "they agree");
            if let Some(Event::Demoted { node, .. }) = &heard[0] {
                demoted.push((now / 1_000, node.0));
            }
        }
    }
    demoted
}

/// Near what is common among the members of a ring, a bound is broken by chance, by one after the
/// other: hardly anybody goes for that.
#[test]
fn where_a_bound_is_what_is_common_luck_puts_out_hardly_anybody() {
    for members in [3, 4, 8] {
        for above in [400, 500, 600, 1_000] {
            let demoted = demotions(members, 4, |_| above);
            assert!(demoted.len() <= 2, "{members} {above}: {demoted:?}");
        }
    }
}

/// The others are above the bound now and then.
#[test]
fn who_holds_the_token_for_too_long_goes_whenever_it_is_back() {
    for members in [3, 4, 8] {
        let demoted = demotions(members, 1, |node| if node == 3 { 900 } else { 100 });
        assert!(demoted[0].0 < 90, "{members}: {demoted:?}");
        assert!(demoted.iter().all(|(_, node)| *node == 3), "{members}: {demoted:?}");
        // Out for half a minute, a minute, and so on up to ten.
        assert!((8..=10).contains(&demoted.len()), "{members}: {demoted:?}");
    }
}

#[test]
fn one_is_demoted_in_a_ring_and_by_words_about_it_alone() {
    let mut keeper = keeper(1, 4);
    accuse(&mut keeper, &[2, 3], 4, 0);
    let of_another_ring = Statement { ring_sequence: 2, ..word(4, Says::Demote) };
    for word in [word(3, Says::Demote), of_another_ring] {
        assert_eq!(keeper.heard(NodeId(2), &word, ms(1)), None, "{word:?}");
    }
    let demoted = keeper.heard(NodeId(2), &word(4, Says::Demote), ms(1));
    let Some(Event::Demoted { node, stated_by, broken, .. }) = demoted else { panic!() };
    assert_eq!((node, stated_by, broken), (NodeId(4), vec![NodeId(2), NodeId(3)], 1));
    assert_eq!(keeper.heard(NodeId(3), &word(4, Says::Demote), ms(2)), None, "it is out");
    assert_eq!(keeper.deadline(), Some(ms(1)), "the change is due at once");
}

/// What has its place only while the next ring is installed cannot keep anybody out of that: then
/// nobody is told, and nobody has to wait, of whom all see that he is in.
#[test]
fn nobody_is_demoted_who_is_in_the_next_ring_already() {
    for (next, is_demoted) in [(&[1, 3, 4][..], false), (&[1, 2, 3], true), (&[4], true)] {
        let mut keeper = keeper(1, 4);
        accuse(&mut keeper, &[2, 3], 4, 0);
        keeper.moves_to(&next.iter().map(|node| process(*node)).collect::<Vec<_>>());
        let heard = keeper.heard(NodeId(2), &word(4, Says::Demote), ms(1));
        assert_eq!(heard.is_some(), is_demoted, "{next:?}");
        assert_eq!(keeper.is_out(NodeId(4), ms(2)), is_demoted);
    }
}

#[test]
fn a_demotion_parts_the_demoted_one_from_the_others() {
    let mut by_order = keeper(1, 4);
    accuse(&mut by_order, &[2, 3], 4, 0);
    assert!(by_order.heard(NodeId(2), &word(4, Says::Demote), ms(1)).is_some());
    let parted = |keeper: &Keeper, together: &[u32]| {
        let together: Vec<_> = together.iter().map(|node| NodeId(*node)).collect();
        keeper.parts(&together).map(|(node, breach)| (node.0, breach.measured))
    };
    assert_eq!(parted(&by_order, &[1, 2, 3]), Some((4, 900)));
    assert_eq!(parted(&by_order, &[4]), Some((4, 900)));
    assert_eq!(parted(&by_order, &[3, 4]), None);
    // Who did not get there in the order is told, and can say so of itself alone.
    let mut told = keeper(4, 4);
    told.told_of_own_demotion(Breach { measured: 70, ..word(4, Says::Breaks).breach }, ms(1));
    assert_eq!(parted(&told, &[4]), Some((4, 70)));
    assert_eq!(parted(&told, &[1, 2, 3]), None);
}

/// What let it in before says nothing now.
#[test]
fn who_was_demoted_is_measured_anew() {
    let admit = |keeper: &mut Keeper, who: u32, now: u64| {
        assert_eq!(keeper.consider(process(who), ms(now)), Admission::Open);
        for at in (now..now + 1_000).step_by(5) {
            for (to, number) in keeper.probes(ms(at)) {
                assert!(keeper.answered(to, number, ms(at + 1)));
            }
        }
        assert_eq!(keeper.known(process(who)), Admission::Granted);
    };
    let breach = word(4, Says::Breaks).breach;
    for (me, told) in [(1, false), (4, false), (4, true)] {
        let mut keeper = keeper(me, 4);
        let others: &[u32] = if me == 1 { &[3, 4] } else { &[3] };
        others.iter().for_each(|who| admit(&mut keeper, *who, 0));
        accuse(&mut keeper, &[1, 2, 3], 4, 1_000);
        match told {
            true => keeper.told_of_own_demotion(breach, ms(1_000)),
            false => assert!(keeper.heard(NodeId(1), &word(4, Says::Demote), ms(1_000)).is_some()),
        }
        let known = others.iter().map(|who| keeper.known(process(*who)));
        let expected: &[_] = match me {
            1 => &[Admission::Granted, Admission::Open],
            _ => &[Admission::Open],
        };
        assert_eq!(known.collect::<Vec<_>>(), expected, "{me} {told}");
    }
}

#[test]
fn who_is_out_lets_nobody_in_either() {
    let mut keeper = keeper(4, 4);
    assert!(!keeper.is_out(NodeId(1), ms(1)));
    let breach = word(4, Says::Breaks).breach;
    keeper.told_of_own_demotion(breach, ms(1));
    assert!(keeper.is_out(NodeId(4), ms(2)) && keeper.is_out(NodeId(1), ms(2)));
    let out = Contract::default().readmit;
    assert!(!keeper.is_out(NodeId(1), ms(1) + out));
    // It is told by many, and once is enough.
    keeper.told_of_own_demotion(breach, ms(2));
    assert!(!keeper.is_out(NodeId(4), ms(1) + out));
}

#[test]
fn a_refusal_is_news_once_until_others_have_come() {
    let mut keeper = keeper(1, 1);
    let breach = word(1, Says::Breaks).breach;
    let other = Breach { bound: Bound::Loss, ..breach };
    let news = [breach, breach, other, other].map(|breach| keeper.refused(NodeId(2), breach));
    assert_eq!(news, [true, false, true, false]);
    install(&mut keeper, 2, &[1], 1);
    assert_eq!(keeper.status(ms(1)).refused_by, Some((NodeId(2), other)));
    install(&mut keeper, 3, &[1, 2], 2);
    assert_eq!(keeper.status(ms(2)).refused_by, None);
}

#[test]
fn what_was_measured_stays_in_the_next_ring_unless_one_was_demoted() {
    for is_demoted in [false, true] {
        let mut keeper = keeper(1, 4);
        periods(&mut keeper, (PERIOD_MS, PERIOD_MS * 3), &[]);
        accuse(&mut keeper, &[2, 3], 4, 400);
        let says = if is_demoted { Says::Demote } else { Says::Keeps };
        assert_eq!(keeper.heard(NodeId(2), &word(4, says), ms(400)).is_some(), is_demoted);
        install(&mut keeper, 2, &[1, 2, 3], 500);
        let members = keeper.status(ms(500)).members;
        let two = members.iter().find(|of| of.node == NodeId(2)).expect("it is a member");
        assert_eq!(two.round_trip.is_none(), is_demoted);
    }
}

/// Where nothing is asked of members, they are measured, and everybody comes in.
#[test]
fn without_a_bound_members_are_measured_and_nothing_follows() {
    let config = CoreConfig { measures: true, ..CoreConfig::default() };
    assert!(Keeper::new(NodeId(1), &CoreConfig::default()).is_none());
    let mut keeper = Keeper::new(NodeId(1), &config).expect("it measures");
    install(&mut keeper, 1, &[1, 2], 0);
    let stranger = Process { node: NodeId(9), incarnation: Incarnation(1) };
    assert_eq!(keeper.consider(stranger, ms(1)), Admission::Granted);
    assert_eq!(keeper.known(stranger), Admission::Granted);
    let every = config.timers.beacon.as_millis() as u64 * u64::from(WATCHED_EVERY);
    assert_eq!(keeper.deadline(), Some(ms(every)), "no trial has begun");
    for at in (every..40 * every).step_by(every as usize) {
        let period = keeper.period(Present { high: at, now: ms(at) }).expect("a period has ended");
        assert!(period.says.is_empty() && period.news.is_empty());
        for (process, number) in period.probes {
            assert!(keeper.answered(process, number, ms(at + 12)));
        }
    }
    let measured = keeper.measured();
    assert_eq!(measured[0].round_trip, Some(Duration::from_millis(12)));
    assert!(!keeper.is_binding() && keeper.demoted().is_none());
}

fn why(keeper: &Keeper, of: u32, at: u64) -> Option<Stays> {
    keeper.stays(NodeId(of), ms(at))
}

#[test]
fn why_one_that_breaks_the_contract_stays_is_said() {
    let found = |members: u32, of: &[u32]| {
        let mut keeper = keeper(1, members);
        of.iter().for_each(|node| accuse(&mut keeper, &[*node], *node, 0));
        keeper
    };
    assert_eq!(why(&found(2, &[2]), 2, 1), Some(Stays::OneOfTwo));
    let most = Stays::MostBreakIt { broken: 2, members: 3 };
    assert_eq!(why(&found(3, &[2, 3]), 2, 1), Some(most));
    let mut two = found(5, &[4, 5]);
    assert_eq!(why(&two, 4, 1), Some(Stays::AfterWorse(NodeId(5))));
    assert_eq!(why(&two, 5, 1), Some(Stays::Unasked));
    two.demands_from = ms(31);
    assert_eq!(why(&two, 5, 1), Some(Stays::MeasuresAnew(Duration::from_millis(30))));
    two.bans.add(NodeId(6), &Contract::default(), ms(0));
    assert_eq!(why(&two, 5, 1), Some(Stays::MeasuresAnew(Duration::from_millis(30))), "3 of 6");
    two.bans.add(NodeId(7), &Contract::default(), ms(0));
    assert_eq!(why(&two, 5, 1), Some(Stays::MostMayBreakIt { doubtful: 4, all: 7 }));
    let mut goes = found(5, &[5]);
    assert!(goes.heard(NodeId(2), &word(5, Says::Demote), ms(1)).is_some());
    assert_eq!(why(&goes, 5, 1), None, "it goes");
}

#[test]
fn why_one_stays_that_holds_the_token_too_long_is_said() {
    let mut keeper = keeper(1, 5);
    let hold = |keeper: &mut Keeper, by: u32, of: u32, says: Says| {
        let breach = Breach { bound: Bound::Hold, measured: 900, allowed: 100 };
        let word = Statement { breach, ..word(of, says) };
        assert_eq!(keeper.heard(NodeId(by), &word, ms(0)), None);
        why(keeper, 3, 1)
    };
    // Of 5 there are three hops that neither begin nor end at 3, which sees the end of that to 2.
    let unproved = |known, unknown| Some(Stays::HoldUnproved { known, unknown });
    assert_eq!(hold(&mut keeper, 2, 3, Says::Breaks), unproved(0, 2));
    let mut with_another_to_go = keeper.clone();
    accuse(&mut with_another_to_go, &[5], 5, 0);
    assert_eq!(why(&with_another_to_go, 5, 1), Some(Stays::Unasked));
    assert_eq!(why(&with_another_to_go, 3, 1), unproved(0, 2), "it would not be the next");
    assert_eq!(hold(&mut keeper, 4, 5, Says::Keeps), unproved(1, 1));
    assert_eq!(hold(&mut keeper, 1, 2, Says::Keeps), Some(Stays::Unasked), "2 of 3");
    assert_eq!(hold(&mut keeper, 3, 4, Says::Breaks), Some(Stays::AfterNext(NodeId(4))));
}

#[test]
fn once_the_patience_is_over_an_operator_hears_why_one_stays_and_only_once() {
    let heard = |members: u32, well_at: u64, slow: &[u32]| {
        let mut keeper = keeper(1, members);
        slow.iter().for_each(|node| accuse(&mut keeper, &[*node], *node, 0));
        let mut news = Vec::new();
        for at in (PERIOD_MS..=4 * PATIENCE_MS).step_by(PERIOD_MS as usize) {
            if at == well_at {
                keeper.heard(NodeId(2), &word(2, Says::Keeps), ms(at));
            }
            let period = keeper.period(Present { high: 0, now: ms(at) }).expect("one has ended");
            for (process, number) in period.probes {
                assert!(keeper.answered(process, number, ms(at + 1)));
            }
            news.extend(period.news.into_iter().map(|news| (at, news)));
            if at == well_at {
                accuse(&mut keeper, &[2], 2, at + 1);
            }
        }
        news
    };
    let breach = word(2, Says::Breaks).breach;
    let broken = (PERIOD_MS, News::Broken(NodeId(2), breach));
    let stays = |at| (at, News::Stays(NodeId(2), breach, Stays::OneOfTwo));
    assert_eq!(heard(2, u64::MAX, &[2]), [broken, stays(PERIOD_MS + PATIENCE_MS)]);
    let well_at = PATIENCE_MS;
    let again = well_at + PERIOD_MS;
    assert_eq!(
        heard(2, well_at, &[2]),
        [broken, stays(again + PATIENCE_MS)],
        "it was well between"
    );
    let unasked = (PERIOD_MS + PATIENCE_MS, News::Stays(NodeId(2), breach, Stays::Unasked));
    assert_eq!(heard(3, u64::MAX, &[2]), [broken, unasked], "what it says is not heard");
    assert_eq!(heard(2, u64::MAX, &[1, 2]).len(), 4, "both, and why");
    let most: Vec<_> = heard(3, u64::MAX, &[2, 3]).into_iter().map(|(at, _)| at).collect();
    assert_eq!(most, [PERIOD_MS; 3], "two are found, and that these are most");
}

#[test]
fn who_breaks_the_contract_again_is_news_only_if_it_has_kept_it_for_long() {
    let told_again = |well_for_ms: u64| {
        let mut keeper = keeper(1, 4);
        keeper.contract.readmit_max = Duration::from_secs(1);
        accuse(&mut keeper, &[2, 3], 4, 0);
        let news = |keeper: &mut Keeper, at: u64| {
            let period = keeper.period(Present { high: 0, now: ms(at) }).expect("one has ended");
            period.news.len()
        };
        assert_eq!(news(&mut keeper, PERIOD_MS), 1);
        assert_eq!(keeper.heard(NodeId(2), &word(4, Says::Keeps), ms(110)), None);
        let mut at = PERIOD_MS;
        while at < PERIOD_MS + well_for_ms {
            at += PERIOD_MS;
            assert_eq!(news(&mut keeper, at), 0);
        }
        accuse(&mut keeper, &[2], 4, at);
        news(&mut keeper, at + PERIOD_MS) == 1
    };
    assert!(!told_again(1_000));
    assert!(told_again(1_100));
}

/// Also what happens while most break the contract counts, and each reason is told once.
#[test]
fn the_patience_of_who_stays_counts_from_when_it_was_found_again() {
    let mut keeper = keeper(1, 5);
    (2..=5).for_each(|node| accuse(&mut keeper, &[node], node, 0));
    let keeps = |keeper: &mut Keeper, node: u32, at: u64| {
        assert_eq!(keeper.heard(NodeId(node), &word(node, Says::Keeps), ms(at)), None);
    };
    let mut told = Vec::new();
    for at in (PERIOD_MS..=4_000).step_by(PERIOD_MS as usize) {
        match at {
            1_000 => keeps(&mut keeper, 2, at),
            1_200 => accuse(&mut keeper, &[2], 2, at),
            1_500 => [4, 5].iter().for_each(|node| keeps(&mut keeper, *node, at)),
            3_000 => (6..=9).for_each(|node| {
                keeper.bans.add(NodeId(node), &Contract::default(), ms(at));
            }),
            _ => {}
        }
        let period = keeper.period(Present { high: 0, now: ms(at) }).expect("one has ended");
        for (process, number) in period.probes {
            assert!(keeper.answered(process, number, ms(at + 1)));
        }
        told.extend(period.news.into_iter().filter_map(|news| match news {
            News::Stays(node, _, stays) => Some((at, node.0, stays)),
            News::Broken(..) | News::Void(..) => None,
        }));
    }
    let most = Stays::MostMayBreakIt { doubtful: 6, all: 9 };
    let expected = [
        (1_700, 3, Stays::Unasked),
        (2_800, 2, Stays::AfterWorse(NodeId(3))),
        (3_000, 2, most),
        (3_000, 3, most),
    ];
    assert_eq!(told, expected);
}
