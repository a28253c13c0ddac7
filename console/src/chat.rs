//! `chat`: lines of standard input become messages to a group; its messages and views are shown.

use anasazi_client::{GroupHandle, OwnedEvent, Session};

use crate::fault::Fault;
use crate::live::{self, Live, Step};
use crate::options::{Chat, General};
use crate::outbox::Outbox;
use crate::place::{Need, Place};
use crate::print::{self, Printed};
use crate::words;

pub(crate) fn run(general: &General, options: &Chat) -> Result<(), Fault> {
    let place = Place::open(general, Need::Any)?;
    let result = join_and_talk(&place, general, options);
    place.close();
    result
}

fn join_and_talk(place: &Place, general: &General, options: &Chat) -> Result<(), Fault> {
    let mut live = Live::start(&place.session, general.timeout)?;
    let group = live::join(&place.session, &options.group, 0)?;
    live.read_lines()?;
    let mut talk = Talk::new(&place.session, group, options, general.json);
    let result = talk.until_the_end(&live);
    live.leave(group);
    result.and_then(|()| talk.outbox.check_fates())
}

/// A conversation.
struct Talk<'a> {
    session: &'a Session,
    options: &'a Chat,
    as_json: bool,
    outbox: Outbox,
    is_member: bool,
    /// As many were here as had to be.
    has_company: bool,
    no_more_lines: bool,
}

impl<'a> Talk<'a> {
    fn new(session: &'a Session, group: GroupHandle, options: &'a Chat, as_json: bool) -> Self {
        let outbox = Outbox::new(group, AGREED);
        Self {
            session,
            options,
            as_json,
            outbox,
            is_member: false,
            has_company: false,
            no_more_lines: false,
        }
    }

    /// Until the input has ended and the last line was delivered here, or somebody wants it to end.
    fn until_the_end(&mut self, live: &Live) -> Result<(), Fault> {
        loop {
            if self.has_company {
                self.outbox.pump(self.session)?;
            }
            if self.no_more_lines && self.is_member && self.outbox.is_settled() {
                return Ok(());
            }
            match live.next(self.outbox.has_room())? {
                Step::Line(line) => self.say(line),
                Step::NoMoreLines => self.no_more_lines = true,
                Step::Stop => return Ok(()),
                Step::Event(event) => {
                    if self.see(&event)? == Printed::NobodyReads {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn say(&mut self, line: Vec<u8>) {
        if line.is_empty() {
            return;
        }
        self.outbox.push(match &self.options.name {
            Some(name) => [name.as_bytes(), b": ", &line].concat(),
            None => line,
        });
    }

    fn see(&mut self, event: &OwnedEvent) -> Result<Printed, Fault> {
        self.outbox.note(event, self.session);
        if let OwnedEvent::View { view, .. } = event {
            self.is_member = true;
            self.has_company |= view.members.len() >= self.options.wait_for;
        }
        let printed = self.show(event)?;
        live::check_end(event, &self.options.group)?;
        Ok(printed)
    }

    fn show(&self, event: &OwnedEvent) -> Result<Printed, Fault> {
        let lines = match event {
            event if self.as_json => {
                let object = words::in_json(event, &self.options.group);
                object.map(|object| object.to_string()).into_iter().collect()
            }
            OwnedEvent::Message { sender, data, .. } => {
                vec![format!("[{}] {}", words::member(sender), words::text(data))]
            }
            other => words::happening(other, self.session.identity()),
        };
        print::lines(&lines)
    }
}

/// ANZ_AGREED of the C header.
const AGREED: u32 = 4;
