//! `send`: a message, or a line of standard input each, to a group.
//!
//! Through a daemon the sender stays outside the group, and is done when the daemon has taken the
//! messages, or refused them. An engine of this process ends with it and knows nobody at first, so
//! there the sender joins, waits for somebody else to be in the group, and is done when its
//! messages are delivered.

use std::time::Duration;

use anasazi_client::{GroupHandle, JOIN_SEND_ONLY, OwnedEvent, Status};
use serde_json::{Value, json};

use crate::ask::ANSWER_MAX;
use crate::fault::{Exit, Fault};
use crate::live::{self, Live, Step};
use crate::options::{General, Send};
use crate::outbox::Outbox;
use crate::place::{Need, Place};
use crate::print;

pub(crate) fn run(general: &General, options: &Send) -> Result<(), Fault> {
    let place = Place::open(general, Need::Any)?;
    let result = join_and_send(&place, general, options);
    place.close();
    result
}

fn join_and_send(place: &Place, general: &General, options: &Send) -> Result<(), Fault> {
    let session = &place.session;
    let is_member = place.is_own();
    let mut live = Live::start(session, general.timeout)?;
    let group = live::join(session, &options.group, if is_member { 0 } else { JOIN_SEND_ONLY })?;
    let mut outbox = Outbox::new(group, if options.safe { SAFE } else { AGREED });
    if options.text == FROM_INPUT {
        live.read_lines()?;
    } else {
        outbox.push(options.text.clone().into_bytes());
    }
    let result = if is_member {
        find_company(&mut live, general, options)
            .and_then(|()| deliver(&live, place, options, &mut outbox))
    } else {
        hand_over(&live, place, options, (group, &mut outbox))
    };
    live.leave(group);
    result?;
    outbox.check_fates().map_err(|fault| match outbox.refused() {
        Some(Status::EACCES) => explain(fault, place, options),
        _ => fault,
    })?;
    if general.json {
        print::line(&json!({ "sent": outbox.sent() }).to_string())?;
    }
    Ok(())
}

/// Waits until somebody else is in the group.
fn find_company(live: &mut Live, general: &General, options: &Send) -> Result<(), Fault> {
    let group = &options.group;
    live.set_timeout(general.timeout.or(Some(COMPANY_MAX)));
    loop {
        match live.next(false) {
            Ok(Step::Event(OwnedEvent::View { view, .. })) if view.members.len() > 1 => break,
            Ok(Step::Event(event)) => live::check_end(&event, group)?,
            Ok(_) => return Err(interrupted()),
            Err(fault) if fault.exit == Exit::TimedOut => {
                let exit = if general.timeout.is_some() { Exit::TimedOut } else { Exit::Failed };
                let text = format!("nothing was sent: nobody else was found in group {group}");
                return Err(Fault::new(exit, text));
            }
            Err(fault) => return Err(fault),
        }
    }
    live.set_timeout(general.timeout);
    Ok(())
}

/// Sends everything, and waits until it was delivered here, in its place in the group's order.
fn deliver(live: &Live, place: &Place, options: &Send, outbox: &mut Outbox) -> Result<(), Fault> {
    let mut has_all = options.text != FROM_INPUT;
    while !(has_all && outbox.is_settled()) {
        outbox.pump(&place.session)?;
        has_all |= take_in(live, place, options, outbox)?;
    }
    Ok(())
}

/// Sends everything, and leaves. That goes the way of the messages, behind them: when it is done,
/// the engine has taken each, or has said that it refused it.
fn hand_over(
    live: &Live,
    place: &Place,
    options: &Send,
    (group, outbox): (GroupHandle, &mut Outbox),
) -> Result<(), Fault> {
    let mut has_all = options.text != FROM_INPUT;
    loop {
        outbox.pump(&place.session)?;
        if has_all && outbox.is_sent() {
            break;
        }
        has_all |= take_in(live, place, options, outbox)?;
    }
    // Where that is refused the group has ended, as some event says.
    let _ = place.session.leave(group);
    loop {
        match live.next(false)? {
            Step::Event(OwnedEvent::Left { status: Status::OK, .. }) => return Ok(()),
            Step::Event(OwnedEvent::Suspended { reason }) => {
                let text = format!("the engine went away ({reason}); not everything may be sent");
                return Err(Fault::failed(text));
            }
            Step::Event(event) => {
                outbox.note(&event, &place.session);
                live::check_end(&event, &options.group)?;
            }
            _ => return Err(interrupted()),
        }
    }
}

/// A receipt has no words: the engine is asked for the rule.
fn explain(fault: Fault, place: &Place, options: &Send) -> Fault {
    let question =
        json!({ "query": "access-check", "operation": "send", "name": options.group }).to_string();
    let answer = place.session.query_blocking(&question, ANSWER_MAX).unwrap_or_default();
    let answer = serde_json::from_str::<Value>(&answer).unwrap_or_default();
    // There may be other rules by now.
    match answer["why"].as_str().filter(|_| answer["allowed"] == false) {
        Some(why) => Fault::new(fault.exit, format!("{}: {why}", fault.text())),
        None => fault,
    }
}

/// One step. Whether it was the end of the input.
fn take_in(live: &Live, place: &Place, options: &Send, outbox: &mut Outbox) -> Result<bool, Fault> {
    match live.next(outbox.has_room())? {
        Step::Line(line) => outbox.push(line),
        Step::NoMoreLines => return Ok(true),
        Step::Stop => return Err(interrupted()),
        Step::Event(event) => {
            outbox.note(&event, &place.session);
            live::check_end(&event, &options.group)?;
        }
    }
    Ok(false)
}

fn interrupted() -> Fault {
    Fault::failed("interrupted; not everything was sent")
}

/// In place of a message: the lines of standard input.
const FROM_INPUT: &str = "-";
/// ANZ_AGREED and ANZ_SAFE of the C header.
const AGREED: u32 = 4;
const SAFE: u32 = 5;
/// How long an engine of this process looks for others.
const COMPANY_MAX: Duration = Duration::from_secs(5);
