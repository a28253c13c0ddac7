use anasazi_protocol::{Configuration, Incarnation, NodeId, Priority, Process, ViewCause};

use super::*;

const GROUP: GroupId = GroupId(1);

fn who(node: u32, session: u64) -> MemberId {
    MemberId { node: NodeId(node), session: SessionId(session) }
}

fn me() -> MemberId {
    who(1, 5)
}

fn message(node: u32, counter: u64) -> MessageId {
    let origin = Process { node: NodeId(node), incarnation: Incarnation(1) };
    MessageId { origin, counter }
}

fn view(ledger: &mut Ledger) {
    let (members, local) = (vec![me(), who(2, 9)], vec![me().session]);
    let view = Trace::GroupView {
        group: GROUP,
        id: ViewId::default(),
        transitional: false,
        cause: ViewCause::Join,
        members,
        sets: vec![0, 0],
        together: Vec::new(),
        local,
        local_left: Vec::new(),
    };
    ledger.trace(me(), &view, Sent::default());
    let seen = Sight::View { group: GROUP, id: ViewId::default(), transitional: false, members: 2 };
    assert_eq!(ledger.check(&seen, false), Ok(()));
}

fn own(tag: u64, to: Audience) -> Own {
    Own {
        tag,
        to,
        views: Vec::new(),
        service: Service::Agreed,
        priority: Priority::Normal,
        no_self: false,
        hash: 7,
        len: 0,
        too_long: false,
    }
}

fn taken(ledger: &mut Ledger, counter: u64, to: Audience) {
    let (message, session) = (message(1, counter), me().session);
    let (service, priority) = (Service::Agreed, Some(Priority::Normal));
    let send = Trace::Send { message, session, to, service, priority, hash: 7 };
    ledger.trace(me(), &send, Sent::default());
}

fn deliver(ledger: &mut Ledger, message: MessageId, refused: bool) {
    let configuration = Configuration::Regular(Default::default());
    let (service, hash) = (Service::Agreed, 7);
    let deliver =
        Trace::Deliver { message, configuration, ordinal: 1, frame: 1, service, hash, refused };
    ledger.trace(me(), &deliver, Sent::default());
}

fn give(ledger: &mut Ledger, group: GroupId, sender: MemberId, sequence: u64) {
    let give = Trace::GroupMessage { group, sender, sequence, hash: 7 };
    ledger.trace(me(), &give, Sent::default());
}

fn sight(sender: MemberId, sequence: u64, tag: u64) -> Sight {
    let (groups, service) = (vec![GROUP], Service::Agreed);
    Sight::Message(Letter { groups, sender, service, sequence, hash: 7, len: None, tag })
}

#[test]
fn a_swallowed_and_an_invented_message_are_noticed() {
    let (mut ledger, other) = (Ledger::default(), who(2, 9));
    view(&mut ledger);
    let mine = Audience::Group(GROUP, None);
    ledger.ask(Own { no_self: true, ..own(1, mine.clone()) });
    taken(&mut ledger, 1, mine);
    let messages = [(other, message(2, 1)), (me(), message(1, 1)), (other, message(2, 2))];
    for ((sender, message), sequence) in messages.into_iter().zip(1..) {
        deliver(&mut ledger, message, false);
        give(&mut ledger, GROUP, sender, sequence);
    }
    deliver(&mut ledger, message(2, 3), false);
    give(&mut ledger, GroupId(2), other, 1); // of a group that it is not in
    deliver(&mut ledger, message(2, 4), false);
    give(&mut ledger, GROUP, other, 4);
    ledger.settle(me());
    assert_eq!(ledger.taken(), 0, "the one that it did not want to see has ended, too");
    assert!(ledger.check(&sight(other, 1, 0), false).is_ok());
    assert!(ledger.check(&sight(other, 4, 0), false).is_err(), "3 is missing");
    assert!(ledger.check(&sight(other, 4, 0), false).is_ok());
    assert!(ledger.check(&sight(other, 5, 0), false).is_err(), "nobody sent it");
}

#[test]
fn messages_end_in_receipts_where_they_are_not_seen() {
    let mut ledger = Ledger::default();
    view(&mut ledger);
    let (group, twin) = (Audience::Group(GROUP, None), who(1, 6));
    let later = Audience::Group(GROUP, Some(ViewId::default()));
    for (tag, to) in (1..).zip([&later, &group, &Audience::Member(twin), &later]) {
        ledger.ask(own(tag, to.clone()));
    }
    taken(&mut ledger, 1, group);
    assert_eq!(ledger.unjudged(), 3, "the first was refused, and two are not looked at");
    assert!(ledger.turned_away(1, Status::EVIEW).is_some());
    taken(&mut ledger, 2, Audience::Member(twin));
    taken(&mut ledger, 3, later);
    deliver(&mut ledger, message(1, 1), false);
    give(&mut ledger, GROUP, me(), 1);
    deliver(&mut ledger, message(1, 2), false);
    let unicast = Trace::Unicast { message: message(1, 2), session: twin.session };
    ledger.trace(me(), &unicast, Sent { sender: me(), len: None });
    deliver(&mut ledger, message(1, 3), true);
    ledger.settle(me());
    assert_eq!((ledger.taken(), ledger.unjudged()), (0, 0));
    assert!(ledger.check(&sight(me(), 1, 2), false).is_ok());
    let receipt = |tag, status| Sight::Receipt { tag, status };
    assert!(ledger.check(&receipt(3, Status::OK), false).is_ok());
    assert!(ledger.check(&receipt(4, Status::OK), false).is_err(), "it was refused");
    assert!(ledger.next().is_none());
}

