//! `monitor`: a group's views and messages as they come. The monitor is a member like any other:
//! the others see it join.

use anasazi_client::{OwnedEvent, Session};

use crate::fault::Fault;
use crate::live::{self, Live, Step};
use crate::options::{General, Monitor};
use crate::place::{Need, Place};
use crate::print::{self, Printed};
use crate::words;

pub(crate) fn run(general: &General, options: &Monitor) -> Result<(), Fault> {
    let place = Place::open(general, Need::Any)?;
    let result = watch(&place, general, options);
    place.close();
    result
}

fn watch(place: &Place, general: &General, options: &Monitor) -> Result<(), Fault> {
    let session = &place.session;
    let live = Live::start(session, general.timeout)?;
    let group = live::join(session, &options.group, 0)?;
    let result = show_until_the_end(&live, session, general, options);
    live.leave(group);
    result
}

fn show_until_the_end(
    live: &Live,
    session: &Session,
    general: &General,
    options: &Monitor,
) -> Result<(), Fault> {
    let mut messages_left = options.count.unwrap_or(u64::MAX);
    while messages_left > 0 {
        let Step::Event(event) = live.next(false)? else { break };
        if show(&event, session, general.json, &options.group)? == Printed::NobodyReads {
            break;
        }
        live::check_end(&event, &options.group)?;
        messages_left -= u64::from(matches!(event, OwnedEvent::Message { .. }));
    }
    Ok(())
}

fn show(
    event: &OwnedEvent,
    session: &Session,
    as_json: bool,
    group_name: &str,
) -> Result<Printed, Fault> {
    let lines = match event {
        event if as_json => {
            let object = words::in_json(event, group_name);
            object.map(|object| object.to_string()).into_iter().collect()
        }
        OwnedEvent::Message { sender, service, sequence, data, .. } => {
            let (who, how) = (words::member(sender), words::service(*service));
            vec![format!("{sequence:>6} {how} {who} ({} bytes): {}", data.len(), words::text(data))]
        }
        other => words::happening(other, session.identity()),
    };
    print::lines(&lines)
}
