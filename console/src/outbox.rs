//! Messages on their way: waiting for room, sent, and at the end of their way, which is their own
//! delivery or the word that they were lost or refused.

use std::collections::VecDeque;

use anasazi_client::{GroupHandle, OwnedEvent, Session, Status};

use crate::fault::Fault;

/// The messages of one command to one group.
pub(crate) struct Outbox {
    group: GroupHandle,
    service: u32,
    waiting: VecDeque<Vec<u8>>,
    sent: u64,
    settled: u64,
    lost: u64,
    refused: u64,
    /// Why the latest of those was.
    refusal: Option<Status>,
    /// The highest tag that went with an engine.
    lost_up_to: u64,
}

impl Outbox {
    pub(crate) fn new(group: GroupHandle, service: u32) -> Self {
        Self {
            group,
            service,
            waiting: VecDeque::new(),
            sent: 0,
            settled: 0,
            lost: 0,
            refused: 0,
            refusal: None,
            lost_up_to: 0,
        }
    }

    pub(crate) fn push(&mut self, message: Vec<u8>) {
        self.waiting.push_back(message);
    }

    /// Sends what there is room for.
    pub(crate) fn pump(&mut self, session: &Session) -> Result<(), Fault> {
        while let Some(message) = self.waiting.front() {
            // A tag of 0 would get no word of its loss.
            match session.send(self.group, self.service, &[message], self.sent + 1) {
                Ok(()) => self.sent += 1,
                Err(Status::EAGAIN) => return Ok(()),
                Err(Status::EMSGSIZE) => {
                    let text = format!(
                        "a message of {} bytes is over the engine's limit (message.len_max)",
                        message.len()
                    );
                    return Err(Fault::failed(text));
                }
                Err(status) => return Err(Fault::of_status("sending", status)),
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Takes note of the end of an own message's way.
    pub(crate) fn note(&mut self, event: &OwnedEvent, session: &Session) {
        match event {
            OwnedEvent::Message { sender, tag: 1.., .. } if *sender == session.identity() => {
                self.settled += 1;
            }
            // What the engine had not delivered here is gone with it.
            OwnedEvent::Suspended { .. } => {
                self.lost += self.sent - self.settled;
                self.settled = self.sent;
                self.lost_up_to = self.sent;
            }
            OwnedEvent::Receipt { status, tag, .. } if *tag > self.lost_up_to => {
                self.settled += 1;
                match *status {
                    Status::OK => {}
                    Status::ELOST => self.lost += 1,
                    status => {
                        self.refused += 1;
                        self.refusal = Some(status);
                    }
                }
            }
            _ => {}
        }
    }

    /// More may be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    /// How many the engine has taken.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Everything is with the engine.
    pub(crate) fn is_sent(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everything has come to its end.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.settled >= self.sent
    }

    /// Why a message was refused, if one was.
    pub(crate) fn refused(&self) -> Option<Status> {
        self.refusal
    }

    /// Messages that the engine refused, or took and lost, as a fault.
    pub(crate) fn check_fates(&self) -> Result<(), Fault> {
        match (self.lost, self.refusal) {
            (0, None) => Ok(()),
            (_, Some(status)) => {
                let what = format!("{} of {} messages were refused", self.refused, self.sent);
                Err(Fault::of_status(&what, status))
            }
            (lost, None) => Err(Fault::failed(format!(
                "{lost} of {} messages may be lost: the engine went away before their delivery",
                self.sent
            ))),
        }
    }
}

const WAITING_MAX: usize = 16;