#[test]
fn a_message_to_several_groups_is_one_sight() {
    let mut ledger = Ledger::default();
    view(&mut ledger);
    deliver(&mut ledger, message(2, 1), false);
    give(&mut ledger, GroupId(2), who(2, 9), 3);
    give(&mut ledger, GROUP, who(2, 9), 8);
    ledger.settle(me());
    assert!(
        ledger.check(&sight(who(2, 9), 8, 0), false).is_ok(),
        "numbered as in its own first group"
    );
}

/// A ledger with messages from another session, and one of its own in the middle.
fn five_messages() -> Ledger {
    let (mut ledger, other) = (Ledger::default(), who(2, 9));
    view(&mut ledger);
    let group = Audience::Group(GROUP, None);
    ledger.ask(own(1, group.clone()));
    taken(&mut ledger, 1, group);
    let messages = [(2, 1), (2, 2), (1, 1), (2, 3), (2, 4)];
    for ((node, counter), sequence) in messages.into_iter().zip(1..) {
        deliver(&mut ledger, message(node, counter), false);
        give(&mut ledger, GROUP, if node == 1 { me() } else { other }, sequence);
    }
    ledger.settle(me());
    ledger
}

#[test]
fn what_waits_is_counted_as_it_costs_and_lengths_are_compared() {
    let mut ledger = Ledger::default();
    view(&mut ledger);
    assert_eq!(ledger.due().all(), 0);
    let configuration = Configuration::Regular(Default::default());
    let (service, hash, message) = (Service::Agreed, 7, message(2, 1));
    let deliver = Trace::Deliver {
        message,
        configuration,
        ordinal: 1,
        frame: 1,
        service,
        hash,
        refused: false,
    };
    ledger.trace(me(), &deliver, Sent { sender: who(2, 9), len: Some(1_000) });
    give(&mut ledger, GROUP, who(2, 9), 1);
    ledger.settle(me());
    let due = ledger.due();
    assert!(due.messages > 1_000 && due.messages < 1_500 && due.others == 0, "{due:?}");
    let Sight::Message(letter) = sight(who(2, 9), 1, 0) else { panic!("a message") };
    let of_len = |len| Sight::Message(Letter { len: Some(len), ..letter.clone() });
    assert!(Sight::allows(&of_len(1_000), &of_len(1_000)));
    assert!(!Sight::allows(&of_len(1_000), &of_len(999)));
    assert!(
        Sight::allows(&Sight::Message(letter.clone()), &of_len(999)),
        "nobody knows how long it is"
    );
}

#[test]
fn what_is_missed_is_told_exactly_and_in_its_place() {
    let (other, slow) = (who(2, 9), Sight::Receipt { tag: 1, status: Status::ESLOW });
    let mut ledger = five_messages();
    assert!(ledger.check(&sight(other, 1, 0), true).is_ok());
    assert!(ledger.check(&slow, true).is_ok(), "of its own one it is told alone");
    assert!(ledger.gap(Some(GROUP), 3).is_ok(), "2, 3 and 4");
    assert!(ledger.check(&sight(other, 5, 0), true).is_ok());
    assert!(ledger.is_told());
    assert_eq!((ledger.told(), ledger.told()), (3, 0));

    // Too few, too many, of another group, and without a word for its own one.
    let after = |told: &dyn Fn(&mut Ledger) -> bool| {
        let mut ledger = five_messages();
        assert!(ledger.check(&slow, true).is_ok());
        told(&mut ledger) && ledger.check(&sight(other, 5, 0), true).is_ok() && ledger.is_told()
    };
    assert!(after(&|ledger| ledger.gap(Some(GROUP), 4).is_ok()));
    assert!(!after(&|ledger| ledger.gap(Some(GROUP), 3).is_ok()));
    assert!(!after(&|ledger| ledger.gap(Some(GROUP), 2).is_ok()));
    assert!(!after(&|ledger| ledger.gap(Some(GROUP), 6).is_ok()));
    assert!(!after(&|ledger| ledger.gap(None, 4).is_ok()));
    assert!(!after(&|_| true), "nobody told it of anything");
    let mut ledger = five_messages();
    assert!(ledger.gap(Some(GROUP), 3).is_err(), "its own one has not ended");

    // Who does not want to miss anything sees all.
    let mut ledger = five_messages();
    assert!(ledger.check(&slow, false).is_err());
}
